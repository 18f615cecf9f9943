// What every test stands on: one server and one browser, and for each test an agent, a customer's site and a page of its own.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach } from 'node:test';
import { createApi } from './api.mjs';
import { launch, until } from './browser.mjs';
import { createColloquy, createSite } from './server.mjs';
import { answers, open, say } from './widget.mjs';

export const HANDBOOK = `Opening hours. Northwind Dental is open Monday to Friday from 8:00 to 18:00 and on Saturday from 9:00 to 13:00. We are closed on Sunday.

Parking. Free parking is available behind the building, entrance on Elm Street.

Emergencies. Emergency patients are seen the same day. Call before noon.`;
export const QUESTION = 'Where can I park?';
export const FACT = /Elm Street/;

export const customerPage = (body, head = '') =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Northwind Dental</title>${head}</head><body><main><h1>Northwind Dental</h1><p>Family dentistry since 1987.</p><button id="mine">Call us</button></main>${body}</body></html>`;

/** `env` gives the server's settings when the tests begin. */
export function createStage(env = () => ({})) {
  const stage = {
    /** Errors a test expects are taken out of here. */
    errors: [],
    oneLine: () => `<script async src="${stage.colloquy.url}/widget/${stage.agent.id}.js"></script>`,
    /** Puts another page, or other headers, on the customer's site. */
    async serve(html, headers) {
      await stage.site?.close();
      stage.site = await createSite(html, headers);
    },
    async newPage(browser = stage.browser) {
      const page = await browser.context.newPage();
      page.on('pageerror', (error) => stage.errors.push(String(error)));
      page.on('console', (message) => {
        if (/Content.Security.Policy|TypeError|ReferenceError/i.test(message.text())) stage.errors.push(message.text());
      });
      return page;
    },
    /** Comes to the customer's site and opens the chat. */
    async visit(page = stage.page) {
      await page.goto(stage.site.origin + '/');
      return open(page);
    },
    /** Asks and waits for one finished answer more than before. */
    async ask(frame, text) {
      const had = await answers(frame).count();
      await say(frame, text);
      return until(async () => (await answers(frame).count()) > had && (await answers(frame).last().innerText()), 'an answer to: ' + text, 30_000);
    },
    /** The conversation of this test's only visitor. */
    conversation: () => until(async () => (await stage.api.conversations(stage.agent.id))[0], 'the conversation'),
    /** Everybody's words in it, oldest first. */
    async said() {
      const { messages } = await stage.api.conversation((await stage.conversation()).id);
      return messages.map(({ role, content }) => ({ role, content }));
    },
  };

  before(async () => {
    stage.colloquy = await createColloquy(await env());
    await stage.colloquy.start();
    stage.browser = await launch();
    stage.api = createApi(stage.colloquy.url);
    await stage.api.signUp();
  });
  after(async () => {
    await stage.browser?.close();
    await stage.colloquy?.close();
  });
  // Nothing of another visitor is there.
  beforeEach(async () => {
    stage.errors = [];
    stage.agent = await stage.api.createAgent();
    await stage.api.teach(stage.agent.id, 'Handbook', HANDBOOK, QUESTION);
    await stage.serve(customerPage(stage.oneLine()));
    stage.page = await stage.newPage();
  });
  afterEach(async () => {
    await stage.page?.close();
    await stage.site?.close();
    stage.site = undefined;
    assert.deepEqual(stage.errors, [], 'the page stays free of errors');
  });
  return stage;
}

/** Every frame of a page's chat sockets, in order, as objects with `out` for those sent. */
export function wiretap(page) {
  const frames = [];
  const note = (out) => ({ payload }) => frames.push({ out, ...JSON.parse(payload) });
  page.on('websocket', (socket) => {
    socket.on('framesent', note(true));
    socket.on('framereceived', note(false));
  });
  return frames;
}
