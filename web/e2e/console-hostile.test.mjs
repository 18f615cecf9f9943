// Texts of visitors, of crawled pages and of colleagues that mean harm, in every place where one is shown: nothing of them runs, nothing becomes a
// link that runs, no page gets wider than its screen, and a text that turns its direction turns nothing beside it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, shot, until } from './lib/browser.mjs';
import { createOffice, signIn, watch } from './lib/console.mjs';
import { createColloquy, createSite } from './lib/server.mjs';
import { answers, open, say } from './lib/widget.mjs';

const RUN = 'window.__evil=1;top.__evil=1';
const IMG = `<img src=x onerror="${RUN}">`;
const BREAK = `"'></textarea></script></style></title><script>${RUN}</script><svg onload="${RUN}"><iframe srcdoc="<script>${RUN}</script>"></iframe>`;
const LINK = `[click](javascript:${RUN}) <a href="javascript:${RUN}">me</a> javascript:${RUN}`;
const TEMPLATE = `{{constructor.constructor('${RUN}')()}} \${${RUN}} {@html '${IMG}'}`;
/** Everything after it reads from right to left, until the end of its paragraph. */
const TURN = 'invoice\u202Egnp.exe\u2066';
const LONG = 'w'.repeat(7_800);
const STACKED = 'Z' + '\u0335\u0322\u0327\u0348\u031b'.repeat(20);
const ALL = `${IMG}${BREAK}${LINK}${TEMPLATE}${TURN}${STACKED}`;
const short = (text, most) => Array.from(text).slice(0, most).join('');
const NAME = short(IMG + TURN + 'n'.repeat(80), 80);

let colloquy;
let browser;
let page;
let errors;
let office;
let site;
let talk;
let long;
let lead;
let source;
let meeting;

before(async () => {
  site = await createSite({
    '/': `<!doctype html><title>${IMG.replaceAll('<', '&lt;')} ${TURN}</title><h1>Oak &lt;script&gt;${RUN}&lt;/script&gt;</h1><p>Our prices: a crown costs $900. ${ALL.replaceAll('<', '&lt;')}</p><a href="javascript:${RUN}">prices</a> <a href="/deep?q=${encodeURIComponent(IMG)}">deep</a>`,
    [`/deep?q=${encodeURIComponent(IMG)}`]: `<!doctype html><title>${'t'.repeat(3_000)}</title><p>${LONG} opening hours</p>`,
  });
  colloquy = await createColloquy();
  await colloquy.start();
  browser = await launch();
  page = await browser.context.newPage();
  errors = watch(page);
  office = await createOffice(colloquy.url);
  const { api, agent } = office;
  const maybe = (promise) => promise.catch((error) => process.env.SHOW && console.log(String(error)));
  const visitor = office.visitor();
  talk = visitor;
  await visitor.say(short(ALL, 7_900), { page_url: `javascript:${RUN}`, referrer: `https://x.example/${IMG}`, locale: 'en' });
  const reply = await visitor.say('Where can I park?');
  await maybe(api.call('POST', '/api/leads/capture', { agent_id: agent.id, conversation_id: visitor.conversation, fields: { name: NAME, phone: '217-555-0133', patient_type: 'New patient', reason_for_visit: 'Something else', email: `"<script>"@x.example`, notes: ALL } }, { Authorization: 'Visitor ' + visitor.token }));
  await maybe(api.call('POST', '/api/leads/capture', { agent_id: agent.id, conversation_id: visitor.conversation, fields: { name: NAME, phone: '217-555-0133', patient_type: 'New patient', reason_for_visit: 'Something else', notes: short(ALL, 480) } }, { Authorization: 'Visitor ' + visitor.token }));
  await maybe(api.call('POST', `/api/chat/${visitor.conversation}/messages/${reply.message_id}/feedback`, { thumbs_up: false, feedback: ALL }, { Authorization: 'Visitor ' + visitor.token }));
  await maybe(api.call('POST', `/api/chat/${visitor.conversation}/rating`, { rating: 1, feedback: ALL }, { Authorization: 'Visitor ' + visitor.token }));
  const another = office.visitor();
  long = another;
  await another.say(LONG);
  await another.say(`What does a ${IMG} crown of ${TURN} cost on the moon?`);
  await api.takeOver(visitor.conversation);
  await api.write(visitor.conversation, short(ALL, 3_900));
  await api.whisper(visitor.conversation, short(ALL, 900));
  await api.handBack(visitor.conversation);
  await api.call('POST', `/api/agents/${agent.id}/faqs`, { question: short(`${IMG}${TURN}${LINK}`, 300), answer: short(ALL, 1_900), category: 'strange' });
  await api.call('POST', `/api/agents/${agent.id}/sources`, { type: 'manual_text', name: NAME, content: `${ALL} ${LONG}` });
  source = await api.call('POST', `/api/agents/${agent.id}/sources`, { type: 'website_scrape', name: NAME, url: site.origin + '/' });
  await api.call('POST', '/api/api-keys', { name: NAME, kind: 'secret', role: 'viewer' });
  await api.call('PATCH', '/api/organization', { name: NAME });
  await api.updateAgent(agent.id, { name: NAME, welcome_message: short(ALL, 900), fallback_message: short(ALL, 900), quick_prompts: [short(IMG + TURN, 60)], variables: { business_name: NAME } });
  await api.teach(agent.id, 'Another', 'Gift cards are sold at the desk.', 'Where are gift cards sold?');
  await until(async () => (await api.call('GET', `/api/agents/${agent.id}/scrape/status?source_id=${source.id ?? source.source_id}`)).status !== 'pending', 'the crawl', 30_000);
  lead = await until(async () => (await api.leads(agent.id))[0], 'the lead', 30_000);
  const day = { open: '00:00', close: '24:00' };
  const chairs = await api.call('POST', '/api/calendars', { name: NAME, types: [{ id: 'cut', name: NAME, duration_minutes: 60 }], providers: [{ id: 'ann', name: NAME }], business_hours: Object.fromEntries(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'].map((name) => [name, day])) });
  const [free] = (await api.call('GET', `/api/appointments/slots?calendar_id=${chairs.id}&limit=1`)).items;
  meeting = await api.call('POST', '/api/appointments', { calendar_id: chairs.id, starts_at: free.starts_at, name: NAME, description: short(ALL, 3_000), vertical_data: { [short(IMG, 30)]: ALL } });
  await api.call('POST', '/api/dnc', { channel: 'phone', address: '+14155550177', reason: short(IMG + TURN + LINK, 180) });
  await api.call('POST', '/api/consents', { kind: 'messages', address: '+14155550177', source: short(IMG + TURN, 80), text: short(ALL, 900) });
  await signIn(page, colloquy.url, office.email);
});
after(async () => {
  await browser?.close();
  await colloquy?.close();
  await site?.close();
});

/** Fails when something ran, could run, is wider than the screen, or turned its neighbours. */
async function harmless(target, where) {
  const found = await target.evaluate(() => {
    const links = [...document.querySelectorAll('[href],[src],[action],[formaction],[srcdoc]')].filter((one) => ['href', 'src', 'action', 'formaction'].some((name) => /^\s*(javascript|data:text|vbscript):/i.test(one.getAttribute(name) ?? '')) || one.hasAttribute('srcdoc'));
    const handlers = [...document.querySelectorAll('*')].filter((one) => one.getAttributeNames().some((name) => name.startsWith('on')));
    const pictures = [...document.querySelectorAll('img[src="x"], svg[onload]')];
    const turned = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      if (!node.data.includes('\u202E') || !node.parentElement?.getClientRects().length) continue;
      let box = node.parentElement;
      while (box !== document.body && getComputedStyle(box).display === 'inline' && !/isolate/.test(getComputedStyle(box).unicodeBidi)) box = box.parentElement;
      // Whatever follows in the same run of text reads backwards.
      const range = document.createRange();
      range.setStartAfter(node);
      range.setEndAfter(box.lastChild);
      const inline = range.cloneContents();
      const rest = [...inline.childNodes].filter((one) => one.nodeType === 3).map((one) => one.data.trim()).join('');
      if (rest) turned.push(box.outerHTML.slice(0, 160));
    }
    return { evil: window.__evil, links: links.map((one) => one.outerHTML.slice(0, 120)), handlers: handlers.map((one) => one.outerHTML.slice(0, 120)), pictures: pictures.length, turned, wide: document.documentElement.scrollWidth - window.innerWidth };
  });
  assert.deepEqual({ evil: found.evil, links: found.links, handlers: found.handlers, pictures: found.pictures, turned: found.turned }, { evil: undefined, links: [], handlers: [], pictures: 0, turned: [] }, where);
  assert.ok(found.wide <= 0, `${where}: ${found.wide} px wider than the screen`);
}

test('in every page of the console, wide and narrow', async (t) => {
  const agent = office.agent.id;
  const pages = [
    ['', () => page.getByText(/Hello, /)],
    ['/conversations', () => page.getByRole('list', { name: 'Conversations' }).getByRole('link')],
    [`/conversations/${talk.conversation}`, () => page.getByRole('log').getByText('onerror', { exact: false })],
    [`/conversations/${long.conversation}`, () => page.getByRole('log').getByText('wwww', { exact: false })],
    [`/conversations/${talk.conversation}/explain`, () => page.getByText('Where the time went')],
    [`/conversations/${long.conversation}/explain`, () => page.getByText('Where the time went')],
    ['/agents', () => page.getByRole('heading', { name: 'onerror' })],
    [`/agents/${agent}`, () => page.getByText('Put it on your website')],
    [`/agents/${agent}/training`, () => page.getByText('Another')],
    [`/agents/${agent}/training?view=faqs`, () => page.getByText('Strange')],
    [`/agents/${agent}/training?view=unanswered`, () => page.getByText(/onerror|wwww|Every question/)],
    [`/agents/${agent}/chat`, () => page.getByRole('heading', { name: 'Versions' })],
    [`/agents/${agent}/widget`, () => page.getByText('Powered by Colloquy')],
    [`/agents/${agent}/conversations`, () => page.getByText('Open in the inbox')],
    [`/agents/${agent}/leads`, () => page.getByText('All leads')],
    ['/leads', () => page.getByRole('link', { name: 'onerror' })],
    [`/leads/${lead.id}`, () => page.getByText(/of 100/)],
    ...['week', 'day', 'list'].map((view) => [`/appointments?view=${view}&day=${meeting.starts_at.slice(0, 10)}`, () => page.getByRole('link', { name: 'onerror' })]),
    [`/appointments/${meeting.id}`, () => page.getByText('Who comes')],
    [`/settings/calendars?calendar=${meeting.calendar_id}`, () => page.getByRole('heading', { name: 'What can be booked' })],
    ['/settings/contacts', () => page.getByRole('cell', { name: 'onerror' })],
    ['/settings', () => page.getByLabel('Time zone')],
    ['/settings/team', () => page.getByText(office.email)],
    ['/settings/keys', () => page.getByText('onerror')],
  ];
  for (const [path, ready] of pages) {
    await t.test(path || '/', async () => {
      for (const width of [1440, 390]) {
        await page.setViewportSize({ width, height: 844 });
        await page.goto(colloquy.url + '/app' + path);
        await ready().first().waitFor({ state: 'attached' });
        await until(async () => !(await page.locator('.bone').count()), 'what it loads');
        await shot(page, `hostile${path.replace(/[^a-z]+/g, '-').slice(0, 40)}-${width}`);
        await harmless(page, `${path}, ${width} px`);
      }
      assert.deepEqual(errors.splice(0), [], path);
    });
  }
  await page.setViewportSize({ width: 1440, height: 900 });
});

test('in what opens over the pages: pages of a source, search results, the palette, teaching an answer, a fork, a difference', async () => {
  const agent = office.agent.id;
  await page.goto(`${colloquy.url}/app/agents/${agent}/training`);
  const row = page.getByRole('row').filter({ hasText: new URL(site.origin).host });
  await row.getByRole('button', { name: 'Pages' }).click();
  await page.getByRole('dialog').getByText('onerror').first().waitFor();
  await harmless(page, 'pages of a source');
  await page.goto(`${colloquy.url}/app/agents/${agent}/training?view=search`);
  await page.getByPlaceholder('Ask as a visitor would…').fill('What does a crown cost?');
  await page.getByRole('button', { name: 'Search', exact: true }).click();
  await page.locator('main strong[title^=Score]').first().waitFor();
  await harmless(page, 'search results');
  await page.keyboard.press('Escape');
  await page.goto(`${colloquy.url}/app`);
  await page.getByText(/Hello, /).waitFor();
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').fill('onerror');
  await page.getByRole('option').first().waitFor();
  await harmless(page, 'palette');
  await page.goto(`${colloquy.url}/app/conversations/${talk.conversation}/explain`);
  await page.getByRole('button', { name: 'Correct this answer' }).first().click();
  await page.getByRole('dialog').waitFor();
  await harmless(page, 'teaching');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Try it differently' }).click();
  await page.getByRole('dialog').getByLabel('What the visitor says').waitFor();
  await harmless(page, 'fork');
  await page.goto(`${colloquy.url}/app/agents/${agent}/chat`);
  await page.getByLabel('Welcome').fill(IMG + TURN);
  await office.api.updateAgent(agent, { welcome_message: BREAK });
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('dialog', { name: 'Somebody else saved first' }).getByText('onerror').first().waitFor();
  await harmless(page, 'difference');
  await page.getByRole('button', { name: 'Take what is stored' }).click();
  assert.deepEqual(errors.splice(0), []);
});

test('in the chat of a visitor and on the sample page', async () => {
  const visitor = await browser.context.newPage();
  const seen = watch(visitor);
  await visitor.goto(`${colloquy.url}/demo/${office.agent.id}`);
  await harmless(visitor, 'the sample page');
  const frame = await open(visitor);
  await say(frame, short(ALL, 1_500));
  await until(async () => (await answers(frame).count()) >= 2, 'an answer', 30_000);
  await say(frame, 'What does a crown cost?');
  await until(async () => (await answers(frame).count()) >= 3, 'an answer from the crawled page', 30_000);
  await shot(visitor, 'hostile-widget');
  await harmless(frame, 'the chat');
  assert.equal(await visitor.evaluate(() => window.__evil), undefined);
  assert.deepEqual(seen, []);
  await visitor.close();
});

test('the check finds each harm when a page has it', async () => {
  for (const [harm, html] of Object.entries({
    'markup that runs': IMG,
    'a link that runs': '<a href=" JavaScript:void 0">x</a>',
    'a frame with a page in it': '<iframe srcdoc="x"></iframe>',
    'a neighbour that is turned': `<p><b>${TURN}</b> and then</p>`,
    'a word that is wider than the screen': `<p>${LONG}</p>`,
  })) {
    const bad = await browser.context.newPage();
    await bad.setContent(`<!doctype html><body>${html}</body>`);
    await assert.rejects(harmless(bad, harm), assert.AssertionError, harm);
    await bad.close();
  }
  const good = await browser.context.newPage();
  await good.setContent(`<!doctype html><body style="overflow-wrap:anywhere"><p><b style="unicode-bidi:isolate">${TURN}</b> and then ${LONG}</p></body>`);
  await harmless(good, 'a page without harm');
  await good.close();
});
