// @vitest-environment node
/** Every language says everything, and the longest words are where the page expects them. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import ar from '../../src/frame/lang/ar';
import de from '../../src/frame/lang/de';
import es from '../../src/frame/lang/es';
import fr from '../../src/frame/lang/fr';
import { t } from '../../src/frame/strings';

test.each(Object.entries({ ar, de, es, fr }))('%s has exactly the words of English', (_, words) => {
  expect(Object.keys(words)).toEqual(Object.keys(t));
  expect(Object.values(words).filter((word) => !word.trim())).toEqual([]);
});

test('no word labels an element by accident', () => {
  const html = readFileSync(new URL('../../src/frame.html', import.meta.url), 'utf8');
  const ids = [...html.matchAll(/ id="([\w-]+)"/g)].map(([, id]) => id!);
  expect(Object.keys(t).filter((key) => ids.includes(key))).toEqual(['input', 'send', 'close', 'end', 'mute', 'jump']);
});
