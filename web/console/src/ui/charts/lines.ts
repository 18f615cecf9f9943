// What a chart over time is made of.

export interface Line {
  name: string;
  /** A colour token, such as `--accent`. */
  color: string;
  values: (number | null)[];
}

/** Colours that can be told apart in both themes; more channels than these share them. */
export const COLORS = ['--accent', '--ok', '--warn', '--bad', '--text-2'] as const;

/** The top of a scale for values up to the given one: a number that is easy to read and to halve, never less than the value. */
export function scaleTop(most: number): number {
  if (most <= 2) return 2;
  const unit = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 6, 8, 10].map((times) => times * unit).find((top) => top >= most) ?? most;
}

/** Where points stand, in seconds. The first of a range that begins in the middle of a day stands where its day does, not on top of the second. */
export function places(points: readonly { at: string }[]): number[] {
  const at = points.map((point) => Date.parse(point.at) / 1000);
  const [first, second, third] = at;
  if (first !== undefined && second !== undefined && third !== undefined) at[0] = Math.min(first, second - (third - second));
  return at;
}

/** Moments that are named below a chart: the last one, and as many before it as have room, each so many pixels wide. */
export function named(at: readonly number[], pixels: number, wide: number): number[] {
  const [first, last] = [at[0] ?? 0, at.at(-1) ?? 0];
  const room = ((last - first) * wide) / Math.max(wide, pixels);
  // As many steps from each to the next, so that the names stay regular; what is closer than that is left out.
  const every = Math.max(1, Math.ceil((at.length * wide) / Math.max(wide, pixels)));
  const found: number[] = [];
  for (let index = at.length - 1; index >= 0; index -= every) {
    const moment = at[index];
    if (moment !== undefined && (!found.length || (found[0] ?? 0) - moment >= room)) found.unshift(moment);
  }
  return found;
}
