// The landing page with its live agent: answers about itself, reaches nobody, is limited by address, is read without JavaScript, fast and without a shift.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axe, launch, shot, until } from './lib/browser.mjs';
import { createApi } from './lib/api.mjs';
import { createColloquy } from './lib/server.mjs';
import { answers, say } from './lib/widget.mjs';

const ADMIN = 'operator@example.com';
/** Requests to the demonstration an hour from one address. */
const LIMIT = 12;
const SLOWER = 4;
/** What is promised holds on a quiet machine; this catches a page that is slow by itself. */
const SLACK = Number(process.env.SPEED_SLACK ?? 3);
const PAGES = ['/', '/privacy', '/cookies', '/terms', '/login', '/signup'];

let colloquy;
let browser;

before(async () => {
  colloquy = await createColloquy({
    COLLOQUY_DEMO__ENABLED: 'true',
    COLLOQUY_DEMO__PER_ADDRESS_PER_HOUR: String(LIMIT),
    COLLOQUY_PLATFORM__ADMIN_EMAILS: JSON.stringify([ADMIN]),
    COLLOQUY_LEGAL__OPERATOR: 'Brightwell Ltd, 1 Elm Street, Millbrook',
    COLLOQUY_LEGAL__CONTACT: 'privacy@example.com',
  });
  await colloquy.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await colloquy?.close();
});

const framed = (page) => until(() => page.frames().find((frame) => frame.url().includes('/widget/')), 'the frame');
async function home(page) {
  // The agent is made beside the start.
  await until(async () => (await (await fetch(colloquy.url + '/')).text()).includes('<iframe'), 'the agent on the page', 30_000);
  await page.goto(colloquy.url + '/');
  const frame = await framed(page);
  await frame.locator('#status.ready').waitFor();
  return frame;
}

test('the agent on the page answers about Colloquy from its text, and nothing takes the focus', async () => {
  const page = await browser.context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => /Refused|Content.Security.Policy/i.test(message.text()) && errors.push(message.text()));
  const frame = await home(page);
  assert.equal(await page.evaluate(() => document.activeElement.tagName), 'BODY');
  await until(async () => {
    await say(frame, 'How long does the set-up take?');
    return answers(frame).getByText(/five minutes/).first().waitFor({ timeout: 5_000 }).then(() => true, () => false);
  }, 'the answer', 20_000);
  await say(frame, 'My name is Rosa Delgado, call me at 217-555-0133, I need a person now, this is an emergency!');
  await until(async () => (await answers(frame).count()) >= 3, 'an answer');
  for (const [width, height] of [[1440, 900], [390, 844]]) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      await shot(page, `landing-${width}-${colorScheme}`);
      assert.deepEqual(await axe(page), [], `${width} ${colorScheme}`);
      assert.deepEqual(await axe(frame), [], `frame, ${width} ${colorScheme}`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wide <= 0, `${width}: ${wide} px too wide`);
    }
  }
  assert.deepEqual(errors, []);
  await page.close();
});

test('an appointment can be tried: free times, a name, a word that nobody expects anybody, and nothing is kept of it', async () => {
  const page = await browser.context.newPage();
  const frame = await home(page);
  await say(frame, 'Book an appointment');
  const choice = frame.locator('#chips button').filter({ hasText: /day, / }).first();
  await choice.waitFor({ timeout: 20_000 });
  await choice.click();
  await answers(frame).getByText(/holding/).waitFor({ timeout: 20_000 });
  await say(frame, 'My name is Rosa Delgado');
  await answers(frame).getByText(/nobody expects you/).waitFor({ timeout: 20_000 });
  await page.close();
});

test('what was written there became no lead, no alert and no number, and a form for leads is refused', async () => {
  const api = createApi(colloquy.url);
  await api.signUp({ email: ADMIN });
  await api.prove(ADMIN);
  const mails = (await (await fetch(colloquy.url + '/dev/mailbox')).json()).items;
  assert.equal(mails.filter((mail) => JSON.stringify(mail).includes('Rosa')).length, 0);
  const { items } = await api.call('GET', '/api/admin/tenants');
  assert.ok(items.some(({ id }) => id === 'colloquy-demo'));
  await assert.rejects(api.call('GET', '/api/leads?agent_id=colloquy-demo-agent').then(({ items }) => items.length || Promise.reject(new Error('none'))), /none|404/);
});

test('one address may write so often, and is told when it may again', async () => {
  let refused;
  for (let n = 0; n <= LIMIT && !refused; n += 1) {
    const response = await fetch(colloquy.url + '/api/chat', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ agent_id: 'colloquy-demo-agent', visitor_id: `flood-of-visitors-${n}-0123456789`, message: 'What is Colloquy?' }),
    });
    if (response.status === 429) refused = response;
    else assert.equal(response.status, 200);
  }
  assert.ok(refused, 'the hour is used up');
  assert.ok(Number(refused.headers.get('retry-after')) > 60, 'an hour, not a minute');
});

test('every public page is read without JavaScript', async () => {
  const still = await launch({ javaScriptEnabled: false });
  try {
    const page = await still.context.newPage();
    await page.goto(colloquy.url + '/');
    await page.getByRole('heading', { name: 'A receptionist for your website' }).waitFor();
    await page.getByText('What does it cost?').click();
    await page.getByText('open source under the Apache License 2.0', { exact: false }).first().waitFor();
    for (const [name, words] of [['Privacy', 'Brightwell Ltd'], ['Cookies', 'colloquy_refresh'], ['Terms', 'without warranty']]) {
      await page.getByRole('navigation', { name: 'About this installation' }).getByRole('link', { name }).click();
      await page.getByText(words, { exact: false }).first().waitFor();
    }
    assert.equal(await page.getByRole('link', { name: 'privacy@example.com' }).getAttribute('href'), 'mailto:privacy@example.com');
  } finally {
    await still.close();
  }
});

test('the cookies page names every cookie that is set, and no other', async () => {
  const page = await browser.context.newPage();
  await page.goto(colloquy.url + '/login');
  await page.getByLabel('E-mail').fill(ADMIN);
  await page.getByLabel('Password').fill('correct horse battery staple');
  await page.getByRole('button', { name: 'Log in' }).click();
  await until(() => new URL(page.url()).pathname.startsWith('/app'), 'the console');
  const set = (await page.context().cookies()).map(({ name }) => name).sort();
  await page.context().clearCookies();
  await page.goto(colloquy.url + '/cookies');
  const told = (await page.locator('table').first().locator('tbody th').allInnerTexts()).sort();
  assert.deepEqual(told, set);
  await page.close();
});

test('public pages are there soon on a machine four times slower, do not move, and have no finding of axe in both themes', async () => {
  const rows = [];
  for (const path of PAGES) {
    const page = await browser.context.newPage();
    await page.addInitScript(() => {
      window.seen = { lcp: 0, cls: 0 };
      const watch = (type, take) => new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true });
      watch('largest-contentful-paint', (entry) => (window.seen.lcp = entry.startTime));
      watch('layout-shift', (entry) => !entry.hadRecentInput && (window.seen.cls += entry.value));
    });
    const cdp = await browser.context.newCDPSession(page);
    await cdp.send('Emulation.setCPUThrottlingRate', { rate: SLOWER });
    let bytes = 0;
    page.on('response', async (response) => (bytes += (await response.body().catch(() => Buffer.alloc(0))).length));
    await page.goto(colloquy.url + path, { waitUntil: 'load' });
    // The chat arrives after the page; it must not push anything.
    if (path === '/') await (await framed(page)).locator('#app:not([hidden])').waitFor();
    await page.evaluate(() => new Promise((done) => setTimeout(done, 300)));
    const { lcp, cls } = await page.evaluate(() => window.seen);
    await cdp.send('Emulation.setCPUThrottlingRate', { rate: 1 });
    let findings = 0;
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      const found = await axe(page);
      findings += found.length;
      assert.deepEqual(found, [], `${path}, ${colorScheme}`);
      if (path !== '/') await shot(page, `public${path.replace('/', '-')}-${colorScheme}`);
    }
    rows.push({ path, 'LCP, ms': Math.round(lcp), CLS: Number(cls.toFixed(4)), 'bytes': bytes, 'axe findings': findings });
    assert.ok(lcp > 0 && lcp < 1200 * SLACK, `${path}: largest contentful paint after ${Math.round(lcp)} ms`);
    assert.ok(cls < 0.02, `${path}: the layout shifts by ${cls}`);
    await page.close();
  }
  console.table(rows);
});
