// The time range that a page's panels share: a window up to now, or days of the organization; it lives in the address.

export const WINDOWS = ['24h', '7d', '30d'] as const;
export type Window = (typeof WINDOWS)[number];

/** The server counts at most this many days at once. */
export const DAYS_MAX = 92;

const DAY_MS = 86_400_000;
const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** As the API takes it; either a window or two days. */
export type Span = { window: Window; from?: undefined; to?: undefined } | { window?: undefined; from: string; to: string };

/** A day's number, or null when there is no such day. */
function dayNumber(day: string): number | null {
  const at = DAY.test(day) ? Date.parse(day + 'T00:00:00Z') : NaN;
  return Number.isNaN(at) || new Date(at).toISOString().slice(0, 10) !== day ? null : at / DAY_MS;
}

/** What is wrong with two days, as the name of its sentence. */
export function wrongDays(from: string, to: string): 'missing' | 'order' | 'long' | null {
  const [first, last] = [dayNumber(from), dayNumber(to)];
  if (first === null || last === null) return 'missing';
  if (last < first) return 'order';
  return last - first + 1 > DAYS_MAX ? 'long' : null;
}

/** The range of an address; what is none is the usual one. */
export function spanOf(q: (name: string) => string, usual: Window = '7d'): Span {
  const [from, to] = [q('from'), q('to')];
  if (from && to && !wrongDays(from, to)) return { from, to };
  return { window: WINDOWS.find((one) => one === q('window')) ?? usual };
}

/** Today in a time zone, `YYYY-MM-DD`. */
export const today = (zone: string, now = new Date()): string => new Intl.DateTimeFormat('en-CA', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit' }).format(now);

/** A day so many days earlier; counted on the calendar, so that no clock change skips one. */
export const daysBefore = (day: string, back: number): string => new Date(Date.parse(day + 'T00:00:00Z') - back * DAY_MS).toISOString().slice(0, 10);

/** What the clocks of a zone show at an instant, as if it were UTC. */
function shownAt(zone: string, at: number): number {
  const parts = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' }).formatToParts(at);
  const part = (type: string) => Number(parts.find((one) => one.type === type)?.value);
  return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
}

/** The instant at which a day begins in a time zone. */
export function dayStart(day: string, zone: string): string {
  const wanted = Date.parse(day + 'T00:00:00Z');
  let at = wanted;
  // The offset at the guess, then at the better guess: the clocks may change in between.
  for (let round = 0; round < 3; round += 1) at += wanted - shownAt(zone, at);
  return new Date(at).toISOString();
}
