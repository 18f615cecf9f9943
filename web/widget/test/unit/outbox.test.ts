/** What survives a reload, what is settled once, and where it ends. */
import { expect, test } from 'vitest';
import { OUTBOX_MAX, createOutbox, type Keeper } from '../../src/frame/outbox';

function keeper(): Keeper {
  const held: Record<string, string> = {};
  return { held, set: (key, value) => (value === undefined ? delete held[key] : (held[key] = value)) };
}
const message = (id: string) => ({ type: 'message' as const, client_message_id: id, text: 'text of ' + id });

test('messages outlive the page in the order they were written, forms do not', () => {
  const kept = keeper();
  const outbox = createOutbox(kept);
  for (const id of ['b', 'a', '1']) outbox.add(id, message(id));
  outbox.add('l', { type: 'lead', client_id: 'l', fields: {} });
  const next = createOutbox(kept);
  expect(next.restore()).toEqual([message('b'), message('a'), message('1')]);
  expect([...next.waiting.keys()]).toEqual(['b', 'a', '1']);
});

test('a settled message is gone everywhere, settling again is nothing', () => {
  const kept = keeper();
  const outbox = createOutbox(kept);
  outbox.add('a', message('a'));
  expect(outbox.settle('a')).toEqual(message('a'));
  expect(outbox.settle('a')).toBeUndefined();
  expect(kept.held).toEqual({});
});

test('it is bounded', () => {
  const outbox = createOutbox(keeper());
  for (let i = 0; i < OUTBOX_MAX; i++) expect(outbox.add('m' + i, message('m' + i))).toBe(true);
  expect(outbox.add('one more', message('one more'))).toBe(false);
});

test('other keys in the same storage are not messages', () => {
  const kept = keeper();
  kept.set('id', 'visitor');
  kept.set('q:x', '');
  expect(createOutbox(kept).restore()).toEqual([{ type: 'message', client_message_id: 'x', text: '' }]);
});
