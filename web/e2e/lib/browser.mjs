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

/** What a browser does on request, far beyond what it ever takes: a call that never ends becomes a failure with a name, not a run without an end. */
const CALL_MS = 30_000;

/** The same promise, or a failure that says what did not end. */
export function inTime(promise, what, ms = CALL_MS) {
  let timer;
  const late = new Promise((_, fail) => (timer = setTimeout(() => fail(new Error(`not within ${ms} ms: ${what}`)), ms)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Bounds what the browser's own time limit does not cover. */
function bound(object, name, methods) {
  for (const method of methods) {
    const call = object[method].bind(object);
    object[method] = (...given) => inTime(call(...given), `${name}.${method}(${String(given[0] ?? '').slice(0, 200)})`);
  }
}

/** How long a page takes to close, if the browser has not lost the order. */
const CLOSED_MS = 1000;

/**
 * Makes a page close also while it is on its way to another address: Chromium then says that it closes it, and may not (crbug.com/536385539).
 * The order given once more is kept.
 */
function closeSurely(context, page) {
  const close = page.close.bind(page);
  page.close = async () => {
    let open = true;
    const closed = close().finally(() => (open = false));
    while (open && !(await Promise.race([closed.then(() => true), new Promise((later) => setTimeout(later, CLOSED_MS))]))) {
      const session = await context.newCDPSession(page).catch(() => undefined);
      await session?.send('Page.close').catch(() => {});
    }
    await closed;
  };
}

/** Two frames drawn, so that what was set is seen. A page behind another one draws none, so it comes to the front. */
export async function drawn(page) {
  await page.bringToFront();
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

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
  bound(context, 'context', ['newPage', 'close']);
  context.on('page', (page) => {
    closeSurely(context, page);
    bound(page, 'page', ['bringToFront', 'close', 'emulateMedia', 'evaluate', 'screenshot', 'setViewportSize']);
  });
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
