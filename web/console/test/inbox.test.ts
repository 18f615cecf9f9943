// What is unread, what was found, who is here, what the bell says: the server's part is played by the test.
import { cleanup, render, screen } from '@testing-library/svelte';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { identity } from '../src/lib/api';
import { conversationsBehind, leadsBehind } from '../src/lib/behind';
import { inside } from '../src/lib/format';
import { fits, localHour, marked, named, near, roleOf, type Filters } from '../src/lib/inbox';
import { Topic, live } from '../src/lib/live.svelte';
import { notices } from '../src/lib/notices.svelte';
import { preferences } from '../src/lib/preferences.svelte';
import { presence } from '../src/lib/presence.svelte';
import { Reads, rows } from '../src/lib/reads.svelte';
import { session } from '../src/lib/session.svelte';
import { Answer, TalkView } from '../src/lib/talk.svelte';
import type { Colleague, ConversationRow, Notice } from '../src/lib/types';
import Faces from '../src/ui/Faces.svelte';
import Marked from '../src/ui/Marked.svelte';

const EVIL = '<img src=x onerror="window.evil=1">';
const none: Filters = { status: '', urgency: '', channel: '', agent_id: '', assigned_to: '', since: '', from: '', to: '', hour: '', weekday: '', q: '' };
const row = (id: string, more: Partial<ConversationRow> = {}) =>
  ({ id, seq: 9, started_at: '2026-03-02T08:30:00Z', updated_at: '2026-03-02T09:00:00Z', status: 'active', sandbox: false, visitor_id: 'v-' + id, visitor_name: null, visitor_email: null, visitor_phone: null, last_message: '', last_role: 'user', ...more }) as ConversationRow;
const put = (key: string, value: unknown) => ({ op: 'put', key, value });

type Sent = { method: string; url: string; body: unknown };
let sent: Sent[];
let refuse: ((url: string) => number | undefined) | null;
let answers: Record<string, unknown>;

class FakeSocket {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static last: FakeSocket;
  readyState = 0;
  sent: Record<string, unknown>[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  constructor() {
    FakeSocket.last = this;
  }
  open() {
    this.readyState = 1;
    this.onopen?.();
  }
  says(frame: unknown) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  send(text: string) {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close() {
    this.readyState = 3;
    this.onclose?.();
  }
}
vi.stubGlobal('WebSocket', FakeSocket);

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'requestAnimationFrame'] });
  sent = [];
  refuse = null;
  answers = { '/api/me': { user: { id: 'me', name: 'Dana' }, organization: { id: 'o', timezone: 'UTC' }, organizations: [], role: 'rep', csrf_token: 'x' } };
  identity.csrf = 'x';
  vi.stubGlobal('WebSocket', FakeSocket);
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    sent.push({ method: init.method ?? 'GET', url, body: init.body ? JSON.parse(String(init.body)) : undefined });
    const status = refuse?.(url);
    if (status) return new Response(JSON.stringify({ type: '', title: '', status, code: 'no', detail: 'no', retry: 'never' }), { status });
    const known = answers[url.split('?')[0] ?? ''];
    return known === undefined ? new Response(null, { status: 204 }) : new Response(JSON.stringify(known));
  });
  await session.load();
  sent = [];
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test('a page says how many are unread, and each later word of the visitor is one more', () => {
  const reads = new Reads();
  const board = new Topic('conversations');
  const stop = reads.follow(board);
  board.snapshot(1, { a: row('a', { last_visitor_seq: 4 }) });
  expect(reads.count('a')).toBe(0);
  reads.page([row('a', { unread: 2, last_visitor_seq: 4, last_seq: 5 })]);
  expect(reads.count('a')).toBe(2);
  board.delta(2, [put('a', row('a', { last_visitor_seq: 6, seq: 6 }))]);
  // An answer of the assistant changes the row, and nothing about what is unread.
  board.delta(3, [put('a', row('a', { last_visitor_seq: 6, seq: 7, last_role: 'assistant' }))]);
  board.delta(4, [put('n', row('n', { last_visitor_seq: 1 }))]);
  expect([reads.count('a'), reads.count('n')]).toEqual([3, 1]);
  // A page that was asked for before the newest words came says less than is known.
  reads.page([row('a', { unread: 2, last_visitor_seq: 4 })]);
  expect(reads.count('a')).toBe(3);
  stop();
});

test('what another browser of this person read is read here, and a page that was asked for before changes nothing', () => {
  const reads = new Reads();
  const board = new Topic('conversations');
  const stop = reads.follow(board);
  board.snapshot(1, {});
  reads.page([row('a', { unread: 2, last_visitor_seq: 4 })]);
  board.delta(2, [put('read:a', { seq: 5 })]);
  expect(reads.count('a')).toBe(0);
  reads.page([row('a', { unread: 2, last_visitor_seq: 4 })]);
  expect(reads.count('a')).toBe(0);
  board.delta(3, [put('a', row('a', { last_visitor_seq: 8 }))]);
  expect(reads.count('a')).toBe(1);
  // Marked unread again elsewhere.
  board.delta(4, [put('read:a', { seq: 8 }), put('read:a', { seq: 0 })]);
  expect(reads.count('a')).toBe(1);
  expect([...rows(board.entries)].map((one) => one.id)).not.toContain('read:a');
  stop();
});

test('places of messages make the count exact: several at once, and marks that move by themselves', () => {
  const reads = new Reads();
  const board = new Topic('conversations');
  const stop = reads.follow(board);
  board.snapshot(1, { a: row('a', { last_visitor_seq: 4, visitor_seqs: [1, 4] }), 'read:a': { seq: 4 } });
  reads.page([row('a', { unread: 0, last_visitor_seq: 4, visitor_seqs: [1, 4] })]);
  board.delta(2, [put('a', row('a', { last_visitor_seq: 9, visitor_seqs: [1, 4, 7, 8, 9] }))]);
  expect(reads.count('a')).toBe(3);
  board.delta(3, [put('read:a', { seq: 8 })]);
  expect(reads.count('a')).toBe(1);
  board.delta(4, [put('read:a', { seq: 0 })]);
  expect(reads.count('a')).toBe(5);
  stop();
});

test('what is seen is told once, and again only for newer words; unread again stays so while it is open', async () => {
  const reads = new Reads();
  reads.page([row('a', { unread: 1, last_visitor_seq: 4 })]);
  await reads.seen('a', 5, 4);
  await reads.seen('a', 6, 4);
  expect(sent).toEqual([{ method: 'POST', url: '/api/conversations/a/read', body: { seq: 5 } }]);
  expect(reads.count('a')).toBe(0);
  await reads.unread('a');
  expect(sent.at(-1)?.body).toEqual({ seq: 0, unread: true });
  await reads.seen('a', 7, 4);
  expect([sent.length, reads.count('a')]).toEqual([2, 1]);
  await reads.seen('a', 8, 8);
  expect([sent.length, reads.count('a')]).toEqual([3, 0]);
  await reads.unread('a');
  reads.opened('a');
  await reads.seen('a', 9, 8);
  expect(reads.count('a')).toBe(0);
});

test('a refused mark is taken back: read is told again, unread is as it was', async () => {
  const reads = new Reads();
  reads.page([row('a', { unread: 1, last_visitor_seq: 4 })]);
  refuse = () => 403;
  await reads.seen('a', 5, 4);
  refuse = null;
  await reads.seen('a', 5, 4);
  expect(sent).toHaveLength(2);
  refuse = () => 403;
  await expect(reads.unread('a')).rejects.toMatchObject({ status: 403 });
  expect(reads.count('a')).toBe(0);
});

test('what was found stands near the beginning of a line that is cut at its end', () => {
  const text = '…and I need somebody to look at my water heater this week.';
  const from = text.indexOf('water');
  const found = near(text, [[from, from + 5], [from + 6, from + 12]]);
  expect(found.text).toBe('…to look at my water heater this week.');
  expect(marked(found.text, found.ranges).filter((piece) => piece.hit).map((piece) => piece.text)).toEqual(['water', 'heater']);
  // What is near already, and what has no place to begin at, stays.
  expect(near('Where can I park?', [[12, 16]])).toEqual({ text: 'Where can I park?', ranges: [[12, 16]] });
  expect(near('x'.repeat(60), [[50, 52]]).text).toBe('x'.repeat(60));
  expect(near('nothing found', [])).toEqual({ text: 'nothing found', ranges: [] });
});

test('found words are marked by their ranges, and no range breaks the text or makes markup of it', () => {
  expect(marked('Where can I park?', [[12, 16]])).toEqual([{ text: 'Where can I ', hit: false }, { text: 'park', hit: true }, { text: '?', hit: false }]);
  for (const ranges of [[[5, 2]], [[-4, 900]], [[0, 3], [2, 5]], [[90, 95]], [[NaN, 3]]] as [number, number][][]) expect(marked('some words', ranges).map((one) => one.text).join('')).toBe('some words');
  const { container } = render(Marked, { text: EVIL, ranges: [[1, 4]] });
  expect(container.textContent).toBe(EVIL);
  expect(container.querySelector('img')).toBeNull();
  expect(container.querySelector('mark')?.textContent).toBe('img');
  expect(['visitor', 'human', 'assistant', 'newer'].map(roleOf)).toEqual(['user', 'human_agent', 'assistant', 'newer']);
});

test('live rows obey what a chart led here with: instants, hour and day of the week of the organization', () => {
  expect(localHour('2026-03-02T23:30:00Z', 'Europe/Berlin')).toEqual({ hour: 0, weekday: 1 });
  expect(localHour('2026-03-01T12:00:00Z', 'UTC')).toEqual({ hour: 12, weekday: 6 });
  const one = row('a');
  expect(fits(one, { ...none, from: '2026-03-02T08:30:00Z', to: '2026-03-02T09:30:00+01:00' }, null)).toBe(false);
  expect(fits(one, { ...none, from: '2026-03-02T08:00:00Z', to: '2026-03-02T09:00:00Z' }, null)).toBe(true);
  expect(fits(one, { ...none, hour: '9', weekday: '0' }, null, 'Europe/Berlin')).toBe(true);
  expect(fits(one, { ...none, hour: '9' }, null, 'UTC')).toBe(false);
  expect(named(row('a', { visitor_name: 'Rosa Delgado' }), 'delg rosa')).toBe(true);
  expect(named(row('a'), ' ')).toBe(false);
});

test('numbers lead to lists with the same filters', () => {
  expect(conversationsBehind({ agent: 'a', channel: '', weekday: 0, hour: 0, from: 'x' })).toBe('/conversations?agent_id=a&weekday=0&hour=0&from=x');
  expect(leadsBehind({ from: 'x', to: 'y' })).toBe('/leads?from=x&to=y');
  expect(conversationsBehind({})).toBe('/conversations');
});

test('a link of a notification stays in the console', () => {
  expect(inside('/conversations/1')).toBe('/app/conversations/1');
  expect(inside('/app/leads/1')).toBe('/app/leads/1');
  for (const evil of ['https://evil.example', '//evil.example', '/\\evil.example', 'javascript:alert(1)', '', null]) expect(inside(evil)).toBeUndefined();
});

test('an answer that was half written goes on from there, and pieces that are in it are not shown twice', () => {
  const answer = Answer.from({ attempt: 1, next_index: 2, text: 'Let me think' });
  expect(answer.add(1, 1, ' think')).toBe(false);
  answer.add(1, 2, ' about it.');
  expect(answer.text).toBe('Let me think about it.');
  answer.add(2, 0, 'Again');
  expect(answer.text).toBe('Again');
});

test('presence: told at the beginning of every connection, colleagues by conversation, oneself left out', () => {
  live.start();
  const stop = presence.start();
  FakeSocket.last.open();
  expect(FakeSocket.last.sent).toContainEqual({ type: 'presence', status: 'online', viewing: null, typing: false });
  const leave = presence.view('c1');
  presence.type();
  presence.type();
  expect(FakeSocket.last.sent.filter((frame) => frame.type === 'presence')).toHaveLength(3);
  const one = (id: string, more: Partial<Colleague> = {}): Colleague => ({ user_id: id, name: 'Ann', status: 'online', viewing: 'c1', typing: false, since: '', ...more });
  FakeSocket.last.says({ type: 'snapshot', topic: 'presence', seq: 1, data: { people: [one('me'), one('ann'), one('bob', { name: 'Bob', viewing: null })] } });
  expect(presence.at('c1').map((person) => person.user_id)).toEqual(['ann']);
  expect(presence.others).toHaveLength(2);
  FakeSocket.last.says({ type: 'delta', topic: 'presence', seq: 2, changes: [put('bob', one('bob', { name: 'Bob', typing: true })), { op: 'remove', key: 'ann' }] });
  vi.advanceTimersByTime(20);
  expect(presence.at('c1').map((person) => [person.name, person.typing])).toEqual([['Bob', true]]);
  // Whoever stops typing is not typing; a new connection hears where this person is.
  vi.advanceTimersByTime(5_000);
  expect(FakeSocket.last.sent.at(-1)).toEqual({ type: 'presence', status: 'online', viewing: 'c1', typing: false });
  const old = FakeSocket.last;
  old.close();
  vi.advanceTimersByTime(2_000);
  FakeSocket.last.open();
  expect(FakeSocket.last).not.toBe(old);
  expect(FakeSocket.last.sent).toContainEqual({ type: 'presence', status: 'online', viewing: 'c1', typing: false });
  leave();
  expect(FakeSocket.last.sent.at(-1)).toMatchObject({ viewing: null });
  stop();
  render(Faces, { people: [one('x', { name: EVIL, typing: true })] });
  expect(screen.getByText(`${EVIL} is typing`)).toBeTruthy();
  expect(document.querySelector('img')).toBeNull();
});

test('a conversation opened in the middle of an answer shows what was written, and its end replaces it', () => {
  live.start();
  if (FakeSocket.last.readyState !== 1) FakeSocket.last.open();
  const view = new TalkView('c9');
  const snapshot = (more: object) => FakeSocket.last.says({ type: 'snapshot', topic: 'conversation:c9', seq: 5, data: { conversation: { id: 'c9' }, ...more } });
  snapshot({ streaming: { message_id: 'm1', attempt: 1, next_index: 3, text: 'Let me ' } });
  expect(view.writing).toEqual({ id: 'm1', text: 'Let me ' });
  FakeSocket.last.says({ type: 'delta', topic: 'conversation:c9', seq: 6, changes: [put('stream', { type: 'token', message_id: 'm1', attempt: 1, index: 3, text: 'think' })] });
  expect(view.writing?.text).toBe('Let me think');
  snapshot({ streaming: null });
  expect(view.writing).toBeNull();
  snapshot({ streaming: { message_id: 'm1', attempt: 1, next_index: 3, text: 'Let me think' } });
  // Messages are shown with the next frame: until then the answer in the making stands, so that its words are never gone.
  const shown = () => [view.writing?.text, view.messages.map((message) => message.content)];
  FakeSocket.last.says({ type: 'delta', topic: 'conversation:c9', seq: 6, changes: [put('message/m1', { id: 'm1', seq: 6, role: 'assistant', content: 'Let me think.' })] });
  expect(shown()).toEqual(['Let me think', []]);
  // Its task is ended once its answer stands, and says so.
  FakeSocket.last.says({ type: 'delta', topic: 'conversation:c9', seq: 7, changes: [put('stream', { type: 'discard', message_id: 'm1', reason: 'superseded' })] });
  expect(shown()).toEqual(['Let me think', []]);
  vi.advanceTimersByTime(20);
  expect(shown()).toEqual([undefined, ['Let me think.']]);
  view.stop();
});

test('words that were sent stand once from the first moment on: as sent until they are a message', async () => {
  live.start();
  if (FakeSocket.last.readyState !== 1) FakeSocket.last.open();
  const view = new TalkView('c8');
  const says = (seq: number, id: string, content: string) => FakeSocket.last.says({ type: 'delta', topic: 'conversation:c8', seq, changes: [put('message/' + id, { id, seq, role: 'human_agent', author: { id: 'me', name: 'Dana' }, content, whisper: false })] });
  FakeSocket.last.says({ type: 'snapshot', topic: 'conversation:c8', seq: 1, data: { conversation: { id: 'c8' } } });
  const shown = () => [...view.messages.map((message) => message.content), ...view.outgoing.map((one) => `${one.text} (${one.failed ? 'failed' : one.as ? 'sent' : 'sending'})`)];
  // The answer to the call is here before the push.
  answers['/api/conversations/c8/messages'] = { id: 'm1', seq: 2 };
  const first = view.say('One', false);
  expect(shown()).toEqual(['One (sending)']);
  await first;
  expect(shown()).toEqual(['One (sent)']);
  says(2, 'm1', 'One');
  expect(shown()).toEqual(['One (sent)']);
  vi.advanceTimersByTime(20);
  expect(shown()).toEqual(['One']);
  // The push is here before the answer to the call.
  answers['/api/conversations/c8/messages'] = { id: 'm2', seq: 3 };
  const second = view.say('Two', false);
  says(3, 'm2', 'Two');
  vi.advanceTimersByTime(20);
  expect(shown()).toEqual(['One', 'Two']);
  await second;
  expect(shown()).toEqual(['One', 'Two']);
  refuse = () => 503;
  await view.say('Three', false);
  expect(shown()).toEqual(['One', 'Two', 'Three (failed)']);
  view.stop();
});

test('the bell: what is new is heard once, reading is shown at once and taken back when it is refused', async () => {
  live.start();
  if (FakeSocket.last.readyState !== 1) FakeSocket.last.open();
  const heard: string[] = [];
  const stop = notices.start((one) => heard.push(one.id));
  const one = (id: string, at: string, read_at?: string): Notice => ({ id, kind: 'lead', title: id, body: '', link: '/leads/1', created_at: at, ...(read_at ? { read_at } : {}) });
  FakeSocket.last.says({ type: 'snapshot', topic: 'notifications', seq: 1, data: { unread: 30, items: [one('b', '2026-01-02'), one('a', '2026-01-01', '2026-01-03')] } });
  expect([notices.unread, notices.list.map((notice) => notice.id)]).toEqual([30, ['b', 'a']]);
  FakeSocket.last.says({ type: 'delta', topic: 'notifications', seq: 2, changes: [put('c', one('c', '2026-01-04')), put('unread', 31), put('r', one('r', '2025-11-01', '2026-01-05'))] });
  vi.advanceTimersByTime(20);
  expect([heard, notices.unread]).toEqual([['c'], 31]);
  refuse = (url) => (url.includes('notifications') ? 503 : undefined);
  const failing = notices.read('c');
  expect(notices.unread).toBe(30);
  await expect(failing).rejects.toMatchObject({ status: 503 });
  expect(notices.unread).toBe(31);
  refuse = null;
  await notices.read('c');
  expect(sent.at(-1)).toMatchObject({ url: '/api/notifications/read', body: { ids: ['c'] } });
  expect(notices.unread).toBe(30);
  // The server's own news of it counts nothing twice.
  FakeSocket.last.says({ type: 'delta', topic: 'notifications', seq: 3, changes: [put('c', one('c', '2026-01-04', '2026-01-05')), put('unread', 30)] });
  vi.advanceTimersByTime(20);
  expect([notices.unread, heard]).toEqual([30, ['c']]);
  answers['/api/notifications'] = { items: [one('b', '2026-01-02'), one('old', '2025-12-01')], next_cursor: null, unread: 30 };
  await notices.loadMore();
  expect([notices.list.map((notice) => notice.id), notices.more]).toEqual([['c', 'b', 'a', 'old', 'r'], false]);
  await notices.readAll();
  expect([notices.unread, sent.at(-1)?.body]).toEqual([0, { all: true }]);
  stop();
});

test('a preference is shown at once, sent alone, and taken back when it is refused', async () => {
  const way = { in_app: true, email: false };
  answers['/api/me/preferences'] = { theme: 'dark', notifications: { escalation: way, emergency: way, assigned: way, lead: way, unanswered: way, training_failed: way, missed_call: way, daily_summary: { email: false } } };
  await preferences.load();
  refuse = (url) => (url.includes('preferences') ? 403 : undefined);
  const failing = preferences.change({ lead: { email: true } });
  expect(preferences.stored?.notifications.lead).toEqual({ in_app: true, email: true });
  await expect(failing).rejects.toMatchObject({ status: 403 });
  expect(preferences.stored?.notifications.lead).toEqual(way);
  expect(sent.at(-1)).toEqual({ method: 'PATCH', url: '/api/me/preferences', body: { notifications: { lead: { email: true } } } });
});

test('what the organization tries itself is in the list only for whoever asks for it', () => {
  const shown = (trial?: string) => [row('real'), row('tried', { trial: true })].filter((one) => fits(one, { ...none, ...(trial === undefined ? {} : { trial }) }, null)).map(({ id }) => id);
  expect([shown(), shown(''), shown('true'), shown('all')]).toEqual([['real'], ['real'], ['tried'], ['real', 'tried']]);
});
