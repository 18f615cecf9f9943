// Which colleagues are here, where they look and whether they type; and what they are told about this person.
import { live, type Topic } from './live.svelte';
import { session } from './session.svelte';
import type { Colleague } from './types';

/** Nothing was touched for this long: somebody else may be at the desk. */
const AWAY_MS = 5 * 60_000;
/** Whoever stopped typing for this long is not typing. */
const TYPING_MS = 4_000;

interface Mine {
  status: 'online' | 'away';
  viewing: string | null;
  typing: boolean;
}

let topic = $state.raw<Topic | null>(null);
let mine: Mine = { status: 'online', viewing: null, typing: false };
let idle: ReturnType<typeof setTimeout> | undefined;
let quiet: ReturnType<typeof setTimeout> | undefined;

const frame = () => ({ type: 'presence', ...mine });

function tell(change: Partial<Mine>) {
  const next = { ...mine, ...change };
  if (next.status === mine.status && next.viewing === mine.viewing && next.typing === mine.typing) return;
  mine = next;
  live.send(frame());
}

function touched() {
  clearTimeout(idle);
  if (document.hidden) return tell({ status: 'away', typing: false });
  tell({ status: 'online' });
  idle = setTimeout(() => tell({ status: 'away', typing: false }), AWAY_MS);
}

const others = $derived.by(() => {
  const all: Colleague[] = [];
  for (const value of topic?.entries.values() ?? []) {
    const one = value as Colleague;
    if (one && typeof one === 'object' && one.user_id !== session.me.user.id) all.push(one);
  }
  return all.sort((a, b) => a.name.localeCompare(b.name));
});
const places = $derived.by(() => {
  const found = new Map<string, Colleague[]>();
  for (const one of others) if (one.viewing) found.set(one.viewing, [...(found.get(one.viewing) ?? []), one]);
  return found;
});
const nobody: Colleague[] = [];

export const presence = {
  /** Colleagues, not oneself. */
  get others() {
    return others;
  },
  /** Colleagues who look at a conversation. */
  at: (conversation: string): Colleague[] => places.get(conversation) ?? nobody,
  start(): () => void {
    const [followed, unfollow] = live.follow('presence', { people: 'user_id' });
    topic = followed;
    const stopGreeting = live.greet(frame);
    const events = ['keydown', 'pointerdown', 'pointermove', 'focus', 'visibilitychange'] as const;
    // The mouse moves a hundred times a second; once in a while is enough to know that somebody is there.
    let last = 0;
    const hear = (event: Event) => {
      if (event.type === 'pointermove' && Date.now() - last < 10_000) return;
      last = Date.now();
      touched();
    };
    for (const name of events) addEventListener(name, hear, { passive: true, capture: true });
    touched();
    return () => {
      unfollow();
      stopGreeting();
      clearTimeout(idle);
      clearTimeout(quiet);
      for (const name of events) removeEventListener(name, hear, { capture: true });
      topic = null;
    };
  },
  /** Says which conversation is open, until the returned function is called. */
  view(conversation: string): () => void {
    tell({ viewing: conversation, typing: false });
    return () => {
      clearTimeout(quiet);
      if (mine.viewing === conversation) tell({ viewing: null, typing: false });
    };
  },
  /** A key was pressed in the reply. */
  type() {
    clearTimeout(quiet);
    tell({ typing: true });
    quiet = setTimeout(() => tell({ typing: false }), TYPING_MS);
  },
  /** The reply was sent or left. */
  rest() {
    clearTimeout(quiet);
    tell({ typing: false });
  },
};
