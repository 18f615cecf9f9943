// What tests of the console have around them: a server with an office, a browser that is signed in, a fresh page for each test and no errors on it.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach } from 'node:test';
import { launch } from './browser.mjs';
import { createOffice, signIn, watch } from './console.mjs';
import { createColloquy } from './server.mjs';

/**
 * Sets it up before the tests of a file and takes it down after them. `give` gets what there is: the server, the browser and the office once, the page before each test.
 * `office` makes the office, `prepare` puts into it what the tests look at.
 */
export function inOffice(give, { settings, office: make = (url) => createOffice(url), prepare } = {}) {
  const now = {};
  let errors;
  const told = (more) => give(Object.assign(now, more));
  before(async () => {
    const colloquy = await createColloquy(settings);
    await colloquy.start();
    told({ colloquy, browser: await launch() });
    told({ office: await make(colloquy.url) });
    await prepare?.(now);
    const first = await now.browser.context.newPage();
    await signIn(first, colloquy.url, now.office.email);
    await first.close();
  });
  after(async () => {
    await now.browser?.close();
    await now.colloquy?.close();
  });
  beforeEach(async () => {
    const page = await now.browser.context.newPage();
    errors = watch(page);
    told({ page });
  });
  afterEach(async () => {
    await now.page.close();
    assert.deepEqual(errors, []);
  });
}
