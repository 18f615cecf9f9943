// How the console feels on a slow machine: the first page, and the inbox while 500 conversations change ten times a second.
// The feed is played to the page, so that it is the page that is measured. SPEED=1 prints the figures, SPEED_ROWS=FILE writes them as rows of docs/benchmarks.md.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { launch, until } from './lib/browser.mjs';
import { createOffice, signIn } from './lib/console.mjs';
import { createColloquy } from './lib/server.mjs';

/** A phone or an old laptop is this much slower than the machine of the test. */
const SLOWER = 4;
const CONVERSATIONS = 500;
const CHANGES_MS = 100;
/** Another program may have the processor for a moment: what is promised is measured on a quiet machine, this only catches a page that is slow by itself. */
const SLACK = Number(process.env.SPEED_SLACK ?? 3);

let colloquy;
let browser;
let office;

before(async () => {
  colloquy = await createColloquy();
  await colloquy.start();
  browser = await launch();
  office = await createOffice(colloquy.url);
  const page = await browser.context.newPage();
  await signIn(page, colloquy.url, office.email);
});
after(async () => {
  await browser?.close();
  await colloquy?.close();
});

async function slowPage() {
  const page = await browser.context.newPage();
  const cdp = await browser.context.newCDPSession(page);
  await cdp.send('Emulation.setCPUThrottlingRate', { rate: SLOWER });
  await page.addInitScript(() => {
    window.seen = { lcp: 0, cls: 0, events: [] };
    const watch = (type, take, more = {}) => new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true, ...more });
    watch('largest-contentful-paint', (entry) => (window.seen.lcp = entry.startTime));
    watch('layout-shift', (entry) => !entry.hadRecentInput && (window.seen.cls += entry.value));
    watch('event', (entry) => entry.interactionId && window.seen.events.push(entry.duration), { durationThreshold: 16 });
  });
  return page;
}
/** SPEED_ROWS names a file that gets a row of docs/benchmarks.md for each figure, as `colloquy-loadtest --rows FILE` reads them. */
function say(figure, value, { unit = 'count', goal, beside = '', sorted } = {}) {
  if (process.env.SPEED) console.log(`${figure}: ${value}`);
  if (!process.env.SPEED_ROWS) return;
  const at = (part) => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0) * 1000;
  const row = { scenario: 'console', figure, value, unit, beside };
  if (goal !== undefined) row.goal = { at_most: goal };
  if (sorted?.length) row.percentiles_us = { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1), count: sorted.length };
  appendFileSync(process.env.SPEED_ROWS, JSON.stringify(row) + '\n');
}

test('the first page is there soon and does not move', async () => {
  const page = await slowPage();
  await page.goto(colloquy.url + '/app');
  await page.getByText(/Hello, Dana/).waitFor();
  await until(async () => !(await page.locator('.bone').count()), 'the page');
  await page.evaluate(() => new Promise((done) => setTimeout(done, 300)));
  const { lcp, cls } = await page.evaluate(() => window.seen);
  const beside = `${SLOWER}× slower processor, first visit, on loopback`;
  say('largest contentful paint of the overview', Math.round(lcp), { unit: 'millis', goal: 1200, beside });
  say('layout shift of the overview', Number(cls.toFixed(4)), { goal: 0.02, beside });
  assert.ok(lcp > 0 && lcp < 1200 * SLACK, `largest contentful paint after ${Math.round(lcp)} ms`);
  assert.ok(cls < 0.02, `the layout shifts by ${cls}`);
  await page.close();
});

test('500 conversations that change ten times a second leave the inbox quick', async () => {
  const page = await slowPage();
  const row = (n, words) => ({
    id: `c${n}`, seq: 2 + words, agent_id: office.agent.id, assigned_to: null, channel: 'chat', channels: ['chat'], escalated: false, escalation_reason: null, is_lead: false,
    last_message: `Message ${words} of visitor ${n}`, last_role: 'user', message_count: words, person: null, sandbox: false, satisfaction_rating: null,
    started_at: '2026-01-01T00:00:00Z', updated_at: new Date(Date.UTC(2026, 0, 2) + words * 1000 - n).toISOString(), status: 'active', urgency: 'normal', visitor_id: `visitor-${n}`, visitor_name: `Visitor number ${n}`, visitor_email: null, visitor_phone: null,
  });
  let feed;
  let sent = 0;
  await page.routeWebSocket('**/api/live', (socket) => {
    socket.onMessage((text) => {
      const frame = JSON.parse(text);
      if (frame.type !== 'subscribe') return;
      if (frame.topic !== 'conversations') return socket.send(JSON.stringify({ type: 'error', topic: frame.topic, code: 'not_found' }));
      socket.send(JSON.stringify({ type: 'snapshot', topic: 'conversations', seq: 0, data: Object.fromEntries(Array.from({ length: CONVERSATIONS }, (_, n) => [`c${n}`, row(n, 0)])) }));
      clearInterval(feed);
      sent = 0;
      feed = setInterval(() => {
        sent += 1;
        const n = (sent * 37) % CONVERSATIONS;
        socket.send(JSON.stringify({ type: 'delta', topic: 'conversations', seq: sent, changes: [{ op: 'put', key: `c${n}`, value: row(n, sent) }] }));
      }, CHANGES_MS);
    });
  });
  await page.goto(colloquy.url + '/app/conversations');
  const list = page.getByRole('list', { name: 'Conversations' });
  await list.getByText(/Visitor number/).first().waitFor();
  await list.getByText(/Message [1-9]/).first().waitFor();
  assert.ok((await list.getByRole('listitem').count()) < 40, 'only rows near the window exist');
  for (let n = 0; n < 24; n += 1) {
    await page.keyboard.press(n % 3 === 2 ? 'k' : 'j');
    await page.evaluate(() => new Promise((done) => setTimeout(done, 60)));
  }
  const before = sent;
  await page.mouse.move(300, 500);
  for (let n = 0; n < 10; n += 1) await page.mouse.wheel(0, 900);
  await list.getByText(/Visitor number/).first().waitFor();
  const { events } = await page.evaluate(() => window.seen);
  clearInterval(feed);
  const sorted = events.toSorted((a, b) => a - b);
  const p95 = sorted[Math.floor(sorted.length * 0.95)] ?? 0;
  say('interaction latency while the feed runs, p95', p95, { unit: 'millis', goal: 100, sorted, beside: `${SLOWER}× slower processor, ${CONVERSATIONS} conversations, ${1000 / CHANGES_MS} changes a second; ${sorted.length} keys and wheels above 16 ms` });
  assert.ok(before > 5, 'the feed ran meanwhile');
  assert.ok(p95 < 100 * SLACK, `95 of 100 interactions within ${p95} ms`);
  await page.close();
});
