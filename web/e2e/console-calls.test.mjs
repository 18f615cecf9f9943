// Calls in the console: one made in the browser that is answered and books, seen live by a colleague who whispers, takes over and ends it; and how they are found again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './lib/browser.mjs';
import { createColleague, createOffice, look, signIn } from './lib/console.mjs';
import { inOffice } from './lib/office.mjs';

let colloquy;
let browser;
let office;
let page;

const ALWAYS = Object.fromEntries(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'].map((day) => [day, { open: '00:00', close: '24:00' }]));
const go = (path = '', tab = page) => tab.goto(colloquy.url + '/app' + path);
const calls = async (query = '') => (await office.api.call('GET', '/api/voice/calls' + query)).items;
const drawer = (tab = page) => tab.getByRole('dialog');

inOffice((now) => ({ colloquy, browser, office, page } = now), {
  prepare: async ({ office: made }) => {
    await made.api.call('PATCH', '/api/organization', { business_hours: ALWAYS });
    await until(async () => (await made.api.call('GET', '/api/calendars')).items.length, 'a calendar to begin with');
  },
});

/** A test call from the agent's voice settings; says something and gives what is answered. */
async function testCall(tab = page) {
  await go(`/agents/${office.agent.id}/voice`, tab);
  await tab.getByRole('button', { name: 'Make a test call' }).click();
  const dialog = tab.getByRole('dialog', { name: 'Test call: Ada' });
  await dialog.getByRole('button', { name: 'Call', exact: true }).click();
  const heard = dialog.locator('.log .agent .bubble');
  await heard.first().waitFor();
  return {
    dialog,
    heard,
    async say(words) {
      const had = await heard.count();
      await dialog.getByLabel('What the caller says').fill(words);
      await tab.keyboard.press('Enter');
      await until(async () => (await heard.count()) > had, 'an answer to: ' + words, 30_000);
      // A sentence more may follow; where a voice is installed, all of it is spoken first.
      await dialog.getByText('The agent listens').waitFor({ timeout: 60_000 });
      return heard.last().innerText();
    },
  };
}

test('a test call says what is off and why, is answered from the knowledge, books an appointment, and is judged', async () => {
  await go('/calls');
  await page.getByText('No call yet').waitFor();
  await page.getByText('Live', { exact: true }).first().waitFor();
  await look(page, 'calls-empty');
  const caller = await browser.context.newPage();
  const call = await testCall(caller);
  await call.dialog.getByText('you type what the caller says').first().waitFor();
  assert.match(await call.say('Where can I park?'), /Elm Street/);
  // It is on the list of whoever looks, at once.
  await page.bringToFront();
  const row = page.getByRole('row').filter({ hasText: 'Browser' });
  await row.getByText('Talking').waitFor();
  await caller.bringToFront();
  assert.match(await call.say('I would like to book an appointment'), /offer/i);
  let said = await call.say('the first one');
  for (const words of ['My name is Jo Lee', '217-555-0133', 'jo@example.com']) {
    if (/booked/i.test(said)) break;
    said = await call.say(words);
  }
  assert.match(said, /booked/i);
  await look(caller, 'test-call');
  const [appointment] = (await office.api.call('GET', '/api/appointments')).items;
  assert.deepEqual([appointment.name, appointment.channel, appointment.trial], ['Jo Lee', 'voice', true]);
  await call.dialog.getByRole('button', { name: 'Hang up' }).click();
  await call.dialog.getByText('The call has ended.').waitFor();
  await caller.close();

  await page.bringToFront();
  await row.getByText('Completed').waitFor();
  await until(async () => (await calls())[0].score !== null, 'a score');
  const [made] = await calls();
  await row.getByRole('link').click();
  await drawer().getByText(`Score ${made.score} of 100`).waitFor();
  await drawer().getByText('Appointment booked').waitFor();
  await drawer().getByText('Elm Street').first().waitFor();
  await look(page, 'call');
  assert.equal(made.test, true);
  await drawer().getByText('Trial', { exact: true }).waitFor();
  // Typing talks over nobody.
  assert.equal(await drawer().getByText('Interrupted').count(), 0);
  await drawer().getByRole('link', { name: 'Whole conversation' }).click();
  await page.waitForURL(/conversations/);
  await page.getByText('Trial', { exact: true }).first().waitFor();

  // It is a trial: in no figure and no lead; among the conversations only for whoever asks; the appointment is marked.
  assert.deepEqual(await office.api.leads(office.agent.id), []);
  const figures = await office.api.call('GET', '/api/analytics/overview?window=24h');
  assert.deepEqual([figures.total_conversations, figures.leads_captured, figures.calls_answered], [0, 0, 0]);
  assert.deepEqual([(await office.api.call('GET', '/api/conversations?trial=false')).items.length, (await office.api.call('GET', '/api/conversations?trial=true')).items.length], [0, 1]);
  await go('/appointments?view=list');
  await page.getByRole('row').filter({ hasText: 'Jo Lee' }).getByText('Trial', { exact: true }).waitFor();
  await page.getByRole('link', { name: 'Jo Lee' }).click();
  await drawer().getByText('None is sent: it is a trial').waitFor();
  await look(page, 'appointment-trial', { themes: ['light'] });
});

test('a colleague follows a call, whispers, takes over and is heard, hands back, and ends it', async () => {
  const rita = await createColleague(colloquy.url, office, 'rep', 'Rita Rep');
  const caller = await browser.context.newPage();
  const call = await testCall(caller);
  await call.say('Hello, my name is Sam');
  const [live] = await calls('?status=in_progress');
  await page.bringToFront();
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, rita.email);
  await go('/calls/' + live.id);
  await drawer().getByText('my name is Sam').waitFor();
  await drawer().getByLabel('Whisper').fill('Offer him the new patient special');
  await drawer().getByRole('button', { name: 'Whisper it' }).click();
  await until(async () => (await office.api.conversation(live.conversation_id)).messages.some((one) => one.whisper), 'the whisper');
  await drawer().getByRole('button', { name: 'Take over' }).click();
  await drawer().getByRole('button', { name: 'Hand back' }).waitFor();
  await drawer().getByLabel('What the caller is to hear').fill('This is Rita. I am listening.');
  await drawer().getByRole('button', { name: 'Say it' }).click();
  // The caller hears the person at once, and the assistant is silent.
  await until(async () => (await call.heard.last().innerText()).includes('This is Rita'), 'the words of the person', 30_000);
  await look(page, 'call-live');
  await drawer().getByRole('button', { name: 'Hand back' }).click();
  await drawer().getByRole('button', { name: 'Take over' }).waitFor();
  await drawer().getByRole('button', { name: 'Put through' }).click();
  const through = page.getByRole('dialog', { name: 'Put the call through' });
  await through.getByLabel('To which number').fill('12');
  await through.getByRole('button', { name: 'Put through' }).click();
  await through.locator('.wrong').first().waitFor();
  await look(page, 'call-transfer', { widths: [390] });
  await through.getByRole('button', { name: 'Cancel' }).click();
  await drawer().getByRole('button', { name: 'Hang up' }).click();
  await page.getByRole('dialog', { name: 'End this call?' }).getByRole('button', { name: 'End the call' }).click();
  await call.dialog.getByText('The call has ended.').waitFor();
  await drawer().getByText('Completed').waitFor();
  await caller.close();
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, office.email);
});

test('a lost connection is found again and the same call goes on, also after the server was killed', async () => {
  const call = await testCall();
  const before = await call.say('Where can I park?');
  await colloquy.kill();
  await call.dialog.getByText('The connection is lost').waitFor();
  await look(page, 'test-call-lost', { widths: [390] });
  await colloquy.start();
  await call.dialog.getByText('The agent listens').waitFor({ timeout: 60_000 });
  assert.ok(before.includes('Elm Street'));
  assert.match(await call.say('What does a cleaning cost?'), /120/);
  const [live] = await calls('?status=in_progress');
  const { transcript } = await office.api.call('GET', '/api/voice/calls/' + live.id);
  assert.equal(transcript.filter((one) => one.role === 'user').length, 2, 'one call, each thing said once');
  await call.dialog.getByRole('button', { name: 'Hang up' }).click();
  await call.dialog.getByText('The call has ended.').waitFor();
});

test('filters stand in the address and hold for what comes live; a viewer looks and does nothing; another organization sees nothing', async () => {
  await go('/calls?status=missed');
  await page.getByText('No call fits these filters').waitFor();
  await page.getByRole('button', { name: 'Clear' }).first().click();
  await page.locator('tbody tr').first().waitFor();
  await page.getByLabel('Status').selectOption('completed');
  await until(() => new URL(page.url()).searchParams.get('status') === 'completed', 'the address');
  await look(page, 'calls');
  await page.keyboard.press('j');
  await drawer().waitFor();
  const [made] = await calls('?status=completed');
  const vera = await createColleague(colloquy.url, office, 'viewer', 'Vera Viewer');
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, vera.email);
  await go('/calls/' + made.id);
  await drawer().getByText('What was said').waitFor();
  for (const name of ['Take over', 'Hang up', 'Put through', 'Whisper it']) assert.equal(await page.getByRole('button', { name }).count(), 0, name);
  await go(`/agents/${office.agent.id}/voice?test=1`);
  await page.getByText('Test calls are made by people from the role rep on.').waitFor();
  assert.equal(await page.getByRole('dialog').count(), 0);
  const other = await createOffice(colloquy.url);
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, other.email);
  await go('/calls/' + made.id);
  await page.getByText('There is nothing here').waitFor();
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, office.email);
});

/** A recording as the server sends it: µ-law, the caller loud in the first half, the agent in the second. */
function recordingOf(seconds) {
  const sound = Buffer.alloc(seconds * 16_000, 0xff);
  for (let frame = 0; frame < seconds * 8_000; frame += 1) sound[frame * 2 + (frame < seconds * 4_000 ? 0 : 1)] = frame % 16 < 8 ? 0x90 : 0x10;
  const head = Buffer.alloc(58);
  head.write('RIFF', 0);
  head.writeUInt32LE(50 + sound.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(18, 16);
  for (const [at, value] of [[20, 7], [22, 2], [32, 2], [34, 8], [36, 0]]) head.writeUInt16LE(value, at);
  head.writeUInt32LE(8_000, 24);
  head.writeUInt32LE(16_000, 28);
  head.write('fact', 38);
  head.writeUInt32LE(4, 42);
  head.writeUInt32LE(sound.length / 2, 46);
  head.write('data', 50);
  head.writeUInt32LE(sound.length, 54);
  return Buffer.concat([head, sound]);
}

test('a recording is played from anywhere by mouse and keys, shows who spoke when, and says when it is kept no more', async () => {
  const [made] = await calls('?status=completed');
  const file = recordingOf(20);
  let kept = true;
  const asked = [];
  await page.route(`**/api/voice/calls/${made.id}`, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), recording: { seconds: 20, bytes: file.length } } });
  });
  await page.route(`**/api/voice/calls/${made.id}/recording`, (route) => {
    const range = /bytes=(\d+)-(\d*)/.exec(route.request().headers().range ?? '');
    asked.push(range?.[0] ?? 'all');
    if (!kept) return route.fulfill({ status: 404, json: { type: '', title: 'Not found', status: 404, code: 'not_found', detail: 'no recording', retry: 'never' } });
    const headers = { 'Accept-Ranges': 'bytes', 'Content-Type': 'audio/wav' };
    if (!range) return route.fulfill({ status: 200, headers, body: file });
    const [from, to] = [Number(range[1]), range[2] ? Number(range[2]) : file.length - 1];
    return route.fulfill({ status: 206, headers: { ...headers, 'Content-Range': `bytes ${from}-${to}/${file.length}` }, body: file.subarray(from, to + 1) });
  });
  await go('/calls/' + made.id);
  const player = drawer().getByRole('group', { name: 'Recording' });
  await player.getByText('0:00 of 0:20').waitFor();
  assert.deepEqual(asked, [], 'who listened stands in the audit log: nothing is fetched before somebody wants to listen');
  await player.getByRole('button', { name: 'Listen' }).click();
  await player.getByRole('button', { name: 'Pause' }).waitFor();
  // Each lane is high where its own voice is loud.
  const heights = (lane) => player.locator(`path.${lane}`).evaluate((path) => [...path.getAttribute('d').matchAll(/M[\d.]+ ([\d.]+)V([\d.]+)/g)].map(([, from, to]) => to - from));
  await player.locator('path.caller').waitFor({ state: 'attached' });
  const [caller, agent] = [await heights('caller'), await heights('agent')];
  assert.ok(caller[20] > 10 && caller.at(-20) < 2 && agent[20] < 2 && agent.at(-20) > 10, JSON.stringify([caller[20], caller.at(-20), agent[20], agent.at(-20)]));
  await player.getByRole('button', { name: 'Pause' }).click();
  const slider = player.getByRole('slider', { name: 'Place in the recording' });
  await slider.focus();
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  await player.getByText('0:10 of 0:20').waitFor();
  assert.equal(Math.round(await player.locator('audio').evaluate((sound) => sound.currentTime)), 10);
  const box = await slider.boundingBox();
  await page.mouse.click(box.x + box.width * 0.75, box.y + box.height / 2);
  await player.getByText('0:15 of 0:20').waitFor();
  await page.keyboard.press(' ');
  await player.getByRole('button', { name: 'Pause' }).waitFor();
  await until(async () => (await player.locator('audio').evaluate((sound) => sound.currentTime)) > 15.2, 'it goes on from there');
  await page.keyboard.press(' ');
  await look(page, 'call-recording');
  kept = false;
  await page.reload();
  await player.getByRole('button', { name: 'Listen' }).click();
  await drawer().getByRole('alert').getByText('not kept any more').waitFor();
  await look(page, 'call-recording-gone', { widths: [390] });
});

test('a test call that ended can be made again and looked at', async () => {
  const caller = await browser.context.newPage();
  const call = await testCall(caller);
  assert.match(await call.say('Where can I park?'), /Elm Street/);
  for (const _ of [1, 2]) {
    await call.dialog.getByRole('button', { name: 'Hang up' }).click();
    await call.dialog.getByText('The call has ended.').waitFor();
    await call.dialog.getByRole('button', { name: 'Call again' }).click();
    await call.dialog.getByText('Where can I park?').waitFor({ state: 'detached' });
    await call.heard.first().waitFor();
  }
  // In the middle of its greeting.
  await call.dialog.getByRole('button', { name: 'Hang up' }).click();
  await call.dialog.getByRole('link', { name: 'Look at the call' }).click();
  await caller.getByRole('dialog').getByText('Completed', { exact: true }).waitFor();
  await caller.close();
});
