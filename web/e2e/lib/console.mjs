// The console as a test sees it: an organization with an agent that knows something, visitors who wrote, and somebody who is signed in.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createApi } from './api.mjs';
import { axe, drawn, shot, until } from './browser.mjs';

export const PASSWORD = 'correct horse battery staple';
export const EVIL = '<img src=x onerror="window.__evil=1"><script>window.__evil=1</script><b>bold</b> {{constructor.constructor("window.__evil=1")()}} javascript:window.__evil=1';
export const HANDBOOK = `Opening hours. Northwind Dental is open Monday to Friday from 8:00 to 18:00 and on Saturday from 9:00 to 13:00.

Parking. Free parking is available behind the building, entrance on Elm Street.

Prices. A cleaning costs $120 and takes 45 minutes.`;

const random = () => randomBytes(16).toString('hex');

/** A visitor who writes over HTTP; later words stay in the same conversation. */
export function createVisitor(url, agent) {
  const id = random();
  let token;
  let conversation;
  return {
    async say(message, metadata) {
      const headers = token ? { Authorization: 'Visitor ' + token } : {};
      const answer = await createApi(url).call('POST', '/api/chat', { agent_id: agent, visitor_id: id, message, conversation_id: conversation, client_message_id: random(), metadata }, headers);
      token = answer.visitor_token;
      conversation = answer.conversation_id;
      return answer;
    },
    get token() {
      return token;
    },
    get conversation() {
      return conversation;
    },
  };
}

/** An owner with everything that the pages show. */
export async function createOffice(url, { agent: wanted = {}, email } = {}) {
  const api = createApi(url);
  const session = await api.signUp({ email });
  const agent = await api.createAgent(wanted);
  await api.teach(agent.id, 'Handbook', HANDBOOK, 'Where can I park?');
  return { api, agent, session, email: session.user.email, visitor: () => createVisitor(url, agent.id) };
}

/** A new member of the office. */
export async function createColleague(url, office, role, name) {
  const { code } = await office.api.call('POST', '/api/team/invitations', { role });
  const email = `${name.split(' ')[0].toLowerCase()}-${random().slice(0, 12)}@example.com`;
  const api = createApi(url);
  const { user } = await api.call('POST', '/api/auth/signup', { email, password: PASSWORD, name, invitation_code: code });
  await api.signIn(email, PASSWORD);
  return { api, email, id: user.id };
}

/** Signs a browser in, as the log-in page does. */
export async function signIn(page, url, email, password = PASSWORD) {
  await page.goto(url + '/login');
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await until(() => new URL(page.url()).pathname.startsWith('/app'), 'the console');
  await page.waitForLoadState();
}

/** The page's own errors and refusals of its content policy, gathered until asked for. */
export function watch(page) {
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    if (/Content.Security.Policy|Refused to|TypeError|ReferenceError|svelte\.dev\/e/i.test(message.text())) errors.push(message.text());
  });
  return errors;
}

/** No finding of axe, nothing wider than the screen, in each theme and width. */
export async function look(page, name, { widths = [1440, 390], themes = ['light', 'dark'] } = {}) {
  const before = page.viewportSize();
  for (const width of widths) {
    await page.setViewportSize({ width, height: width === 390 ? 844 : 900 });
    for (const colorScheme of themes) {
      await page.emulateMedia({ colorScheme });
      // What loads is waited for; a placeholder would be looked at instead of the page.
      await until(async () => !(await page.locator('.bone').count()), `${name}: what it loads`);
      await drawn(page);
      await shot(page, `${name}-${width}-${colorScheme}`);
      const where = `${name}, ${width} px, ${colorScheme}`;
      assert.deepEqual(await axe(page), [], where);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wide <= 0, `${where}: ${wide} px wider than the screen`);
    }
  }
  await page.setViewportSize(before);
  await page.emulateMedia({ colorScheme: 'light' });
}
