// Topics: what a snapshot, deltas in and out of order, and a removal leave; the socket's part is played by the test.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Topic, live } from '../src/lib/live.svelte';

const put = (key: string, value: unknown) => ({ op: 'put', key, value });

class FakeSocket {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static all: FakeSocket[] = [];
  readyState = 0;
  sent: Record<string, unknown>[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  constructor(readonly url: string) {
    FakeSocket.all.push(this);
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

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'requestAnimationFrame'] });
  vi.stubGlobal('WebSocket', FakeSocket);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test('deltas build on the snapshot, and a repeated one changes nothing', () => {
  const topic = new Topic('leads');
  topic.snapshot(7, { a: 1, b: 2 });
  expect(topic.delta(8, [put('a', 3), { op: 'remove', key: 'b' }])).toBe(true);
  expect(topic.delta(8, [put('a', 99)])).toBe(true);
  vi.runAllTimers();
  expect([...topic.entries]).toEqual([['a', 3]]);
});

test('a missing number is noticed and nothing of it is shown', () => {
  const topic = new Topic('leads');
  topic.snapshot(7, { a: 1 });
  expect(topic.delta(9, [put('a', 2)])).toBe(false);
  vi.runAllTimers();
  expect([...topic.entries]).toEqual([['a', 1]]);
});

test('a hundred changes in one frame are shown once', () => {
  const topic = new Topic('conversations');
  topic.snapshot(0, {});
  const before = topic.entries;
  for (let n = 1; n <= 100; n += 1) topic.delta(n, [put('k' + (n % 5), n)]);
  expect(topic.entries).toBe(before);
  vi.runAllTimers();
  expect(topic.entries.size).toBe(5);
  expect(topic.entries.get('k0')).toBe(100);
});

test('whoever listens hears every change at once, also those a frame would skip', () => {
  const topic = new Topic('conversation:1');
  topic.snapshot(0, {});
  const heard: unknown[] = [];
  const stop = topic.hear((changes) => heard.push(...changes.map(({ value }) => value)));
  topic.delta(1, [put('stream', 'a')]);
  topic.delta(2, [put('stream', 'b')]);
  stop();
  topic.delta(3, [put('stream', 'c')]);
  expect(heard).toEqual(['a', 'b']);
});

test('after a lost connection each topic goes on from its number, and a hole asks for a snapshot', async () => {
  const [topic, unfollow] = live.follow('overview');
  live.start();
  const first = FakeSocket.all.at(-1) as FakeSocket;
  first.open();
  expect(first.sent).toContainEqual({ type: 'subscribe', topic: 'overview', since: null });
  first.says({ type: 'snapshot', topic: 'overview', seq: 4, data: { day: 1 } });
  first.says({ type: 'delta', topic: 'overview', seq: 5, changes: [put('day', 2)] });
  expect(live.state).toBe('live');
  first.close();
  expect(live.state).toBe('reconnecting');
  vi.advanceTimersByTime(2_000);
  const second = FakeSocket.all.at(-1) as FakeSocket;
  expect(second).not.toBe(first);
  second.open();
  expect(second.sent).toContainEqual({ type: 'subscribe', topic: 'overview', since: 5 });
  second.says({ type: 'delta', topic: 'overview', seq: 7, changes: [put('day', 9)] });
  expect(second.sent.at(-1)).toEqual({ type: 'subscribe', topic: 'overview', since: null });
  // A frame of the replaced connection is nobody's.
  first.says({ type: 'snapshot', topic: 'overview', seq: 99, data: { day: 'old' } });
  second.says({ type: 'snapshot', topic: 'overview', seq: 7, data: { day: 9 } });
  expect(topic.entries.get('day')).toBe(9);
  unfollow();
  expect(second.sent.at(-1)).toEqual({ type: 'unsubscribe', topic: 'overview' });
});
