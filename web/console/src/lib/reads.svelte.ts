// How far this person has read each conversation. The server keeps it for all browsers; this follows the live board, and says at once what was just read.
import type { Change } from '../../../generated/sockets';
import { api, seg } from './api';
import type { Topic } from './live.svelte';
import type { ConversationRow } from './types';

/** The live board's own entries about reading, beside the conversations. */
const READ = 'read:';

export const isRow = (key: string) => !key.startsWith(READ);

/** The conversations among a board's entries. */
export function* rows(entries: ReadonlyMap<string, unknown>): Generator<ConversationRow> {
  for (const [key, value] of entries) if (isRow(key)) yield value as ConversationRow;
}

interface Known {
  /** The visitor's last message. */
  last: number;
  /** How far was read, when that is known. */
  read: number | null;
  count: number;
  /** The places of the visitor's newest messages, when the server says them. */
  seqs: readonly number[];
}

const above = (seqs: readonly number[], seq: number) => seqs.reduce((n, one) => (one > seq ? n + 1 : n), 0);

export class Reads {
  #known = new Map<string, Known>();
  #counts = $state.raw<ReadonlyMap<string, number>>(new Map());
  /** Conversations that stay unread although they are open, because this person said so. */
  #kept = new Set<string>();

  /** Unread messages of a visitor; what is not known counts as read. */
  count = (id: string): number => this.#counts.get(id) ?? 0;

  #of(id: string): Known {
    let known = this.#known.get(id);
    if (!known) this.#known.set(id, (known = { last: 0, read: null, count: 0, seqs: [] }));
    return known;
  }

  #publish() {
    const next = new Map<string, number>();
    for (const [id, { count }] of this.#known) if (count > 0) next.set(id, count);
    // Most changes of a board are about something else: then no row is drawn anew.
    if (next.size === this.#counts.size && [...next].every(([id, count]) => this.#counts.get(id) === count)) return;
    this.#counts = next;
  }

  /** Rows of the server's list say exactly how many. */
  page(list: Iterable<ConversationRow>) {
    for (const row of list) {
      if (row.unread === undefined) continue;
      const known = this.#of(row.id);
      const last = row.last_visitor_seq ?? row.last_seq ?? row.seq;
      // A page that was under way while newer words, or a newer read mark, came says less than is known.
      if (last < known.last) continue;
      known.last = last;
      known.seqs = row.visitor_seqs ?? [];
      known.count = known.read === null ? row.unread : known.read >= last ? 0 : above(known.seqs, known.read) || row.unread;
    }
    this.#publish();
  }

  /** Follows the board of conversations until the returned function is called. */
  follow(board: Topic): () => void {
    const stops = [board.begin((entries) => this.#snapshot(entries)), board.hear((changes) => this.#hear(changes))];
    return () => stops.forEach((stop) => stop());
  }

  /** A snapshot of the board: only what is newer than all that is known counts. */
  #snapshot(entries: ReadonlyMap<string, unknown>) {
    for (const row of rows(entries)) this.#row(row, false);
    for (const [key, value] of entries) if (!isRow(key)) this.#mark(key, value);
    this.#publish();
  }

  #hear(changes: Change[]) {
    for (const { op, key, value } of changes) {
      if (op === 'remove') this.#known.delete(key);
      else if (isRow(key)) this.#row(value as ConversationRow, true);
      else this.#mark(key, value);
    }
    this.#publish();
  }

  #mark(key: string, value: unknown) {
    this.#read(key.slice(READ.length), Number((value as { seq?: number } | null)?.seq ?? 0));
  }

  #row(row: ConversationRow, fresh: boolean) {
    const last = row.last_visitor_seq;
    if (last === undefined || last === null) return;
    const known = this.#known.get(row.id);
    if (!known && !fresh) return;
    const held = known ?? this.#of(row.id);
    if (last <= held.last) return;
    const seqs = row.visitor_seqs ?? [];
    // Several messages may come as one change.
    if (held.read !== null && seqs.length) held.count = above(seqs, held.read);
    else if (held.read === null || held.read < last) held.count += Math.max(1, above(seqs, held.last));
    held.last = last;
    held.seqs = seqs;
  }

  #read(id: string, seq: number) {
    const known = this.#of(id);
    // The echo of what this page asked for earlier takes nothing back.
    if (this.#kept.has(id) && seq >= known.last && known.count > 0) return;
    known.read = seq;
    if (seq >= known.last) known.count = 0;
    else known.count = above(known.seqs, seq) || Math.max(1, known.count);
  }

  /** What is on the screen up to `seq` is read, unless this person wants it unread. */
  async seen(id: string, seq: number, lastVisitor: number): Promise<void> {
    const known = this.#of(id);
    if (this.#kept.has(id) && lastVisitor <= known.last) return;
    this.#kept.delete(id);
    known.last = Math.max(known.last, lastVisitor);
    if (known.read !== null && known.read >= lastVisitor) return;
    const before = known.read;
    known.read = seq;
    known.count = 0;
    this.#publish();
    try {
      await api.post(`/api/conversations/${seg(id)}/read`, { seq });
    } catch {
      // Said again with the next message, or the next time it is opened.
      if (known.read === seq) known.read = before;
    }
  }

  /** Marks it unread again; it stays so until it is opened anew or the visitor writes. */
  async unread(id: string): Promise<void> {
    const known = this.#of(id);
    const before = { ...known };
    this.#kept.add(id);
    known.read = 0;
    known.count = known.seqs.length || Math.max(1, known.count);
    this.#publish();
    try {
      await api.post(`/api/conversations/${seg(id)}/read`, { seq: 0, unread: true });
    } catch (error) {
      this.#kept.delete(id);
      Object.assign(known, before);
      this.#publish();
      throw error;
    }
  }

  /** It was opened anew: what is seen counts again. */
  opened(id: string) {
    this.#kept.delete(id);
  }
}

export const reads = new Reads();
