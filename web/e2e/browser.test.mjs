// The browser that the other tests drive does what they rely on.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { launch } from './lib/browser.mjs';

let server;
let browser;

before(async () => {
  server = createServer((_, answer) => answer.setHeader('content-type', 'text/html').end('<p>Hello</p>')).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  browser = await launch();
});
after(async () => {
  await browser.close();
  server.close();
});

test('pages close while they are on their way to another address', async () => {
  for (let n = 0; n < 5; n++) {
    const page = await browser.context.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    const left = page.evaluate(() => {
      location.reload();
      return new Promise(() => {});
    });
    await assert.rejects(left);
    await page.close();
    assert.ok(page.isClosed());
  }
});
