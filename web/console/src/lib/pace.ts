// How fast a campaign calls: begun calls by stretches of time, from calls that are known and from counters that rise.

/** A point of the chart. */
export const STEP_MS = 10_000;
/** How far it looks back. */
export const SPAN_MS = 600_000;
const STEPS = SPAN_MS / STEP_MS;

export interface Point {
  /** Seconds since 1970, where the stretch begins. */
  at: number;
  /** Calls begun, for a minute; null: not known. */
  begun: number | null;
  /** Calls that went on at its end. */
  calling: number | null;
}

const stepOf = (at: number) => Math.floor(at / STEP_MS);

export class Pace {
  #begun = new Map<number, number>();
  #calling = new Map<number, number>();
  #last: { at: number; dials: number } | null = null;
  /** Nothing is known of what was before. */
  #since: number;

  /** Counters tell from `now` on. */
  constructor(now: number) {
    this.#since = now;
  }

  /** Calls that began before the counters told; `whole` when no older ones exist. */
  seed(dialed: number[], whole: boolean) {
    const mine = dialed.filter((at) => at < this.#since);
    const oldest = Math.min(...mine);
    for (const at of mine) this.#begun.set(stepOf(at), (this.#begun.get(stepOf(at)) ?? 0) + 1);
    if (whole) this.#since = 0;
    // Of the stretch in which the oldest known call began, others may be unknown.
    else if (mine.length) this.#since = (stepOf(oldest) + 1) * STEP_MS;
  }

  /** The counters at an instant. What rose since the last time began evenly in between. */
  sample(at: number, dials: number, calling: number) {
    const last = this.#last;
    this.#last = { at, dials };
    this.#calling.set(stepOf(at), calling);
    if (last && dials > last.dials && at >= last.at) {
      const [from, to] = [Math.max(stepOf(last.at), stepOf(at) - STEPS), stepOf(at)];
      const each = (dials - last.dials) / (to - from + 1);
      for (let step = from; step <= to; step += 1) this.#begun.set(step, (this.#begun.get(step) ?? 0) + each);
    }
    const oldest = stepOf(at) - STEPS;
    for (const map of [this.#begun, this.#calling]) for (const step of map.keys()) if (step < oldest) map.delete(step);
  }

  /** The last ten minutes, the stretch that is going on left out: it would always look slow. */
  points(now: number): Point[] {
    const end = stepOf(now);
    return Array.from({ length: STEPS }, (_, at) => {
      const step = end - STEPS + at;
      const known = step * STEP_MS >= this.#since;
      return { at: (step * STEP_MS) / 1000, begun: known ? Math.round((this.#begun.get(step) ?? 0) * (60_000 / STEP_MS) * 10) / 10 : null, calling: this.#calling.get(step) ?? null };
    });
  }
}
