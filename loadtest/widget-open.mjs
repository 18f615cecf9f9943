// Opens a page with the widget in Chromium on a slowed processor, again and again with a fresh profile, and prints how long the first
// open took and how long the host page was blocked. Usage: node loadtest/widget-open.mjs PAGE THROTTLE OPENS
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const require = createRequire(new URL('../web/package.json', import.meta.url));
const { chromium } = require('playwright-core');

const [page, throttle, opens] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
if (!page || !(throttle >= 1) || !(opens >= 1)) throw new Error('Error: usage: widget-open.mjs PAGE THROTTLE OPENS');

const FLAGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
/** Nothing here takes longer on any processor worth measuring. */
const DEADLINE_MS = 20_000;

/** Runs before the page's own scripts: adds up what blocks the main thread. */
const watchTasks = () => {
  if (window !== window.top) return;
  window.blockedMs = 0;
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) window.blockedMs += duration - 50;
  }).observe({ type: 'longtask', buffered: true });
};

/** In the page: clicks the launcher and waits, frame by frame, until the panel can be typed in. */
const clickAndWait = (deadlineMs) =>
  new Promise((resolve, reject) => {
    const roots = [...document.querySelectorAll('html > div')].map((host) => host.shadowRoot).filter(Boolean);
    const button = roots.map((root) => root.querySelector('button')).find(Boolean);
    if (!button) return reject(new Error('there is no launcher on the page'));
    const begun = performance.now();
    const ready = () => {
      for (const root of [document, ...roots]) {
        for (const frame of root.querySelectorAll('iframe')) {
          const status = frame.contentDocument?.querySelector('#status.ready');
          if (status && frame.contentDocument.querySelector('#input')) return true;
        }
      }
      return false;
    };
    const look = () => {
      const took = performance.now() - begun;
      if (ready()) resolve(took);
      else if (took > deadlineMs) reject(new Error('the widget did not open in time'));
      else requestAnimationFrame(look);
    };
    button.click();
    look();
  });

/** In the page, as the floor: puts in an empty frame and waits, frame by frame, until it is there. */
const emptyFrame = () =>
  new Promise((resolve) => {
    const begun = performance.now();
    const frame = document.createElement('iframe');
    frame.src = '/widget/none';
    let loaded = false;
    frame.addEventListener('load', () => (loaded = true));
    document.body.append(frame);
    const look = () => (loaded ? resolve(performance.now() - begun) : requestAnimationFrame(look));
    look();
  });

async function once(bare) {
  const profile = await mkdtemp(join(tmpdir(), 'colloquy-chromium-'));
  const context = await chromium.launchPersistentContext(profile, { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: FLAGS });
  try {
    context.setDefaultTimeout(DEADLINE_MS);
    const tab = context.pages()[0] ?? (await context.newPage());
    await tab.addInitScript(watchTasks);
    const devtools = await context.newCDPSession(tab);
    await devtools.send('Emulation.setCPUThrottlingRate', { rate: throttle });
    if (bare) {
      await tab.route('**/*.js', (route) => route.abort());
      await tab.route('**/widget/none', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html>' }));
    }
    await tab.goto(page, { waitUntil: 'load' });
    if (bare) return { blocked: await tab.evaluate(() => window.blockedMs), open: await tab.evaluate(emptyFrame) };
    await tab.locator('html > div button').first().waitFor();
    const blocked = await tab.evaluate(() => window.blockedMs);
    const open = await tab.evaluate(clickAndWait, DEADLINE_MS);
    return { open, blocked };
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
}

const results = [];
const floor = [];
try {
  // Taken in turns, so that both see the same machine.
  for (let i = 0; i < opens; i++) {
    results.push(await once(false));
    floor.push(await once(true));
  }
} catch (error) {
  // One line: the report shows the first that names an error.
  console.error('Error: ' + String(error.message).split('\n')[0]);
  process.exit(1);
}
console.log(
  JSON.stringify({
    open_ms: results.map((r) => r.open),
    blocked_ms: results.map((r) => r.blocked),
    bare_open_ms: floor.map((r) => r.open),
    bare_blocked_ms: floor.map((r) => r.blocked),
  }),
);
