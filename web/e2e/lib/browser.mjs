// Chromium for tests: launched with the flags of our tests, axe on a page or frame, screenshots in a folder.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** A browser with a fresh profile; `close` removes the profile too. */
export async function launch({ flags = [], ...options } = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'colloquy-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: EXECUTABLE,
    headless: true,
    args: [...FLAGS, ...flags],
    viewport: { width: 1440, height: 900 },
    reducedMotion: 'reduce',
    ...options,
  });
  context.setDefaultTimeout(10_000);
  return {
    context,
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

/** Serious and critical findings of axe in a page or frame, as short lines. The tree of one frame only: each is checked by itself. */
export async function axe(target, options = {}) {
  // Evaluated over the protocol, so that the page's own content policy stays as strict as it is.
  const { readFile } = await import('node:fs/promises');
  await target.evaluate(await readFile(AXE, 'utf8'));
  const { violations } = await target.evaluate(
    (given) => window.axe.run(document, { iframes: false, resultTypes: ['violations'], ...given }),
    options,
  );
  return violations.map(({ id, impact, nodes }) => `${id} (${impact}): ${nodes.map((node) => node.target.join(' ')).join(', ')}`);
}

/** Saves a picture when SHOTS names a folder; otherwise does nothing. */
export async function shot(page, name) {
  const folder = process.env.SHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, name + '.png') });
}

/** Waits until `check` gives something true, by the page's clock of the test runner. */
export async function until(check, what, deadlineMs = 10_000) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error('not in time: ' + what);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
