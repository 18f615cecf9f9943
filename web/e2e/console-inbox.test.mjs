// Watching and steering conversations: a visitor and an operator in two browsers, streamed answers, a restart in the middle, a lost session,
// a viewer who may change nothing and somebody of another organization who sees nothing.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { createApi } from './lib/api.mjs';
import { launch, shot, until } from './lib/browser.mjs';
import { PASSWORD, createOffice, look, signIn, watch } from './lib/console.mjs';
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
  assert.equal((await office.api.conversation(visitor.conversation)).conversation.status, 'active');
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
  await page.getByText('Nothing fits these filters').waitFor();
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
