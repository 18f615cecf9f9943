// What a form sends: once at a time, with the reason of the last failure.
import { expect, test } from 'vitest';
import { Sending } from '../src/lib/sending.svelte';

test('what is under way is not sent twice, and is told as done once', async () => {
  const sending = new Sending();
  let sent = 0;
  let finish = () => {};
  const first = sending.run(() => ((sent += 1), new Promise<void>((done) => (finish = done))));
  expect(sending.busy).toBe(true);
  expect(await sending.run(async () => void (sent += 1))).toBe(false);
  finish();
  expect(await first).toBe(true);
  expect([sent, sending.busy]).toEqual([1, false]);
});

test('a failure is kept until the next try, and may be turned into something else', async () => {
  const sending = new Sending();
  const why = new Error('no');
  expect(await sending.run(() => Promise.reject(why))).toBe(false);
  expect([sending.error, sending.busy]).toEqual([why, false]);
  const trial = sending.run(async () => expect(sending.error).toBeNull());
  expect(await trial).toBe(true);
  await sending.run(() => Promise.reject(why), () => (sending.error = null));
  expect(sending.error).toBeNull();
});

test('a form is sent by us and not by the browser', async () => {
  const sending = new Sending();
  let sent = false;
  const event = new Event('submit', { cancelable: true }) as SubmitEvent;
  sending.on(async () => void (sent = true))(event);
  await Promise.resolve();
  expect([event.defaultPrevented, sent]).toEqual([true, true]);
});
