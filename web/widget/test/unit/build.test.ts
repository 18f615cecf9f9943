// @vitest-environment node
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';

const widget = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'widget-'));
const dist = folder + '/dist/';
afterAll(() => rmSync(folder, { recursive: true }));
const build = () => execFileSync('node', ['build.mjs', dist], { cwd: widget });
const files = () => (readdirSync(dist, { recursive: true }) as string[]).sort();
const times = () => files().map((file) => `${file} ${statSync(dist + file).mtimeMs}`);

it('a second build leaves the times of what is the same, so that the server is not compiled again', () => {
  build();
  // A clock that did not move between two builds would hide a rewrite.
  for (const file of files()) utimesSync(dist + file, 1_000_000, 1_000_000);
  const before = times();
  build();
  expect(times()).toEqual(before);
}, 60_000);

it('what no longer belongs to the build is removed, and what was changed by hand is built anew', () => {
  build();
  const before = files();
  mkdirSync(dist + 'assets/0ld');
  writeFileSync(dist + 'assets/0ld/frame.js', 'old');
  writeFileSync(dist + 'left.js', 'old');
  writeFileSync(dist + 'stub.js', 'changed');
  build();
  expect(files()).toEqual(before);
  expect(statSync(dist + 'stub.js').size).toBeGreaterThan(100);
}, 60_000);
