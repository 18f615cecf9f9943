// The widget against the real server, as a visitor on a customer's site meets it. COLLOQUY_BIN names the binary.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { axe, launch, shot, until } from './lib/browser.mjs';
import { FACT, QUESTION, createStage, customerPage, wiretap } from './lib/stage.mjs';
import { answers, bubbles, frameOf, launcher, open, say } from './lib/widget.mjs';

const stage = createStage();
const shows = (frame, text) => frame.locator('#log', { hasText: text }).waitFor();

test('before the first open the customer\'s page fetches the two scripts only, and nothing on it moves', async () => {
  const { page } = stage;
  const fetched = [];
  page.on('request', (request) => fetched.push(request.url().replace(stage.colloquy.url, '')));
  await page.addInitScript(() => {
    window.shift = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shift += entry.value))).observe({ type: 'layout-shift', buffered: true });
  });
  await page.goto(stage.site.origin + '/');
  await launcher(page).waitFor();
  await page.waitForLoadState('networkidle');
  assert.deepEqual(fetched.filter((path) => path.startsWith('/')), [`/widget/${stage.agent.id}.js`, '/widget/loader.js']);
  const height = () => page.evaluate(() => document.documentElement.scrollHeight);
  const before = await height();
  await open(page);
  assert.equal(await height(), before);
  assert.equal(await page.evaluate(() => window.shift), 0);
});

test('the first open greets with the agent\'s own words, and a question is answered from the text with its source', async () => {
  const { page } = stage;
  const frame = await stage.visit();
  await shows(frame, 'welcome to Northwind Dental');
  assert.ok((await frame.locator('#chips button').count()) >= 5);
  assert.match(await stage.ask(frame, QUESTION), FACT);
  assert.equal(await frame.locator('.source').first().innerText(), 'Handbook');
  assert.equal(await frame.locator('#chips button').count(), 0);
  assert.equal(await frame.locator('#say p').count(), 1, 'announced once');
  await shot(page, 'real-answer');
  assert.deepEqual(await axe(frame), []);
});

test('the loader form works like the one-line form, and tells the page what happens', async () => {
  const { page } = stage;
  const id = JSON.stringify(stage.agent.id);
  await stage.serve(
    customerPage(
      `<script>window.vbot=window.vbot||function(){(vbot.q=vbot.q||[]).push(arguments)};vbot('init',{agentId:${id}});window.heard=[];vbot('on','message',function(m){heard.push(m.role)})</script><script async src="${stage.colloquy.url}/widget/loader.js"></script>`,
    ),
  );
  const frame = await stage.visit();
  assert.match(await stage.ask(frame, QUESTION), FACT);
  assert.deepEqual(await page.evaluate(() => window.heard), ['bot']);
  await page.evaluate(() => vbot('close'));
  await page.locator('html > div iframe').waitFor({ state: 'hidden' });
});

test('the demo page shows the chat on a sample site, under its own strict policy', async () => {
  const { page } = stage;
  await page.goto(`${stage.colloquy.url}/demo/${stage.agent.id}`);
  await page.getByText('Northwind Dental').first().waitFor();
  assert.deepEqual(await axe(page), []);
  const frame = await open(page);
  assert.match(await stage.ask(frame, QUESTION), FACT);
  await shot(page, 'real-demo');
});

test('kill -9 and restart: the widget resumes above the last sequence number, nothing lost, nothing twice', async () => {
  const { page, colloquy } = stage;
  const frames = wiretap(page);
  const frame = await stage.visit();
  await stage.ask(frame, QUESTION);
  const seen = Math.max(...frames.filter(({ out, type }) => !out && type === 'message').map(({ seq }) => seq));
  await colloquy.kill();
  await frame.locator('#status:not(.ready)').waitFor();
  const before = frames.length;
  // Written while nobody is there.
  await say(frame, 'Are you open on Saturday?');
  await say(frame, 'And on Sunday?');
  assert.equal(await frame.locator('.pending').count(), 2);
  await colloquy.start();
  await until(async () => /closed on Sunday/i.test(await answers(frame).last().innerText()) && !(await frame.locator('.pending').count()), 'the answers', 60_000);
  const again = frames.slice(before);
  const hello = again.find(({ out, type }) => out && type === 'hello');
  assert.equal(hello.last_seq, seen);
  assert.ok(hello.conversation_id && hello.visitor_token);
  const numbers = again.filter(({ out, type }) => !out && type === 'message').map(({ seq }) => seq);
  assert.ok(numbers.every((seq) => seq > seen), `only what was not seen is sent again: ${numbers}`);
  assert.equal(new Set(numbers).size, numbers.length);
  const asked = [QUESTION, 'Are you open on Saturday?', 'And on Sunday?'];
  assert.deepEqual((await bubbles(frame)).filter((text) => asked.includes(text)), asked);
  const said = await stage.said();
  assert.deepEqual(said.filter(({ role }) => role === 'user').map(({ content }) => content), asked);
});

test('what a colleague wrote while the visitor was away is there, and counted on the button', async () => {
  const { page, api } = stage;
  const frame = await stage.visit();
  await stage.ask(frame, QUESTION);
  await page.goto('about:blank');
  const { id } = await stage.conversation();
  await api.takeOver(id);
  await api.write(id, 'We found your scarf.');
  await page.goto(stage.site.origin + '/');
  // Somebody who has a conversation here is connected without opening it.
  await until(async () => (await launcher(page).getAttribute('aria-label')) === 'Chat (1)', 'the badge');
  const again = await open(page);
  await shows(again, 'We found your scarf.');
  assert.ok((await bubbles(again)).some((text) => FACT.test(text)), 'with everything before it');
  assert.equal(await launcher(page).getAttribute('aria-label'), 'Chat');
});

test('written while the server was down, kept over a closed page, delivered on the next visit', async () => {
  const { page, colloquy } = stage;
  const frame = await stage.visit();
  await stage.ask(frame, QUESTION);
  await colloquy.kill();
  await frame.locator('#status:not(.ready)').waitFor();
  await say(frame, 'Are you open on Saturday?');
  await until(() => page.evaluate((id) => localStorage.getItem('vbot:' + id).includes('on Saturday?'), stage.agent.id), 'the message in storage');
  await page.goto('about:blank');
  await colloquy.start();
  const again = await stage.visit();
  await until(async () => /9:00 to 13:00/.test(await answers(again).last().innerText()), 'the answer');
  assert.equal((await stage.said()).filter(({ content }) => content === 'Are you open on Saturday?').length, 1);
});

test('without a network the widget says so, and goes on by itself', async () => {
  const { page } = stage;
  const frame = await stage.visit();
  await page.context().setOffline(true);
  await frame.getByText('Offline.').first().waitFor();
  await page.context().setOffline(false);
  await frame.locator('#bar').waitFor({ state: 'hidden' });
  assert.match(await stage.ask(frame, QUESTION), FACT);
});

test('a colleague takes over: the assistant is silent, a whisper stays inside, and after the hand-back it answers what waits', async () => {
  const { page, api } = stage;
  const frames = wiretap(page);
  const frame = await stage.visit();
  await stage.ask(frame, QUESTION);
  const { id } = await stage.conversation();
  await api.takeOver(id);
  await shows(frame, 'A team member joined');
  await api.whisper(id, 'Secret: this visitor is a mystery shopper.');
  await api.write(id, 'This is Dana from the front desk.');
  await frame.locator('.row.human', { hasText: 'This is Dana' }).waitFor();
  assert.equal(await frame.locator('.human .who').innerText(), 'Dana Whitfield');
  assert.equal(await frame.locator('#status').innerText(), 'Dana Whitfield');
  await shot(page, 'real-takeover');
  assert.deepEqual(await axe(frame), []);
  await say(frame, 'Are you open on Saturday?');
  await frame.locator('.pending').waitFor({ state: 'detached' });
  // Were the assistant to speak, its answer would stand before what the colleague says now.
  await api.write(id, 'One moment, please.');
  await shows(frame, 'One moment, please.');
  const roles = (await stage.said()).map(({ role }) => role).filter((role) => role !== 'system');
  assert.deepEqual(roles, ['user', 'assistant', 'human_agent', 'user', 'human_agent']);
  await say(frame, 'And on Sunday?');
  await frame.locator('.pending').waitFor({ state: 'detached' });
  await api.handBack(id);
  await shows(frame, 'The assistant is back');
  await until(async () => /closed on Sunday/i.test(await answers(frame).last().innerText()), 'the answer to what waited');
  assert.equal(JSON.stringify(frames).includes('mystery shopper'), false);
});

test('two windows of one visitor show the same conversation as it happens', async () => {
  const first = await stage.visit();
  await stage.ask(first, QUESTION);
  const other = await stage.newPage();
  const second = await stage.visit(other);
  await shows(second, QUESTION);
  await stage.ask(second, 'Are you open on Saturday?');
  await until(async () => JSON.stringify(await bubbles(first)) === JSON.stringify(await bubbles(second)), 'the same words in both');
  await other.close();
});

test('another visitor sees nothing of it', async () => {
  await stage.ask(await stage.visit(), QUESTION);
  const stranger = await launch();
  try {
    const frame = await stage.visit(await stage.newPage(stranger));
    assert.equal((await bubbles(frame)).length, 1, 'the greeting only');
    await stage.ask(frame, 'Are you open on Saturday?');
    assert.equal((await stage.api.conversations(stage.agent.id)).length, 2);
  } finally {
    await stranger.close();
  }
});

test('a contact form slides in, says what is missing, becomes a lead, and does not come back', async () => {
  const { page, api } = stage;
  const frame = await stage.visit();
  await say(frame, 'Can I fill out a form to check my insurance?');
  const sheet = frame.locator('#sheet');
  await sheet.getByText('Insurance check').waitFor();
  await shot(page, 'real-lead');
  assert.deepEqual(await axe(frame), []);
  await sheet.getByLabel('Patient\'s full name').fill('Sam Okafor');
  await sheet.getByLabel('Phone number').fill('555 0');
  await sheet.locator('.primary').click();
  assert.equal(await sheet.locator('[aria-invalid=true]').count(), 2, 'the phone number and the choice');
  await sheet.getByLabel('New or existing patient').selectOption('New patient');
  // Enough digits for the browser, but no number that exists: the server says so at the field.
  await sheet.getByLabel('Phone number').fill('0000000');
  await sheet.locator('.primary').click();
  await until(() => sheet.locator('.bad').allInnerTexts().then((all) => all.some(Boolean)), 'the server\'s complaint');
  await shot(page, 'real-lead-refused');
  await sheet.getByLabel('Phone number').fill('(415) 555-2671');
  await sheet.locator('.primary').click();
  await sheet.waitFor({ state: 'hidden' });
  await shows(frame, 'Thank you!');
  const [lead] = await until(async () => (await api.leads(stage.agent.id)).length && api.leads(stage.agent.id), 'the lead');
  assert.equal(lead.name, 'Sam Okafor');
  assert.equal(lead.phone, '+14155552671');
  assert.equal(lead.conversation_id, (await stage.conversation()).id);
  const again = await stage.visit();
  await shows(again, 'Can I fill out a form');
  assert.match(await stage.ask(again, QUESTION), FACT);
  assert.equal(await again.locator('#sheet').isVisible(), false);
  assert.equal((await api.leads(stage.agent.id)).length, 1);
});

test('a form that is being filled in keeps its words over a restart of the server, and is sent after it', async () => {
  const { colloquy, api } = stage;
  const frame = await stage.visit();
  await say(frame, 'Can I fill out a form to check my insurance?');
  const sheet = frame.locator('#sheet');
  await sheet.getByLabel('Patient\'s full name').fill('Sam Okafor');
  await sheet.getByLabel('Phone number').fill('(415) 555-2671');
  await colloquy.kill();
  await frame.locator('#status:not(.ready)').waitFor();
  await colloquy.start();
  await frame.locator('#status.ready').waitFor({ timeout: 30_000 });
  await sheet.getByLabel('New or existing patient').selectOption('Existing patient');
  // A thumb is a round trip: whatever the server sends again on a reconnect has come by then.
  await frame.locator('.thumbs button').first().click();
  await until(async () => (await api.conversation((await stage.conversation()).id)).messages.at(-1).thumbs_up, 'the thumb');
  assert.equal(await sheet.getByLabel('Patient\'s full name').inputValue(), 'Sam Okafor');
  await sheet.locator('.primary').click();
  await until(async () => (await api.leads(stage.agent.id))[0]?.phone === '+14155552671', 'the lead');
});

test('a talk becomes a lead too, with buttons for a choice', async () => {
  const { page, api } = stage;
  const frame = await stage.visit();
  await stage.ask(frame, 'I would like to book an appointment');
  await stage.ask(frame, 'Sam Okafor');
  await stage.ask(frame, '(415) 555-2671');
  const choices = frame.locator('#chips button');
  await choices.getByText('New patient').waitFor();
  await shot(page, 'real-choice');
  const had = await answers(frame).count();
  await choices.getByText('New patient').click();
  await until(async () => (await answers(frame).count()) > had, 'what comes next');
  await until(async () => (await api.leads(stage.agent.id))[0]?.phone === '+14155552671', 'the lead');
});

test('thumbs and a rating reach the conversation, and a new one can begin', async () => {
  const { page, api } = stage;
  const frame = await stage.visit();
  await stage.ask(frame, QUESTION);
  await frame.locator('.thumbs button').last().click();
  const { id } = await stage.conversation();
  await until(async () => (await api.conversation(id)).messages.at(-1).thumbs_up === false, 'the thumb');
  assert.equal(await frame.locator('.thumbs button').last().getAttribute('aria-pressed'), 'true');
  await frame.locator('#end').click();
  await frame.locator('.stars label').nth(4).click();
  await frame.locator('#sheet textarea').fill('Quick and clear');
  await shot(page, 'real-rating');
  assert.deepEqual(await axe(frame), []);
  await frame.locator('#sheet .primary').click();
  await frame.locator('#bar button').waitFor();
  await until(async () => (await api.conversation(id)).conversation.satisfaction_rating === 5, 'the rating');
  await frame.locator('#bar button').click();
  await frame.locator('#status.ready').waitFor();
  assert.match(await stage.ask(frame, QUESTION), FACT);
  assert.equal((await api.conversations(stage.agent.id)).length, 2);
});

test('keyboard alone: open, read, ask, close, and the focus is where it was', async () => {
  const { page } = stage;
  await page.goto(stage.site.origin + '/');
  await page.locator('#mine').focus();
  await page.keyboard.press('Tab');
  await until(() => page.evaluate(() => document.activeElement.shadowRoot?.activeElement?.tagName === 'BUTTON'), 'focus on the button');
  await page.keyboard.press('Enter');
  const frame = await frameOf(page);
  await frame.locator('#status.ready').waitFor();
  await until(() => frame.evaluate(() => document.activeElement.id === 'input'), 'focus in the input');
  await page.keyboard.type(QUESTION);
  await page.keyboard.press('Enter');
  await until(async () => FACT.test(await answers(frame).last().innerText()), 'the answer');
  assert.equal(await frame.locator('#app').getAttribute('role'), 'dialog');
  assert.equal(await frame.locator('#log').getAttribute('role'), 'log');
  await page.keyboard.press('Escape');
  await until(() => page.evaluate(() => document.activeElement.shadowRoot?.activeElement?.tagName === 'BUTTON'), 'focus back on the button');
  assert.equal(await launcher(page).getAttribute('aria-expanded'), 'false');
});

test('a hostile page: rude styles, patched prototypes, a strict policy', async () => {
  const { page, colloquy } = stage;
  await stage.serve(
    customerPage(
      `<script nonce="x" src="${colloquy.url}/widget/${stage.agent.id}.js"></script>`,
      `<style nonce="x">*{all:unset!important}body *{transform:rotate(3deg)!important}div,iframe,button{display:none!important;visibility:hidden!important;width:3px!important;z-index:-1!important;position:static!important;opacity:0!important}html{font-size:40px!important}</style>
       <script nonce="x">Array.prototype.toJSON=function(){return 'broken'};Object.prototype.extra=1;Array.prototype.extra=2;String.prototype.replaceAll=null;window.postMessage('noise','*');</script>`,
    ),
    { 'Content-Security-Policy': `default-src 'none'; style-src 'nonce-x'; script-src 'nonce-x' ${colloquy.url}; frame-src ${colloquy.url}` },
  );
  const frame = await stage.visit();
  assert.match(await stage.ask(frame, QUESTION), FACT);
  const { x, y, width, height } = await page.locator('html > div iframe').boundingBox();
  assert.deepEqual([x, y, width, height].map(Math.round), [1020, 148, 400, 660]);
  await shot(page, 'real-hostile');
  await page.reload();
  await shows(await open(page), QUESTION);
});

test('the agent\'s list decides which sites may frame the chat', async () => {
  const { page, api } = stage;
  await api.updateAgent(stage.agent.id, { allowed_origins: ['https://only.example'] });
  await page.goto(stage.site.origin + '/');
  const sockets = [];
  page.on('websocket', (socket) => sockets.push(socket.url()));
  const refused = page.waitForEvent('console', (message) => /frame-ancestors|Framing/.test(message.text()));
  await launcher(page).click();
  await refused;
  assert.deepEqual(sockets, []);
  // The browser's own grey page does not stay.
  const closed = async () => (await launcher(page).getAttribute('aria-expanded')) === 'false';
  await until(closed, 'the refused panel to close');
  stage.errors = stage.errors.filter((error) => !/frame-ancestors|Framing/.test(error));
  // The sample page is the server's own; and what the owner allows works at once.
  await page.goto(`${stage.colloquy.url}/demo/${stage.agent.id}`);
  await open(page);
  await api.updateAgent(stage.agent.id, { allowed_origins: ['https://only.example', stage.site.origin] });
  assert.match(await stage.ask(await stage.visit(), QUESTION), FACT);
});

test('a paused agent says that nobody answers', async () => {
  const { page } = stage;
  await stage.api.updateAgent(stage.agent.id, { status: 'paused' });
  await page.goto(stage.site.origin + '/');
  await launcher(page).click();
  const frame = await frameOf(page);
  await frame.locator('#bar').waitFor();
  assert.equal(await frame.locator('#composer').isVisible(), false);
});

test('no secret stands in any address, and the framed page has a strict policy', async () => {
  const { page, agent } = stage;
  const addresses = [];
  page.on('request', (request) => addresses.push(request.url()));
  page.on('websocket', (socket) => addresses.push(socket.url()));
  const policy = page.waitForResponse((response) => new URL(response.url()).pathname === `/widget/${agent.id}`);
  await stage.ask(await stage.visit(), QUESTION);
  const stored = await page.evaluate((id) => JSON.parse(localStorage.getItem('vbot:' + id)), agent.id);
  for (const secret of [stored.token, stored.id]) assert.equal(addresses.some((address) => address.includes(secret)), false);
  const header = (await policy).headers()['content-security-policy'];
  assert.match(header, /script-src 'self'/);
  assert.doesNotMatch(header, /unsafe-inline|unsafe-eval/);
});

test('the owner\'s colours, welcome and position reach the widget at the next visit', async () => {
  const { page, api } = stage;
  await api.updateAgent(stage.agent.id, { chat_theme: { primary_color: '#6366F1' }, chat_position: 'bottom-left', welcome_message: 'Welcome, neighbour.', show_branding: false });
  const frame = await stage.visit();
  await shows(frame, 'Welcome, neighbour.');
  assert.ok((await launcher(page).boundingBox()).x < 100);
  assert.equal(await launcher(page).evaluate((button) => getComputedStyle(button).backgroundColor), 'rgb(99, 102, 241)');
  assert.equal(await frame.locator('#brand').isVisible(), false);
});

test('where the owner asks for consent, nothing is stored before it is given', async () => {
  const { page, api, agent } = stage;
  await api.updateAgent(agent.id, { cookie_consent: true });
  const frame = await stage.visit();
  await stage.ask(frame, QUESTION);
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  assert.deepEqual(await axe(frame), []);
  await frame.getByRole('button', { name: 'Allow' }).click();
  await until(() => page.evaluate((id) => localStorage.getItem('vbot:' + id), agent.id), 'the stored conversation');
  await shows(await stage.visit(), QUESTION);
});

test('dark and light, wide and narrow, pass axe, asked and unasked', async () => {
  const { page } = stage;
  for (const colorScheme of ['light', 'dark']) {
    for (const [width, height] of [[1440, 900], [390, 844]]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height });
      await page.goto(`${stage.colloquy.url}/demo/${stage.agent.id}`);
      await page.evaluate(() => localStorage.clear());
      await page.reload();
      assert.deepEqual(await axe(page), [], `the page, ${colorScheme} ${width}`);
      const frame = await open(page);
      await frame.locator('#log .bubble').first().waitFor();
      await shot(page, `real-${colorScheme}-${width}`);
      assert.deepEqual(await axe(frame), [], `${colorScheme} ${width}`);
      await stage.ask(frame, QUESTION);
      await shot(page, `real-${colorScheme}-${width}-answer`);
      assert.deepEqual(await axe(frame), [], `${colorScheme} ${width} answered`);
      assert.equal(await frame.evaluate(() => document.documentElement.scrollWidth), Math.min(width, 400));
    }
  }
});
