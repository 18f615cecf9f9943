// What a recording looks like: how loud the caller and the agent are over its time, read while it comes.

/** The server's WAV: this many bytes, then µ-law, caller and agent in turn. */
export const HEAD = 58;
/** Marks over the width of the picture. */
export const MARKS = 240;
/** A recording is drawn up to this many bytes, half an hour; longer ones are played without a picture. */
export const DRAWN_BYTES_MAX = 30 * 1024 * 1024;
/** The loudest that µ-law can say. */
const LOUDEST = 32_124;

/** How loud each byte of µ-law is, 0 to 1. */
const LOUDNESS = Float32Array.from({ length: 256 }, (_, byte) => {
  const bits = ~byte & 0x7f;
  return ((((bits & 15) << 3) + 132) * 2 ** (bits >> 4) - 132) / LOUDEST;
});

/** The loudest moment of each part of a recording, for both who speak; filled as its bytes come. */
export class Loudness {
  readonly caller = new Float32Array(MARKS);
  readonly agent = new Float32Array(MARKS);
  #at = -HEAD;
  readonly #frames: number;

  /** `whole` is the size of the file in bytes. */
  constructor(whole: number) {
    this.#frames = Math.max(1, Math.floor((whole - HEAD) / 2));
  }

  add(bytes: Uint8Array) {
    for (const byte of bytes) {
      const at = this.#at++;
      if (at < 0) continue;
      const mark = Math.min(MARKS - 1, Math.floor(((at >> 1) * MARKS) / this.#frames));
      const side = at & 1 ? this.agent : this.caller;
      const loud = LOUDNESS[byte] ?? 0;
      if (loud > (side[mark] ?? 0)) side[mark] = loud;
    }
  }
}

/** Marks as the path of a drawing, `width` wide, around a middle line. */
export function outline(marks: ArrayLike<number>, width: number, middle: number, half: number): string {
  const step = width / marks.length;
  let path = '';
  for (let at = 0; at < marks.length; at += 1) {
    // Quiet speech is seen beside loud speech; silence is a thin line.
    const size = Math.max(0.5, Math.sqrt(marks[at] ?? 0) * half);
    path += `M${((at + 0.5) * step).toFixed(1)} ${(middle - size).toFixed(1)}V${(middle + size).toFixed(1)}`;
  }
  return path;
}
