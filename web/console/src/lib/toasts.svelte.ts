// Short notices at the edge of the screen: what happened, a way to undo it, what went wrong.
import { untrack } from 'svelte';
import { t } from './texts';
import { sentence } from './problems';

/** A notice with an undo stays longer: somebody has to read and decide. */
const STAY_MS = { plain: 4_000, undo: 8_000, bad: 9_000 } as const;
/** More than these push the oldest out. */
const MOST = 4;

export interface Toast {
  id: number;
  kind: 'plain' | 'undo' | 'bad';
  text: string;
  /** What it is about: the next notice about the same takes its place. */
  about?: string | undefined;
  action?: { label: string; run: () => void };
}

let list = $state.raw<Toast[]>([]);
let next = 1;
/** Open dialogs, the topmost last: notices are shown in it, because everything behind it cannot be reached. */
let dialogs = $state.raw<symbol[]>([]);

function add(kind: Toast['kind'], text: string, action?: Toast['action'], about?: string) {
  if (about) toasts.drop(about);
  const id = next++;
  list = [...list.slice(-(MOST - 1)), { id, kind, text, action, about }];
  setTimeout(() => toasts.dismiss(id), STAY_MS[kind]);
}

export const toasts = {
  get list() {
    return list;
  },
  get dialog(): symbol | undefined {
    return dialogs.at(-1);
  },
  /** A dialog shows the notices until the returned function is called. */
  lend(dialog: symbol): () => void {
    untrack(() => (dialogs = [...dialogs, dialog]));
    return () => untrack(() => (dialogs = dialogs.filter((other) => other !== dialog)));
  },
  dismiss(id: number) {
    list = list.filter((toast) => toast.id !== id);
  },
  /** Something is changed again: what was offered about it no longer holds. */
  drop(about: string) {
    list = list.filter((toast) => toast.about !== about);
  },
  say(text: string) {
    add('plain', text);
  },
  /** Says what was done and offers to take it back. */
  undo(text: string, run: () => void, about?: string) {
    add('undo', text, { label: t.common.undo, run }, about);
  },
  /** Says what just happened and offers to go there. */
  news(text: string, run?: () => void) {
    add('undo', text, run && { label: t.notices.open, run });
  },
  /**
   * Says what was done, and does it only when the notice goes without an undo: for what the server cannot take back.
   * A page that is closed before then does nothing.
   */
  soon(text: string, commit: () => Promise<unknown>, undo: () => void) {
    let taken = false;
    toasts.undo(text, () => {
      taken = true;
      undo();
    });
    setTimeout(() => {
      if (!taken) commit().catch((error: unknown) => toasts.fail(error));
    }, STAY_MS.undo);
  },
  /** Says what went wrong, in a person's words. */
  fail(error: unknown) {
    add('bad', sentence(error));
  },
};
