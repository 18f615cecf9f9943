// @vitest-environment node
/** What a visitor downloads, measured on the built files with gzip at its best level. */
import { readFileSync, readdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';

/** The whole widget in English: loader, page, styles and script. */
const ALL_BYTES_MAX = 12 * 1024;
/** The only thing a host page fetches before the first open. */
const LOADER_BYTES_MAX = 2.5 * 1024;
/** One other language, fetched by those who speak it. */
const LANGUAGE_BYTES_MAX = 0.6 * 1024;

const dist = new URL('../../dist/', import.meta.url);
const size = (path: string) => gzipSync(readFileSync(new URL(path, dist)), { level: 9 }).length;
const [folder] = readdirSync(new URL('assets/', dist));
const asset = (name: string) => `assets/${folder}/${name}`;

test('the widget stays within 12 KB gzipped in all', () => {
  const parts = Object.fromEntries(['loader.js', 'frame.html', asset('frame.css'), asset('frame.js')].map((path) => [path, size(path)]));
  const total = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
  console.log(`widget: ${total} of ${ALL_BYTES_MAX} bytes gzipped`, parts);
  expect(total).toBeLessThanOrEqual(ALL_BYTES_MAX);
});

test('the loader stays small', () => {
  expect(size('loader.js')).toBeLessThanOrEqual(LOADER_BYTES_MAX);
});

test.each(['ar', 'de', 'es', 'fr'])('language %s stays small', (code) => {
  expect(size(asset(code + '.js'))).toBeLessThanOrEqual(LANGUAGE_BYTES_MAX);
});

test('the page carries the marks the server fills in, and no inline script or style', () => {
  const html = readFileSync(new URL('frame.html', dist), 'utf8');
  expect(html.match(/__[A-Z_]+__/g)).toEqual(['__AGENT_ID__', '__CONFIG_JSON__']);
  expect(html).not.toMatch(/<style|\sstyle=|\son\w+=/);
  expect([...html.matchAll(/<script[^>]*>/g)].map(([tag]) => /src=|application\/json/.test(tag))).toEqual([true, true]);
  expect(readFileSync(new URL('stub.js', dist), 'utf8').match(/__[A-Z_]+__/g)).toEqual(['__AGENT_ID__', '__POSITION__', '__PRIMARY_COLOR__', '__BASE__']);
});

test('the loader is plain ASCII, because the host page decides its encoding', () => {
  expect(readFileSync(new URL('loader.js', dist), 'utf8')).toMatch(/^[\x00-\x7f]*$/);
});
