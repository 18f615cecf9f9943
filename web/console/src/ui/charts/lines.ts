// What a chart over time is made of.

export interface Line {
  name: string;
  /** A colour token, such as `--accent`. */
  color: string;
  values: (number | null)[];
}

/** Colours that can be told apart in both themes; more channels than these share them. */
export const COLORS = ['--accent', '--ok', '--warn', '--bad', '--text-2'] as const;
