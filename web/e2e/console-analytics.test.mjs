// Analytics by the pages: charts over one range that lead to the conversations behind them, tables and CSV, the daily summary; the bell, preferences and the audit log.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { launch, until } from './lib/browser.mjs';
import { EVIL, createColleague, look, signIn, watch } from './lib/console.mjs';
import { inOffice } from './lib/office.mjs';

let colloquy;
let office;
let page;
const QUESTIONS = ['Are you open on Saturday?', 'Are you open on Saturday?', 'Do you repair bicycles at night?', 'Where can I park?'];

inOffice((now) => ({ colloquy, office, page } = now), {
  async prepare() {
    let first;
    for (const question of QUESTIONS) {
      const visitor = office.visitor();
      await visitor.say(question);
      first ??= visitor.conversation;
    }
    await office.api.call('PATCH', `/api/conversations/${first}`, { status: 'resolved' });
    const lead = office.visitor();
    await lead.say('My name is Rosa Delgado, my number is 217-555-0133, what does a cleaning cost?');
    const evil = office.visitor();
    await evil.say(EVIL);
    await evil.say(EVIL);
    await until(async () => (await office.api.leads(office.agent.id))[0], 'the lead', 30_000);
  },
});

const go = (path) => page.goto(colloquy.url + '/app' + path);
const panel = (name) => page.getByRole('region', { name, exact: true });
const list = () => page.getByRole('list', { name: 'Conversations' });
const cells = (row) => row.getByRole('cell').allInnerTexts();
const TOTAL = QUESTIONS.length + 2;

test('one range for all charts, in the address; each has its table and its CSV', async () => {
  await go('/analytics');
  await page.getByRole('button', { name: 'Last 7 days', pressed: true }).waitFor();
  await panel('Conversations over time').locator('.u-over').waitFor();
  await page.getByText(`${TOTAL} in all`).waitFor();
  await look(page, 'analytics');
  await page.getByRole('button', { name: 'Last 24 hours' }).click();
  await until(() => new URL(page.url()).searchParams.get('window') === '24h', 'the range in the address');
  await page.reload();
  await page.getByRole('button', { name: 'Last 24 hours', pressed: true }).waitFor();
  const over = panel('Conversations over time');
  await over.getByRole('button', { name: /Show as a table/ }).click();
  const numbers = await until(async () => {
    const rows = await over.getByRole('row').all();
    return rows.length > 20 && rows;
  }, 'an hour in each row');
  let sum = 0;
  for (const row of numbers.slice(1)) sum += Number((await cells(row)).at(-3));
  assert.equal(sum, TOTAL);
  for (const name of ['Resolution rate over time', 'From visitor to appointment', 'Peak hours', 'Asked most', 'Questions without an answer', 'Day by day']) await panel(name).getByRole('button', { name: /Show as a table/ }).click();
  await panel('Asked most').getByRole('row').nth(1).waitFor();
  await look(page, 'analytics-tables');
  for (const [name, column] of [['Conversations over time', /^at,/], ['From visitor to appointment', /^stage,/], ['Peak hours', /weekday,hour/], ['Asked most', /^question,/], ['Day by day', /^date,/], ['Questions without an answer', /^question,count/]]) {
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByLabel(`${name}: download CSV`).click()]);
    const text = await readFile(await download.path(), 'utf8');
    assert.match(text.replace(/^\ufeff/, ''), column, name);
    assert.ok(text.split('\n').length > 2, `${name} has rows`);
  }
  assert.equal(await page.evaluate(() => window.__evil), undefined);
});

test('days of the organization are a range too, and a wrong one is said at once', async () => {
  await go('/analytics');
  await page.getByRole('button', { name: 'Days…' }).click();
  await until(() => new URL(page.url()).searchParams.get('from'), 'days in the address');
  const today = new URL(page.url()).searchParams.get('to');
  await page.getByLabel('First day').fill('2020-01-01');
  await page.getByText('At most 92 days at once.').waitFor();
  await page.getByLabel('First day').fill(today);
  await until(() => new URL(page.url()).searchParams.get('from') === today, 'one day');
  await page.getByText(`${TOTAL} in all`).waitFor();
  await page.getByRole('button', { name: 'Last 30 days' }).click();
  await until(() => !new URL(page.url()).searchParams.get('from'), 'no days any more');
});

test('numbers lead to the conversations behind them', async () => {
  await go('/analytics?window=24h');
  const over = panel('Conversations over time');
  await over.getByRole('button', { name: /Show as a table/ }).click();
  const link = over.getByRole('cell').getByRole('link').last();
  const n = Number(await link.innerText());
  await link.click();
  await until(() => new URL(page.url()).pathname === '/app/conversations', 'the inbox');
  await until(async () => (await list().getByRole('link').count()) === n, `${n} conversations`);
  await page.getByRole('button', { name: /^Remove: Begun/ }).waitFor();
  await page.goBack();
  // The chart itself leads there as well.
  await over.locator('.u-over').waitFor();
  const box = await over.locator('.u-over').boundingBox();
  await page.mouse.click(box.x + box.width - 2, box.y + box.height / 2);
  await until(() => new URL(page.url()).pathname === '/app/conversations', 'the inbox by the chart');
  await go('/analytics?window=24h');
  await panel('Peak hours').locator('rect.some').first().click();
  await until(() => new URL(page.url()).searchParams.get('hour') !== null, 'the hour in the address');
  await list().getByRole('link').first().waitFor();
  assert.equal(await list().getByRole('link').count(), TOTAL <= 30 ? await list().getByRole('link').count() : 0);
  await go('/analytics');
  await panel('From visitor to appointment').getByRole('link', { name: 'Leads' }).click();
  await page.getByRole('link', { name: 'Rosa Delgado' }).waitFor();
  await go('/analytics');
  await panel('Asked most').getByText('Are you open on Saturday?').first().waitFor();
  await panel('Asked most').getByRole('link', { name: /Look: conversation 1 with “Are you open/ }).click();
  await page.getByRole('log').getByText('Are you open on Saturday?').waitFor();
});

test('a question without an answer is answered from the chart; somebody who looks only cannot', async () => {
  await go('/analytics');
  const open = panel('Questions without an answer');
  await open.getByRole('button', { name: 'Answer: Do you repair bicycles at night?' }).click();
  await page.getByRole('textbox', { name: 'Answer' }).fill('Only the bicycles of dentists.');
  await page.getByRole('button', { name: 'Teach it' }).click();
  await page.getByText('The agent knows it now').waitFor();
  const vera = await createColleague(colloquy.url, office, 'viewer', 'Vera Viewer');
  const other = await launch();
  try {
    const theirs = await other.context.newPage();
    const seen = watch(theirs);
    await signIn(theirs, colloquy.url, vera.email);
    await theirs.goto(colloquy.url + '/app/analytics');
    await theirs.getByText(`${TOTAL} in all`).waitFor();
    assert.equal(await theirs.getByRole('button', { name: /^Answer/ }).count(), 0);
    await theirs.goto(colloquy.url + '/app/settings/audit');
    await theirs.getByText(/needs the role admin/).waitFor();
    assert.deepEqual(seen, []);
  } finally {
    await other.close();
  }
});

test('an agent has its own charts', async () => {
  const second = await office.api.createAgent({ name: 'Bo' });
  await go(`/agents/${second.id}/analytics`);
  await panel('Conversations over time').getByText('Nothing happened in this time.').waitFor();
  await go(`/agents/${office.agent.id}/analytics`);
  await page.getByText(`${TOTAL} in all`).waitFor();
  await panel('Day by day').locator('svg[role=img]').waitFor();
  await look(page, 'agent-analytics');
  await office.api.call('DELETE', `/api/agents/${second.id}`);
});

test('numbers that cannot be had are said to be missing, with a way on', async () => {
  await page.route('**/api/analytics/funnel*', (route) => route.fulfill({ status: 429, headers: { 'Retry-After': '7' }, contentType: 'application/problem+json', body: JSON.stringify({ type: '', title: '', status: 429, code: 'too_many', detail: 'too many', retry: 'safe' }) }));
  await go('/analytics');
  await panel('From visitor to appointment').getByText('Try again in 7 seconds').waitFor();
  await page.unroute('**/api/analytics/funnel*');
  await panel('From visitor to appointment').getByRole('button', { name: 'Try again' }).click();
  await panel('From visitor to appointment').getByRole('link', { name: 'Conversations' }).waitFor();
});

test('the daily summary is seen as it will look, and wanted or not', async () => {
  const today = new Date().toISOString().slice(0, 10);
  await go('/analytics');
  await page.getByRole('button', { name: 'Daily summary' }).click();
  const drawer = page.getByRole('dialog', { name: 'Daily summary' });
  await drawer.getByLabel('The day it tells about').evaluate((input) => input.removeAttribute('max'));
  await drawer.getByLabel('The day it tells about').fill(today);
  const mail = page.frameLocator('iframe');
  await mail.getByRole('heading').first().waitFor();
  assert.equal(await mail.locator('pre, script').count(), 0, 'a page, not its source');
  assert.equal(await drawer.locator('iframe').getAttribute('sandbox'), 'allow-same-origin', 'no script runs in it');
  assert.ok(await mail.locator('[data-style]').evaluateAll((all) => all.length && all.every((one) => one.style.length > 0)), 'its styles are set');
  await look(page, 'summary');
  const wanted = () => office.api.call('GET', '/api/me/preferences').then(({ notifications }) => notifications.daily_summary.email);
  const before = await wanted();
  await drawer.getByRole('switch').click();
  await until(async () => (await wanted()) === !before, 'the preference');
  await page.keyboard.press('Escape');
  await until(() => !new URL(page.url()).searchParams.get('summary'), 'closed');
});

test('the bell tells of what needs somebody, by itself; a click leads there and it is read', async () => {
  const nora = await createColleague(colloquy.url, office, 'rep', 'Nora Reyes');
  const visitor = office.visitor();
  await visitor.say('Where can I park?');
  const other = await launch();
  try {
    const theirs = await other.context.newPage();
    const seen = watch(theirs);
    await signIn(theirs, colloquy.url, nora.email);
    await theirs.getByText('Live', { exact: true }).first().waitFor();
    await office.api.call('PATCH', `/api/conversations/${visitor.conversation}`, { assigned_to: nora.id });
    await theirs.getByRole('button', { name: /Notifications, \d+ unread/ }).waitFor();
    await theirs.keyboard.press('g');
    await theirs.keyboard.press('n');
    const bell = theirs.getByRole('dialog', { name: 'Notifications' });
    const before = (await nora.api.call('GET', '/api/notifications')).unread;
    await look(theirs, 'notices');
    await bell.locator(`a[href*="${visitor.conversation}"]`).first().click();
    await theirs.getByRole('log').getByText('Where can I park?').waitFor();
    await until(async () => (await nora.api.call('GET', '/api/notifications')).unread === before - 1, 'one read');
    await office.visitor().say('I need a person, this is an emergency: my child is bleeding heavily!');
    await theirs.getByRole('button', { name: /Notifications, \d+ unread/ }).click();
    await bell.getByRole('button', { name: 'Mark all read' }).click();
    await theirs.getByRole('button', { name: 'Notifications', exact: true }).waitFor();
    await until(async () => (await nora.api.call('GET', '/api/notifications')).unread === 0, 'all read');
    assert.deepEqual(seen, []);
  } finally {
    await other.close();
  }
});

test('what one is told is chosen in the settings, and kept', async () => {
  await go('/settings/notifications');
  const way = page.getByRole('switch', { name: 'New lead: E-mail' });
  const before = (await way.getAttribute('aria-checked')) === 'true';
  await way.click();
  await until(async () => (await office.api.call('GET', '/api/me/preferences')).notifications.lead.email === !before, 'the preference');
  await page.reload();
  await until(async () => ((await way.getAttribute('aria-checked')) === 'true') === !before, 'the same after a reload');
  await look(page, 'preferences');
});

test('the audit log says who changed what, and its filters are in the address', async () => {
  await office.api.updateAgent(office.agent.id, { welcome_message: 'A welcome that nobody may read in a log' });
  await go('/settings/audit');
  const row = page.getByRole('row').filter({ hasText: 'Agent updated' }).first();
  await row.waitFor();
  assert.match(await row.innerText(), /Dana Whitfield/);
  assert.ok(!(await page.locator('main').innerText()).includes('A welcome that nobody may read'));
  await page.getByLabel('What', { exact: true }).selectOption({ label: 'Invitations' });
  await until(() => new URL(page.url()).searchParams.get('action') === 'invitation', 'the filter in the address');
  await until(async () => (await page.getByRole('row').filter({ hasText: 'Agent updated' }).count()) === 0, 'only invitations');
  await page.reload();
  await page.getByRole('row').filter({ hasText: 'Invitation' }).first().waitFor();
  await page.getByRole('button', { name: 'Clear filters' }).first().click();
  await row.waitFor();
  await look(page, 'audit');
});
