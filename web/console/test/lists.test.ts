// Lists, texts and archives: what is shown where, kept in place, and never more than text.
import { beforeEach, expect, test } from 'vitest';
import { diff } from '../src/lib/diff';
import { keepDraft, readDraft } from '../src/lib/drafts';
import { csv, wordpressFiles } from '../src/lib/embed';
import { filled, visitor, website } from '../src/lib/format';
import { fits, merged, steady, type Filters } from '../src/lib/inbox';
import { match } from '../src/lib/router.svelte';
import { Answer } from '../src/lib/talk.svelte';
import { events } from '../src/lib/trial.svelte';
import type { ConversationRow } from '../src/lib/types';
import { crc32, zip } from '../src/lib/zip';

beforeEach(() => localStorage.clear());

const row = (id: string, at: number, more: Partial<ConversationRow> = {}) =>
  ({ id, seq: at, started_at: '2026-01-01T00:00:00Z', updated_at: new Date(at * 1000).toISOString(), status: 'active', sandbox: false, visitor_id: 'v-' + id, visitor_name: null, visitor_email: null, visitor_phone: null, last_message: 'words of ' + id, last_role: 'user', ...more }) as ConversationRow;
const none: Filters = { status: '', urgency: '', channel: '', agent_id: '', assigned_to: '', since: '', from: '', to: '', hour: '', weekday: '', q: '' };

test('page and board are one list, the newer row of a conversation wins, the newest is first', () => {
  const pages = new Map([row('a', 1), row('b', 2), row('c', 9, { status: 'resolved' })].map((one) => [one.id, one]));
  const list = merged(pages, [row('a', 5), row('c', 8)], (one) => fits(one, none, null));
  expect(list.map((one) => [one.id, one.seq])).toEqual([['c', 9], ['a', 5], ['b', 2]]);
});

test('a sandbox is never listed, and filters hold for live rows too', () => {
  expect(fits(row('a', 1, { sandbox: true }), none, null)).toBe(false);
  expect(fits(row('a', 1), { ...none, status: 'resolved' }, null)).toBe(false);
  expect(fits(row('a', 1), none, '2026-02-01T00:00:00Z')).toBe(false);
});

test('rows stay where they are while somebody reads, what is new waits, older pages join below', () => {
  const order = ['b', 'a'];
  const rows = merged(new Map(), [row('a', 9), row('b', 5), row('n', 10), row('old', 1)], () => true);
  const { shown, waiting } = steady(rows, order);
  expect(shown.map((one) => one.id)).toEqual(['b', 'a', 'old']);
  expect(shown[1]?.seq).toBe(9);
  expect(waiting).toBe(1);
  expect(steady(rows, null).shown.map((one) => one.id)).toEqual(['n', 'a', 'b', 'old']);
});

test('ten changes a second to five hundred rows cost less than a frame each', () => {
  const pages = new Map(Array.from({ length: 500 }, (_, n) => row('c' + n, n)).map((one) => [one.id, one]));
  const order = [...pages.keys()];
  const begun = performance.now();
  for (let n = 0; n < 10; n += 1) steady(merged(pages, [row('c' + n, 1000 + n)], (one) => fits(one, none, null)), order);
  expect((performance.now() - begun) / 10).toBeLessThan(16);
});

test('tokens of a lower attempt are nothing, of a higher one replace what was shown', () => {
  const answer = new Answer();
  answer.add(1, 0, 'Wrong');
  answer.add(2, 1, ' there');
  answer.add(2, 0, 'Hello');
  expect(answer.add(1, 1, ' words')).toBe(false);
  expect(answer.text).toBe('Hello there');
});

test('a stream of events is read across any cut', async () => {
  const text = 'event: token\r\ndata: {"text":"a"}\r\n\r\n: still here\n\nevent: message\ndata: {"x":\ndata: 1}\n\n';
  const bytes = new TextEncoder().encode(text);
  const cut = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  const heard = [];
  for await (const event of events(cut)) heard.push(event);
  expect(heard).toEqual([
    { event: 'token', data: '{"text":"a"}' },
    { event: 'message', data: '{"x":\n1}' },
  ]);
});

test('a difference names what went and what came, and nothing else', () => {
  expect(diff('a\nb\nc', 'a\nx\nc\nd').map(({ kind, text }) => kind[0] + text)).toEqual(['sa', 'rb', 'ax', 'sc', 'ad']);
  expect(diff('', 'x')).toEqual([{ kind: 'added', text: 'x' }]);
  expect(diff('same', 'same').every((line) => line.kind === 'same')).toBe(true);
});

test('a link of somebody else leads to a website or nowhere', () => {
  for (const evil of ['javascript:alert(1)', 'data:text/html,x', ' http//x', '', null, 'vbscript:x']) expect(website(evil)).toBeNull();
  expect(website('https://oak.example/a')).toBe('https://oak.example/a');
});

test('a visitor without a name is called the same every time', () => {
  expect(visitor(row('x', 1, { visitor_id: 'abcd-12.ef9' }))).toBe('Visitor 2EF9');
  expect(visitor(row('x', 1, { visitor_name: 'Rosa' }))).toBe('Rosa');
});

test('variables are filled, unknown ones are left for the eye', () => {
  expect(filled('Hi from {{ name }}, {{nobody}}', { name: 'Oak' })).toBe('Hi from Oak, {{nobody}}');
});

test('paths find their page, broken escapes find none', () => {
  expect(match('/agents/:id/:tab?', '/agents/a%20b')).toEqual({ id: 'a b' });
  expect(match('/agents/:id/:tab?', '/agents/a/chat')).toEqual({ id: 'a', tab: 'chat' });
  expect(match('/agents', '/agents/a')).toBeNull();
  expect(match('/agents/:id', '/agents/%E0%A4')).toBeNull();
});

test('a draft outlives the page, and goes when it is empty', () => {
  keepDraft('c1.reply', 'half a sen');
  expect(readDraft('c1.reply')).toBe('half a sen');
  keepDraft('c1.reply', '');
  expect(readDraft('c1.reply')).toBe('');
  expect(localStorage.length).toBe(0);
});

test('the plugin is an archive whose names cannot break out of it', async () => {
  const files = wordpressFiles("a'b\\c", 'Oak */ <?php evil(); \n * Plugin Name: x', 'https://w.example');
  const php = files['colloquy-receptionist/colloquy-receptionist.php'] ?? '';
  expect(php).toContain("'https://w.example/widget/a\\'b\\\\c.js'");
  const plain = wordpressFiles('a', 'Oak')['colloquy-receptionist/colloquy-receptionist.php'];
  expect(php.match(/\*\//g)).toHaveLength(plain?.match(/\*\//g)?.length ?? 0);
  expect(php.match(/Plugin Name:/g)).toHaveLength(2);
  expect(php.split('\n').filter((line) => /^ \* Plugin Name:/.test(line))).toHaveLength(1);
  const bytes = new Uint8Array(await zip(files).arrayBuffer());
  const view = new DataView(bytes.buffer);
  expect(view.getUint32(0, true)).toBe(0x04034b50);
  expect(view.getUint32(bytes.length - 22, true)).toBe(0x06054b50);
  expect(view.getUint16(bytes.length - 12, true)).toBe(Object.keys(files).length);
  expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
});

test('a cell of an export is never a formula', () => {
  expect(csv(['a', 'b'], [['=1+1', 2], ['x,"y"', -3]])).toBe('a,b\r\n\'=1+1,2\r\n"x,""y""",-3\r\n');
});

test('no text of the dictionary is a leftover', async () => {
  const { readdirSync, readFileSync } = await import('node:fs');
  const root = import.meta.dirname + '/../src/';
  const code = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(svelte|ts)$/.test(name) && !name.includes('texts.ts') && !name.includes('texts/'))
    .map((name) => readFileSync(root + name, 'utf8'))
    .join('\n');
  const { t } = await import('../src/lib/texts');
  const unused = Object.entries(t).flatMap(([part, texts]) =>
    Object.keys(texts)
      .filter((name) => !new RegExp(`\\bt\\.${part}(\\.${name}\\b|\\[|\\))`).test(code))
      .map((name) => `${part}.${name}`),
  );
  expect(unused).toEqual([]);
});
