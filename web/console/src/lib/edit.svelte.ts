// Changes to one stored thing before they are saved: kept in the browser, sent against the version that was read, and never over somebody else's.
import { ApiError, send } from './api';
import { asText } from './diff';
import { keepDraft, readDraft } from './drafts';

/** As it is compared: the order of keys says nothing, and inside a merge patch what is null is not there. */
function settled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(settled);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value as Record<string, unknown>).filter(([, inner]) => inner !== null && inner !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, settled(inner)]));
}

/** Whether two values are stored alike. */
export const same = (a: unknown, b: unknown) => JSON.stringify(settled(a)) === JSON.stringify(settled(b));

/** A field that somebody else changed meanwhile, too. */
export interface Clash {
  field: string;
  theirs: string;
  mine: string;
}

export class Edit<T extends object> {
  stored = $state.raw<T>() as T;
  version = $state.raw<string | null>(null);
  edits = $state.raw<Record<string, unknown>>({});
  busy = $state(false);
  error = $state.raw<unknown>(null);
  /** What is stored now, when a save came too late. */
  stale = $state.raw<T | null>(null);
  restored = $state(false);
  readonly fields = $derived.by(() => Object.keys(this.edits));
  readonly dirty = $derived.by(() => this.fields.length > 0);

  constructor(
    readonly path: string,
    stored: T,
    version: string | null,
    /** A part of the thing that is saved on its own: what is wrong elsewhere does not hold it up. */
    readonly part = '',
  ) {
    this.stored = stored;
    this.version = version;
    const draft = readDraft(this.#place);
    if (draft) {
      try {
        const kept = JSON.parse(draft) as Record<string, unknown>;
        this.edits = Object.fromEntries(Object.entries(kept).filter(([field, value]) => field in stored && !same(stored[field as keyof T], value)));
        this.restored = Object.keys(this.edits).length > 0;
      } catch {
        keepDraft(this.#place, '');
      }
    }
  }

  get #place(): string {
    return 'edit.' + this.path + (this.part && '#' + this.part);
  }

  get<K extends keyof T & string>(field: K): T[K] {
    return (field in this.edits ? this.edits[field] : this.stored[field]) as T[K];
  }

  set<K extends keyof T & string>(field: K, value: T[K]) {
    const next = { ...this.edits };
    if (same(value, this.stored[field])) delete next[field];
    else next[field] = value;
    this.#edit(next);
  }

  #edit(next: Record<string, unknown>) {
    this.edits = next;
    keepDraft(this.#place, Object.keys(next).length ? JSON.stringify(next) : '');
  }

  discard() {
    this.#edit({});
    this.error = null;
    this.restored = false;
  }

  /** What the server holds is taken over; edits stay where they still differ. */
  take(stored: T, version: string | null) {
    this.stored = stored;
    this.version = version;
    this.#edit(Object.fromEntries(Object.entries(this.edits).filter(([field, value]) => !same(value, stored[field as keyof T]))));
  }

  /** True when it is saved. A version that is too old is not overwritten: `stale` holds what there is now. */
  async save(): Promise<boolean> {
    if (!this.dirty || this.busy) return false;
    this.busy = true;
    this.error = null;
    try {
      const { data, version } = await send<T>('PATCH', this.path, { body: this.edits, version: this.version });
      this.restored = false;
      this.take(data, version);
      return true;
    } catch (error) {
      const now = error instanceof ApiError && error.status === 412 ? await this.#now(error) : null;
      if (now) this.stale = now;
      else this.error = error;
      return false;
    } finally {
      this.busy = false;
    }
  }

  #fresh: string | null = null;
  async #now(error: ApiError): Promise<T | null> {
    try {
      const { data, version } = await send<T>('GET', this.path);
      this.#fresh = version;
      return data;
    } catch {
      return (error.problem.current as T | undefined) ?? null;
    }
  }

  /** What both changed, and what only the other one changed. */
  get clashes(): Clash[] {
    const now = this.stale;
    if (!now) return [];
    return this.fields.filter((field) => !same(now[field as keyof T], this.edits[field])).map((field) => ({ field, theirs: asText(now[field as keyof T]), mine: asText(this.edits[field]) }));
  }

  /** Takes what is stored; with `mine`, the edits stay and can be saved over it. */
  settle(mine: boolean) {
    if (!this.stale) return;
    const now = this.stale;
    this.stale = null;
    if (!mine) this.#edit({});
    this.take(now, this.#fresh);
  }
}
