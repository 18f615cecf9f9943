// The server-rendered pages in a browser: both themes, wide and narrow, free of findings of axe, nothing wider than the screen. COLLOQUY_BIN names the binary.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { axe, launch, shot, until } from './lib/browser.mjs';
import { createApi } from './lib/api.mjs';
import { createColloquy } from './lib/server.mjs';

const PASSWORD = 'correct horse battery staple';
const WIDTHS = [1440, 390];
const THEMES = ['light', 'dark'];
const email = `owner-${randomBytes(6).toString('hex')}@example.com`;

let colloquy;
let browser;
let page;

before(async () => {
  colloquy = await createColloquy();
  await colloquy.start();
  browser = await launch();
  page = await browser.context.newPage();
});
after(async () => {
  await browser?.close();
  await colloquy?.close();
});

const go = (path) => page.goto(colloquy.url + path);

/** Looks at the page that is open, in each theme and width. */
async function look(name) {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme });
      const where = `${name}, ${width} px, ${colorScheme}`;
      assert.deepEqual(await axe(page), [], where);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wide <= 0, `${where}: ${wide} px wider than the screen`);
      const small = await page.evaluate(() =>
        [...document.querySelectorAll('a.button, button, input:not([type=hidden]), select, summary, nav a, .links a, .more')]
          .filter((target) => target.getClientRects().length && target.getBoundingClientRect().height < 40)
          .map((target) => target.outerHTML.slice(0, 80)),
      );
      assert.deepEqual(small, [], `${where}: too small to touch`);
      await shot(page, `${name}-${width}-${colorScheme}`);
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });
}

const arrived = (wanted) => until(() => new URL(page.url()).pathname === wanted, 'the page ' + wanted);

test('pages before a log-in', async () => {
  for (const [name, path] of [
    ['home', '/'],
    ['login', '/login'],
    ['signup', '/signup'],
    ['forgot', '/forgot-password'],
    ['reset', '/reset-password?token=a.b'],
    ['magic', '/magic-link'],
    ['confirm', '/magic-link?token=a.b'],
    ['invitation-void', '/signup?invitation=a.b'],
    ['docs', '/docs'],
    ['mailbox-empty', '/dev/mailbox?to=nobody@example.com'],
  ]) {
    await go(path);
    await look(name);
  }
});

test('a person signs up, and is in the console; an invitation and the way out are pages', async () => {
  await go('/signup');
  await page.getByLabel('Organization').fill('Brightwell Plumbing & Heating');
  await page.getByLabel('Trade').selectOption('home_services');
  await page.getByLabel('Website').fill('https://nowhere.invalid/with spaces');
  await page.getByLabel('Your name').fill('Dana Whitfield');
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill('aaaaaaaaaaaa');
  await page.getByRole('button', { name: 'Create account' }).click();
  await page.getByText('Must not be one character repeated.').waitFor();
  await look('signup-refused');
  await page.getByLabel('Website').fill('');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Create account' }).click();
  await arrived('/app/onboarding');
  await go('/logout');
  await look('logout');
  const api = createApi(colloquy.url);
  await api.signIn(email, PASSWORD);
  const { link } = await api.call('POST', '/api/team/invitations', { role: 'rep' });
  await page.context().clearCookies();
  await page.goto(link);
  await page.getByRole('heading', { name: /Join Brightwell/ }).waitFor();
  await look('invitation');
});

test('whoever is not signed in is led to the log-in and back to the page that was asked for', async () => {
  await page.context().clearCookies();
  await go('/app/settings/team');
  await arrived('/login');
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Log in' }).click();
  await arrived('/app/settings/team');
  await page.getByRole('main').getByText(email).waitFor();
  await page.context().clearCookies();
});

test('everything is reached by keyboard, the first stop skips the bar', async () => {
  await go('/login');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to content');
  await page.keyboard.press('Enter');
  await until(() => page.evaluate(() => document.activeElement.id === 'content'), 'the content in focus');
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.name), 'email');
  await page.keyboard.type(email);
  await page.keyboard.press('Tab');
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press('Enter');
  await arrived('/app/onboarding');
});

// The last one: a link proves the address, and a password that was set before is not the owner's for sure.
test('the development mailbox is a page: a letter is found by its address, and its link is followed', async () => {
  await page.context().clearCookies();
  await go('/magic-link');
  await page.getByLabel('E-mail').fill(email);
  await page.getByRole('main').getByRole('button').click();
  await page.getByRole('link', { name: 'Open the development mailbox' }).click();
  await page.getByRole('heading', { name: 'Development mailbox' }).waitFor();
  await look('mailbox');
  await page.getByLabel('Only to').fill(email);
  await page.getByRole('button', { name: 'Show' }).click();
  await until(() => new URL(page.url()).searchParams.get('to') === email, 'only those');
  await page.getByRole('main').getByRole('link', { name: /\/api\/auth\/magic\// }).first().click();
  await page.getByRole('main').getByRole('button').click();
  await arrived('/app/onboarding');
});
