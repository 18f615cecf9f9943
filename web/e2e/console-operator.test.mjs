// The operator page on one node: what there is, orders that one node can carry out, those it refuses in words, and who may not see it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './lib/browser.mjs';
import { PASSWORD, createOffice, look, signIn } from './lib/console.mjs';
import { inOffice } from './lib/office.mjs';

const ADMIN = 'operator@example.com';

let colloquy;
let office;
let page;

inOffice((now) => ({ colloquy, office, page } = now), {
  settings: { COLLOQUY_PLATFORM__ADMIN_EMAILS: JSON.stringify([ADMIN]) },
  office: (url) => createOffice(url, { email: ADMIN }),
  prepare: () => office.api.prove(ADMIN),
});

const go = async (query = '') => {
  await page.goto(colloquy.url + '/app/operator' + query);
  await page.getByRole('heading', { name: 'Shard map' }).waitFor();
};
const map = () => page.getByRole('grid', { name: /Shard map/ });
const shards = () => office.api.call('GET', '/api/ops/shards');

test('one node: it says that it is alone, every shard is drawn, and nothing shifts while it is watched', async () => {
  await page.goto(colloquy.url + '/app');
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Operator' }).click();
  await page.getByText('One node holds everything').waitFor();
  assert.equal(await map().getByRole('gridcell').count(), 1024);
  await page.getByRole('row', { name: /node-1/ }).getByText('Alive').waitFor();
  assert.ok(await page.getByRole('button', { name: 'Drain: node-1' }).isDisabled(), 'nobody could take its shards');
  assert.ok(await page.getByRole('button', { name: 'Spread evenly' }).isDisabled());
  await look(page, 'operator');
});

test('the map is one stop for the keyboard: arrows move, Enter selects, the address keeps it', async () => {
  await go();
  await map().getByRole('gridcell').first().focus();
  for (const key of ['ArrowDown', 'ArrowRight', 'End', 'Home', 'ArrowRight']) await page.keyboard.press(key);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Shard 65' }).waitFor();
  assert.equal(new URL(page.url()).searchParams.get('shard'), '65');
  assert.equal(await map().locator('[tabindex="0"]').count(), 1);
  await page.reload();
  await page.getByRole('heading', { name: 'Shard 65' }).waitFor();
});

test('a shard is pinned and unpinned with an undo, and moves are paused and resumed', async () => {
  await go('?shard=7');
  await page.getByRole('button', { name: 'Pin', exact: true }).click();
  await page.getByText('Shard 7 stays where it is').first().waitFor();
  await until(async () => (await shards()).items[7].pinned, 'the pin');
  assert.match(await map().getByRole('gridcell').nth(7).getAttribute('aria-label'), /Stays where it is/);
  await page.getByRole('button', { name: 'Undo' }).click();
  await until(async () => !(await shards()).items[7].pinned, 'the pin taken back');
  await page.getByRole('button', { name: 'Pause moves' }).click();
  await page.getByText('Planned moves wait until they are resumed.', { exact: false }).waitFor();
  assert.equal((await office.api.call('GET', '/api/ops/rebalance')).paused, true);
  await page.reload();
  await page.getByRole('button', { name: 'Resume moves' }).click();
  await page.getByText('Planned moves wait').waitFor({ state: 'detached' });
});

test('a node gets no shards and is taken back; the orders are written down', async () => {
  await go();
  await page.getByRole('button', { name: 'Cordon: node-1' }).click();
  await page.getByRole('row', { name: /node-1/ }).getByText('Gets no shards').waitFor();
  await page.getByRole('button', { name: 'Take back: node-1' }).click();
  await page.getByRole('row', { name: /node-1/ }).getByText('Gets no shards').waitFor({ state: 'detached' });
  await page.getByText('Orders given').click();
  await page.getByText(/nodes\.uncordon/).first().waitFor();
  await look(page, 'operator-audit', { themes: ['light'] });
});

test('the same shards as a table, filtered and sorted; an entity is found; the load is shown', async () => {
  const visitor = office.visitor();
  await visitor.say('Where can I park?');
  await go('?view=table');
  await page.getByText('1,024 shown').waitFor();
  await page.getByRole('button', { name: 'Entities' }).click();
  await until(async () => (await shards()).items.some(({ entities }) => entities > 0), 'entities by shard');
  await page.getByLabel('Id', { exact: true }).fill(visitor.conversation);
  await page.getByRole('button', { name: 'Find', exact: true }).click();
  await page.getByText(/This conversation lives in shard \d+ on node-1/).waitFor();
  const { shard } = await office.api.call('GET', `/api/ops/entities/conversation/${visitor.conversation}`);
  await page.getByRole('heading', { name: `Shard ${shard}`, exact: true }).waitFor();
  await page.getByLabel('Id', { exact: true }).fill('nobody');
  await page.getByRole('button', { name: 'Find', exact: true }).click();
  await page.getByText('It does not exist', { exact: false }).waitFor();
  await look(page, 'operator-table', { themes: ['dark'] });
  await page.getByRole('button', { name: 'Map', exact: true }).click();
  await page.getByRole('button', { name: 'Load', exact: true }).click();
  await look(page, 'operator-load', { themes: ['dark'] });
});

test('a server that does not answer: what was known stays, it says how old it is, and goes on by itself', async () => {
  await go();
  await page.route('**/api/ops/**', (route) => route.abort());
  await page.getByText(/The server does not answer/).waitFor({ timeout: 20_000 });
  assert.equal(await map().getByRole('gridcell').count(), 1024);
  await page.unroute('**/api/ops/**');
  await page.getByText(/The server does not answer/).waitFor({ state: 'detached', timeout: 40_000 });
});

test('an owner who is no operator has no link to it, and reads why when going there', async () => {
  const other = await createOffice(colloquy.url);
  await page.context().clearCookies();
  await signIn(page, colloquy.url, other.email);
  await page.goto(colloquy.url + '/app');
  await page.getByText(/Hello, Dana/).waitFor();
  assert.equal(await page.getByRole('link', { name: 'Operator' }).count(), 0);
  await page.goto(colloquy.url + '/app/operator');
  await page.getByText(/administrators of the platform/).waitFor();
  assert.equal(await page.getByRole('link', { name: 'Mail me a sign-in link' }).getAttribute('href'), '/magic-link');
  await look(page, 'operator-stranger', { themes: ['light'] });
  // Whoever is somebody else signs in, and is back here then.
  await page.getByRole('button', { name: 'Sign in as somebody else' }).click();
  await until(() => page.url() === colloquy.url + '/login?next=%2Fapp%2Foperator', 'the log-in page that leads back');
  await page.getByLabel('E-mail').fill(ADMIN);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('heading', { name: 'Shard map' }).waitFor();
  await page.context().clearCookies();
  await signIn(page, colloquy.url, ADMIN);
});
