// One panel's numbers: the newest question wins, and what is shown stays until the next answer is there.
import { api, type Options } from './api';

export class Report<T> {
  data = $state.raw<T | null>(null);
  error = $state.raw<unknown>(null);
  busy = $state(false);
  #running: AbortController | null = null;
  #asked = '';

  constructor(readonly path: string) {}

  /** Asks; an answer to an older question is dropped. A question that changed forgets the answer to the old one when that failed. */
  async load(query: NonNullable<Options['query']>): Promise<void> {
    this.#running?.abort();
    const mine = new AbortController();
    this.#running = mine;
    const question = JSON.stringify(query);
    this.busy = true;
    try {
      const data = await api.get<T>(this.path, query, { signal: mine.signal });
      if (this.#running !== mine) return;
      this.data = data;
      this.error = null;
      this.#asked = question;
    } catch (error) {
      if (this.#running !== mine) return;
      // Numbers of another range must not stand under the heading of this one.
      if (question !== this.#asked) this.data = null;
      this.error = error;
    } finally {
      if (this.#running === mine) this.busy = false;
    }
  }

  stop() {
    this.#running?.abort();
    this.#running = null;
  }
}

/** The address of a panel's numbers as a table for spreadsheets. */
export function csvAddress(path: string, query: NonNullable<Options['query']>): string {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== null && value !== '') fields.set(name, String(value));
  fields.set('format', 'csv');
  return `${path}?${fields.toString()}`;
}
