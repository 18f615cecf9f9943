// What the first load fetches, after a build: the entry with everything it imports, gzipped as it is sent.
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';

const dist = resolve(import.meta.dirname, '../dist');
/** What the console may cost before its first page is drawn. */
const BUDGET = 120 * 1024;
/** A route's chunk beyond this belongs in two. */
const CHUNK = 40 * 1024;

test('the first load, the home page named in the shell included, stays within its budget of JavaScript, with room for another page', () => {
  expect(existsSync(dist + '/index.html'), 'run `npm run build` first').toBe(true);
  const html = readFileSync(dist + '/index.html', 'utf8');
  const first = new Set([...html.matchAll(/\/app\/(assets\/[^"\s]+\.js)/g)].map((found) => found[1] ?? ''));
  const queue = [...first];
  // Static imports of what is loaded are loaded too.
  for (let file = queue.pop(); file; file = queue.pop()) {
    for (const [, name] of readFileSync(`${dist}/${file}`, 'utf8').matchAll(/(?:from|import)\s*["']\.\/([^"']+\.js)["']/g)) {
      if (!first.has('assets/' + name)) {
        first.add('assets/' + name);
        queue.push('assets/' + name);
      }
    }
  }
  const size = (file: string) => gzipSync(readFileSync(`${dist}/${file}`)).length;
  const total = [...first].reduce((sum, file) => sum + size(file), 0);
  expect(first.size).toBeGreaterThan(2);
  expect(total).toBeLessThan(BUDGET - CHUNK);
});

test('the page has no script or style of its own, so that its policy can stay strict', () => {
  const html = readFileSync(dist + '/index.html', 'utf8');
  expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=/);
});
