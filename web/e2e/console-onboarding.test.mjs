// From sign-up to a receptionist on a website: with a site that is read while one looks, without a site, and with the tab closed in between.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { launch, shot, until } from './lib/browser.mjs';
import { PASSWORD, look, watch } from './lib/console.mjs';
import { createColloquy, createSite } from './lib/server.mjs';
import { frameOf, launcher, open, say } from './lib/widget.mjs';

let colloquy;
let browser;
let site;

/** What a page says of the business for machines: an address and a number, and things that are none. */
const MARKED = { '@context': 'https://schema.org', '@type': 'Dentist', telephone: '(217) 555-0133', address: { '@type': 'PostalAddress', streetAddress: '12 Elm Street', addressLocality: 'Springfield', addressRegion: 'IL', postalCode: '62704', addressCountry: '<script>window.__evil=1</script>' } };
const html = (title, text, head = '') => `<!doctype html><html><head><title>${title}</title>${head}</head><body><main><h1>${title}</h1><p>${text}</p>
<nav><a href="/">Home</a> <a href="/hours">Hours</a> <a href="/parking">Parking</a> <a href="/prices">Prices</a></nav></main></body></html>`;

before(async () => {
  colloquy = await createColloquy();
  await colloquy.start();
  browser = await launch();
  site = await createSite({
    '/': html('Oak Dental', 'Oak Dental has looked after families in Springfield since 1987.', `<script type="application/ld+json">${JSON.stringify(MARKED).replaceAll('</', '<\\/')}</script>`),
    '/hours': html('Opening hours', 'Oak Dental is open Monday to Friday from 8:00 to 18:00. On Saturday we are open from 9:00 to 13:00.'),
    '/parking': html('Parking', 'Free parking for patients is available behind the building, entrance on Elm Street.'),
    '/prices': html('Prices <script>window.__evil=1</script>', 'A cleaning costs $120.'),
  });
});
after(async () => {
  await browser?.close();
  await site?.close();
  await colloquy?.close();
});

/** Each field and each button is a decision. */
async function signUp(page, website) {
  await browser.context.clearCookies();
  await page.goto(colloquy.url + '/signup');
  await page.getByLabel('Organization').fill('Oak Dental');
  await page.getByLabel('Trade').selectOption('dental_medical');
  if (website) await page.getByLabel('Website').fill(website);
  await page.getByLabel('Your name').fill('Olive Owner');
  await page.getByLabel('E-mail').fill(`olive-${randomBytes(6).toString('hex')}@example.com`);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Create account' }).click();
  await until(() => new URL(page.url()).pathname === '/app/onboarding', 'the way to the first receptionist');
}
const next = (page) => page.getByRole('button', { name: 'Next' });

/** A visitor of the owner's site, who is answered. */
async function asks(site) {
  const visitor = await browser.context.newPage();
  await visitor.goto(site);
  await launcher(visitor).waitFor();
  const frame = await open(visitor);
  await say(frame, 'Where can I park?');
  await frame.getByText(/Elm Street/).first().waitFor({ timeout: 30_000 });
  return { visitor, frame };
}

test('from sign-up to a visitor who gets an answer, without another tool', async () => {
  const begun = Date.now();
  const page = await browser.context.newPage();
  const errors = watch(page);
  await signUp(page);
  // The trade was said while signing up: one line says so, and leads back.
  await page.getByText(/^Dental & Medical · Oak Dental · alerts go to olive-/).waitFor();
  await page.getByRole('button', { name: 'Change' }).click();
  await page.getByRole('radio', { name: /Legal/ }).waitFor();
  assert.equal(await page.getByRole('radio').count() >= 7, true, 'six trades and one for everybody else');
  assert.equal(await page.getByRole('radio', { name: /Dental & Medical/ }).getAttribute('aria-checked'), 'true');
  await look(page, 'onboarding-trade', { themes: ['light'] });
  await next(page).click();

  await page.getByLabel('Website address').fill(site.origin);
  await page.getByRole('button', { name: 'Read my website' }).click();
  await page.getByText('Read 4 pages').waitFor({ timeout: 60_000 });
  for (const title of ['Oak Dental', 'Opening hours', 'Parking']) await page.getByRole('listitem').getByText(title, { exact: true }).waitFor();
  assert.equal(await page.evaluate(() => window.__evil), undefined);
  // What the site says of the business is filled in, with the page it stands on, for the owner to look over.
  const filled = (on, label, value) => until(async () => (await on.getByLabel(label, { exact: true }).inputValue()) === value, `${label}: ${value}`);
  await filled(page, 'Monday opens', '08:00');
  await filled(page, 'Saturday closes', '13:00');
  assert.equal(await page.getByLabel('Sunday opens').count(), 0);
  await filled(page, 'Street and number', '12 Elm Street');
  await filled(page, 'Country', '');
  await filled(page, 'Telephone number', '(217) 555-0133');
  assert.equal(await page.getByRole('link', { name: 'Opening hours', exact: true }).getAttribute('href'), site.origin + '/hours');
  assert.equal(await page.getByRole('link', { name: 'Oak Dental', exact: true }).count(), 2);
  await look(page, 'onboarding-reading');
  await page.getByLabel('Friday opens').fill('19:00');
  await page.getByRole('button', { name: 'Try it', exact: true }).click();
  await page.locator('li .wrong').getByText(/must open before it closes/i).waitFor();
  await look(page, 'onboarding-hours', { themes: ['light'] });
  await page.getByLabel('Friday opens').fill('08:00');
  await page.getByLabel('Telephone number').fill('217-555-0134');
  await until(async () => {
    const kept = await page.evaluate(() => fetch('/api/me/preferences').then((answer) => answer.json()));
    return kept.onboarding?.about?.phone === '217-555-0134';
  }, 'what was typed is kept');

  // The tab is closed and opened again: it goes on where it was.
  await page.close();
  const again = await browser.context.newPage();
  const more = watch(again);
  await again.goto(colloquy.url + '/app/onboarding');
  await again.getByText('Read 4 pages').waitFor();
  await filled(again, 'Street and number', '12 Elm Street');
  await filled(again, 'Telephone number', '217-555-0134');
  await again.getByRole('button', { name: 'Try it', exact: true }).click();

  const ask = async (words) => {
    await again.getByLabel('Ask something…').fill(words);
    await again.getByRole('button', { name: 'Send' }).click();
  };
  await ask('Where can I park?');
  await again.getByRole('log').getByText(/Elm Street/).waitFor({ timeout: 30_000 });
  await ask('Where are you located?');
  await again.getByRole('log').getByText(/12 Elm Street, Springfield, IL 62704/).waitFor({ timeout: 30_000 });
  const stored = await again.evaluate(() => fetch('/api/organization').then((answer) => answer.json()));
  assert.deepEqual([stored.phone, stored.address.city, stored.business_hours.sat, stored.business_hours.sun], ['217-555-0134', 'Springfield', { open: '09:00', close: '13:00' }, undefined]);
  await ask('Do you have a fish tank in the waiting room?');
  await again.getByText('Had no answer').waitFor({ timeout: 30_000 });
  await look(again, 'onboarding-try');
  await again.getByRole('button', { name: 'Teach the answer' }).click();
  assert.equal(await again.getByRole('textbox', { name: 'Question' }).inputValue(), 'Do you have a fish tank in the waiting room?');
  await again.getByRole('textbox', { name: 'Answer' }).fill('Yes, with eleven clownfish.');
  await look(again, 'onboarding-teach', { themes: ['dark'] });
  await again.getByRole('button', { name: 'Teach it' }).click();
  await again.getByText('The agent knows it now').waitFor();
  await until(async () => {
    await ask('Do you have a fish tank in the waiting room?');
    return again.getByRole('log').getByText(/clownfish/).first().waitFor({ timeout: 3_000 }).then(() => true, () => false);
  }, 'the taught answer', 30_000);

  await again.getByRole('button', { name: 'Go live', exact: true }).click();
  const code = await again.getByLabel('Embed code').innerText();
  assert.match(code, new RegExp(`^<script async src="${colloquy.url}/widget/[0-9a-f]+\\.js"></script>$`));
  await again.getByRole('note').getByText(/works only on this computer: the address in it is 127\.0\.0\.1/).waitFor();
  await look(again, 'onboarding-live');
  await again.getByRole('tab', { name: 'WordPress' }).click();
  const [download] = await Promise.all([again.waitForEvent('download'), again.getByRole('button', { name: 'Download the plugin' }).click()]);
  assert.equal(download.suggestedFilename(), 'colloquy-receptionist.zip');
  const zip = await readFile(await download.path());
  assert.equal(zip.readUInt32LE(0), 0x04034b50);
  assert.ok(zip.includes(code.match(/src="([^"]+)"/)[1]), 'the plugin names the agent');
  await again.getByRole('tab', { name: 'Webflow' }).click();
  await again.getByText(/Footer code/).waitFor();

  // The line is put on the owner's site, and a visitor is answered.
  const shop = await createSite(`<!doctype html><title>Oak</title><body><h1>Oak Dental</h1>${code}</body>`);
  const { visitor, frame } = await asks(shop.origin);
  const answered = Date.now() - begun;
  assert.ok(answered < 5 * 60_000, `under five minutes: ${answered} ms`);
  // The hours that were confirmed are enough to book.
  await say(frame, 'I would like to book an appointment');
  await frame.locator('#chips button').filter({ hasText: /day, / }).first().waitFor({ timeout: 20_000 });
  assert.ok(await frameOf(visitor));
  await visitor.close();
  await shop.close();

  await again.getByRole('button', { name: 'Done' }).click();
  await until(() => /^\/app\/agents\/[^/]+$/.test(new URL(again.url()).pathname), 'the agent');
  // The owner's own try is no conversation of the business; whoever looks for it finds it.
  await again.goto(colloquy.url + '/app/conversations');
  await again.getByText('1 conversation', { exact: true }).waitFor();
  assert.equal(await again.getByText('Trial', { exact: true }).count(), 0);
  await look(again, 'onboarding-inbox');
  await again.goto(colloquy.url + '/app/conversations?trial=true');
  await again.getByText('Trial', { exact: true }).first().waitFor();
  await again.getByText('1 conversation', { exact: true }).waitFor();
  const funnel = await again.evaluate(() => fetch('/api/analytics/funnel').then((answer) => answer.json()));
  assert.deepEqual(funnel.stages.slice(0, 2), [{ stage: 'visitors', count: 1 }, { stage: 'conversations', count: 1 }]);
  assert.deepEqual([...errors, ...more], []);
  await again.close();
});

test('without a website a few facts are enough, and a wrong address is said beside the field', async () => {
  const page = await browser.context.newPage();
  await signUp(page);
  await page.getByRole('button', { name: 'Change' }).click();
  await page.getByRole('radio', { name: /Other/ }).click();
  await next(page).click();
  await page.getByLabel('Website address').fill('not a website');
  await page.getByRole('button', { name: 'Read my website' }).click();
  await page.locator('.field .wrong').waitFor();
  await page.getByLabel('I have no website').check();
  await page.getByLabel('A few facts').fill('Parking. You can park behind the barn, next to the red tractor.');
  // What was typed outlives the tab.
  await until(async () => {
    const saved = await page.evaluate(() => fetch('/api/me/preferences').then((answer) => answer.json()));
    return saved.onboarding?.facts?.includes('red tractor');
  }, 'the kept facts');
  await page.reload();
  assert.match(await page.getByLabel('A few facts').inputValue(), /red tractor/);
  await look(page, 'onboarding-facts', { themes: ['light'] });
  await next(page).click();
  await page.getByLabel('Ask something…').waitFor();
  await until(async () => {
    await page.getByLabel('Ask something…').fill('Where can I park?');
    await page.getByRole('button', { name: 'Send' }).click();
    return page.getByRole('log').getByText(/red tractor/).first().waitFor({ timeout: 3_000 }).then(() => true, () => false);
  }, 'an answer from the facts', 40_000);
  await shot(page, 'onboarding-facts-answer');
  await page.close();
});

test('the shortest way to an answered visitor asks nothing twice', async () => {
  const page = await browser.context.newPage();
  await signUp(page, site.origin);
  // Organization, trade, website, name, mail, password, and the button; the time zone is looked at.
  let decisions = 8;
  const press = async (name) => {
    await page.getByRole('button', { name, exact: true }).click();
    decisions += 1;
  };
  assert.equal(await page.getByLabel('Website address').inputValue(), site.origin, 'it is not asked again');
  assert.equal(await page.getByRole('radio').count(), 0, 'nor is the trade');
  await press('Read my website');
  await page.getByText('Read 4 pages').waitFor({ timeout: 60_000 });
  await until(async () => (await page.getByLabel('Monday opens').inputValue()) === '08:00', 'the hours');
  // Hours, address and number are looked over.
  decisions += 3;
  await press('Try it');
  await press('Go live');
  const code = await page.getByLabel('Embed code').innerText();
  const shop = await createSite(`<!doctype html><title>Oak</title><body><h1>Oak Dental</h1>${code}</body>`);
  // The line is copied, put on the page, the page is opened, the chat is opened, a question is typed and sent.
  decisions += 6;
  const { visitor } = await asks(shop.origin);
  assert.ok(decisions <= 20, `${decisions} decisions`);
  await visitor.close();
  await shop.close();
  await page.close();
});
