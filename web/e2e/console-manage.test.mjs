// Agents, knowledge, leads, settings, and what is behind an answer: every change by the pages, checked by the API.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, shot, until } from './lib/browser.mjs';
import { createColleague, look } from './lib/console.mjs';
import { inOffice } from './lib/office.mjs';
import { open, say } from './lib/widget.mjs';

let colloquy;
let browser;
let office;
let page;

inOffice((now) => ({ colloquy, browser, office, page } = now));

const go = (path) => page.goto(colloquy.url + '/app' + path);
const agentPath = (tab = '') => `/agents/${office.agent.id}${tab}`;
const stored = () => office.api.call('GET', `/api/agents/${office.agent.id}`);
const save = async () => {
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByText('Saved', { exact: true }).first().waitFor();
};

test('a prompt is edited with its variables, compared with an older version and restored', async () => {
  const before = await stored();
  await go(agentPath('/chat'));
  const prompt = page.getByLabel('Prompt', { exact: true });
  await prompt.fill('You answer for {{business_name}} and {{nobody}}.');
  await page.getByText(/Nothing fills \{\{nobody\}\}/).waitFor();
  // Unsaved words outlive a reload.
  await page.reload();
  await page.getByText('Kept from last time').waitFor();
  assert.equal(await prompt.inputValue(), 'You answer for {{business_name}} and {{nobody}}.');
  await prompt.fill('You answer for {{business_name}} in ');
  await page.getByRole('button', { name: 'city' }).click();
  assert.equal(await prompt.inputValue(), 'You answer for {{business_name}} in {{city}}');
  await page.getByLabel('Temperature').fill('7');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.locator('.field .wrong').first().waitFor();
  await page.getByLabel('Temperature').fill('0.5');
  await save();
  const after = await stored();
  assert.deepEqual([after.system_prompt, after.temperature], ['You answer for {{business_name}} in {{city}}', 0.5]);
  await page.getByRole('row', { name: /First version/ }).getByRole('button', { name: 'Compare' }).click();
  await page.getByRole('dialog').getByText('You answer for {{business_name}} in {{city}}').waitFor();
  await look(page, 'versions', { themes: ['light', 'dark'] });
  await page.getByRole('button', { name: 'Restore this version' }).click();
  await until(async () => (await stored()).system_prompt === before.system_prompt, 'the old prompt');
  await until(async () => (await prompt.inputValue()) === before.system_prompt, 'the old prompt on the page');
  await page.getByRole('button', { name: 'Undo' }).click();
  await until(async () => (await stored()).temperature === 0.5, 'the undone restore');
});

test('somebody else saved first: it is shown as a difference, and nothing is overwritten unasked', async () => {
  await go(agentPath('/chat'));
  await page.getByLabel('Welcome').fill('My welcome');
  await office.api.updateAgent(office.agent.id, { welcome_message: 'Their welcome', fallback_message: 'Their fallback' });
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  const dialog = page.getByRole('dialog', { name: 'Somebody else saved first' });
  await dialog.getByText('Their welcome').waitFor();
  await dialog.getByText('My welcome').waitFor();
  assert.equal((await stored()).welcome_message, 'Their welcome');
  await look(page, 'stale', { themes: ['light'] });
  await dialog.getByRole('button', { name: 'Save mine over it' }).click();
  await until(async () => (await stored()).welcome_message === 'My welcome', 'my welcome');
  assert.equal((await stored()).fallback_message, 'Their fallback', 'what only they changed stays');
  assert.equal(await page.getByLabel('When it does not know').inputValue(), 'Their fallback');
});

test('an answer of one’s own that somebody else changed meanwhile is shown as a difference, and nothing is overwritten', async () => {
  const faqs = `/api/agents/${office.agent.id}/faqs`;
  const made = await office.api.call('POST', faqs, { question: 'Do you sell gift cards?', answer: 'First words.', category: 'shop' });
  const now = async () => (await office.api.call('GET', faqs)).items.find((one) => one.id === made.id);
  await go(agentPath('/training?view=faqs'));
  await page.getByRole('button', { name: 'Edit: Do you sell gift cards?' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Answer' }).fill('My words.');
  await office.api.call('PATCH', `${faqs}/${made.id}`, { answer: 'Their words.' });
  await dialog.getByRole('button', { name: 'Teach it' }).click();
  await dialog.getByRole('alert').getByText('Their words.').waitFor();
  await dialog.getByRole('alert').getByText('My words.').waitFor();
  assert.equal((await now()).answer, 'Their words.', 'nothing is overwritten');
  await look(page, 'faq-stale');
  await dialog.getByRole('button', { name: 'Take what is stored' }).click();
  assert.equal(await dialog.getByRole('textbox', { name: 'Answer' }).inputValue(), 'Their words.');
  await dialog.getByRole('textbox', { name: 'Answer' }).fill('My words after all.');
  await office.api.call('PATCH', `${faqs}/${made.id}`, { answer: 'Theirs once more.' });
  await dialog.getByRole('button', { name: 'Teach it' }).click();
  await dialog.getByRole('alert').getByText('Theirs once more.').waitFor();
  await dialog.getByRole('button', { name: 'Save mine over it' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.equal((await now()).answer, 'My words after all.', 'saved over it when that was asked for');
});

test('a question that has an answer already is corrected: both answers are shown, and an undo brings the first one back', async () => {
  const faqs = `/api/agents/${office.agent.id}/faqs`;
  const made = await office.api.call('POST', faqs, { question: 'Do you sell vouchers?', answer: 'No, we do not.', category: 'shop' });
  const now = async () => (await office.api.call('GET', faqs)).items.filter((one) => /vouchers/.test(one.question));
  await go(agentPath('/training?view=faqs'));
  await page.getByRole('button', { name: 'Add a question' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Question' }).fill('do you sell vouchers');
  await dialog.getByRole('textbox', { name: 'Answer' }).fill('Yes, from 20 dollars.');
  await dialog.getByRole('button', { name: 'Teach it' }).click();
  await dialog.getByRole('alert').getByText('No, we do not.').waitFor();
  assert.deepEqual((await now()).map(({ answer }) => answer), ['No, we do not.'], 'nothing has been changed yet');
  await look(page, 'faq-before');
  await dialog.getByRole('button', { name: 'Replace the answer' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.deepEqual((await now()).map(({ id, answer }) => [id, answer]), [[made.id, 'Yes, from 20 dollars.']]);
  await page.getByRole('button', { name: 'Undo' }).click();
  await until(async () => (await now())[0].answer === 'No, we do not.', 'the first answer is back');
});

test('a role that somebody else changed meanwhile is shown as a difference, and nothing is overwritten', async () => {
  const rita = await createColleague(colloquy.url, office, 'rep', 'Rita Rep');
  const role = async () => (await office.api.call('GET', '/api/team/members')).items.find((one) => one.user_id === rita.id).role;
  await go('/settings/team');
  const select = page.getByRole('combobox', { name: 'Role of Rita Rep' });
  await select.waitFor();
  await office.api.call('PATCH', `/api/team/members/${rita.id}`, { role: 'manager' });
  await select.selectOption('viewer');
  const dialog = page.getByRole('dialog', { name: 'Somebody else saved first' });
  await dialog.getByText('Manager').first().waitFor();
  assert.equal(await role(), 'manager');
  await dialog.getByRole('button', { name: 'Take what is stored' }).click();
  await until(async () => (await select.inputValue()) === 'manager', 'what is stored');
  await select.selectOption('viewer');
  await until(async () => (await role()) === 'viewer', 'a change of what was seen');
});

test('for how long conversations are kept is said in days, and the server’s own words stand beside the field', async () => {
  const retention = async () => (await office.api.call('GET', '/api/organization')).settings.retention;
  await go('/settings/privacy');
  const days = page.getByLabel('Days', { exact: true });
  await days.fill('365');
  await save();
  assert.deepEqual(await retention(), { conversations_days: 365 });
  await days.fill('99999');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.locator('.field .wrong').getByText(/1 to 3660/).waitFor();
  await days.fill('');
  await save();
  await until(async () => (await retention())?.conversations_days === undefined || (await retention())?.conversations_days === null, 'for ever');
  await until(async () => !(await page.getByRole('button', { name: 'Discard' }).count()), 'that nothing is left to save');
  await look(page, 'retention', { widths: [390] });
});

test('the widget changes under the eyes, is saved, and a bad colour is said beside the field', async () => {
  await go(agentPath('/widget'));
  const preview = page.getByRole('figure', { name: 'Preview' });
  await page.getByLabel('Colour', { exact: true }).fill('#7A1FA2');
  await page.getByLabel('Colour', { exact: true }).press('Tab');
  assert.equal(await preview.locator('.top').evaluate((top) => getComputedStyle(top).backgroundColor), 'rgb(122, 31, 162)');
  await page.getByLabel('Welcome').fill('Hello from {{business_name}}');
  await preview.getByText('Hello from Northwind Dental').waitFor();
  await page.getByLabel('Corner of the page').selectOption('Left');
  await save();
  const { chat_theme, chat_position } = await stored();
  assert.deepEqual([chat_theme.primary_color, chat_position], ['#7A1FA2', 'bottom-left']);
  await shot(page, 'widget-purple');
  await page.getByLabel('Colour', { exact: true }).fill('red; background: url(x)');
  await page.getByLabel('Colour', { exact: true }).press('Tab');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.locator('.field .wrong').first().waitFor();
  await page.getByRole('button', { name: 'Discard' }).click();
});

test('an agent is switched off and on again, and visitors notice', async () => {
  await go('/agents');
  const toggle = page.getByRole('switch', { name: /Ada answers visitors/ });
  await toggle.click();
  await until(async () => (await stored()).status === 'paused', 'paused');
  await assert.rejects(office.visitor().say('Hello?'), /agent_not_live/);
  await page.getByRole('button', { name: 'Undo' }).click();
  await until(async () => (await stored()).status === 'active', 'active again');
  await until(async () => (await toggle.getAttribute('aria-checked')) === 'true', 'the switch');
});

test('the agent learns from a text and a file, forgets with an undo, and the search tester shows what it finds', async () => {
  await go(agentPath('/training'));
  await page.getByRole('button', { name: 'Add a text' }).click();
  await page.getByLabel('Name').fill('Aquarium');
  await page.getByRole('textbox', { name: 'Text' }).fill('Our aquarium is fed every day at noon by Doctor Finn.');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByRole('cell', { name: 'Aquarium', exact: true }).waitFor();
  await page.locator('input[type=file]').setInputFiles({ name: 'garden.md', mimeType: 'text/markdown', buffer: Buffer.from('# Garden\n\nThe garden has forty rose bushes.') });
  await page.getByRole('row', { name: /garden\.md/ }).getByText('Learned').waitFor({ timeout: 30_000 });
  await page.locator('input[type=file]').setInputFiles({ name: 'virus.exe', mimeType: 'application/octet-stream', buffer: Buffer.from([77, 90, 0, 1]) });
  await page.getByText(/must be a PDF/).waitFor();
  await page.goto(colloquy.url + '/app' + agentPath('/training?view=search'));
  const search = page.getByLabel('Ask as a visitor would…');
  await until(async () => {
    await search.fill('When is the aquarium fed?');
    await page.getByRole('button', { name: 'Search', exact: true }).click();
    return page.getByText(/fed every day at noon/).first().waitFor({ timeout: 2_000 }).then(() => true, () => false);
  }, 'the text in the index', 30_000);
  await look(page, 'search-found');
  await go(agentPath('/training'));
  await page.getByRole('button', { name: 'Remove: Aquarium' }).click();
  await page.getByRole('cell', { name: 'Aquarium', exact: true }).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByRole('cell', { name: 'Aquarium', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Remove: garden.md' }).click();
  await until(async () => !(await office.api.call('GET', `/api/agents/${office.agent.id}/sources`)).items.some(({ name }) => name === 'garden.md'), 'the removed file', 20_000);
});

test('a question nobody could answer becomes one with an answer', async () => {
  await office.visitor().say('Do you repair bicycles on Sundays?');
  await go(agentPath('/training?view=unanswered'));
  await page.getByRole('row', { name: /bicycles/ }).getByRole('button', { name: 'Teach the answer' }).click();
  await page.getByRole('textbox', { name: 'Answer' }).fill('Only the bicycles of dentists.');
  await page.getByRole('button', { name: 'Teach it' }).click();
  await page.getByText('The agent knows it now').waitFor();
  const { items } = await office.api.call('GET', `/api/agents/${office.agent.id}/faqs`);
  assert.ok(items.some(({ answer }) => answer === 'Only the bicycles of dentists.'));
  await until(async () => (await office.visitor().say('Do you repair bicycles on Sundays?')).response.includes('bicycles of dentists'), 'the answer', 30_000);
});

test('an answer is explained, the conversation rewound to the same state, and the turn tried differently', async () => {
  const visitor = office.visitor();
  await visitor.say('Where can I park?');
  await visitor.say('What does a cleaning cost?');
  await go(`/conversations/${visitor.conversation}/explain`);
  await page.getByText('Same as live').waitFor();
  await page.getByText('Where the time went').waitFor();
  await page.getByText('Handbook').first().waitFor();
  await page.getByRole('slider', { name: 'Event' }).fill('2');
  await until(() => new URL(page.url()).searchParams.get('at') === '2', 'the place in the address');
  await page.getByText('Same as live').waitFor({ state: 'detached' });
  await until(async () => !(await page.getByRole('region', { name: 'What was said' }).innerText()).includes('cleaning'), 'the state before');
  const { state_hash } = await office.api.call('GET', `/api/conversations/${visitor.conversation}/replay?at=2`);
  await page.getByText(state_hash.slice(0, 12)).waitFor();
  await look(page, 'rewound', { themes: ['dark'] });
  await page.getByRole('slider', { name: 'Event' }).fill('999');
  await page.getByRole('button', { name: 'Try it differently' }).click();
  const dialog = page.getByRole('dialog', { name: 'Try it differently' });
  await dialog.getByLabel('What the visitor says').fill('When are you open?');
  await dialog.getByRole('button', { name: 'Try it', exact: true }).click();
  await dialog.getByText('What would be said').waitFor({ timeout: 20_000 });
  await dialog.getByText(/8:00 to 18:00/).filter({ visible: true }).first().waitFor();
  await look(page, 'fork');
  assert.equal((await office.api.conversation(visitor.conversation)).messages.length, 4, 'the visitor’s conversation is untouched');
});

test('leads: the newest comes by itself, the drawer has its reasons, a status can be taken back, notes are kept', async () => {
  await go('/leads');
  await page.getByText('Live', { exact: true }).first().waitFor();
  const visitor = office.visitor();
  await visitor.say('My name is Rosa Delgado, my number is 217-555-0133, what does a cleaning cost?');
  await page.getByRole('link', { name: 'Rosa Delgado' }).click();
  const drawer = page.getByRole('dialog', { name: 'Rosa Delgado' });
  await drawer.getByText(/of 100/).waitFor();
  const [lead] = await office.api.leads(office.agent.id);
  const points = (await drawer.locator('.reasons strong').allInnerTexts()).map(Number);
  assert.equal(points.reduce((sum, n) => sum + n, 0), lead.score, 'the reasons add up');
  await drawer.getByLabel('Status').selectOption('qualified');
  await until(async () => (await office.api.leads(office.agent.id))[0].status === 'qualified', 'qualified');
  await page.getByRole('button', { name: 'Undo' }).click();
  await until(async () => (await office.api.leads(office.agent.id))[0].status === 'new', 'new again');
  await drawer.getByLabel('Notes').fill('Call after five.');
  await drawer.getByRole('button', { name: 'Save' }).click();
  await until(async () => (await office.api.leads(office.agent.id))[0].notes === 'Call after five.', 'the notes');
  // What the person booked stands there, with the way to it.
  await office.api.call('PATCH', '/api/organization', { business_hours: Object.fromEntries(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'].map((day) => [day, { open: '00:00', close: '24:00' }])) });
  await until(async () => (await office.api.call('GET', '/api/calendars')).items.length, 'a calendar');
  const free = await until(async () => (await office.api.call('GET', '/api/appointments/slots?limit=1')).items[0], 'a free time');
  const made = await office.api.call('POST', '/api/appointments', { starts_at: free.starts_at, name: 'Rosa Delgado', conversation_id: visitor.conversation });
  await office.api.call('POST', '/api/appointments', { starts_at: (await office.api.call('GET', '/api/appointments/slots?limit=1')).items[0].starts_at, name: 'Somebody Else' });
  await page.reload();
  await drawer.getByRole('heading', { name: 'Appointments' }).waitFor();
  await drawer.getByText('Scheduled').waitFor();
  await look(page, 'lead-booked', { themes: ['light'] });
  assert.equal(await drawer.locator('.booked a').count(), 1, 'nobody else’s');
  assert.equal(await drawer.locator('.booked a').getAttribute('href'), `/app/appointments/${made.id}`);
  await office.api.call('PATCH', '/api/organization', { business_hours: null });
  await page.keyboard.press('Escape');
  await until(() => new URL(page.url()).pathname === '/app/leads', 'the list');
  await page.getByLabel('Status').selectOption('lost');
  await page.getByText('No lead fits these filters').waitFor();
  await page.getByRole('button', { name: 'Clear filters' }).last().click();
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Export CSV' }).click()]);
  assert.equal(download.suggestedFilename(), 'leads.csv');
});

test('settings: the server’s own words beside a field, hours, an invitation, a key shown once, an erasure', async () => {
  await go('/settings');
  await page.getByLabel('E-mail').fill('nonsense@');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.locator('.field .wrong').first().waitFor();
  await page.getByLabel('E-mail').fill('front@northwind.example');
  await save();
  await go('/settings/hours');
  await page.getByRole('switch', { name: 'Open on Monday' }).click();
  await page.getByLabel('Monday closes').fill('18:30');
  await page.getByRole('button', { name: 'Same for all weekdays' }).click();
  await save();
  const { business_hours, email } = await office.api.call('GET', '/api/organization');
  assert.deepEqual([business_hours.fri, business_hours.sat ?? null, email], [{ open: '09:00', close: '18:30' }, null, 'front@northwind.example']);
  // A day that was closed comes last in what is sent and in its place in what is stored: that is no difference.
  await page.getByRole('switch', { name: 'Open on Monday' }).click();
  await save();
  await page.getByRole('switch', { name: 'Open on Monday' }).click();
  await save();
  await page.getByRole('region', { name: 'Not saved yet' }).waitFor({ state: 'detached' });
  // A name that is refused does not hold up the hours.
  await go('/settings');
  await page.getByLabel('Name', { exact: true }).fill('');
  await page.getByText('Not saved yet:').waitFor();
  await page.getByRole('link', { name: 'Business hours' }).click();
  await page.getByLabel('Monday closes').fill('17:30');
  await page.getByText('Not saved yet:').waitFor();
  await save();
  assert.equal((await office.api.call('GET', '/api/organization')).business_hours.mon.close, '17:30');
  await page.reload();
  await page.getByLabel('Monday closes').waitFor();
  assert.equal(await page.getByText(/not saved yet:/i).count(), 0);
  await go('/settings');
  await page.getByRole('button', { name: 'Discard' }).click();

  await go('/settings/team');
  await page.getByRole('button', { name: 'Invite' }).click();
  await page.getByLabel('E-mail').fill('nora@example.com');
  await page.getByRole('dialog').getByRole('button', { name: 'Invite' }).click();
  await page.getByText(/nora@example.com gets no e-mail: this server has no mail server yet/).waitFor();
  assert.equal(await page.getByRole('link', { name: 'Open the development mailbox' }).getAttribute('href'), '/dev/mailbox');
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
  await page.getByText('nora@example.com').waitFor();

  await go('/settings/keys');
  await page.getByRole('button', { name: 'New key' }).click();
  await page.getByLabel('Name').fill('Practice software');
  await page.getByRole('dialog').getByRole('button', { name: 'New key' }).click();
  const key = await page.getByRole('dialog').locator('code').innerText();
  assert.match(key, /^cq_sk_/);
  await page.getByRole('button', { name: 'I have it' }).click();
  await page.getByRole('row', { name: /Practice software/ }).waitFor();
  assert.ok(!(await page.content()).includes(key), 'it is shown once');

  const visitor = office.visitor();
  await visitor.say('My name is Eva Gone, my address is eva@gone.example');
  await go('/settings/privacy');
  await page.getByLabel('E-mail').fill('eva@gone.example');
  await page.getByRole('button', { name: 'Erase a person' }).click();
  await page.getByRole('button', { name: 'Erase for good' }).click();
  await page.getByText('Erased', { exact: true }).waitFor({ timeout: 30_000 });
  await assert.rejects(office.api.conversation(visitor.conversation), /404/);
});

test('everything is found by name, and two keys go to a page', async () => {
  await go('');
  await page.getByText(/Hello, Dana/).waitFor();
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').fill('business ho');
  await page.keyboard.press('Enter');
  await until(() => new URL(page.url()).pathname === '/app/settings/hours', 'the hours');
  await page.getByText('Monday').first().waitFor();
  await page.keyboard.press('g');
  await page.keyboard.press('l');
  await until(() => new URL(page.url()).pathname === '/app/leads', 'the leads');
  await page.goBack();
  await until(() => new URL(page.url()).pathname === '/app/settings/hours', 'back');
});

test('days and times read as the organization chooses, at once and for everybody', async () => {
  const { settings } = await office.api.call('GET', '/api/organization');
  await go('/settings');
  await page.getByLabel('Dates and times').selectOption('en-GB');
  await save();
  assert.deepEqual((await office.api.call('GET', '/api/organization')).settings, { ...settings, locale: 'en-GB' });
  // Without a reload: a link of the console.
  await page.getByRole('link', { name: 'Audit log' }).click();
  await page.getByRole('row').nth(1).getByText(/\d \w{3} \d{4}, \d\d:\d\d/).waitFor();
  await go('/settings');
  await page.getByLabel('Dates and times').selectOption('');
  await save();
  await page.getByRole('link', { name: 'Audit log' }).click();
  await page.getByRole('row').nth(1).getByText(/\w{3} \d+, \d{4}, \d+:\d\d.*[AP]M/).waitFor();
});

test('who is signed in tries the sample page, and a stranger on it is a visitor', async () => {
  const talks = async (trial) => (await office.api.call('GET', `/api/conversations?trial=${trial}`)).items.map(({ id }) => id);
  const before = { true: await talks(true), false: await talks(false) };
  const asks = async (tab) => {
    await tab.goto(`${colloquy.url}/demo/${office.agent.id}`);
    const frame = await open(tab);
    await say(frame, 'Where can I park?');
    await frame.getByText(/Elm Street/).first().waitFor({ timeout: 30_000 });
  };
  const added = async (trial) => (await talks(trial)).filter((id) => !before[trial].includes(id));
  const own = await browser.context.newPage();
  await asks(own);
  await own.close();
  const [tried] = await added(true);
  assert.deepEqual([(await added(true)).length, (await added(false)).length], [1, 0]);
  await go('/conversations/' + tried);
  await page.getByText('Trial', { exact: true }).waitFor();
  const elsewhere = await launch();
  const stranger = await elsewhere.context.newPage();
  await asks(stranger);
  const [real] = await added(false);
  assert.deepEqual([(await added(true)).length, (await added(false)).length], [1, 1]);
  await elsewhere.close();
  await go('/conversations/' + real);
  await page.getByRole('log').getByText('Where can I park?').waitFor();
  assert.equal(await page.getByText('Trial', { exact: true }).count(), 0);
});
