// Links of an agent's words.
import { expect, test } from 'vitest';
import { pieces, plainly } from '../src/lib/words';

test('a named link is one, and what could run something or is none stays text', () => {
  expect(pieces('Booked. [Add it](https://x.example/a.ics)')).toEqual([{ text: 'Booked. ' }, { text: 'Add it', href: 'https://x.example/a.ics' }]);
  for (const plain of ['[a](javascript:alert(1))', '[a] (https://x.example)', 'see https://x.example', '[a](/relative)', '', '<a href="https://x.example">a</a>']) {
    expect(pieces(plain).map(({ text }) => text).join('')).toBe(plain);
    expect(pieces(plain).some(({ href }) => href)).toBe(false);
  }
  expect(pieces('[a](http://x.example) and [b](https://y.example).').map(({ href }) => href)).toEqual(['http://x.example', undefined, 'https://y.example', undefined]);
});

test('names of settings are told without the marks of programmers', () => {
  expect(plainly('Set `voice.deepgram.api_key` or install `espeak-ng`.')).toBe('Set voice.deepgram.api_key or install espeak-ng.');
  expect(plainly('One ` alone stays, and <b>.')).toBe('One ` alone stays, and <b>.');
});
