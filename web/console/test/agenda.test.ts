// Where appointments stand on a page: days and minutes in a zone, lanes for what overlaps, hours that are shown, keys made of names.
import { expect, test } from 'vitest';
import { bySlotTime, clockOf, dayOr, hoursOf, keyOf, minutesText, newest, nextOf, placed, weekOf, type Appointment, type Slot } from '../src/lib/agenda';

const one = (id: string, starts: string, minutes: number, more: Partial<Appointment> = {}) =>
  ({ id, starts_at: starts, ends_at: new Date(Date.parse(starts) + minutes * 60_000).toISOString(), status: 'scheduled', seq: 1, ...more }) as Appointment;

test('a moment stands on the day and minute that the clocks of its zone show, over their changes too', () => {
  expect(clockOf('2026-11-24T02:30:00Z', 'America/New_York')).toEqual({ day: '2026-11-23', minute: 21 * 60 + 30 });
  expect(clockOf('2026-11-24T02:30:00Z', 'Asia/Kolkata')).toEqual({ day: '2026-11-24', minute: 8 * 60 });
  // The hour that comes twice in New York is shown twice at the same place.
  expect(clockOf('2026-11-01T05:30:00Z', 'America/New_York')).toEqual(clockOf('2026-11-01T06:30:00Z', 'America/New_York'));
  expect(clockOf('2026-11-24T00:00:00Z', 'UTC').minute).toBe(0);
});

test('a week begins on Monday, also over the end of a year, and a day that is none is today', () => {
  expect(weekOf('2027-01-01')).toEqual(['2026-12-28', '2026-12-29', '2026-12-30', '2026-12-31', '2027-01-01', '2027-01-02', '2027-01-03']);
  expect(weekOf('2026-11-23')[0]).toBe('2026-11-23');
  expect(weekOf('2026-11-29')[0]).toBe('2026-11-23');
  expect(dayOr('2026-02-30', '2026-11-21')).toBe('2026-11-21');
  expect(dayOr('<b>', '2026-11-21')).toBe('2026-11-21');
  expect(dayOr('2028-02-29', '2026-11-21')).toBe('2028-02-29');
});

test('what overlaps stands side by side, and what follows has the whole width again', () => {
  const all = [one('a', '2026-11-24T09:00:00Z', 60), one('b', '2026-11-24T09:30:00Z', 60), one('c', '2026-11-24T10:00:00Z', 30), one('d', '2026-11-24T11:00:00Z', 30), one('e', '2026-11-25T09:00:00Z', 30)];
  const found = placed(all, '2026-11-24', 'UTC').map(({ one: { id }, from, lane, lanes }) => [id, from, lane, lanes]);
  expect(found).toEqual([['a', 540, 0, 2], ['b', 570, 1, 2], ['c', 600, 0, 2], ['d', 660, 0, 1]]);
});

test('a short one can still be read and touched, and one over midnight ends with its day', () => {
  const [short] = placed([one('a', '2026-11-24T09:00:00Z', 5)], '2026-11-24', 'UTC');
  expect(short && short.to - short.from).toBe(30);
  const [late] = placed([one('a', '2026-11-24T23:30:00Z', 120)], '2026-11-24', 'UTC');
  expect(late?.to).toBe(1440);
});

test('a grid shows the opening hours and everything else that stands there', () => {
  const hours = [{ mon: { open: '09:30', close: '17:15' }, sat: null }];
  expect(hoursOf([], hours)).toEqual([9, 18]);
  expect(hoursOf(placed([one('a', '2026-11-24T06:30:00Z', 30), one('b', '2026-11-24T20:00:00Z', 45)], '2026-11-24', 'UTC'), hours)).toEqual([6, 21]);
  expect(hoursOf([], [null, {}])).toEqual([8, 18]);
});

test('the newer of what was fetched and what came live is shown', () => {
  const pages = new Map([['a', one('a', '2026-11-24T09:00:00Z', 30, { seq: 5, name: 'fetched' })], ['b', one('b', '2026-11-24T09:00:00Z', 30, { seq: 1, name: 'fetched' })]]);
  const board: [string, unknown][] = [['a', one('a', '2026-11-24T09:00:00Z', 30, { seq: 4, name: 'live' })], ['b', one('b', '2026-11-24T09:00:00Z', 30, { seq: 2, name: 'live' })], ['c', one('c', '2026-11-24T09:00:00Z', 30, { name: 'live' })]];
  expect(newest(pages, board).map(({ id, name }) => id + name)).toEqual(['afetched', 'blive', 'clive']);
});

test('a time that several people have free is offered once', () => {
  const slot = (starts_at: string, provider_id: string) => ({ starts_at, provider_id }) as Slot;
  expect(bySlotTime([slot('t1', 'anna'), slot('t1', 'ben'), slot('t2', 'ben')]).map((found) => found.starts_at + found.provider_id)).toEqual(['t1anna', 't2ben']);
});

test('a key is made of a name, is one the server takes, and is nobody else’s', () => {
  expect(keyOf('Root canal (long)', [])).toBe('root_canal_long');
  expect(keyOf('Élan', [])).toBe('elan');
  expect(keyOf('3D scan', [])).toBe('n_3d_scan');
  expect(keyOf('理髪', ['n_1'])).toBe('n_1_2');
  expect(keyOf('Root canal', ['root_canal', 'root_canal_2'])).toBe('root_canal_3');
  for (const name of ['', '   ', 'x'.repeat(200), '<script>']) expect(keyOf(name, [])).toMatch(/^[a-z][a-z0-9_]{0,63}$/);
});

test('minutes read as people say them', () => {
  expect([45, 90, 120, 1440, 2880, 0].map(minutesText)).toEqual(['45 min', '1 h 30 min', '2 h', '1 day', '2 days', '0 min']);
});

test('the next one is the first that is to take place', () => {
  const all = [one('late', '2026-11-26T09:00:00Z', 30), one('gone', '2026-11-23T09:00:00Z', 30, { status: 'canceled' }), one('next', '2026-11-24T09:00:00Z', 30, { status: 'confirmed' })];
  expect(nextOf(all)?.id).toBe('next');
  expect(nextOf(all.slice(1, 2))).toBeNull();
});
