// The picture of a recording, from bytes as the server sends them.
import { expect, test } from 'vitest';
import { HEAD, Loudness, MARKS, outline } from '../src/lib/recording';

/** µ-law of silence, and of the loudest. */
const [SILENT, LOUD] = [0xff, 0x80];

test('each channel is drawn by itself where it is loud, however the bytes are cut', () => {
  const frames = MARKS * 100;
  const file = new Uint8Array(HEAD + frames * 2).fill(SILENT);
  // The header's bytes are no sound; the caller speaks in the first half, the agent in the last tenth.
  file.fill(LOUD, 0, HEAD);
  for (let frame = 0; frame < frames; frame += 1) {
    if (frame < frames / 2) file[HEAD + frame * 2] = LOUD;
    if (frame >= frames * 0.9) file[HEAD + frame * 2 + 1] = LOUD;
  }
  const loud = new Loudness(file.length);
  for (let at = 0; at < file.length; at += 777) loud.add(file.subarray(at, at + 777));
  const where = (marks: Float32Array) => [...marks].map((mark) => Math.round(mark));
  expect(where(loud.caller)).toEqual(Array.from({ length: MARKS }, (_, mark) => (mark < MARKS / 2 ? 1 : 0)));
  expect(where(loud.agent)).toEqual(Array.from({ length: MARKS }, (_, mark) => (mark >= MARKS * 0.9 ? 1 : 0)));
});

test('silence is a thin line, the loudest fills the lane, and more bytes than were told change nothing outside of it', () => {
  const loud = new Loudness(HEAD + 4);
  loud.add(new Uint8Array(HEAD + 400).fill(SILENT));
  expect(outline([0, 1], 20, 10, 8)).toBe('M5.0 9.5V10.5M15.0 2.0V18.0');
  expect(Math.max(...loud.caller, ...loud.agent)).toBe(0);
});
