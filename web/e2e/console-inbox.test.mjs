// Watching and steering conversations: a visitor and an operator in two browsers, streamed answers, a restart in the middle, a lost session,
// a viewer who may change nothing and somebody of another organization who sees nothing.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { createApi } from './lib/api.mjs';
import { launch, shot, until } from './lib/browser.mjs';
import { EVIL, PASSWORD, createColleague, createOffice, look, signIn, watch } from './lib/console.mjs';
import { createModel, gate } from './lib/model.mjs';
import { createColloquy, createSite } from './lib/server.mjs';
import { answers, open, say } from './lib/widget.mjs';

let colloquy;
let model;
let desk;
let street;
let office;
let site;
let page;
let errors;

before(async () => {
  model = await createModel();
  colloquy = await createColloquy({ COLLOQUY_MODELS__OPENAI__BASE_URL: model.url, COLLOQUY_MODELS__OPENAI__API_KEY: 'sk-test' });
  await colloquy.start();
  desk = await launch();
  street = await launch();
  office = await createOffice(colloquy.url);
  site = await createSite(`<!doctype html><title>Northwind</title><body><h1>Northwind Dental</h1><script async src="${colloquy.url}/widget/${office.agent.id}.js"></script></body>`);
});
after(async () => {
  await desk?.close();
  await street?.close();
  await site?.close();
  await colloquy?.close();
  await model?.close();
});
beforeEach(async () => {
  model.answer = async (write) => write('Free parking is available behind the building, entrance on Elm Street.');
  page = await desk.context.newPage();
  errors = watch(page);
  await desk.context.clearCookies();
  await signIn(page, colloquy.url, office.email);
});
afterEach(async () => {
  await page.close();
  for (const other of street.context.pages().slice(1)) await other.close();
  assert.deepEqual(errors, []);
});

const list = () => page.getByRole('list', { name: 'Conversations' });
const log = () => page.getByRole('log');
const inbox = async (path = '') => {
  await page.goto(colloquy.url + '/app/conversations' + path);
  await page.getByText('Live', { exact: true }).first().waitFor();
};
async function visit() {
  await street.context.clearCookies();
  const visitor = await street.context.newPage();
  await visitor.goto(site.origin);
  await visitor.evaluate(() => localStorage.clear());
  await visitor.reload();
  return open(visitor);
}

test('a conversation appears as it is said, is taken over, answered and handed back, by keyboard', async () => {
  await inbox();
  const frame = await visit();
  await say(frame, 'Where can I park?');
  await answers(frame).getByText(/Elm Street/).waitFor();
  const row = list().getByRole('link').first();
  await row.getByText(/Elm Street/).waitFor();
  await page.keyboard.press('j');
  await log().getByText('Where can I park?').waitFor();
  await page.getByText('Assistant is talking').waitFor();
  await page.keyboard.press('t');
  await page.getByText('You are talking').first().waitFor();
  await frame.locator('#log').getByText('A team member joined').first().waitFor();
  await page.keyboard.type('Dana here, shall I hold a place?');
  await page.keyboard.press('Enter');
  await frame.locator('#log').getByText('Dana here, shall I hold a place?').first().waitFor();
  await log().getByText('Dana here, shall I hold a place?').waitFor();
  await say(frame, 'Yes please');
  await log().getByText('Yes please').waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('w');
  await page.keyboard.type('Tell her the place is number 7.');
  await page.keyboard.press('Enter');
  await log().getByText('Whisper of Dana Whitfield').waitFor();
  model.answer = async (write) => write('Your place is number 7.');
  await page.keyboard.press('Escape');
  await page.keyboard.press('t');
  await frame.locator('#log').getByText('Your place is number 7.').first().waitFor();
  assert.ok(!(await frame.locator('#log').innerText()).includes('Tell her'), 'a whisper is never shown to the visitor');
  await look(page, 'inbox-talk');
});

test('words of an answer are seen as the model writes them', async () => {
  const more = gate();
  const slow = async (write) => {
    write('Let me think about ');
    await more.opened;
    write('that for you.');
  };
  await inbox();
  const frame = await visit();
  model.answer = async (write) => write('Good morning.');
  await say(frame, 'Hello, I am new here');
  await list().getByRole('link').filter({ hasText: 'Good morning.' }).first().click();
  await log().getByText('Good morning.').waitFor();
  model.answer = slow;
  await say(frame, 'Can you help me?');
  await page.locator('.partial').getByText('Let me think about').waitFor();
  await shot(page, 'inbox-streaming');
  more.open();
  await log().getByText('Let me think about that for you.').waitFor();
  await page.locator('.partial').waitFor({ state: 'detached' });
  assert.equal(await log().getByText('Let me think about').count(), 1);
});

test('resolving, escalating and assigning can be taken back', async () => {
  const visitor = office.visitor();
  await visitor.say('Where can I park?');
  await inbox('/' + visitor.conversation);
  const state = () => page.locator('.talk header').getByText(/Active|Resolved|Needs a person/);
  await log().getByText('Where can I park?').waitFor();
  await page.keyboard.press('e');
  await page.locator('.talk header .badge').getByText('Resolved').waitFor();
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.locator('.talk header .badge').getByText('Active').waitFor();
  // The console shows a wish before the server has it.
  await until(async () => (await office.api.conversation(visitor.conversation)).conversation.status === 'active', 'the status taken back');
  await page.getByRole('button', { name: 'Escalate' }).click();
  await page.locator('.talk header .badge').getByText('Needs a person').waitFor();
  await page.getByRole('button', { name: 'Details' }).click();
  await page.getByLabel('Assigned to').last().selectOption({ label: 'Dana Whitfield' });
  await until(async () => (await office.api.conversation(visitor.conversation)).conversation.assigned_to === office.session.user.id, 'the assignment');
  assert.equal(await state().count() > 0, true);
  await look(page, 'inbox-details', { themes: ['light'] });
});

test('filters are in the address and outlive a reload; what is filtered is not counted', async () => {
  const [one, two] = [office.visitor(), office.visitor()];
  await one.say('Where can I park? one');
  await two.say('Where can I park? two');
  await office.api.call('PATCH', `/api/conversations/${one.conversation}`, { status: 'resolved' });
  await inbox();
  await page.getByRole('button', { name: 'Filters' }).click();
  await page.getByLabel('Status').selectOption('resolved');
  await until(() => new URL(page.url()).searchParams.get('status') === 'resolved', 'the filter in the address');
  await until(async () => (await list().getByRole('link').allInnerTexts()).every((text) => text.includes('Resolved')), 'resolved ones only');
  await page.reload();
  await list().getByRole('link').first().waitFor();
  assert.ok((await list().getByRole('link').allInnerTexts()).every((text) => text.includes('Resolved')));
  await page.keyboard.press('/');
  await page.keyboard.type('no such words anywhere');
  await page.getByText('Nobody said “no such words anywhere”').waitFor();
  await until(() => new URL(page.url()).searchParams.get('q') === 'no such words anywhere', 'the words in the address');
  await page.getByRole('button', { name: 'Clear filters' }).last().click();
  await list().getByRole('link').first().waitFor();
  assert.equal(new URL(page.url()).search, '');
});

test('the list keeps its place while somebody reads, and says what is new', async () => {
  const visitor = office.visitor();
  await visitor.say('I am being read');
  await inbox('/' + visitor.conversation);
  await log().getByText('I am being read').waitFor();
  await list().getByRole('link').first().waitFor();
  const before = await list().getByRole('link').first().innerText();
  const fresh = office.visitor();
  await fresh.say('I am new here');
  await page.getByRole('button', { name: /1 new/ }).waitFor();
  assert.equal((await list().getByRole('link').first().innerText()).split('\n')[0], before.split('\n')[0]);
  await page.getByRole('button', { name: /1 new/ }).click();
  await page.getByRole('button', { name: /1 new/ }).waitFor({ state: 'detached' });
});

test('what was said is found, shown with its words marked, and opened at its place', async () => {
  const talker = office.visitor();
  await talker.say('My parrot Zephyrina bites the post carrier. ' + EVIL);
  for (let n = 0; n < 14; n += 1) await talker.say(`Another question, number ${n}: where can I park?`);
  await office.visitor().say('Something quite different');
  await inbox();
  await page.keyboard.press('/');
  await page.keyboard.type('post zephyr');
  const found = list().getByRole('link');
  await until(async () => (await found.count()) === 1 && (await found.first().locator('mark').count()) === 2, 'the one conversation, with both words marked');
  assert.deepEqual((await found.first().locator('mark').allInnerTexts()).map((word) => word.toLowerCase()).sort(), ['post', 'zephyrina']);
  assert.equal(new URL(page.url()).searchParams.get('q'), 'post zephyr');
  assert.equal(await page.evaluate(() => window.__evil), undefined);
  await look(page, 'inbox-search');
  await page.keyboard.press('Escape');
  await page.keyboard.press('j');
  const message = log().locator('.found');
  await message.getByText('My parrot Zephyrina').waitFor();
  await until(() => message.evaluate((one) => { const [box, window] = [one.getBoundingClientRect(), one.closest('[role=log]').getBoundingClientRect()]; return box.bottom > window.top && box.top < window.bottom; }), 'the message in sight');
  assert.ok(await log().evaluate((one) => one.scrollHeight - one.scrollTop - one.clientHeight > 100), 'not at the end');
  // The same by its address alone.
  await page.reload();
  await message.getByText('My parrot Zephyrina').waitFor();
  await until(async () => (await found.count()) === 1, 'the search again');
});

test('what is new is bold with its number, read when it is seen, in every browser of the person, and unread again by U', async () => {
  const visitor = office.visitor();
  await visitor.say('First words');
  const row = () => list().getByRole('link').filter({ hasText: /second words|third words|Elm Street/i }).first();
  await inbox('?agent_id=' + office.agent.id);
  await visitor.say('Second words');
  await row().waitFor();
  const unread = () => list().locator(`a[href*="${visitor.conversation}"] .new`);
  await until(async () => (await unread().innerText()).startsWith('2'), 'two unread');
  const other = await desk.context.newPage();
  const seen = watch(other);
  await other.goto(colloquy.url + '/app/conversations?unread=true');
  const there = other.getByRole('list', { name: 'Conversations' }).locator(`a[href*="${visitor.conversation}"]`);
  await there.waitFor();
  await list().locator(`a[href*="${visitor.conversation}"]`).click();
  await log().getByText('Second words').waitFor();
  await until(async () => (await office.api.call('GET', '/api/conversations?limit=200')).items.find(({ id }) => id === visitor.conversation).unread === 0, 'the read mark');
  await until(async () => (await there.locator('.new').count()) === 0, 'read in the other browser too');
  await page.keyboard.press('u');
  await page.getByText('Unread again').waitFor();
  await there.locator('.new').waitFor();
  await other.close();
  assert.deepEqual(seen, []);
  await page.goto(colloquy.url + '/app/conversations');
  await unread().waitFor();
  // A colleague has read nothing of it: marks are everybody's own.
  const nora = await createColleague(colloquy.url, office, 'rep', 'Nora Reyes');
  assert.equal((await nora.api.call('GET', '/api/conversations?limit=200')).items.find(({ id }) => id === visitor.conversation).unread, 2);
});

test('two colleagues see each other look and type', async () => {
  const visitor = office.visitor();
  await visitor.say('Where can I park?');
  const ann = await createColleague(colloquy.url, office, 'rep', 'Ann Bell');
  const second = await launch();
  try {
    const theirs = await second.context.newPage();
    const seen = watch(theirs);
    await signIn(theirs, colloquy.url, ann.email);
    await theirs.goto(`${colloquy.url}/app/conversations/${visitor.conversation}`);
    await theirs.getByRole('log').getByText('Where can I park?').waitFor();
    await inbox();
    await list().locator(`a[href*="${visitor.conversation}"]`).getByText('Ann Bell is viewing').waitFor();
    await list().locator(`a[href*="${visitor.conversation}"]`).click();
    await theirs.getByText('Dana Whitfield is viewing').first().waitFor();
    await theirs.getByRole('textbox', { name: 'Reply' }).pressSequentially('I will');
    await page.getByRole('status').getByText('Ann Bell is typing').waitFor();
    await look(page, 'inbox-presence');
    await theirs.getByRole('textbox', { name: 'Reply' }).fill('');
    await page.getByRole('status').getByText('Ann Bell is typing').waitFor({ state: 'detached' });
    await theirs.goto(colloquy.url + '/app/leads');
    await page.locator('.talk header').getByText('Ann Bell is viewing').waitFor({ state: 'detached' });
    assert.deepEqual(seen, []);
  } finally {
    await second.close();
  }
});

test('opened in the middle of an answer, what is already written is there', async () => {
  const more = gate();
  const visitor = office.visitor();
  await visitor.say('Hello');
  model.answer = async (write) => {
    write('Once upon a time ');
    await more.opened;
    write('there was a car park.');
  };
  const answer = visitor.say('Tell me a story');
  await inbox('/' + visitor.conversation);
  await page.locator('.partial').getByText('Once upon a time').waitFor();
  more.open();
  await log().getByText('Once upon a time there was a car park.').waitFor();
  await answer;
  assert.equal(await log().getByText('Once upon a time').count(), 1);
});

test('a restart in the middle of a takeover: it is said, nothing typed is lost, and it goes on', async () => {
  const visitor = office.visitor();
  await visitor.say('Where can I park?');
  await inbox('/' + visitor.conversation);
  await log().getByText('Where can I park?').waitFor();
  await page.keyboard.press('t');
  await page.getByText('You are talking').first().waitFor();
  const box = page.getByRole('textbox', { name: 'Reply' });
  await box.fill('Half a sentence');
  await colloquy.kill();
  await page.getByText(/Reconnecting/).first().waitFor();
  await shot(page, 'inbox-reconnecting');
  await box.press('End');
  await page.keyboard.type(', and its end.');
  await page.keyboard.press('Enter');
  await page.getByText(/Not sent: No connection/).waitFor();
  await colloquy.start();
  await page.getByText('Live', { exact: true }).first().waitFor({ timeout: 30_000 });
  await page.getByText('You are talking').first().waitFor();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByText('Not sent').waitFor({ state: 'detached' });
  await until(async () => (await office.api.conversation(visitor.conversation)).messages.filter(({ content }) => content === 'Half a sentence, and its end.').length === 1, 'the words, once');
});

test('a session that ends is begun again over the open page, and the draft is sent', async () => {
  const visitor = office.visitor();
  await visitor.say('Where can I park?');
  await inbox('/' + visitor.conversation);
  await log().getByText('Where can I park?').waitFor();
  await page.getByRole('textbox', { name: 'Reply' }).fill('Written before the session ended');
  await desk.context.clearCookies();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Your session has ended' }).waitFor();
  await look(page, 'session-ended', { themes: ['light'] });
  await page.getByLabel('Password').fill('not the password');
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await page.getByText('This password is not right.').waitFor();
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Log in', exact: true }).click();
  await page.getByRole('heading', { name: 'Your session has ended' }).waitFor({ state: 'detached' });
  await until(async () => (await office.api.conversation(visitor.conversation)).messages.some(({ content }) => content === 'Written before the session ended'), 'the draft');
});

test('a draft is there again after the tab was closed', async () => {
  const visitor = office.visitor();
  await visitor.say('Where can I park?');
  await inbox('/' + visitor.conversation);
  await page.getByRole('textbox', { name: 'Reply' }).fill('To be continued');
  await page.reload();
  await until(async () => (await page.getByRole('textbox', { name: 'Reply' }).inputValue()) === 'To be continued', 'the draft');
});

test('a viewer sees everything and can change nothing', async () => {
  const visitor = office.visitor();
  await visitor.say('Where can I park?');
  const { code } = await office.api.call('POST', '/api/team/invitations', { role: 'viewer' });
  const email = `vera-${randomBytes(6).toString('hex')}@example.com`;
  await createApi(colloquy.url).call('POST', '/api/auth/signup', { email, password: PASSWORD, name: 'Vera Viewer', invitation_code: code });
  await desk.context.clearCookies();
  await signIn(page, colloquy.url, email);
  await inbox('/' + visitor.conversation);
  await log().getByText('Where can I park?').waitFor();
  await page.getByText(/needs the role rep/).waitFor();
  for (const name of ['Take over', 'Resolve', 'Escalate', 'Send', 'Correct this answer']) assert.equal(await page.getByRole('button', { name }).count(), 0, name);
  await page.keyboard.press('t');
  await page.keyboard.press('e');
  const { conversation } = await office.api.conversation(visitor.conversation);
  assert.deepEqual([conversation.status, conversation.floor.holder], ['active', 'assistant']);
  for (const [path, words] of [[`/agents/${office.agent.id}/chat`, /needs the role manager/], ['/settings', /needs the role admin/], ['/settings/keys', /needs the role admin/], ['/onboarding', /needs the role manager/]]) {
    await page.goto(colloquy.url + '/app' + path);
    await page.getByText(words).first().waitFor();
    assert.equal(await page.locator('main').locator('input:enabled, textarea:enabled, select:enabled').count(), 0, path);
  }
  // Also behind the interface's back.
  const status = await page.evaluate(async (id) => {
    const me = await (await fetch('/api/me')).json();
    return (await fetch(`/api/conversations/${id}/takeover`, { method: 'POST', headers: { 'X-CSRF-Token': me.csrf_token } })).status;
  }, visitor.conversation);
  assert.equal(status, 403);
});

test('somebody of another organization sees nothing of it', async () => {
  const visitor = office.visitor();
  await visitor.say('A secret of Northwind');
  const other = await createOffice(colloquy.url);
  await desk.context.clearCookies();
  await signIn(page, colloquy.url, other.email);
  for (const path of [`/conversations/${visitor.conversation}`, `/agents/${office.agent.id}`, `/conversations/${visitor.conversation}/explain`]) {
    await page.goto(colloquy.url + '/app' + path);
    await page.getByText('There is nothing here').first().waitFor();
  }
  await page.goto(colloquy.url + '/app/conversations');
  await page.getByText('No conversation yet').waitFor();
  await office.visitor().say('Another secret of Northwind');
  await other.visitor().say('Mine');
  await list().getByRole('link').first().waitFor();
  assert.equal(await list().getByRole('link').count(), 1);
});
