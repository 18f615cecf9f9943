/** Order, duplicates, attempts and discards of the conversation, as frames arrive well and badly. */
import { beforeEach, expect, test } from 'vitest';
import { createStore, type Item } from '../../src/frame/store';

let rows: Item[];
let arrived: [string, boolean][];
let store: ReturnType<typeof createStore>;

beforeEach(() => {
  rows = [];
  arrived = [];
  store = createStore({
    put(item, next) {
      rows = rows.filter((row) => row !== item);
      rows.splice(next ? rows.indexOf(next) : rows.length, 0, item);
    },
    drop: (item) => (rows = rows.filter((row) => row !== item)),
    arrived: (item, fresh) => arrived.push([item.text, fresh]),
  });
  store.began(0);
});

const texts = () => rows.map((row) => row.text);
const message = (seq: number, content: string, more = {}) =>
  store.message({ type: 'message', id: 'm' + seq, seq, role: 'assistant', content, ...more });

test('messages stand in the order of their sequence numbers, however they come', () => {
  for (const seq of [5, 1, 9, 3]) message(seq, String(seq));
  expect(texts()).toEqual(['1', '3', '5', '9']);
  expect(store.lastSeq).toBe(9);
});

test('a repeated message is shown and announced once', () => {
  message(1, 'once');
  message(1, 'once');
  expect(texts()).toEqual(['once']);
  expect(arrived).toEqual([['once', true]]);
});

test('history up to the welcome is not fresh, what follows is', () => {
  store.clear();
  store.began(2);
  message(1, 'old');
  message(2, 'old too');
  message(3, 'new');
  store.began(9);
  message(4, 'missed while away');
  expect(arrived.map(([, fresh]) => fresh)).toEqual([false, false, true, true]);
});

test('an acknowledgement gives the own message its place', () => {
  store.posted({ type: 'message', client_message_id: 'a', text: 'mine' });
  message(1, 'said before it arrived');
  store.acked('a', 2);
  message(3, 'answer');
  expect(texts()).toEqual(['said before it arrived', 'mine', 'answer']);
  expect(rows[1]!.state).toBeUndefined();
});

test('when the acknowledgement was lost, the journal copy and the resent message become one', () => {
  store.posted({ type: 'message', client_message_id: 'a', text: 'mine' });
  message(1, 'mine', { role: 'user' });
  store.acked('a', 1);
  expect(texts()).toEqual(['mine']);
});

test('a journal copy that names the client id takes the pending one over at once', () => {
  store.posted({ type: 'message', client_message_id: 'a', text: 'mine' });
  message(1, 'mine', { role: 'user', client_message_id: 'a' });
  store.acked('a', 1);
  expect(texts()).toEqual(['mine']);
  expect(rows[0]!.state).toBeUndefined();
});

test('tokens join in order, a gap waits, the finished message replaces them', () => {
  store.token('m1', 1, 0, 'a');
  store.token('m1', 1, 2, 'c');
  expect(texts()).toEqual(['a']);
  store.token('m1', 1, 1, 'b');
  store.token('m1', 1, 1, 'B');
  expect(texts()).toEqual(['abc']);
  message(1, 'the whole');
  store.token('m1', 1, 3, 'late');
  store.token('m1', 9, 0, 'very late');
  expect(texts()).toEqual(['the whole']);
  expect(rows[0]!.state).toBeUndefined();
});

test('a higher attempt replaces what was shown, a lower one is ignored', () => {
  store.token('m1', 1, 0, 'old');
  store.token('m1', 2, 0, 'new');
  store.token('m1', 1, 0, 'late');
  expect(texts()).toEqual(['new']);
  store.token('m1', 2, 1, 'er');
  expect(texts()).toEqual(['newer']);
});

test('a discard removes the partial answer and its late tokens, a higher attempt may follow', () => {
  store.token('m1', 1, 0, 'half');
  store.discard('m1');
  store.token('m1', 1, 1, 'late');
  expect(texts()).toEqual([]);
  store.token('m1', 2, 0, 'again');
  expect(texts()).toEqual(['again']);
});

test('a discard does not touch a finished message', () => {
  message(1, 'done');
  store.discard('m1');
  expect(texts()).toEqual(['done']);
});

test('a half shown answer goes when a person answers instead', () => {
  store.token('m1', 1, 0, 'half');
  message(2, 'I am here', { role: 'human_agent', author: 'Dana' });
  expect(texts()).toEqual(['I am here']);
  expect(rows[0]!.author).toBe('Dana');
});

test('a half shown answer goes when a person takes the floor, with its late tokens, also if nobody took it back', () => {
  store.token('x', 1, 0, 'I think');
  store.silence();
  store.token('x', 1, 1, ' that');
  expect(texts()).toEqual([]);
  message(1, 'finished');
  store.silence();
  expect(texts()).toEqual(['finished']);
});

test('the greeting stands first, and once also when the server journaled it', () => {
  message(4, 'later');
  store.greet('Welcome');
  expect(texts()).toEqual(['Welcome', 'later']);
  message(1, 'Welcome');
  expect(texts()).toEqual(['Welcome', 'later']);
});

test('a failed message keeps its text and its reason', () => {
  store.posted({ type: 'message', client_message_id: 'a', text: 'mine' });
  store.failed('a', 'Too long.');
  expect(rows[0]).toMatchObject({ text: 'mine', state: 'failed', error: 'Too long.' });
  store.remove('a');
  expect(rows).toEqual([]);
});

test('clearing forgets everything, also the sequence number', () => {
  message(3, 'x');
  store.clear();
  expect(rows).toEqual([]);
  expect(store.lastSeq).toBe(0);
});

test('any interleaving of deliveries, repeats and acknowledgements ends in the same conversation', () => {
  for (let seed = 1; seed <= 200; seed++) {
    rows = [];
    store.clear();
    store.began(0);
    let state = seed;
    const random = (n: number) => (state = (state * 48271) % 2147483647) % n;
    const steps: (() => void)[] = [];
    for (let seq = 1; seq <= 8; seq++) {
      if (seq % 2) {
        const id = 'c' + seq;
        store.posted({ type: 'message', client_message_id: id, text: 'v' + seq });
        steps.push(() => message(seq, 'v' + seq, { role: 'user' }), () => store.acked(id, seq), () => store.acked(id, seq));
      } else {
        steps.push(
          () => store.token('m' + seq, 1, 0, 'partial'),
          () => message(seq, 'a' + seq),
          () => message(seq, 'a' + seq),
          () => store.discard('m' + seq),
        );
      }
    }
    while (steps.length) steps.splice(random(steps.length), 1)[0]!();
    expect(texts(), 'seed ' + seed).toEqual(['v1', 'a2', 'v3', 'a4', 'v5', 'a6', 'v7', 'a8']);
  }
});
