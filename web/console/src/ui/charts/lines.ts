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
