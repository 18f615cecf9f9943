// The client: keys, versions, the one retry, the wait for a session, and errors as sentences.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ApiError, api, identity, send } from '../src/lib/api';
import { fieldError, sentence } from '../src/lib/problems';

type Sent = { method: string; url: string; headers: Record<string, string>; body: unknown };
let sent: Sent[];
let answers: (Response | Error)[];

const json = (body: unknown, status = 200, headers: Record<string, string> = {}) => new Response(status === 204 ? null : JSON.stringify(body), { status, headers });
const problem = (status: number, code: string, more: Record<string, unknown> = {}, headers: Record<string, string> = {}) =>
  json({ type: '/docs#errors', title: code, status, code, detail: `detail of ${code}`, retry: 'never', ...more }, status, headers);

beforeEach(() => {
  sent = [];
  answers = [];
  identity.csrf = 'token-of-the-session';
  identity.renew = async () => false;
  vi.useFakeTimers({ shouldAdvanceTime: true, advanceTimeDelta: 400 });
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    sent.push({ method: init.method ?? 'GET', url, headers: init.headers as Record<string, string>, body: init.body ? JSON.parse(String(init.body)) : undefined });
    const next = answers.shift();
    if (!next) throw new Error('nothing more was expected');
    if (next instanceof Error) throw next;
    return next;
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const refusal = async (promise: Promise<unknown>) => {
  try {
    await promise;
  } catch (error) {
    return error as ApiError;
  }
  throw new Error('it was not refused');
};

test('a write carries the token against forgery, its version and a key; a read carries none', async () => {
  answers = [json({}), json({}, 200, { etag: '"4"' })];
  await api.get('/api/agents', { limit: 5, status: '', q: null });
  expect(sent[0]).toMatchObject({ method: 'GET', url: '/api/agents?limit=5' });
  expect(sent[0]?.headers['X-CSRF-Token']).toBeUndefined();
  const { version } = await send('PATCH', '/api/agents/1', { body: { name: 'Ada' }, version: '"3"' });
  expect(version).toBe('"4"');
  expect(sent[1]?.headers).toMatchObject({ 'X-CSRF-Token': 'token-of-the-session', 'If-Match': '"3"' });
});

test('a post that gets no answer is sent once more under the same key', async () => {
  answers = [new TypeError('network'), json({ id: 1 }, 201)];
  await api.post('/api/agents', { name: 'Ada' });
  expect(sent).toHaveLength(2);
  expect(sent[0]?.headers['Idempotency-Key']).toBe(sent[1]?.headers['Idempotency-Key']);
});

test('a patch is never sent twice by itself', async () => {
  answers = [new TypeError('network')];
  const error = await refusal(api.patch('/api/agents/1', {}));
  expect([error.status, sent.length]).toEqual([0, 1]);
  expect(sentence(error)).toMatch(/No connection/);
});

test('a call waits for the session and goes on with what it had', async () => {
  answers = [problem(401, 'unauthorized'), json({ id: 1 }, 201)];
  identity.renew = async () => {
    identity.csrf = 'token-of-the-next';
    return true;
  };
  await api.post('/api/conversations/1/messages', { content: 'kept words' });
  expect(sent.map(({ headers }) => headers['X-CSRF-Token'])).toEqual(['token-of-the-session', 'token-of-the-next']);
  expect(sent[1]?.body).toEqual({ content: 'kept words' });
});

test('a session that cannot be renewed is a refusal, asked for once', async () => {
  answers = [problem(401, 'unauthorized')];
  const error = await refusal(api.get('/api/agents'));
  expect([error.status, sent.length]).toEqual([401, 1]);
});

test('a server that cannot be reached for a new session has not ended it', async () => {
  answers = [problem(401, 'unauthorized')];
  identity.renew = async () => {
    throw new TypeError('network');
  };
  const error = await refusal(api.get('/api/agents'));
  expect([error.status, sentence(error)]).toEqual([0, sentence(new ApiError(0, error.problem))]);
});

test('each refusal has a sentence and a way on', async () => {
  for (const [response, words] of [
    [problem(402, 'limit_reached'), /plan’s limit is reached/],
    [problem(403, 'forbidden'), /detail of forbidden/],
    [problem(404, 'not_found'), /does not exist/],
    [problem(409, 'conversation_closed'), /has ended/],
    [problem(409, 'floor_taken', { detail: 'Nora is already writing with this visitor' }), /Nora is already writing with this visitor\./],
    [problem(412, 'stale'), /Somebody else saved this first/],
    [problem(422, 'invalid_fields', { errors: [{ field: 'settings.retention.conversations_days', message: 'must be `1` to 3650' }] }), /^The number of days must be 1 to 3650$/],
    [problem(422, 'invalid_fields', { errors: [{ field: 'address', message: "that doesn't look like a phone number" }] }), /^That doesn't look like a phone number$/],
    [problem(422, 'invalid_fields', { errors: [{ field: 'business_hours.fri', message: 'must open before it closes' }] }), /^Business hours › Friday must open before it closes$/],
    [problem(422, 'invalid_fields', { errors: [{ field: 'chat_theme.primary_color', message: 'must be a colour' }] }), /Chat theme › primary color must be a colour/],
    [problem(429, 'too_many', {}, { 'retry-after': '7' }), /in 7 seconds/],
    [problem(503, 'outcome_unknown', { retry: 'never' }), /look before you try again/],
  ] as [Response, RegExp][]) {
    answers = [response];
    expect(sentence(await refusal(api.patch('/api/x', {})))).toMatch(words);
  }
});

test('a page of a proxy is an error too, and a field finds the errors below it', async () => {
  answers = [new Response('<h1>Bad gateway</h1>', { status: 502 }), problem(422, 'invalid_fields', { errors: [{ field: 'business_hours.mon', message: 'must have open and close' }] })];
  expect((await refusal(api.patch('/api/x', {}))).problem.code).toBe('unknown');
  const error = await refusal(api.patch('/api/x', {}));
  expect(fieldError(error, 'business_hours')).toBe('Must have open and close.');
  expect(fieldError(error, 'business')).toBeUndefined();
});
