// Keyboard shortcuts: pages register what they offer, one listener runs them, and the sheet lists them.
import { untrack } from 'svelte';

export interface Shortcut {
  /** `j`, `/`, `mod+k`, `g i` (two keys in a row). */
  keys: string;
  text: string;
  run: (event: KeyboardEvent) => void;
  /** Also while somebody types. */
  always?: boolean;
}

/** The second key of a pair follows within this time. */
const PAIR_MS = 900;

let groups = $state.raw<{ name: string; list: Shortcut[] }[]>([]);
let first: { key: string; at: number } | null = null;

/** Offers shortcuts until the returned function is called. */
export function offer(name: string, list: Shortcut[]): () => void {
  const group = { name, list };
  // Whoever offers inside an effect does not depend on what others offer.
  untrack(() => (groups = [...groups, group]));
  return () => untrack(() => (groups = groups.filter((other) => other !== group)));
}

export const shortcuts = () => groups;

function typing(target: EventTarget | null) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function pressed(event: KeyboardEvent) {
  if (event.isComposing || event.keyCode === 229) return;
  const mod = event.metaKey || event.ctrlKey;
  const key = (mod ? 'mod+' : '') + event.key.toLowerCase();
  const busy = typing(event.target);
  const pair = first && Date.now() - first.at < PAIR_MS ? `${first.key} ${key}` : null;
  first = null;
  // A dialog has its own keys; only what is always offered reaches past it.
  const dialog = document.querySelector('dialog[open]') !== null;
  const all = groups.flatMap((group) => group.list).reverse();
  const fits = (wanted: string) => all.find((one) => one.keys === wanted && (one.always || (!busy && !dialog && !event.altKey)));
  const found = (pair && fits(pair)) || fits(key);
  if (found) {
    event.preventDefault();
    found.run(event);
  } else if (!busy && !dialog && !mod && event.key.length === 1) first = { key, at: Date.now() };
}

export function startKeys(): () => void {
  addEventListener('keydown', pressed);
  return () => removeEventListener('keydown', pressed);
}
