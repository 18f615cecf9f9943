// Which conversations a list shows and in which order: the server's pages and the live board as one, with a place kept while somebody reads.
import { visitor } from './format';
import type { ConversationRow } from './types';

export interface Filters {
  status: string;
  urgency: string;
  channel: string;
  agent_id: string;
  /** Nothing leaves out what the organization's own people try, `true` shows only that, `all` both. */
  trial?: string;
  /** A user id. */
  assigned_to: string;
  /** `24h`, `7d`, `30d` or nothing. */
  since: string;
  /** Moments that a chart led here with; `to` is not included. */
  from: string;
  to: string;
  /** An hour of the day (0 to 23) and a day of the week (0 is Monday), in the organization's time zone. */
  hour: string;
  weekday: string;
  /** Words of a message, or of a visitor's name. */
  q: string;
}

/** The server searches from this many characters on. */
export const SEARCH_MIN = 2;
/** And up to these. */
export const SEARCH_MAX = 200;

const HOURS: Record<string, number> = { '24h': 24, '7d': 168, '30d': 720 };

/** Since when, as the API takes it. */
export const sinceTime = (since: string, now = Date.now()): string | null => (HOURS[since] ? new Date(now - HOURS[since] * 3_600_000).toISOString() : null);

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const clocks = new Map<string, Intl.DateTimeFormat>();

/** The hour (0 to 23) and the day of the week (0 is Monday) of a moment in a time zone. */
export function localHour(iso: string, zone: string): { hour: number; weekday: number } {
  let clock = clocks.get(zone);
  if (!clock) clocks.set(zone, (clock = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hour: '2-digit', hourCycle: 'h23', weekday: 'short' })));
  const parts = Object.fromEntries(clock.formatToParts(new Date(iso)).map(({ type, value }) => [type, value]));
  return { hour: Number(parts.hour), weekday: DAYS.indexOf(parts.weekday ?? '') };
}

/** Whether a row belongs into a list, but for the words that are searched for. */
export function fits(row: ConversationRow, filters: Filters, from: string | null, zone = 'UTC'): boolean {
  if (row.sandbox) return false;
  if (filters.trial !== 'all' && Boolean(row.trial) !== (filters.trial === 'true')) return false;
  for (const key of ['status', 'urgency', 'agent_id', 'assigned_to'] as const) {
    if (filters[key] && row[key] !== filters[key]) return false;
  }
  if (filters.channel && row.channel !== filters.channel) return false;
  if (from && row.started_at < from) return false;
  if (filters.from && Date.parse(row.started_at) < Date.parse(filters.from)) return false;
  if (filters.to && Date.parse(row.started_at) >= Date.parse(filters.to)) return false;
  if (filters.hour || filters.weekday) {
    const { hour, weekday } = localHour(row.started_at, zone);
    if (filters.hour && hour !== Number(filters.hour)) return false;
    if (filters.weekday && weekday !== Number(filters.weekday)) return false;
  }
  return true;
}

/** Whether somebody is called so: names are found at once, what was said is found by the server. */
export function named(row: ConversationRow, words: string): boolean {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${visitor(row)} ${row.visitor_email ?? ''} ${row.visitor_phone ?? ''}`.toLowerCase();
  return wanted.length > 0 && wanted.every((word) => text.includes(word));
}

/** Whose words a search found, as messages name the roles. */
export const roleOf = (role: string): string => ({ visitor: 'user', human: 'human_agent' })[role] ?? role;

/** A text in pieces, those within the ranges marked; ranges that are none change nothing. */
export function marked(text: string, ranges: readonly (readonly [number, number])[]): { text: string; hit: boolean }[] {
  const pieces: { text: string; hit: boolean }[] = [];
  let at = 0;
  for (const [from, to] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const begin = Math.max(at, from);
    const end = Math.min(text.length, to);
    if (!(end > begin)) continue;
    if (begin > at) pieces.push({ text: text.slice(at, begin), hit: false });
    pieces.push({ text: text.slice(begin, end), hit: true });
    at = end;
  }
  if (at < text.length) pieces.push({ text: text.slice(at), hit: false });
  return pieces;
}

/** How much of a text is shown before the first of its ranges: a list's line is cut at its end, and the words that were found must not be. */
const BEFORE_CHARS = 14;

/** A text that begins shortly before the first of its ranges, with the ranges where they are then. */
export function near(text: string, ranges: readonly (readonly [number, number])[]): { text: string; ranges: [number, number][] } {
  const first = Math.min(...ranges.map(([from]) => from));
  const at = Number.isFinite(first) && first > 2 * BEFORE_CHARS ? text.indexOf(' ', first - BEFORE_CHARS - 1) + 1 : 0;
  // A word longer than what is shown before it gives no place to begin at.
  const cut = at > 0 && at <= first ? at : 0;
  return { text: cut ? '…' + text.slice(cut) : text, ranges: ranges.map(([from, to]) => [from - cut + (cut ? 1 : 0), to - cut + (cut ? 1 : 0)]) };
}

/** The newer of two rows of one conversation. */
const newer = (a: ConversationRow | undefined, b: ConversationRow) => (a ? (a.seq > b.seq ? a : { ...b, unread: a.unread, match: a.match }) : b);

/** Pages and board merged and filtered, the newest first. */
export function merged(pages: ReadonlyMap<string, ConversationRow>, board: Iterable<ConversationRow>, keep: (row: ConversationRow) => boolean): ConversationRow[] {
  const all = new Map(pages);
  for (const row of board) all.set(row.id, newer(all.get(row.id), row));
  return [...all.values()].filter(keep).sort((a, b) => (a.updated_at < b.updated_at ? 1 : a.updated_at > b.updated_at ? -1 : a.id < b.id ? 1 : -1));
}

/**
 * Rows in the order that somebody is reading: what was there stays in place and shows its news there, what is new waits.
 * Without an order to keep, everything is shown as it comes.
 */
export function steady(rows: ConversationRow[], order: readonly string[] | null): { shown: ConversationRow[]; waiting: number } {
  if (!order) return { shown: rows, waiting: 0 };
  const left = new Map(rows.map((row) => [row.id, row]));
  const shown: ConversationRow[] = [];
  for (const id of order) {
    const row = left.get(id);
    if (row && left.delete(id)) shown.push(row);
  }
  // What lies below everything known, such as the next page of the list, disturbs nobody.
  const last = shown.at(-1);
  const older = last ? [...left.values()].filter((row) => row.updated_at < last.updated_at) : [...left.values()];
  return { shown: [...shown, ...older], waiting: left.size - older.length };
}
