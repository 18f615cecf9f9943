/** The socket's life under a scripted world: greeting, backing off, silence, waking. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import {
  ANSWER_TIMEOUT_MS,
  BACKOFF_FIRST_MS,
  BACKOFF_MAX_MS,
  CONNECT_TIMEOUT_MS,
  STABLE_AFTER_MS,
  STALE_AFTER_MS,
  createConnection,
  type Socket,
} from '../../src/frame/connection';

class Scripted implements Socket {
  sent: any[] = [];
  closed = false;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  send = (text: string) => void this.sent.push(JSON.parse(text));
  close = () => void (this.closed = true);
  says = (frame: unknown) => this.onmessage?.({ data: JSON.stringify(frame) });
}

let sockets: Scripted[];
let states: string[];
let frames: any[];
let refuse: boolean;
let connection: ReturnType<typeof createConnection>;
const last = () => sockets.at(-1)!;

beforeEach(() => {
  vi.useFakeTimers();
  sockets = [];
  states = [];
  frames = [];
  refuse = false;
  connection = createConnection(
    {
      open() {
        if (refuse) throw new Error('blocked');
        sockets.push(new Scripted());
        return last();
      },
      now: Date.now,
      random: () => 1,
    },
    {
      hello: () => ({ type: 'hello', visitor_id: 'v', last_seq: 7 }),
      frame: (frame) => frames.push(frame),
      state: (state) => states.push(state),
    },
  );
});
afterEach(() => vi.useRealTimers());

function greeted() {
  connection.start();
  last().onopen!();
  last().says({ type: 'welcome', visitor_token: 't', seq: 7 });
}

test('it says hello with the last sequence number and is ready after the welcome', () => {
  greeted();
  expect(last().sent).toEqual([{ type: 'hello', visitor_id: 'v', last_seq: 7 }]);
  expect(states).toEqual(['connecting', 'ready']);
  expect(frames[0].type).toBe('welcome');
});

test('nothing is sent before the welcome', () => {
  connection.start();
  last().onopen!();
  expect(connection.send({ type: 'typing' })).toBe(false);
  expect(last().sent.length).toBe(1);
});

test('failures back off by doubling up to the maximum, and a connection that stood forgives them', () => {
  connection.start();
  const delays: number[] = [];
  for (let i = 0; i < 9; i++) {
    const opened = sockets.length;
    const from = Date.now();
    last().onclose!();
    while (sockets.length === opened) vi.advanceTimersToNextTimer();
    delays.push(Date.now() - from);
  }
  expect(delays.slice(0, 4)).toEqual([1, 2, 4, 8].map((n) => n * BACKOFF_FIRST_MS));
  expect(delays.at(-1)).toBe(BACKOFF_MAX_MS);
  last().says({ type: 'welcome', seq: 0 });
  vi.advanceTimersByTime(STABLE_AFTER_MS);
  last().onclose!();
  const from = Date.now();
  vi.advanceTimersToNextTimer();
  expect(Date.now() - from).toBe(BACKOFF_FIRST_MS);
});

test('a server that greets and dies at once is not hammered', () => {
  greeted();
  for (let i = 0; i < 5; i++) {
    last().onclose!();
    vi.advanceTimersToNextTimer();
    last().says({ type: 'welcome', seq: 0 });
  }
  const opened = sockets.length;
  last().onclose!();
  vi.advanceTimersByTime(BACKOFF_FIRST_MS * 16);
  expect(sockets.length).toBe(opened);
});

test('a handshake without an answer is given up', () => {
  connection.start();
  vi.advanceTimersByTime(CONNECT_TIMEOUT_MS);
  expect(connection.state).toBe('waiting');
  expect(last().closed).toBe(true);
});

test('a socket that stays silent after a request is replaced', () => {
  greeted();
  connection.send({ type: 'message', client_message_id: 'a', text: 'hi' });
  vi.advanceTimersByTime(ANSWER_TIMEOUT_MS - 1);
  expect(connection.state).toBe('ready');
  vi.advanceTimersByTime(1);
  expect(connection.state).toBe('waiting');
});

test('any frame after a request shows that the socket lives', () => {
  greeted();
  connection.send({ type: 'message', client_message_id: 'a', text: 'hi' });
  last().says({ type: 'typing' });
  vi.advanceTimersByTime(ANSWER_TIMEOUT_MS * 2);
  expect(connection.state).toBe('ready');
});

test('waking skips the wait, replaces a stale socket, and leaves a fresh one alone', () => {
  greeted();
  connection.wake(false);
  expect(sockets.length).toBe(1);
  vi.advanceTimersByTime(STALE_AFTER_MS);
  connection.wake(false);
  expect(sockets.length).toBe(2);
  last().says({ type: 'welcome', seq: 0 });
  connection.wake(true);
  expect(sockets.length).toBe(3);
  last().onclose!();
  connection.wake(false);
  expect(sockets.length).toBe(4);
});

test('a replaced socket cannot speak any more', () => {
  greeted();
  const old = last();
  connection.wake(true);
  const count = frames.length;
  old.says({ type: 'message', id: 'x' });
  old.onclose?.();
  expect(frames.length).toBe(count);
  expect(connection.state).toBe('connecting');
});

test('a goodbye means coming back later, stop means never', () => {
  greeted();
  last().says({ type: 'bye', reason: 'moving' });
  expect(connection.state).toBe('waiting');
  connection.stop();
  vi.advanceTimersByTime(BACKOFF_MAX_MS * 2);
  expect(sockets.length).toBe(1);
  expect(connection.state).toBe('stopped');
  connection.start();
  expect(sockets.length).toBe(2);
});

test('a socket that cannot even be made counts as a failure', () => {
  refuse = true;
  connection.start();
  expect(connection.state).toBe('waiting');
});

test.each(['', 'null', '[]', '{"type":5}', '{', '"welcome"', '{"type":"from the future"}'])('garbage on the wire is survived: %s', (data) => {
  greeted();
  last().onmessage!({ data });
  last().onmessage!({ data: new Blob() });
  expect(connection.state).toBe('ready');
});
