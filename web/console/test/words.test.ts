// Links of an agent's words.
import { expect, test } from 'vitest';
import { pieces } from '../src/lib/words';

test('a named link is one, and what could run something or is none stays text', () => {
  expect(pieces('Booked. [Add it](https://x.example/a.ics)')).toEqual([{ text: 'Booked. ' }, { text: 'Add it', href: 'https://x.example/a.ics' }]);
  for (const plain of ['[a](javascript:alert(1))', '[a] (https://x.example)', 'see https://x.example', '[a](/relative)', '', '<a href="https://x.example">a</a>']) {
    expect(pieces(plain).map(({ text }) => text).join('')).toBe(plain);
    expect(pieces(plain).some(({ href }) => href)).toBe(false);
  }
  expect(pieces('[a](http://x.example) and [b](https://y.example).').map(({ href }) => href)).toEqual(['http://x.example', undefined, 'https://y.example', undefined]);
});
