// Appointments: booked by a visitor in the widget and by hand in the console, seen live, moved, given up; calendars set up; nobody gets the same time twice.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, until } from './lib/browser.mjs';
import { createColleague, createOffice, look, signIn } from './lib/console.mjs';
import { inOffice } from './lib/office.mjs';
import { createSite } from './lib/server.mjs';
import { answers, open, say } from './lib/widget.mjs';

let colloquy;
let browser;
let office;
let page;
let site;

/** Open around the clock, so that there is always something free. */
const ALWAYS = Object.fromEntries(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'].map((day) => [day, { open: '00:00', close: '24:00' }]));
const go = (path = '') => page.goto(colloquy.url + '/app' + path);
const booked = async (query = '') => (await office.api.call('GET', '/api/appointments' + query)).items;
const letters = async (to) => (await office.api.call('GET', `/dev/mailbox?to=${encodeURIComponent(to)}`)).items;
const entry = (name) => page.getByRole('link', { name: new RegExp(name) });
const drawer = (name) => page.getByRole('dialog', { name });
const slots = async (query) => (await office.api.call('GET', '/api/appointments/slots?' + query)).items;

inOffice((now) => ({ colloquy, browser, office, page } = now), {
  prepare: async ({ office: made }) => {
    await made.api.call('PATCH', '/api/organization', { business_hours: ALWAYS });
    await until(async () => (await made.api.call('GET', '/api/calendars')).items.length, 'a calendar to begin with');
  },
});
before(async () => {
  site = await createSite('<!doctype html><title>x</title>');
});
after(() => site?.close());

/** What the console writes of a time that letters write without the year. */
const begins = (when) => new RegExp(`^${when.replace(' at ', '(, \\d{4})? at ').replaceAll(' ', '\\s')}`);

test('a visitor books in the widget, the owner sees it come, moves it, and the visitor is told', async () => {
  await go('/appointments?view=list');
  await page.getByText('No appointment in these days').waitFor();
  await page.getByText('Live', { exact: true }).first().waitFor();

  // Somebody else's browser: who is signed in would only try it.
  const elsewhere = await launch();
  const visitor = await elsewhere.context.newPage();
  await visitor.goto(`${colloquy.url}/demo/${office.agent.id}`);
  const frame = await open(visitor);
  const ask = async (words) => {
    const had = await answers(frame).count();
    await say(frame, words);
    return until(async () => (await answers(frame).count()) > had && (await answers(frame).last().innerText()), 'an answer to: ' + words, 30_000);
  };
  await ask('My e-mail address is sam@example.com');
  await ask('I would like to book an appointment for tomorrow');
  const choice = frame.locator('#chips button').first();
  await choice.waitFor();
  const chosen = await choice.innerText();
  const had = await answers(frame).count();
  await choice.click();
  let said = await until(async () => (await answers(frame).count()) > had && (await answers(frame).last().innerText()), 'what comes next');
  for (let turn = 0; turn < 4 && !/booked/i.test(said); turn += 1) said = await ask(/name/i.test(said) ? 'My name is Sam Okafor' : '(415) 555-2671');
  assert.match(said, /booked/i);

  // Nobody reloaded anything.
  await entry('Sam Okafor').waitFor();
  const [made] = await booked();
  assert.deepEqual([made.name, made.email, made.channel, made.status], ['Sam Okafor', 'sam@example.com', 'chat', 'scheduled']);
  assert.ok(chosen.startsWith(made.when), `${chosen} is ${made.when}`);
  await look(page, 'appointments-list');
  await entry('Sam Okafor').click();
  await drawer('Sam Okafor').getByRole('heading', { name: begins(made.when) }).waitFor();
  await look(page, 'appointment');
  await drawer('Sam Okafor').getByRole('button', { name: 'Confirm' }).click();
  await until(async () => (await booked())[0].status === 'confirmed', 'confirmed');

  await drawer('Sam Okafor').getByRole('button', { name: 'Move' }).click();
  const move = page.getByRole('dialog', { name: 'Move the appointment' });
  await move.getByRole('radio').nth(5).check({ force: true });
  await look(page, 'appointment-move', { widths: [1440, 390], themes: ['light', 'dark'] });
  await move.getByRole('button', { name: 'Move it' }).click();
  const moved = await until(async () => (await booked()).find((one) => one.starts_at !== made.starts_at), 'the other time');
  await drawer('Sam Okafor').getByRole('heading', { name: begins(moved.when) }).waitFor();
  const told = await until(async () => (await letters('sam@example.com')).find(({ subject }) => /new time/.test(subject)), 'the letter', 20_000);
  assert.ok(told.text.includes(moved.when), told.text);

  await drawer('Sam Okafor').getByRole('button', { name: 'Cancel it' }).click();
  const cancel = page.getByRole('dialog', { name: 'Cancel this appointment?' });
  await cancel.getByLabel('Why').fill('The practice is closed that day.');
  await look(page, 'appointment-cancel', { widths: [390] });
  await cancel.getByRole('button', { name: 'Cancel the appointment' }).click();
  await drawer('Sam Okafor').getByText('The practice is closed that day.').waitFor();
  assert.equal((await booked('?status=canceled')).length, 1);
  await until(async () => (await letters('sam@example.com')).some(({ subject }) => /canceled/.test(subject)), 'the letter about it', 20_000);
  await until(async () => (await slots(`from=${moved.starts_at}&limit=1`))[0]?.starts_at === moved.starts_at, 'the free time');
  await elsewhere.close();
});

test('whoever looks at days without an appointment is told of the next one, and brought to it', async () => {
  const soon = new Date(Date.now() + 40 * 24 * 3_600_000).toISOString().slice(0, 10);
  const [slot] = await slots(`from=${soon}&to=${soon}&limit=1`);
  const made = await office.api.call('POST', '/api/appointments', { starts_at: slot.starts_at, name: 'Nina Next' });
  await go('/appointments?view=week');
  await page.getByText('Next appointment').waitFor();
  assert.equal(await entry('Nina Next').count(), 0);
  await look(page, 'appointments-next', { themes: ['light'] });
  await page.getByRole('button', { name: 'Show it' }).click();
  await entry('Nina Next').waitFor();
  await page.getByText('Next appointment').waitFor({ state: 'detached' });
  await office.api.call('PATCH', '/api/appointments/' + made.id, { status: 'canceled' });
});

test('an appointment is booked by hand for a time that is free, and who comes second is told so', async () => {
  await go('/appointments?view=day');
  await page.getByRole('button', { name: 'Book', exact: true }).click();
  const book = page.getByRole('dialog', { name: 'Book an appointment' });
  await book.getByRole('radio').first().waitFor({ state: 'attached' });
  const tomorrow = new Date(Date.now() + 24 * 3_600_000).toISOString().slice(0, 10);
  await book.getByLabel('Day').fill(tomorrow);
  await book.getByLabel('Name').fill('Rosa Delgado');
  await book.getByLabel('Phone').fill('12');
  const first = (await slots(`from=${tomorrow}&limit=1`))[0];
  await until(async () => (await book.getByRole('radio').count()) > 40, 'a whole day');
  await book.getByRole('radio').first().check({ force: true });
  await look(page, 'book');
  await book.getByRole('button', { name: 'Book it' }).click();
  await book.locator('.field .wrong').first().waitFor();
  // Somebody else is quicker.
  await office.api.call('POST', '/api/appointments', { starts_at: first.starts_at, name: 'Quick Quinn' });
  await book.getByLabel('Phone').fill('217-555-0133');
  await book.getByRole('radio').first().check({ force: true });
  await book.getByRole('button', { name: 'Book it' }).click();
  await book.getByText('Somebody else has this time by now').waitFor();
  await book.getByRole('radio').first().check({ force: true });
  await book.getByRole('button', { name: 'Book it' }).click();
  await book.waitFor({ state: 'detached' });
  await entry('Rosa Delgado').waitFor();
  const all = await booked(`?from=${tomorrow}&to=${tomorrow}&status=scheduled`);
  assert.deepEqual(all.map((one) => one.name).sort(), ['Quick Quinn', 'Rosa Delgado']);
  assert.equal(new Set(all.map((one) => one.starts_at)).size, 2, 'never two at one time');
  for (const view of ['week', 'day', 'list']) {
    await go(`/appointments?view=${view}&day=${tomorrow}`);
    await entry('Rosa Delgado').waitFor();
    await look(page, `appointments-${view}`);
  }
  await page.keyboard.press('k');
  await until(() => new URL(page.url()).searchParams.get('day') !== tomorrow, 'another day');
});

test('somebody else changed the appointment meanwhile: it is shown, and nothing is overwritten', async () => {
  const [one] = (await booked('?status=scheduled')).filter(({ name }) => name === 'Rosa Delgado');
  await page.routeWebSocket(/\/api\/live/, () => {}); // Deaf to what comes live, as after a break of the connection.
  await go('/appointments/' + one.id);
  await drawer('Rosa Delgado').getByRole('button', { name: 'Confirm' }).waitFor();
  await drawer('Rosa Delgado').getByLabel('Note').fill('Mine');
  await office.api.call('PATCH', '/api/appointments/' + one.id, { description: 'Theirs' });
  await drawer('Rosa Delgado').getByRole('button', { name: 'Save', exact: true }).click();
  const stale = page.getByRole('dialog', { name: 'Somebody else saved first' });
  await stale.getByText('Theirs').waitFor();
  assert.equal((await office.api.call('GET', '/api/appointments/' + one.id)).description, 'Theirs');
  await stale.getByRole('button', { name: 'Take what is stored' }).click();
  await office.api.call('PATCH', '/api/appointments/' + one.id, { status: 'confirmed' });
  await drawer('Rosa Delgado').getByRole('button', { name: 'Cancel it' }).click();
  await page.getByRole('button', { name: 'Cancel the appointment' }).click();
  await stale.getByText('Confirmed').first().waitFor();
  assert.equal((await office.api.call('GET', '/api/appointments/' + one.id)).status, 'confirmed');
});

test('a calendar is set up: people, what they do, other days; and its feed opens with its address alone', async () => {
  await go('/settings/calendars');
  await page.getByText('It follows your business hours').waitFor();
  await page.getByRole('button', { name: 'New calendar' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('Chairs');
  await page.getByRole('dialog').getByRole('button', { name: 'New calendar' }).click();
  await page.getByRole('heading', { name: 'Chairs' }).waitFor();
  const section = (name) => page.locator('section').filter({ has: page.getByRole('heading', { name, exact: true }) });
  await section('What can be booked').getByRole('button', { name: 'Add a service' }).click();
  await section('What can be booked').getByLabel('Name').last().fill('Root canal');
  await section('What can be booked').getByLabel('Minutes').last().fill('1');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.locator('.bar .wrong').waitFor();
  await section('What can be booked').getByLabel('Minutes').last().fill('90');
  await section('People').getByRole('button', { name: 'Add a person' }).click();
  await section('People').getByLabel('Name').fill('Dr. Ahn');
  await section('People').getByRole('checkbox', { name: 'Root canal' }).check();
  await section('Other days').getByRole('button', { name: 'Add days' }).click();
  await section('Other days').getByLabel('Note').fill('Holidays');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByText('Saved', { exact: true }).first().waitFor();
  const chairs = async () => (await office.api.call('GET', '/api/calendars')).items.find(({ name }) => name === 'Chairs');
  const kept = await chairs();
  assert.deepEqual([kept.types.map(({ id, duration_minutes }) => [id, duration_minutes]), kept.providers.map(({ id, name, types }) => [id, name, types]), kept.exceptions[0].note], [[['consultation', 30], ['root_canal', 90]], [['dr_ahn', 'Dr. Ahn', ['root_canal']]], 'Holidays']);
  await look(page, 'calendar');
  const feed = await page.locator('code').last().innerText();
  assert.match(await (await fetch(feed)).text(), /BEGIN:VCALENDAR/);
  await page.getByRole('button', { name: 'Replace the address' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Replace the address' }).click();
  await page.getByText('The old address opens nothing').waitFor();
  assert.equal((await fetch(feed)).status, 401);
  const next = await until(async () => { const text = await page.locator('code').last().innerText(); return text !== feed && text; }, 'the new address');
  assert.equal((await fetch(next)).status, 200);
  // What somebody else stored meanwhile is not overwritten.
  await office.api.call('PATCH', '/api/calendars/' + kept.id, { buffer_after_minutes: 15 });
  await page.getByLabel('Free after each (minutes)').fill('30');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('dialog', { name: 'Somebody else saved first' }).getByText('15').first().waitFor();
  assert.equal((await chairs()).buffer_after_minutes, 15);
});

test('a viewer looks and changes nothing; another organization sees nothing', async () => {
  const vera = await createColleague(colloquy.url, office, 'viewer', 'Vera Viewer');
  const [one] = (await booked()).filter(({ name }) => name === 'Rosa Delgado');
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, vera.email);
  await go('/appointments/' + one.id);
  await drawer('Rosa Delgado').getByRole('heading', { name: begins(one.when) }).waitFor();
  for (const name of ['Confirm', 'Move', 'Cancel it', 'Book', 'Set up calendars']) assert.equal(await page.getByRole('button', { name, exact: true }).or(page.getByRole('link', { name, exact: true })).count(), 0, name);
  assert.equal(await page.locator('dialog').locator('input:enabled, textarea:enabled, select:enabled').count(), 0);
  await go('/settings/calendars?calendar=' + one.calendar_id);
  await page.getByText('set up by managers').waitFor();
  await page.getByRole('heading', { name: 'What can be booked' }).waitFor();
  assert.equal(await page.locator('main').locator('input:enabled, select:enabled').count(), 0);
  assert.equal(await page.getByText('feed.ics').count(), 0, 'the address of the feed reads names');
  const status = await page.evaluate(async (id) => {
    const me = await (await fetch('/api/me')).json();
    return (await fetch(`/api/appointments/${id}`, { method: 'PATCH', headers: { 'X-CSRF-Token': me.csrf_token, 'Content-Type': 'application/json' }, body: '{"status":"canceled"}' })).status;
  }, one.id);
  assert.equal(status, 403);

  const other = await createOffice(colloquy.url);
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, other.email);
  await go('/appointments');
  await page.getByText('No calendar yet').waitFor();
  await look(page, 'appointments-empty');
  await go('/appointments/' + one.id);
  await page.getByText('There is nothing here').waitFor();
  await office.api.call('PATCH', '/api/appointments/' + one.id, { description: 'A secret of Northwind' });
  await page.getByText('Live', { exact: true }).first().waitFor();
  assert.equal(await page.getByText('Rosa Delgado').count(), 0);
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, office.email);
});
