// The built widget in Chromium against the scripted peer: what a visitor sees, loses and keeps.
import assert from 'node:assert/strict';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import { axe, launch, shot, until } from '../../../e2e/lib/browser.mjs';
import { bubbles, frameOf, launcher, open, say } from '../../../e2e/lib/widget.mjs';
import { createPeer } from '../peer/peer.mjs';

let browser;
let peer;
let page;
let errors;

before(async () => {
  browser = await launch();
});
after(() => browser.close());

beforeEach(async () => {
  peer = createPeer();
  await peer.start();
  peer.pages['/'] = host(`<script src="${peer.url}/widget/a1.js" async></script>`);
  page = await browser.context.newPage();
  errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    if (/Content.Security.Policy|TypeError|ReferenceError/i.test(message.text())) errors.push(message.text());
  });
});
afterEach(async () => {
  assert.deepEqual(errors, [], 'the page stays free of errors');
  await page.close();
  await peer.stop();
});

const host = (body, head = '') =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Northwind Dental</title>${head}</head><body><main><h1>Northwind Dental</h1><p>Family dentistry since 1987.</p><button id="mine">Call us</button></main>${body}</body></html>`;

const HOURS = 'We are open **Monday to Friday**, 8:00 to 18:00.\n\n- Saturday: 9:00 to 13:00\n- Sunday: closed\n\nMore at https://example.com/hours.';
const SOURCES = [
  { title: 'Opening hours', url: 'https://example.com/hours' },
  { title: 'Opening hours', url: 'https://example.com/hours' },
  { title: 'Notes for the desk', url: 'javascript:alert(1)' },
];

/** Words wait in the log until they are there. */
const shows = (frame, text) => frame.locator('#log', { hasText: text }).waitFor();

test('the host page fetches only the stub and the loader before the first open', async () => {
  const fetched = [];
  page.on('request', (request) => fetched.push(new URL(request.url()).pathname));
  await page.goto(peer.url + '/');
  await launcher(page).waitFor();
  await page.waitForLoadState('networkidle');
  assert.deepEqual(fetched.filter((path) => path !== '/favicon.ico'), ['/', '/widget/a1.js', '/widget/loader.js']);
  await open(page);
  for (const path of fetched) assert.doesNotMatch(path, /token/);
});

test('the first open greets, offers quick prompts and streams an answer with sources', async () => {
  peer.answer = (talk) => talk.stream(HOURS, { sources: SOURCES });
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await shows(frame, 'Hi, I am Ada');
  assert.equal(await frame.locator('#chips button').count(), 3);
  await shot(page, 'first-open');
  await frame.locator('#chips button').first().click();
  await shows(frame, 'Sunday: closed');
  assert.equal(await frame.locator('#chips button').count(), 0);
  assert.deepEqual(await bubbles(frame).then((all) => all.slice(0, 2)), [peer.agent.welcome_message, peer.agent.quick_prompts[0]]);
  assert.equal(await frame.locator('.bubble strong').innerText(), 'Monday to Friday');
  assert.equal(await frame.locator('.bubble li').count(), 2);
  const links = await frame.locator('.row a').evaluateAll((all) => all.map((a) => [a.href, a.target, a.rel]));
  assert.deepEqual(links, [
    ['https://example.com/hours', '_blank', 'noopener'],
    ['https://example.com/hours', '_blank', 'noopener'],
  ]);
  assert.equal(await frame.locator('span.source', { hasText: 'Notes for the desk' }).count(), 1, 'a script address is only text');
  await shot(page, 'answer-light');
});

test('tokens of a higher attempt replace what was shown, a discard takes it back, an answer is announced once', async () => {
  let go;
  const step = () => new Promise((resolve) => (go = resolve));
  peer.answer = async (talk) => {
    talk.send({ type: 'token', message_id: 'x', attempt: 1, index: 0, text: 'Old words' });
    await step();
    talk.send({ type: 'token', message_id: 'x', attempt: 2, index: 0, text: 'New words' });
    talk.send({ type: 'token', message_id: 'x', attempt: 1, index: 1, text: ' too late' });
    await step();
    talk.send({ type: 'discard', message_id: 'x', reason: 'takeover' });
    await step();
    talk.say('assistant', 'The final answer');
  };
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await say(frame, 'Hello');
  await shows(frame, 'Old words');
  go();
  await shows(frame, 'New words');
  assert.equal((await bubbles(frame)).at(-1), 'New words');
  go();
  await frame.locator('.partial').waitFor({ state: 'detached' });
  go();
  await shows(frame, 'The final answer');
  assert.deepEqual(await frame.locator('#say p').allInnerTexts(), ['Ada at Northwind Dental: The final answer']);
});

test('after the server is killed and restarted the conversation resumes by sequence, each message once', async () => {
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await say(frame, 'one');
  await shows(frame, 'You said one.');
  await peer.stop();
  await frame.locator('#status:not(.ready)').waitFor();
  // Written and answered by a colleague while the visitor was cut off.
  const [conversation] = peer.conversations.values();
  conversation.messages.push({ id: 'm3', seq: ++conversation.seq, role: 'human_agent', author: 'Dana', content: 'Said meanwhile', sources: [] });
  await say(frame, 'two, while the server was away');
  await frame.locator('.pending').waitFor();
  await peer.start();
  await shows(frame, 'You said two, while the server was away.');
  assert.equal(peer.hellos.at(-1).last_seq, 2);
  assert.equal(peer.hellos.at(-1).conversation_id, 'c1');
  assert.deepEqual((await bubbles(frame)).slice(1), ['one', 'You said one.', 'Said meanwhile', 'two, while the server was away', 'You said two, while the server was away.']);
  assert.deepEqual(conversation.messages.filter((message) => message.role === 'user').length, 2);
});

test('a message whose acknowledgement was lost is sent again under the same id and shown once', async () => {
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await say(frame, 'first');
  await shows(frame, 'You said first.');
  peer.answer = async (talk) => talk.drop();
  await say(frame, 'second');
  await until(() => peer.hellos.length > 1, 'a reconnect');
  await frame.locator('.pending').waitFor({ state: 'detached' });
  const sent = peer.received.filter((one) => one.text === 'second');
  assert.equal(new Set(sent.map((one) => one.client_message_id)).size, 1);
  assert.equal(peer.conversations.get('c1').messages.filter((one) => one.content === 'second').length, 1);
  assert.equal((await bubbles(frame)).filter((text) => text === 'second').length, 1);
});

test('what was written offline survives a reload of the page and is delivered then', async () => {
  await page.goto(peer.url + '/');
  let frame = await open(page);
  await say(frame, 'hello');
  await shows(frame, 'You said hello.');
  peer.deaf = true;
  for (const talk of peer.sockets) talk.drop();
  await say(frame, 'please keep this');
  await frame.locator('.pending').waitFor();
  const kept = () => page.evaluate(() => JSON.parse(localStorage.getItem('vbot:a1')));
  // The frame tells the host page, which keeps it: a task of its own in another window.
  await until(async () => Object.values(await kept()).includes('please keep this'), 'the message in storage');
  peer.deaf = false;
  await page.reload();
  frame = await open(page);
  await shows(frame, 'You said please keep this.');
  assert.deepEqual((await bubbles(frame)).slice(1), ['hello', 'You said hello.', 'please keep this', 'You said please keep this.']);
  await until(async () => !Object.keys(await kept()).some((key) => key.startsWith('q:')), 'an empty outbox');
  const stored = await kept();
  assert.match(stored.id, /^[0-9a-f]{40}$/);
});

test('a contact form slides in, checks itself, shows what the server refuses, and goes when accepted', async () => {
  peer.onLead = (talk, frame) =>
    frame.fields.name === 'Sam'
      ? talk.send({ type: 'error', client_id: frame.client_id, code: 'invalid_fields', detail: 'Please check the form.', errors: [{ field: 'name', message: 'Please give your full name.' }], retry: 'never' })
      : talk.send({ type: 'done', client_id: frame.client_id, id: 'lead-1' });
  peer.answer = async (talk) => {
    talk.stream('Happy to book that. Where can we reach you?');
    talk.send({
      type: 'prompt',
      kind: 'lead_form',
      form: 'visit',
      title: 'Book a visit',
      values: { service: 'Pain' },
      notices: ['We never share your details.'],
      fields: [
        { name: 'name', label: 'Your name', type: 'text', required: true },
        { name: 'email', label: 'Email', type: 'email', required: true },
        { name: 'phone', label: 'Phone', type: 'phone' },
        { name: 'service', label: 'What is it about?', type: 'select', options: ['Check-up', 'Cleaning', 'Pain'] },
        { name: 'day', label: 'Preferred day', type: 'date' },
        { name: 'note', label: 'Anything else?', type: 'textarea' },
      ],
    });
  };
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await say(frame, 'I would like an appointment');
  const sheet = frame.locator('#sheet');
  await sheet.waitFor();
  await shot(page, 'lead-light');
  assert.deepEqual(await axe(frame), []);
  await sheet.getByLabel('Phone').fill('12');
  await sheet.locator('.primary').click();
  assert.equal(await sheet.locator('[aria-invalid=true]').count(), 3);
  assert.equal(await frame.evaluate(() => document.activeElement.name), 'name');
  assert.equal(peer.received.filter((one) => one.type === 'lead').length, 0);
  await shot(page, 'lead-errors');
  await sheet.getByLabel('Your name').fill('Sam');
  await sheet.getByLabel('Email').fill('sam@example.com');
  await sheet.getByLabel('Phone').fill('+49 (30) 1234-567');
  assert.equal(await sheet.getByLabel('What is it about?').inputValue(), 'Pain');
  await sheet.getByLabel('What is it about?').selectOption('Cleaning');
  await sheet.getByText('We never share your details.').waitFor();
  await sheet.locator('.primary').click();
  await sheet.getByText('Please give your full name.').waitFor();
  await sheet.getByLabel('Your name').fill('Sam Okafor');
  await sheet.locator('.primary').click();
  await sheet.waitFor({ state: 'hidden' });
  await shows(frame, 'Thank you!');
  const leads = peer.received.filter((one) => one.type === 'lead');
  assert.deepEqual(leads[1].fields, { form: 'visit', name: 'Sam Okafor', email: 'sam@example.com', phone: '+49 (30) 1234-567', service: 'Cleaning' });
  assert.notEqual(leads[0].client_id, leads[1].client_id);
});

test('a colleague takes over, is seen typing and writing by name, and hands back', async () => {
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await say(frame, 'I want to talk to a person');
  await shows(frame, 'You said');
  const talk = peer.talk();
  talk.status('escalated', 'Dana Whitfield');
  await shows(frame, 'A team member joined');
  talk.send({ type: 'typing', role: 'human_agent' });
  await frame.locator('.dots').waitFor();
  talk.say('human_agent', 'Hi, this is Dana from the front desk.', { author: 'Dana Whitfield' });
  await shows(frame, 'this is Dana');
  assert.equal(await frame.locator('.dots').isVisible(), false);
  assert.equal(await frame.locator('.who').innerText(), 'Dana Whitfield');
  assert.equal(await frame.locator('#status').innerText(), 'Dana Whitfield');
  await shot(page, 'takeover');
  assert.deepEqual(await axe(frame), []);
  talk.status();
  await shows(frame, 'The assistant is back');
  assert.equal(await frame.locator('.note', { hasText: 'joined' }).count(), 1);
  assert.equal(await frame.locator('#status').innerText(), 'AI assistant');
});

test('ending the chat asks for a rating, sends it, and a new conversation can begin', async () => {
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await say(frame, 'thanks, that is all');
  await shows(frame, 'You said');
  await frame.locator('#end').click();
  await frame.locator('.stars label').nth(3).click();
  await frame.locator('#sheet textarea').fill('Quick and clear');
  await shot(page, 'rating');
  assert.deepEqual(await axe(frame), []);
  await frame.locator('#sheet .primary').click();
  await frame.getByText('This conversation has ended.').first().waitFor();
  assert.deepEqual(peer.received.slice(-2).map(({ client_id, ...rest }) => rest), [{ type: 'rating', rating: 4, feedback: 'Quick and clear' }, { type: 'close' }]);
  assert.equal(await frame.locator('#composer').isVisible(), false);
  await shot(page, 'ended');
  await frame.locator('#bar button').click();
  await frame.locator('#composer').waitFor();
  assert.equal(peer.hellos.at(-1).conversation_id, undefined);
  assert.deepEqual(await bubbles(frame), [peer.agent.welcome_message]);
  await frame.locator('#status.ready').waitFor();
  await say(frame, 'again');
  await shows(frame, 'You said again.');
  assert.equal(peer.conversations.size, 2);
});

test('a message to a closed conversation is given back for the new one', async () => {
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await say(frame, 'one');
  await shows(frame, 'You said one.');
  peer.conversations.get('c1').closed = true;
  await say(frame, 'too late');
  await frame.locator('#bar button').click();
  assert.equal(await frame.locator('#input').inputValue(), 'too late');
});

test('a conversation that is resolved asks once for a rating, and the visitor may still write', async () => {
  await page.goto(peer.url + '/');
  let frame = await open(page);
  await say(frame, 'one');
  await shows(frame, 'You said one.');
  peer.talk().status('resolved');
  peer.talk().status('resolved');
  await frame.getByText('How was this chat?').waitFor();
  await frame.locator('.stars label').nth(4).click();
  await frame.locator('#sheet .primary').click();
  await shows(frame, 'Thank you!');
  await say(frame, 'one more thing');
  await shows(frame, 'You said one more thing.');
  await page.reload();
  frame = await open(page);
  await shows(frame, 'You said one more thing.');
  assert.equal(await frame.locator('#sheet').isVisible(), false);
});

test('a conversation the server no longer has begins anew, with what was not delivered', async () => {
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await say(frame, 'one');
  await shows(frame, 'You said one.');
  peer.deaf = true;
  await say(frame, 'two');
  peer.conversations.clear();
  peer.deaf = false;
  peer.talk().drop();
  await shows(frame, 'You said two.');
  assert.deepEqual(await bubbles(frame), ['two', 'You said two.']);
});

test('thumbs go to the message with the visitor token', async () => {
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await say(frame, 'one');
  await shows(frame, 'You said one.');
  await frame.locator('.thumbs button').first().click();
  await until(() => peer.feedback.length, 'the feedback');
  assert.equal(await frame.locator('.thumbs button').first().getAttribute('aria-pressed'), 'true');
  const [{ auth, ...rest }] = peer.feedback;
  assert.deepEqual(rest, { conversation: 'c1', message: 'm2', body: { thumbs_up: true } });
  assert.equal(auth, 'Visitor token-of-' + peer.hellos[0].visitor_id);
});

test('history is there on the next visit, and unread answers are counted on the button', async () => {
  await page.goto(peer.url + '/');
  let frame = await open(page);
  await say(frame, 'one');
  await shows(frame, 'You said one.');
  await frame.locator('#close').click();
  peer.talk().say('human_agent', 'Are you still there?', { author: 'Dana' });
  await until(async () => (await launcher(page).getAttribute('aria-label')) === 'Chat (1)', 'the badge');
  await shot(page, 'unread');
  await page.goto('about:blank');
  const [conversation] = peer.conversations.values();
  conversation.messages.push({ id: 'm4', seq: ++conversation.seq, role: 'human_agent', author: 'Dana', content: 'I will call you.', sources: [] });
  await page.goto(peer.url + '/');
  await until(async () => (await launcher(page).getAttribute('aria-label')) === 'Chat (2)', 'the badge after a new visit');
  frame = await open(page);
  assert.deepEqual((await bubbles(frame)).slice(1), ['one', 'You said one.', 'Are you still there?', 'I will call you.']);
  assert.equal(await launcher(page).getAttribute('aria-label'), 'Chat');
  assert.deepEqual(await frame.locator('#say p').count(), 0, 'history is not announced');
});

test('keyboard alone: open, write, new line, send, Escape returns the focus; composing never sends', async () => {
  await page.goto(peer.url + '/');
  await launcher(page).focus();
  await page.keyboard.press('Enter');
  const frame = await frameOf(page);
  await frame.locator('#status.ready').waitFor();
  await until(() => frame.evaluate(() => document.activeElement.id === 'input'), 'focus in the input');
  await page.keyboard.type('line one');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('line two');
  await frame.locator('#input').dispatchEvent('keydown', { key: 'Enter', isComposing: true });
  await frame.locator('#input').dispatchEvent('keydown', { key: 'Enter', keyCode: 229 });
  assert.equal(peer.received.filter((one) => one.type === 'message').length, 0);
  assert.equal(await frame.locator('.dots').isVisible(), false, 'our own typing is not shown');
  await page.keyboard.press('Enter');
  await shows(frame, 'You said');
  assert.equal(peer.received.find((one) => one.type === 'message').text, 'line one\nline two');
  await page.keyboard.press('Escape');
  await until(() => page.evaluate(() => document.activeElement.shadowRoot?.activeElement?.tagName === 'BUTTON'), 'focus on the button');
  assert.equal(await launcher(page).getAttribute('aria-expanded'), 'false');
  await page.evaluate(() => {
    document.querySelector('#mine').focus();
    vbot('open');
  });
  await until(() => frame.evaluate(() => document.activeElement.id === 'input'), 'focus in the input again');
  await page.keyboard.press('Escape');
  await until(() => page.evaluate(() => document.activeElement.id === 'mine'), 'focus on what opened it');
});

test('axe finds nothing in both themes, and the brand colour is readable whatever it is', async () => {
  peer.answer = (talk) => talk.stream(HOURS, { sources: SOURCES });
  for (const colorScheme of ['light', 'dark']) {
    for (const primary of [undefined, '#6366F1', '#FFD400', '#0B0B0B', '#E11D48', '#00B8A9']) {
      peer.agent.chat_theme = primary ? { primary_color: primary } : {};
      await page.emulateMedia({ colorScheme });
      await page.goto(peer.url + '/');
      await page.evaluate(() => localStorage.clear());
      await page.reload();
      const frame = await open(page);
      assert.deepEqual(await axe(frame), [], `${colorScheme} ${primary} at the start`);
      await say(frame, 'When are you open?');
      await frame.locator('.thumbs').waitFor();
      assert.deepEqual(await axe(frame), [], `${colorScheme} ${primary}`);
      if (!primary || primary === '#6366F1') await shot(page, `theme-${colorScheme}-${primary ? 'brand' : 'default'}`);
    }
  }
  assert.deepEqual(await axe(page), [], 'host page');
});

test('a phone: full screen, nothing wider than the screen, the button out of the way', async () => {
  peer.answer = (talk) => talk.stream(HOURS, { sources: SOURCES });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.goto(peer.url + '/');
  await shot(page, 'phone-closed');
  const frame = await open(page);
  await say(frame, 'When are you open? ' + 'verylongword'.repeat(20));
  await frame.locator('.thumbs').waitFor();
  assert.deepEqual(await page.locator('html > div iframe').boundingBox(), { x: 0, y: 0, width: 390, height: 844 });
  assert.equal(await launcher(page).isVisible(), false);
  assert.equal(await frame.evaluate(() => document.documentElement.scrollWidth), 390);
  await shot(page, 'phone-open');
  await frame.locator('#close').click();
  await launcher(page).waitFor();
});

test('a hostile host page: aggressive styles, patched prototypes, a strict policy, no shift', async () => {
  peer.pageHeaders = { 'Content-Security-Policy': `default-src 'none'; style-src 'nonce-x'; script-src 'nonce-x' ${peer.url}; frame-src ${peer.url}` };
  peer.pages['/hostile'] = host(
    `<script nonce="x" src="${peer.url}/widget/a1.js"></script>`,
    `<style nonce="x">*{all:unset!important}body *{transform:rotate(3deg)!important}div,iframe,button{display:none!important;visibility:hidden!important;width:3px!important;z-index:-1!important;position:static!important;opacity:0!important}html{font-size:40px!important}</style>
     <script nonce="x">Array.prototype.toJSON=function(){return 'broken'};Object.prototype.extra=1;Array.prototype.extra=2;String.prototype.replaceAll=null;window.postMessage('noise','*');</script>`,
  );
  await page.goto(peer.url + '/hostile');
  const box = await launcher(page).boundingBox();
  assert.equal(box.width, 56);
  assert.ok(box.x > 1300 && box.y > 800);
  const frame = await open(page);
  await say(frame, 'still works');
  await shows(frame, 'You said still works.');
  const { x, y, width, height } = await page.locator('html > div iframe').boundingBox();
  assert.deepEqual([x, y, width, height].map(Math.round), [1020, 148, 400, 660]);
  await shot(page, 'hostile');
  await page.reload();
  const again = await open(page);
  await shows(again, 'You said still works.');
});

test('nothing on the host page moves, and its main thread is not held', async () => {
  await page.goto(peer.url + '/');
  const rect = () => page.evaluate(() => JSON.stringify([document.querySelector('h1').getBoundingClientRect(), document.documentElement.scrollHeight, document.body.outerHTML.length]));
  await page.evaluate(() => {
    window.shift = 0;
    window.long = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shift += entry.value))).observe({ type: 'layout-shift', buffered: true });
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.long += entry.duration))).observe({ type: 'longtask' });
  });
  const before = await rect();
  const frame = await open(page);
  await say(frame, 'one');
  await shows(frame, 'You said one.');
  assert.equal(await rect(), before);
  assert.equal(await page.evaluate(() => window.shift), 0);
});

test('it survives a replaced body, a removed element, double inclusion and scripts before the body', async () => {
  peer.pages['/early'] = `<!doctype html><html lang="en"><head><title>early</title><script src="${peer.url}/widget/a1.js"></script><script src="${peer.url}/widget/loader.js"></script><script>vbot('on','open',function(){window.opened=(window.opened||0)+1});vbot('on','open',function(){throw new Error('theirs')})</script></head><body><h1>early</h1></body></html>`;
  await page.goto(peer.url + '/early');
  const frame = await open(page);
  await say(frame, 'before the swap');
  await shows(frame, 'You said before the swap.');
  await page.evaluate((url) => {
    const next = document.createElement('body');
    next.innerHTML = '<h1>next page</h1>';
    const script = document.createElement('script');
    script.src = url;
    next.append(script);
    document.documentElement.replaceChild(next, document.body);
  }, peer.url + '/widget/a1.js');
  assert.equal(await page.locator('html > div').count(), 1);
  await shows(frame, 'You said before the swap.');
  assert.equal(peer.hellos.length, 1, 'the frame was not even reloaded');
  await page.evaluate(() => document.querySelector('html > div').remove());
  const back = await until(async () => {
    const found = await frameOf(page);
    return (await found.locator('#log', { hasText: 'You said before the swap.' }).count().catch(() => 0)) && found;
  }, 'the widget after its removal');
  await say(back, 'after');
  await shows(back, 'You said after.');
  assert.equal(await page.evaluate(() => window.opened), 1);
  errors = errors.filter((error) => !error.includes('theirs'));
});

test('host commands: locale and direction, identify, events, shutdown forgets', async () => {
  peer.pages['/api'] = host(`<script>window.vbot=window.vbot||function(){(vbot.q=vbot.q||[]).push(arguments)};vbot('init',{agentId:'a1',locale:'ar'});vbot('identify',{external_id:'u1',hmac:'h'});window.log=[];vbot('on','message',function(m){log.push(m)});</script><script async src="${peer.url}/widget/loader.js"></script>`);
  await page.goto(peer.url + '/api');
  const frame = await open(page);
  assert.equal(await frame.evaluate(() => document.documentElement.dir), 'rtl');
  assert.equal(await frame.locator('#input').getAttribute('placeholder'), 'اكتب رسالة…');
  await say(frame, 'مرحبا');
  await shows(frame, 'You said');
  await shot(page, 'rtl');
  assert.deepEqual(await axe(frame), []);
  const identified = peer.received.flatMap((one, at) => (one.type === 'identify' ? [[at, one]] : []));
  assert.deepEqual(identified[0][1], { type: 'identify', external_id: 'u1', hmac: 'h' });
  assert.ok(identified.at(-1)[0] > peer.received.findIndex((one) => one.type === 'message'), 'again once there is a conversation');
  assert.deepEqual(await page.evaluate(() => log), [{ role: 'bot', text: 'You said **مرحبا**.' }]);
  await page.evaluate(() => vbot('locale', 'de'));
  await until(async () => (await frame.locator('#input').getAttribute('placeholder')) === 'Nachricht schreiben…', 'German');
  assert.equal(await frame.evaluate(() => document.documentElement.dir), 'ltr');
  await page.evaluate(() => vbot('shutdown'));
  assert.equal(await page.locator('html > div').count(), 0);
  assert.equal(await page.evaluate(() => localStorage.getItem('vbot:a1')), null);
});

test('with cookie consent asked for, nothing is stored until it is given', async () => {
  peer.agent.cookie_consent = true;
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await say(frame, 'one');
  await shows(frame, 'You said one.');
  await shot(page, 'consent');
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  assert.deepEqual(await axe(frame), []);
  await frame.getByRole('button', { name: 'Allow' }).click();
  await until(() => page.evaluate(() => JSON.parse(localStorage.getItem('vbot:a1') ?? '{}').conv === 'c1'), 'the stored conversation');
  await page.reload();
  const again = await open(page);
  await shows(again, 'You said one.');
  assert.equal(await again.locator('#consent').isVisible(), false);
});

test('a draft or paused agent says so and does not connect', async () => {
  peer.agent.live = false;
  await page.goto(peer.url + '/');
  await launcher(page).click();
  const frame = await frameOf(page);
  await frame.getByText('Not available right now.').first().waitFor();
  assert.equal(await frame.locator('#composer').isVisible(), false);
  assert.equal(peer.hellos.length, 0);
  await shot(page, 'not-live');
});

test('a forbidden origin cannot frame the chat', async () => {
  peer.frameAncestors = "'none'";
  await page.goto(peer.url + '/');
  await launcher(page).click();
  await page.waitForTimeout(500);
  assert.equal(peer.hellos.length, 0);
  errors = errors.filter((error) => !/frame-ancestors|Framing/.test(error));
});

test('opened by itself the page is a chat of its own, and remembers', async () => {
  await page.goto(peer.url + '/widget/a1');
  await page.locator('#status.ready').waitFor();
  await say(page, 'alone');
  await shows(page, 'You said alone.');
  await shot(page, 'alone');
  assert.equal(await page.locator('#close').isVisible(), false);
  assert.deepEqual(await axe(page), []);
  await page.reload();
  await shows(page, 'You said alone.');
});

test('too long a message is counted and not sent; hostile text stays text', async () => {
  peer.config.message_chars_max = 200;
  const evil = '<img src=x onerror=alert(1)> [x](javascript:alert(1)) [y](data:text/html,1) **<b>bold</b>** https://ok.example/a?b=1.';
  peer.answer = (talk) => talk.stream(evil);
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await frame.locator('#input').fill('é'.repeat(201));
  assert.equal(await frame.locator('#count').innerText(), '201 / 200');
  assert.equal(await frame.locator('#input').getAttribute('aria-invalid'), 'true');
  await frame.locator('#input').press('Enter');
  assert.equal(peer.received.filter((one) => one.type === 'message').length, 0);
  await shot(page, 'too-long');
  await say(frame, '<script>alert(1)</script>');
  await shows(frame, 'onerror');
  assert.equal(await frame.locator('.bubble img, .bubble script, .bubble b').count(), 0);
  assert.deepEqual(await frame.locator('.bubble a').evaluateAll((all) => all.map((a) => a.href)), ['https://ok.example/a?b=1']);
});

test('a reader who scrolled up is left alone and shown the way down', async () => {
  peer.answer = (talk) => talk.stream('A long answer.\n\n'.repeat(40));
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await say(frame, 'one');
  await frame.locator('.thumbs').waitFor();
  const log = frame.locator('#log');
  const fromEnd = () => log.evaluate((element) => element.scrollHeight - element.scrollTop - element.clientHeight);
  assert.ok((await fromEnd()) < 2);
  await log.evaluate((element) => (element.scrollTop = 0));
  await until(() => log.evaluate((element) => element.scrollTop === 0), 'the top');
  peer.talk().say('human_agent', 'Something new', { author: 'Dana' });
  await frame.locator('#jump').waitFor();
  assert.equal(await log.evaluate((element) => element.scrollTop), 0);
  await shot(page, 'jump');
  await frame.locator('#jump').click();
  await until(async () => (await fromEnd()) < 2, 'the end');
  assert.equal(await frame.locator('#jump').isVisible(), false);
});

test('blocked storage: the chat works from memory', async () => {
  await page.addInitScript(() => Object.defineProperty(window, 'localStorage', { get: () => { throw new DOMException('blocked', 'SecurityError'); } }));
  await page.goto(peer.url + '/');
  const frame = await open(page);
  await say(frame, 'one');
  await shows(frame, 'You said one.');
});
