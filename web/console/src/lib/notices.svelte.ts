// What happened that concerns this person: the newest from the live socket, older ones by page, and what was read.
import { api } from './api';
import { live, type Topic } from './live.svelte';
import type { Notice, Page } from './types';

/** One page of older ones. */
const MORE = 20;

let topic = $state.raw<Topic | null>(null);
let older = $state.raw<ReadonlyMap<string, Notice>>(new Map());
let cursor = $state.raw<string | null | undefined>(undefined);
let loading = $state(false);
/** Read by this page and not confirmed yet: ids, and everything up to a moment. */
let wished = $state.raw<{ ids: ReadonlySet<string>; until: string }>({ ids: new Set(), until: '' });

const isNotice = (value: unknown): value is Notice => typeof value === 'object' && value !== null && 'created_at' in value;
const shown = (one: Notice): Notice => (!one.read_at && (wished.ids.has(one.id) || one.created_at <= wished.until) ? { ...one, read_at: one.created_at } : one);

const list = $derived.by(() => {
  const all = new Map(older);
  for (const value of topic?.entries.values() ?? []) if (isNotice(value)) all.set(value.id, value);
  return [...all.values()].map(shown).sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
});
const unread = $derived.by(() => {
  const said = Number(topic?.entries.get('unread') ?? 0);
  if (wished.until) return list.filter((one) => !one.read_at).length;
  let fewer = 0;
  for (const value of topic?.entries.values() ?? []) if (isNotice(value) && !value.read_at && wished.ids.has(value.id)) fewer += 1;
  for (const one of older.values()) if (!one.read_at && wished.ids.has(one.id) && !topic?.entries.has(one.id)) fewer += 1;
  return Math.max(0, said - fewer);
});

async function wish(next: { ids: ReadonlySet<string>; until: string }, body: object) {
  const before = wished;
  wished = next;
  try {
    await api.post('/api/notifications/read', body);
    const at = new Date().toISOString();
    older = new Map([...older].map(([id, one]) => [id, shown(one).read_at && !one.read_at ? { ...one, read_at: at } : one]));
  } catch (error) {
    wished = before;
    throw error;
  }
}

export const notices = {
  get list() {
    return list;
  },
  get unread() {
    return unread;
  },
  get ready() {
    return topic?.ready ?? false;
  },
  get refused() {
    return topic?.refused ?? null;
  },
  /** Whether there may be older ones than those shown. */
  get more() {
    return cursor !== null;
  },
  get loading() {
    return loading;
  },
  /** Follows them; `arrived` hears each new one. */
  start(arrived: (one: Notice) => void): () => void {
    const [followed, unfollow] = live.follow('notifications', { items: 'id' });
    topic = followed;
    const deaf = followed.hear((changes) => {
      for (const { op, key, value } of changes) if (op === 'put' && isNotice(value) && !value.read_at && !followed.entries.has(key)) arrived(value);
    });
    return () => {
      deaf();
      unfollow();
      topic = null;
    };
  },
  async loadMore() {
    if (loading || cursor === null) return;
    loading = true;
    try {
      const page = await api.get<Page<Notice>>('/api/notifications', { limit: MORE, cursor });
      older = new Map([...older, ...page.items.map((one) => [one.id, one] as const)]);
      cursor = page.next_cursor;
    } finally {
      loading = false;
    }
  },
  read(id: string): Promise<void> {
    const one = list.find((other) => other.id === id);
    if (!one || one.read_at) return Promise.resolve();
    return wish({ ...wished, ids: new Set([...wished.ids, id]) }, { ids: [id] });
  },
  readAll(): Promise<void> {
    const newest = list[0]?.created_at ?? '';
    return wish({ ids: wished.ids, until: newest }, { all: true });
  },
};
