/** The conversation as the reader sees it: ordered items, each message once, partial answers by attempt; no DOM. */

import type { Message, ServerFrame, Source } from './protocol';

export type Kind = 'me' | 'bot' | 'human' | 'note';

export interface Item {
  key: string;
  kind: Kind;
  text: string;
  /** The server's id, once it has one. */
  id?: string;
  /** Place in the journal; an item without one stands at the end. */
  seq?: number;
  author?: string | undefined;
  sources?: Source[] | null | undefined;
  state?: 'pending' | 'failed' | 'partial' | undefined;
  error?: string;
}

export interface Sink {
  /** The item is new or changed; it stands before `next`, or last. */
  put(item: Item, next: Item | undefined): void;
  drop(item: Item): void;
  /** A finished message of the other side; `fresh` unless it is history from before this visit. */
  arrived(item: Item, fresh: boolean): void;
}

interface Stream {
  attempt: number;
  chunks: string[];
  /** How many chunks from the first one are taken into `text`. */
  taken: number;
  text: string;
}

export function createStore(sink: Sink) {
  let items: Item[] = [];
  let partials = new Map<string, Stream>();
  /** The highest attempt of an answer that no longer streams: its late tokens are ignored. */
  let ended = new Map<string, number>();
  let lastSeq = 0;
  /** Everything up to here was said before this visit. */
  let baseline: number | undefined;

  const rank = (item: Item) => item.seq ?? Infinity;
  const byKey = (key: string | undefined) => items.find((item) => item.key === key);
  const byServerId = (id: string) => items.find((item) => item.id === id);

  /** An item that already stands in order stays where it is, so that nothing jumps under the reader. */
  function place(item: Item, change: Partial<Item> = {}) {
    const before = items.indexOf(item);
    Object.assign(item, change);
    let at = before;
    if (before < 0 || change.seq !== undefined) {
      items = items.filter((other) => other !== item);
      at = items.length;
      while (at && rank(items[at - 1]!) > rank(item)) at--;
      items.splice(at, 0, item);
    }
    sink.put(item, items[at + 1]);
  }

  function remove(item: Item | undefined) {
    if (!item) return;
    items = items.filter((other) => other !== item);
    sink.drop(item);
  }

  function discard(id: string) {
    ended.set(id, Math.max(ended.get(id) ?? 0, partials.get(id)?.attempt ?? 0));
    partials.delete(id);
    remove(items.find((item) => item.id === id && item.state === 'partial'));
  }

  return {
    get lastSeq() {
      return lastSeq;
    },
    get items(): readonly Item[] {
      return items;
    },
    /** The first welcome of a visit says what is history. */
    began(seq: number) {
      baseline ??= seq;
    },
    /** The visitor's own words, shown at once. */
    posted(message: Message) {
      place({ key: message.client_message_id, kind: 'me', text: message.text, state: 'pending' });
    },
    acked(id: string, seq: number) {
      const item = byKey(id);
      if (!item) return;
      // After a reconnect the journal's copy may have come first.
      if (items.some((other) => other !== item && other.seq === seq)) remove(item);
      else place(item, { seq, state: undefined });
    },
    failed(id: string, error: string) {
      const item = byKey(id);
      if (item) place(item, { state: 'failed', error });
    },
    remove: (key: string) => remove(byKey(key)),
    token(id: string, attempt: number, index: number, text: string) {
      let partial = partials.get(id);
      if (attempt <= (ended.get(id) ?? -1) || attempt < (partial?.attempt ?? 0)) return;
      if (partial?.attempt !== attempt) partials.set(id, (partial = { attempt, chunks: [], taken: 0, text: '' }));
      partial.chunks[index] ??= text;
      // Tokens missed while away leave a gap: only what stands before it is shown, the finished message brings the rest.
      while (partial.chunks[partial.taken] !== undefined) partial.text += partial.chunks[partial.taken++];
      if (partial.text) place(byServerId(id) ?? { key: id, id, kind: 'bot', text: '', state: 'partial' }, { text: partial.text });
    },
    /** Takes back what was half shown; a higher attempt may still come. */
    discard,
    /** A person has the floor: what was half shown will not be finished. The word to take it back may have been lost. */
    silence() {
      for (const item of items) if (item.state === 'partial') discard(item.id!);
    },
    message({ id, seq, role, content: text, author, sources, client_message_id: mine }: ServerFrame & { type: 'message' }) {
      lastSeq = Math.max(lastSeq, seq);
      if (items.some((item) => item.seq === seq)) return;
      if (role === 'user') {
        place(byKey(mine) ?? { key: id, kind: 'me', text }, { id, seq, text, state: undefined });
        return;
      }
      const kind = role === 'human_agent' ? 'human' : role === 'system' ? 'note' : 'bot';
      ended.set(id, Infinity);
      partials.delete(id);
      for (const item of items) {
        // One answer is in the air at a time: whatever else was half shown will not be finished.
        // And a greeting that was shown before the server journaled it is the same greeting.
        if ((item.state === 'partial' && item.id !== id && kind !== 'note') || (item.key === 'welcome' && item.text === text)) remove(item);
      }
      const item = byServerId(id) ?? { key: id, kind, text };
      place(item, { id, seq, kind, text, sources, author: author || undefined, state: undefined });
      sink.arrived(item, seq > (baseline ?? 0));
    },
    /** The agent's greeting stands above everything. */
    greet(text: string) {
      if (byKey('welcome')) place(byKey('welcome')!, { text });
      else place({ key: 'welcome', kind: 'bot', text, seq: -1 });
    },
    /** A line of our own, after everything that was said until now. */
    note(key: string, text: string) {
      place({ key, kind: 'note', text, seq: lastSeq + 0.5 });
    },
    clear() {
      items.forEach(sink.drop);
      items = [];
      partials = new Map();
      ended = new Map();
      lastSeq = 0;
      baseline = undefined;
    },
  };
}
