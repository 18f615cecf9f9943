// Which conversations a list shows and in which order: the server's pages and the live board as one, with a place kept while somebody reads.
import { visitor } from './format';
import type { ConversationRow } from './types';

export interface Filters {
  status: string;
  urgency: string;
  channel: string;
  agent_id: string;
  /** A user id. */
  assigned_to: string;
  /** `24h`, `7d`, `30d` or nothing. */
  since: string;
  /** Words of a name or of the last message. */
  words: string;
}

const HOURS: Record<string, number> = { '24h': 24, '7d': 168, '30d': 720 };

/** Since when, as the API takes it. */
export const sinceTime = (since: string, now = Date.now()): string | null => (HOURS[since] ? new Date(now - HOURS[since] * 3_600_000).toISOString() : null);

export function fits(row: ConversationRow, filters: Filters, from: string | null): boolean {
  if (row.sandbox) return false;
  for (const key of ['status', 'urgency', 'channel', 'agent_id', 'assigned_to'] as const) {
    if (filters[key] && row[key] !== filters[key]) return false;
  }
  if (from && row.started_at < from) return false;
  if (!filters.words) return true;
  const text = `${visitor(row)} ${row.visitor_email ?? ''} ${row.visitor_phone ?? ''} ${row.last_message}`.toLowerCase();
  return filters.words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

/** The newer of two rows of one conversation. */
const newer = (a: ConversationRow | undefined, b: ConversationRow) => (a && a.seq > b.seq ? a : b);

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
