// Every page of the console in both themes, wide and narrow: free of findings of axe, nothing wider than the screen, hostile texts shown as texts.
// SHOTS names a folder for pictures; COLLOQUY_BIN names the binary.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, until } from './lib/browser.mjs';
import { EVIL, createOffice, look, signIn, watch } from './lib/console.mjs';
import { createColloquy } from './lib/server.mjs';

let colloquy;
let browser;
let page;
let errors;
let office;
let talk;
let strange;
let lead;

before(async () => {
  colloquy = await createColloquy();
  await colloquy.start();
  browser = await launch();
  page = await browser.context.newPage();
  errors = watch(page);
  office = await createOffice(colloquy.url);
  const { api, agent } = office;
  const rosa = office.visitor();
  await rosa.say('Where can I park?');
  await rosa.say('My name is Rosa Delgado, my number is 217-555-0133 and I would like a check-up.');
  await rosa.say('What does a cleaning cost?');
  talk = rosa.conversation;
  const evil = office.visitor();
  await evil.say(EVIL);
  strange = evil.conversation;
  await evil.say('What do you charge on the moon? ' + 'w'.repeat(180));
  await office.visitor().say('I need a person, this is an emergency: my child is bleeding heavily!');
  for (let n = 0; n < 12; n += 1) await office.visitor().say(['Are you open on Saturday?', 'Do you take my insurance?', 'How long is a cleaning?'][n % 3]);
  await api.takeOver(talk);
  await api.whisper(talk, 'Offer her Tuesday.');
  await api.write(talk, 'Dana here: shall we say Tuesday at ten?');
  await api.call('POST', `/api/agents/${agent.id}/faqs`, { question: EVIL, answer: EVIL, category: 'a_strange_one' });
  await api.call('POST', `/api/agents/${agent.id}/sources`, { type: 'manual_text', name: EVIL.slice(0, 90), content: EVIL });
  await api.updateAgent(agent.id, { welcome_message: 'Hello from {{business_name}}. How can we help?', quick_prompts: ['When are you open?', 'Request an appointment'] });
  await api.call('POST', '/api/api-keys', { name: 'Practice software', kind: 'secret', role: 'viewer' });
  await api.call('POST', '/api/team/invitations', { role: 'rep', email: 'nora@example.com' });
  lead = await until(async () => (await api.leads(agent.id))[0], 'the lead', 30_000);
  await signIn(page, colloquy.url, office.email);
});
after(async () => {
  await browser?.close();
  await colloquy?.close();
});

const go = async (path, ready) => {
  await page.goto(colloquy.url + '/app' + path);
  await ready.first().waitFor();
};

test('every page, both themes, wide and narrow', async (t) => {
  const agent = office.agent.id;
  const pages = [
    ['overview', '', () => page.getByText('Rosa Delgado')],
    ['inbox', '/conversations', () => page.getByRole('list', { name: 'Conversations' }).getByText('Rosa Delgado')],
    ['conversation', `/conversations/${talk}`, () => page.getByText('Tuesday at ten')],
    ['explain', `/conversations/${talk}/explain`, () => page.getByText('Where the time went')],
    ['agents', '/agents', () => page.getByRole('heading', { name: 'Ada' })],
    ['agent', `/agents/${agent}`, () => page.getByText('Put it on your website')],
    ['training', `/agents/${agent}/training`, () => page.getByText('Handbook')],
    ['faqs', `/agents/${agent}/training?view=faqs`, () => page.getByText('A strange one')],
    ['search', `/agents/${agent}/training?view=search`, () => page.getByText('What would it find?')],
    ['unanswered', `/agents/${agent}/training?view=unanswered`, () => page.getByRole('button', { name: 'Teach the answer' })],
    ['chat-settings', `/agents/${agent}/chat`, () => page.getByRole('heading', { name: 'Versions' })],
    ['widget', `/agents/${agent}/widget`, () => page.getByText('Powered by Colloquy').last()],
    ['voice', `/agents/${agent}/voice`, () => page.getByText('Answer calls')],
    ['agent-conversations', `/agents/${agent}/conversations`, () => page.getByText('Open in the inbox')],
    ['agent-leads', `/agents/${agent}/leads`, () => page.getByText('All leads')],
    ['agent-analytics', `/agents/${agent}/analytics`, () => page.locator('.u-over')],
    ['analytics', '/analytics', () => page.locator('.u-over')],
    ['analytics-days', '/analytics?from=2026-01-01&to=2026-01-31', () => page.getByText('Nothing happened in this time.')],
    ['inbox-unread', '/conversations?unread=true', () => page.getByRole('list', { name: 'Conversations' }).getByRole('link')],
    ['inbox-nothing-found', '/conversations?q=xylophone', () => page.getByText('Nobody said')],
    ['agent-settings', `/agents/${agent}/settings`, () => page.getByText('Delete this agent')],
    ['leads', '/leads', () => page.getByRole('link', { name: 'Rosa Delgado' })],
    ['lead', `/leads/${lead.id}`, () => page.getByText(/of 100/)],
    ['settings', '/settings', () => page.getByLabel('Time zone')],
    ['hours', '/settings/hours', () => page.getByText('Monday').first()],
    ['team', '/settings/team', () => page.getByText('nora@example.com')],
    ['notifications', '/settings/notifications', () => page.getByText('Learning failed')],
    ['audit', '/settings/audit', () => page.getByRole('row').nth(1)],
    ['keys', '/settings/keys', () => page.getByText('Practice software')],
    ['privacy', '/settings/privacy', () => page.getByText('Counters stay')],
    ['onboarding', '/onboarding?new=1', () => page.getByRole('radio', { name: /Legal/ })],
    ['nothing', '/conversations/unknown', () => page.getByText('There is nothing here')],
  ];
  for (const [name, path, ready] of pages) {
    await t.test(name, async () => {
      await go(path, ready());
      await look(page, name);
      assert.equal(await page.evaluate(() => window.__evil), undefined, `${name}: a hostile text ran`);
      assert.deepEqual(errors.splice(0), [], name);
    });
  }
});

test('palette, shortcuts, a dialog and the menu', async () => {
  await go('', page.getByText('Rosa Delgado'));
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox', { name: 'Find anything' }).fill('set');
  await look(page, 'palette');
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  await page.getByRole('heading', { name: 'Keyboard shortcuts' }).waitFor();
  await look(page, 'shortcuts');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Account and organization' }).click();
  await look(page, 'menu');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: /^Notifications/ }).click();
  await page.getByRole('dialog', { name: 'Notifications' }).getByRole('link').first().waitFor();
  await look(page, 'bell');
  assert.deepEqual(errors.splice(0), []);
});

test('hostile words are shown as they were written', async () => {
  const log = page.getByRole('log');
  await go('/conversations/' + strange, log);
  await log.getByText('<img src=x onerror=', { exact: false }).first().waitFor();
  assert.equal(await log.locator('img, script, b').count(), 0, 'nothing of it is markup');
  await go(`/agents/${office.agent.id}/training?view=faqs`, page.getByText('A strange one'));
  assert.ok((await page.locator('main').innerText()).includes('<script>window.__evil=1</script>'));
  assert.equal(await page.evaluate(() => window.__evil), undefined);
});
