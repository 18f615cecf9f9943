// The widget against the real server, as a visitor on a customer's site meets it. COLLOQUY_BIN names the binary.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { createApi } from './lib/api.mjs';
import { axe, launch, shot, until } from './lib/browser.mjs';
import { createColloquy, createSite } from './lib/server.mjs';
import { answers, bubbles, frameOf, launcher, open, say } from './lib/widget.mjs';

const BINARY = process.env.COLLOQUY_BIN;
const run = (name, body) => test(name, { skip: !BINARY && 'COLLOQUY_BIN is not set' }, body);

const HANDBOOK = `Opening hours. Northwind Dental is open Monday to Friday from 8:00 to 18:00 and on Saturday from 9:00 to 13:00. We are closed on Sunday.

Parking. Free parking is available behind the building, entrance on Elm Street.

Emergencies. Emergency patients are seen the same day. Call before noon.`;
const QUESTION = 'Where can I park?';
const FACT = /Elm Street/;

let colloquy;
let browser;
let api;
let agent;
let site;
let page;

before(async () => {
  if (!BINARY) return;
  colloquy = await createColloquy(BINARY);
  await colloquy.start();
  browser = await launch();
  api = createApi(colloquy.url);
  await api.signUp();
});
after(async () => {
  await browser?.close();
  await colloquy?.close();
});

// Each test has an agent and a site of its own, so that nothing of another visitor is there.
beforeEach(async () => {
  if (!BINARY) return;
  agent = await api.createAgent();
  await api.teach(agent.id, 'Handbook', HANDBOOK, QUESTION);
  site = await createSite(customerPage(`<script async src="${colloquy.url}/widget/${agent.id}.js"></script>`));
  page = await browser.context.newPage();
});
afterEach(async () => {
  await page?.close();
  await site?.close();
});

const customerPage = (script) =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Northwind Dental</title></head><body><main><h1>Northwind Dental</h1></main>${script}</body></html>`;

async function visit() {
  await page.goto(site.origin + '/');
  return open(page);
}

/** Asks and waits for one finished answer more than before. */
async function ask(frame, text) {
  const had = await answers(frame).count();
  await say(frame, text);
  return until(async () => (await answers(frame).count()) > had && (await answers(frame).last().innerText()), 'an answer to: ' + text, 30_000);
}

/** The conversation of this test's only visitor. */
const conversation = () => until(async () => (await api.conversations(agent.id))[0], 'the conversation');

run('a first question is answered from the text, with its source', async () => {
  const frame = await visit();
  await frame.locator('#chips button').first().waitFor();
  assert.match(await ask(frame, QUESTION), FACT);
  assert.ok(await frame.locator('.source').count());
  await shot(page, 'real-answer');
  assert.deepEqual(await axe(frame), []);
});

run('the loader form and the demo page lead to the same chat', async () => {
  await site.close();
  site = await createSite(
    customerPage(
      `<script>window.vbot=window.vbot||function(){(vbot.q=vbot.q||[]).push(arguments)};vbot('init',{agentId:${JSON.stringify(agent.id)}})</script><script async src="${colloquy.url}/widget/loader.js"></script>`,
    ),
  );
  assert.match(await ask(await visit(), QUESTION), FACT);
  await page.goto(`${colloquy.url}/demo/${agent.id}`);
  await open(page);
  await shot(page, 'real-demo');
});

run('kill -9 and restart: the conversation resumes by itself, nothing lost, nothing twice', async () => {
  const frame = await visit();
  await ask(frame, QUESTION);
  await colloquy.kill();
  await frame.locator('#status:not(.ready)').waitFor();
  await say(frame, 'Are you open on Saturday?');
  await frame.locator('.pending').waitFor();
  await colloquy.start();
  await until(async () => (await answers(frame).count()) >= 2 && !(await frame.locator('.pending').count()), 'the second answer', 60_000);
  const said = (await bubbles(frame)).filter((text) => text === QUESTION || text === 'Are you open on Saturday?');
  assert.deepEqual(said, [QUESTION, 'Are you open on Saturday?']);
  const { messages } = await api.conversation((await conversation()).id);
  assert.equal(messages.filter((message) => message.role === 'user').length, 2);
});

run('history is there on the next visit', async () => {
  await ask(await visit(), QUESTION);
  await page.goto('about:blank');
  const frame = await visit();
  await frame.locator('#log', { hasText: QUESTION }).waitFor();
  assert.ok((await bubbles(frame)).some((text) => FACT.test(text)));
});

run('a colleague takes over: the assistant is silent until they hand back', async () => {
  const frame = await visit();
  await ask(frame, QUESTION);
  const { id } = await conversation();
  await api.takeOver(id);
  await frame.locator('#log', { hasText: 'A team member joined' }).waitFor();
  await api.write(id, 'This is Dana from the front desk.');
  await frame.locator('.row.human', { hasText: 'This is Dana' }).waitFor();
  await say(frame, 'Are you open on Saturday?');
  await frame.locator('.pending').waitFor({ state: 'detached' });
  await api.handBack(id);
  await frame.locator('#log', { hasText: 'The assistant is back' }).waitFor();
  const { messages } = await api.conversation(id);
  const roles = messages.map((message) => message.role);
  assert.equal(roles.lastIndexOf('assistant') < roles.lastIndexOf('human_agent'), true);
});

run('a contact form that is sent becomes a lead', async () => {
  const frame = await visit();
  await say(frame, 'I would like to book an appointment');
  const sheet = frame.locator('#sheet');
  await sheet.waitFor({ timeout: 30_000 });
  await shot(page, 'real-lead');
  for (const input of await sheet.locator('[name]').all()) {
    const { type, tag } = await input.evaluate((element) => ({ type: element.type, tag: element.tagName }));
    if (tag === 'SELECT') await input.selectOption({ index: 1 });
    else await input.fill({ email: 'sam@example.com', tel: '+1 555 123 4567', date: '2027-03-01' }[type] ?? 'Sam Okafor');
  }
  await sheet.locator('.primary').click();
  await sheet.waitFor({ state: 'hidden' });
  await until(async () => (await api.leads(agent.id)).length === 1, 'the lead');
});

run('thumbs and a rating reach the conversation, and a new one can begin', async () => {
  const frame = await visit();
  await ask(frame, QUESTION);
  await frame.locator('.thumbs button').last().click();
  await frame.locator('.thumbs button[aria-pressed=true]').last().waitFor();
  await frame.locator('#end').click();
  await frame.locator('.stars label').nth(4).click();
  await frame.locator('#sheet .primary').click();
  await frame.locator('#bar button').waitFor();
  const { id } = await conversation();
  await until(async () => (await api.conversation(id)).conversation.satisfaction_rating === 5, 'the rating');
  await frame.locator('#bar button').click();
  await frame.locator('#status.ready').waitFor();
  assert.match(await ask(frame, QUESTION), FACT);
  assert.equal((await api.conversations(agent.id)).length, 2);
});

run('a site that is not on the list of the agent cannot frame the chat', async () => {
  await api.updateAgent(agent.id, { allowed_origins: ['https://only.example'] });
  await page.goto(site.origin + '/');
  const sockets = [];
  page.on('websocket', (socket) => sockets.push(socket.url()));
  const refused = page.waitForEvent('console', (message) => /frame-ancestors|Framing/.test(message.text()));
  await launcher(page).click();
  await refused;
  assert.deepEqual(sockets, []);
});

run('a paused agent says that nobody answers', async () => {
  await api.updateAgent(agent.id, { status: 'paused' });
  await page.goto(site.origin + '/');
  await launcher(page).click();
  const frame = await frameOf(page);
  await frame.locator('#bar').waitFor();
  assert.equal(await frame.locator('#composer').isVisible(), false);
});

run('no secret stands in any address, and the framed page has a strict policy', async () => {
  const addresses = [];
  page.on('request', (request) => addresses.push(request.url()));
  page.on('websocket', (socket) => addresses.push(socket.url()));
  const policy = page.waitForResponse((response) => new URL(response.url()).pathname === `/widget/${agent.id}`);
  await ask(await visit(), QUESTION);
  const stored = await page.evaluate((id) => JSON.parse(localStorage.getItem('vbot:' + id)), agent.id);
  for (const secret of [stored.token, stored.id]) assert.equal(addresses.some((address) => address.includes(secret)), false);
  const header = (await policy).headers()['content-security-policy'];
  assert.match(header, /script-src 'self'/);
  assert.doesNotMatch(header, /unsafe-inline|unsafe-eval/);
});

run('dark and light, wide and narrow, pass axe', async () => {
  for (const colorScheme of ['light', 'dark']) {
    for (const [width, height] of [[1440, 900], [390, 844]]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height });
      const frame = await visit();
      await frame.locator('#log .bubble').first().waitFor();
      assert.deepEqual(await axe(frame), [], `${colorScheme} ${width}`);
      await shot(page, `real-${colorScheme}-${width}`);
    }
  }
});
