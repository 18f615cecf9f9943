// Campaigns in the console against the product's own simulated carrier: set up in steps, watched live, edited, paused, gone on with, ended; and calls by hand.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { until } from './lib/browser.mjs';
import { createColleague, createOffice, look, signIn } from './lib/console.mjs';
import { inOffice } from './lib/office.mjs';
import { connectTo, createSimulatedCarrier, OURS } from './lib/simulated.mjs';

const carrier = await createSimulatedCarrier({ speed: 40 });
let colloquy;
let browser;
let office;
let page;

/** First parts of numbers where it is day now, so that they may be called: somewhere it always is. */
function day() {
  const sides = [['+1415555', 4, 'America/Los_Angeles'], ['+4420794', 5, 'Europe/London'], ['+8135555', 4, 'Asia/Tokyo'], ['+9111234', 5, 'Asia/Kolkata']];
  const hour = (timeZone) => Number(new Intl.DateTimeFormat('en-GB', { timeZone, hour: '2-digit', hourCycle: 'h23' }).format(new Date()));
  return sides.find(([, , zone]) => hour(zone) >= 9 && hour(zone) < 20);
}
const [side, width] = day();
const number = (n) => side + String(n).padStart(width, '0');
const list = (from, count) => 'phone,name,company\n' + Array.from({ length: count }, (_, n) => `${number(from + n)},Person ${from + n},Oak`).join('\n');

const go = (path = '') => page.goto(colloquy.url + '/app' + path);
const campaign = (id) => office.api.call('GET', `/api/calling/campaigns/${id}`);
const stats = (id) => office.api.call('GET', `/api/calling/campaigns/${id}/stats`);
const make = (more = {}) => office.api.call('POST', '/api/calling/campaigns', { name: 'Quiet', agent_id: office.agent.id, from_numbers: [OURS], consent: 'none', ...more });
const bring = async (id, csv) => {
  const body = await fetch(`${colloquy.url}/api/calling/campaigns/${id}/targets`, { method: 'POST', headers: { 'Content-Type': 'text/csv', Authorization: 'Bearer ' + office.session.access_token }, body: csv });
  assert.ok(body.ok, await body.clone().text());
  return body.json();
};
let account;
/** The office has an account and a number from then on. */
const connected = () => (account ??= connectTo(office));
const idOf = () => /campaigns\/([^/?]+)/.exec(page.url())?.[1];
const card = (name) => page.locator('.num-card').filter({ hasText: name }).locator('strong');
const said = (text) => page.getByText(text).first().waitFor();

inOffice((now) => ({ colloquy, browser, office, page } = now), { settings: carrier.settings });
after(() => carrier.close());

test('a campaign is set up in steps that are saved, with a number, a list with wrong lines, and hours that are refused', async () => {
  await go('/campaigns');
  await page.getByText('No campaign yet').waitFor();
  await page.getByText('Calls need a number that can call').waitFor();
  await look(page, 'campaigns-empty');
  await connected();
  await go('/campaigns');
  await page.getByRole('button', { name: 'New campaign' }).click();
  const dialog = page.getByRole('dialog', { name: 'New campaign' });
  await dialog.getByLabel('Name').fill('Spring webinar');
  await dialog.getByRole('button', { name: 'Begin' }).click();
  await page.getByRole('heading', { name: 'Spring webinar' }).waitFor();
  const id = idOf();

  await page.getByLabel('What a call is for').fill('Invite customers of last year to the webinar.');
  await page.getByLabel('Questions that every call asks').fill('How many people are you?\nWhat do you use today?\n\nWhen do you decide?');
  await look(page, 'campaign-what');
  // What is typed outlives a closed tab, before it is saved.
  await page.getByLabel('Script').fill('Good day');
  await page.reload();
  assert.equal(await page.getByLabel('Script').inputValue(), 'Good day');
  // First words have a length that somebody listens to; the server says so where they stand.
  await page.getByLabel('First words').fill('x'.repeat(601));
  await page.getByText('1 characters too long').waitFor();
  await page.getByRole('button', { name: 'Next' }).click();
  await page.locator('.field').filter({ hasText: 'First words' }).locator('.wrong').waitFor();
  await page.getByLabel('First words').fill('Hello {{name}} of {{company}}.');
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByText('Nobody is on the list').waitFor();
  const kept = await campaign(id);
  assert.deepEqual([kept.objective, kept.opening, kept.questions, kept.script], ['Invite customers of last year to the webinar.', 'Hello {{name}} of {{company}}.', ['How many people are you?', 'What do you use today?', 'When do you decide?'], 'Good day']);

  await page.getByLabel('Paste a list').fill(`${list(100, 30)}\n12,Nobody\n${number(100)},Twice`);
  await page.getByRole('button', { name: 'Add to the list' }).click();
  await page.getByText('30 added').waitFor();
  await page.getByText('1 already there').waitFor();
  // A refused line stands with its number, why, and what it says.
  await page.getByRole('row', { name: /^32 .*12,Nobody/ }).waitFor();
  await page.getByText('Person 100').waitFor();
  await look(page, 'campaign-who');
  // A file does the same; JSON is told by its first character.
  await page.locator('input[type=file]').setInputFiles({ name: 'more.jsonl', mimeType: 'application/octet-stream', buffer: Buffer.from(`{"phone":"${number(200)}","name":"From a file"}\n`) });
  await page.getByText('more.jsonl').waitFor();
  await page.getByRole('button', { name: 'Add to the list' }).click();
  await page.getByText('1 added').waitFor();
  await page.getByText('31 on the list').first().waitFor();
  await page.getByRole('button', { name: 'Next' }).click();

  // The only number there is chosen by itself, and labelled for what it is.
  const ours = page.getByRole('checkbox', { name: OURS });
  await ours.waitFor();
  await until(() => ours.isChecked(), 'the only number');
  await page.getByLabel('From', { exact: true }).fill('03:00');
  await page.getByLabel('Calls begun per second').fill('5');
  await page.getByLabel('Calls at once').fill('8');
  await page.getByLabel('Whom it may call').selectOption('none');
  for (const kind of ['Nobody answers: times', 'Busy: times', 'It does not work: times']) await page.getByLabel(kind).fill('0');
  await page.getByRole('button', { name: 'Next' }).click();
  await page.locator('.field .wrong').filter({ hasText: '08:00' }).waitFor();
  await look(page, 'campaign-how-refused', { widths: [390] });
  await page.getByLabel('From', { exact: true }).fill('08:00');
  await page.getByLabel('Budget (US dollars)').fill('20');
  await look(page, 'campaign-how');
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByText('Everything is there.').waitFor();
  await look(page, 'campaign-check');
  const ready = await campaign(id);
  assert.deepEqual([ready.calls_per_second, ready.max_concurrent, ready.from_numbers, ready.budget, ready.status], [5, 8, [OURS], 20, 'draft']);

  await page.getByRole('button', { name: 'Start calling' }).click();
  await page.getByRole('heading', { name: 'Recent calls' }).waitFor();
  await page.getByText('Simulated carrier: reaches nobody').waitFor();
  // Nobody reloaded anything: cards, calls and results come by themselves, to the end.
  await until(async () => Number(await card('Calls').first().innerText()) > 0, 'the first call', 30_000);
  await page.locator('tbody tr').first().waitFor();
  const everybody = async () => {
    const { counts } = await stats(id);
    return counts.dials >= 31 && !counts.trying;
  };
  await until(everybody, 'everybody was called', 240_000);
  // Whoever asked to be called later is waited for, perhaps until tomorrow: not here.
  if ((await campaign(id)).status === 'running') await office.api.call('POST', `/api/calling/campaigns/${id}/stop`, {});
  await until(async () => ['completed', 'stopped'].includes((await campaign(id)).status), 'the end', 60_000);
  await said(/^(Completed|Stopped)$/);
  const { cards, counts } = await stats(id);
  await until(async () => Number(await card('Calls').first().innerText()) === cards.total_calls, 'all calls');
  assert.equal(Number(await card('Spoke with somebody').innerText()), cards.connected_calls);
  assert.equal(counts.done, 31);
  await look(page, 'campaign-board');
  const [outcome] = Object.keys(counts.outcomes).filter((one) => one !== 'skipped');
  const names = { answered: 'Answered', voicemail: 'Voicemail', no_answer: 'No answer', busy: 'Busy', meeting_booked: 'Meeting booked', callback: 'Callback agreed', not_interested: 'Not interested', failed: 'Failed' };
  await page.getByRole('button', { name: `Calls: ${names[outcome]}` }).click();
  await page.getByRole('heading', { name: `Calls that ended as: ${names[outcome]}` }).waitFor();
  await until(async () => (await page.locator('tbody tr').count()) === counts.outcomes[outcome], 'only those');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Audit (CSV)' }).click()]);
  const { readFile } = await import('node:fs/promises');
  const audit = await readFile(await download.path(), 'utf8');
  assert.ok(audit.includes(number(100)) && audit.trim().split('\n').length >= 31, audit.slice(0, 400));
  await go(`/campaigns/${id}/people`);
  await page.getByText('Person 100').waitFor();
  await look(page, 'campaign-people');
  await go('/campaigns');
  await page.getByText('31 of 31 done').waitFor();
  await look(page, 'campaigns');
});

test('a campaign that runs is paused, taken back, edited and stopped, and each works at once', async () => {
  await connected();
  const made = await make({ name: 'Long one', calls_per_second: 1, max_concurrent: 2 });
  await bring(made.id, list(1000, 60));
  await office.api.call('POST', `/api/calling/campaigns/${made.id}/start`, {});
  await go('/campaigns/' + made.id);
  const state = page.locator('.page-head .badge').first();
  await until(async () => (await state.innerText()) === 'Running', 'it runs');
  await until(async () => Number(await card('Calls').first().innerText()) > 0, 'the first call', 30_000);
  await look(page, 'campaign-running');
  // The home page tells of it, and leads to it.
  const tab = await browser.context.newPage();
  await tab.goto(colloquy.url + '/app');
  const home = tab.getByRole('region', { name: 'Campaigns' });
  await home.getByText('Running').waitFor();
  await home.getByText(/ of 60 done · /).waitFor();
  await tab.close();
  await page.getByRole('button', { name: 'Pause' }).click();
  await until(async () => (await state.innerText()) === 'Paused', 'it is paused');
  assert.equal((await campaign(made.id)).status, 'paused');
  await page.getByRole('button', { name: 'Undo' }).click();
  await until(async () => (await campaign(made.id)).status === 'running', 'it goes on');
  await until(async () => (await state.innerText()) === 'Running', 'and says so');

  // Every setting, while it runs; a change of somebody else meanwhile is not overwritten.
  await go(`/campaigns/${made.id}/settings`);
  await page.getByLabel('Calls at once').fill('3');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await until(async () => (await campaign(made.id)).max_concurrent === 3, 'the new limit');
  await page.getByText('Saved', { exact: true }).first().waitFor();
  const deaf = await browser.context.newPage();
  await deaf.routeWebSocket(/\/api\/live/, () => {}); // As after a break of the connection.
  await deaf.goto(page.url());
  await deaf.getByLabel('Calls at once').fill('4');
  await office.api.call('PATCH', `/api/calling/campaigns/${made.id}`, { max_concurrent: 5 });
  await deaf.getByRole('button', { name: 'Save', exact: true }).click();
  await deaf.getByRole('dialog', { name: 'Somebody else saved first' }).getByText('5').first().waitFor();
  assert.equal((await campaign(made.id)).max_concurrent, 5);
  await deaf.close();

  await go('/campaigns/' + made.id);
  await page.getByRole('button', { name: 'Stop' }).click();
  const ask = page.getByRole('dialog', { name: 'Stop Long one?' });
  await look(page, 'campaign-stop', { widths: [390] });
  await ask.getByRole('button', { name: 'Stop it for good' }).click();
  await until(async () => ['stopping', 'stopped'].includes((await campaign(made.id)).status), 'it stops');
  await until(async () => (await campaign(made.id)).status === 'stopped', 'the last calls end', 120_000);
  await until(async () => (await state.innerText()) === 'Stopped', 'and it says so');
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('dialog', { name: 'Delete Long one?' }).getByRole('button', { name: 'Delete it for good' }).click();
  await page.waitForURL(/\/app\/campaigns$/);
  await until(async () => !(await page.getByText('Long one').count()), 'it is gone from the list');
});

test('leads that fit are brought, and what hinders a start is named with the way to mend it', async () => {
  const made = await make({ name: 'Re-engage', from_numbers: [] });
  const visitor = office.visitor();
  await visitor.say('Hello');
  const fields = { name: 'Lena Lead', phone: number(3000), email: 'lena@example.com', patient_type: 'New patient', reason_for_visit: 'Check-up or routine visit' };
  await office.api.call('POST', '/api/leads/capture', { agent_id: office.agent.id, conversation_id: visitor.conversation, fields }, { Authorization: 'Visitor ' + visitor.token });
  await until(async () => (await office.api.leads(office.agent.id)).length, 'the lead');
  await go(`/campaigns/${made.id}/setup?step=check`);
  await page.getByText('Nobody is on the list yet.').waitFor();
  await page.getByText('No number is chosen').waitFor();
  assert.ok(await page.getByRole('button', { name: 'Start calling' }).isDisabled());
  await page.locator('li.well').filter({ hasText: 'Nobody is on the list' }).getByRole('button', { name: 'Go there' }).click();
  await page.getByRole('button', { name: 'From leads' }).click();
  await page.getByLabel('With status').selectOption('lost');
  await page.getByRole('button', { name: 'Add these leads' }).click();
  await page.getByText('0 added').waitFor();
  await page.getByLabel('With status').selectOption('');
  await page.getByRole('button', { name: 'Add these leads' }).click();
  // Whoever answered the questions of an earlier call is a lead as well.
  await page.getByText(/\b[1-9]\d* added/).first().waitFor();
  await page.getByText('Lena Lead').waitFor();
  await look(page, 'campaign-leads', { widths: [1440, 390] });
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('button', { name: 'Keep it' }).click();
});

test('an account is checked, its addresses can be copied, and a call is ordered by hand', async () => {
  await connected();
  await go('/settings/numbers');
  await page.getByRole('button', { name: 'Check: Simulated carrier' }).click();
  await page.getByText('takes the keys and knows the numbers').waitFor();
  await page.getByText('/api/voice/twilio/voice/').waitFor();
  await look(page, 'numbers');
  await page.getByRole('button', { name: `Call me: ${OURS}` }).click();
  const dialog = page.getByRole('dialog', { name: `Call me: ${OURS}` });
  await dialog.getByLabel('Your number').fill('12');
  await dialog.getByRole('button', { name: 'Call me' }).click();
  await dialog.locator('.wrong').first().waitFor();
  await dialog.getByLabel('Your number').fill(number(4000));
  await dialog.getByLabel('Which consent').selectOption('none');
  await look(page, 'call-me', { widths: [390] });
  await dialog.getByRole('button', { name: 'Call me' }).click();
  await said(`${number(4000)} is being called`);
  await page.getByRole('button', { name: `Text me: ${OURS}` }).click();
  const text = page.getByRole('dialog', { name: `Text me: ${OURS}` });
  await text.getByLabel('Your number').fill(number(4000));
  await text.getByRole('button', { name: 'Text me' }).click();
  await said(`A message is on its way to ${number(4000)}`);
});

test('a viewer watches and orders nothing; another organization sees nothing', async () => {
  await connected();
  const made = await make({ name: 'Only looked at' });
  const vera = await createColleague(colloquy.url, office, 'viewer', 'Vera Viewer');
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, vera.email);
  await go('/campaigns');
  await page.getByText('Only looked at').waitFor();
  assert.equal(await page.getByRole('button', { name: 'New campaign' }).count(), 0);
  await go(`/campaigns/${made.id}/settings`);
  await page.getByText('needs the role manager').first().waitFor();
  assert.equal(await page.locator('main').locator('input:enabled, textarea:enabled, select:enabled').count(), 0);
  for (const name of ['Start', 'Pause', 'Stop', 'Delete', 'Finish setting it up']) assert.equal(await page.getByRole('button', { name, exact: true }).or(page.getByRole('link', { name, exact: true })).count(), 0, name);
  const other = await createOffice(colloquy.url);
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, other.email);
  await go('/campaigns/' + made.id);
  await page.getByText('There is nothing here').waitFor();
  await go('/campaigns');
  await page.getByText('No campaign yet').waitFor();
  await office.api.call('PATCH', '/api/calling/campaigns/' + made.id, { name: 'A secret of Northwind' });
  await page.getByText('Live', { exact: true }).first().waitFor();
  assert.equal(await page.getByText('A secret of Northwind').count(), 0);
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, office.email);
});

test('an agent calls new leads back by itself: what is wrong is said where it stands, what is set is stored, and it can be switched off', async () => {
  await connected();
  await go(`/agents/${office.agent.id}/voice`);
  const stored = async () => (await office.api.call('GET', `/api/agents/${office.agent.id}`)).auto_call_leads;
  assert.equal(await stored(), null);
  await page.getByLabel('Call new leads back by itself').check();
  await page.getByLabel('Within (minutes)').fill('0');
  await page.getByLabel('Countries besides your own').fill('gb, Utopia');
  await page.getByLabel('Questions that every call asks').fill('What is it about?\n\nWhen does it suit you?');
  const save = page.getByRole('button', { name: 'Save', exact: true });
  await save.click();
  await page.locator('.field').filter({ hasText: 'Within (minutes)' }).locator('.wrong').filter({ hasText: '1 to 60' }).waitFor();
  await page.locator('.field').filter({ hasText: 'Countries besides' }).locator('.wrong').filter({ hasText: 'two letters' }).waitFor();
  await look(page, 'voice-auto-call');
  await page.getByLabel('Within (minutes)').fill('10');
  await page.getByLabel('Countries besides your own').fill('gb JP');
  await page.getByLabel('Whom it may call').selectOption('calls');
  await save.click();
  await page.getByText('Saved', { exact: true }).first().waitFor();
  assert.deepEqual(await stored(), { within_minutes: 10, questions: ['What is it about?', 'When does it suit you?'], consent: 'calls', countries: ['GB', 'JP'] });
  await page.reload();
  assert.equal(await page.getByLabel('Within (minutes)').inputValue(), '10');
  await page.getByLabel('Call new leads back by itself').uncheck();
  await save.click();
  await until(async () => (await stored()) === null, 'it is off');
});

test('calls are recorded only with words that tell it; how long recordings are kept is a number of days', async () => {
  await go(`/agents/${office.agent.id}/voice`);
  const stored = () => office.api.call('GET', `/api/agents/${office.agent.id}`);
  await page.getByLabel('Record calls').check();
  const words = page.getByLabel('By which words callers learn it');
  await words.fill('');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.locator('.field').filter({ hasText: 'By which words' }).locator('.wrong').waitFor();
  await words.fill('We record this call to learn from it.');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await until(async () => (await stored()).voice_recording, 'it is on');
  assert.ok((await stored()).compliance_notices.some((one) => one.type === 'call_recording' && one.text === 'We record this call to learn from it.'));
  await go('/settings/privacy');
  await page.getByLabel('Recordings of calls: days').fill('99999');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.locator('.field').filter({ hasText: 'Recordings of calls' }).locator('.wrong').waitFor();
  await page.getByLabel('Recordings of calls: days').fill('30');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await until(async () => (await office.api.call('GET', '/api/organization')).settings.retention?.recordings_days === 30, 'thirty days');
});
