// Numbers and accounts, who must not be contacted, consents, and a conversation by text message: badges, answers on the channel, receipts, merging.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { until } from './lib/browser.mjs';
import { ACCOUNT, OURS, TOKEN, createCarrier } from './lib/carrier.mjs';
import { createColleague, look, signIn } from './lib/console.mjs';
import { inOffice } from './lib/office.mjs';

const SAM = '+14155552671';
const carrier = await createCarrier();
let colloquy;
let browser;
let office;
let page;

inOffice((now) => ({ colloquy, browser, office, page } = now), { settings: carrier.settings });
after(() => carrier.close());

const go = (path = '') => page.goto(colloquy.url + '/app' + path);

test('an account is connected with keys that are tried, and a number gets an agent', async () => {
  await go('/settings/numbers');
  await page.getByText('No number yet').waitFor();
  await look(page, 'numbers-empty');
  await page.getByRole('button', { name: 'Connect: Twilio' }).click();
  const dialog = page.getByRole('dialog', { name: 'Connect: Twilio' });
  await dialog.getByLabel('Account SID').fill(ACCOUNT);
  await dialog.getByLabel('Auth token').fill('not the right one');
  await dialog.getByRole('button', { name: 'Connect' }).click();
  await dialog.getByRole('alert').waitFor();
  await look(page, 'account', { widths: [390] });
  await dialog.getByLabel('Auth token').fill(TOKEN);
  await dialog.getByRole('button', { name: 'Connect' }).click();
  await page.getByText('Twilio is connected').waitFor();
  assert.ok(!(await page.content()).includes(TOKEN), 'no key is shown');
  await page.getByText(/\/api\/messages\/twilio\//).waitFor();
  await page.getByRole('button', { name: 'Register a number' }).first().click();
  const number = page.getByRole('dialog', { name: 'Register a number' });
  await number.getByLabel('Number', { exact: true }).fill('+14155559999');
  await look(page, 'number');
  await number.getByRole('button', { name: 'Register a number' }).click();
  await number.getByRole('alert').waitFor();
  await number.getByLabel('Number', { exact: true }).fill(OURS);
  await number.getByRole('button', { name: 'Register a number' }).click();
  await page.getByRole('cell', { name: OURS, exact: true }).waitFor();
  const { items } = await office.api.call('GET', '/api/voice/numbers');
  assert.deepEqual(items.map((one) => [one.number, one.agent_id]), [[OURS, office.agent.id]]);
  await look(page, 'numbers');
});

test('a text message is a conversation with its channel, is answered on it by a person, and shows what became of the answer', async () => {
  await carrier.text(colloquy.url, SAM, 'Where can I park?');
  await until(() => carrier.sent.some((one) => one.To === SAM && /Elm Street/.test(one.Body)), 'the answer by text message', 20_000);
  await go('/conversations');
  const list = page.getByRole('list', { name: 'Conversations' });
  await list.getByRole('link').first().click();
  const log = page.getByRole('log');
  await log.getByText('Where can I park?').waitFor();
  await log.getByText('Text message').first().waitFor();
  const answer = carrier.sent.find((one) => one.To === SAM);
  await carrier.receipt(colloquy.url, answer, 'delivered');
  await log.getByText('Delivered').waitFor();
  await page.getByRole('button', { name: 'Take over' }).click();
  await page.getByLabel('Answer by').selectOption('sms');
  await page.getByRole('textbox', { name: 'Reply' }).fill('Dana here: the gate is open until ten.');
  await page.keyboard.press('Enter');
  const mine = await until(() => carrier.sent.find((one) => /gate is open/.test(one.Body)), 'my words at the carrier', 20_000);
  assert.equal(mine.To, SAM);
  await carrier.receipt(colloquy.url, mine, 'failed');
  await log.getByText('Not delivered').waitFor();
  await look(page, 'conversation-sms');
});

/** A picture of one point. */
/** Half a second of sound as a WAV file: 8 kHz, 8 bits. */
function tone() {
  const samples = Buffer.from(Array.from({ length: 4000 }, (_, at) => 128 + Math.round(40 * Math.sin(at / 3))));
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + samples.length, 4);
  head.write('WAVEfmt ', 8);
  [16, 1 | (1 << 16), 8000, 8000, 1 | (8 << 16)].forEach((word, at) => head.writeUInt32LE(word, 16 + 4 * at));
  head.write('data', 36);
  head.writeUInt32LE(samples.length, 40);
  return Buffer.concat([head, samples]);
}
const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');

test('a picture is attached, looked at before, sent as one message and stands in the conversation', async () => {
  const [talk] = (await office.api.call('GET', '/api/conversations?channel=sms')).items;
  await go('/conversations/' + talk.id);
  const reply = page.getByRole('textbox', { name: 'Reply' });
  await reply.waitFor();
  const before = carrier.sent.length;
  const pick = async (files) => {
    const chooser = page.waitForEvent('filechooser');
    await page.getByRole('button', { name: 'Attach files' }).focus();
    await page.keyboard.press('Enter');
    await (await chooser).setFiles(files);
  };
  const files = page.getByRole('list', { name: 'Attached files' });
  // A program does not become a picture by its name, and what was refused is not sent.
  await pick({ name: 'holiday.png', mimeType: 'image/png', buffer: Buffer.from('MZ this program cannot be run in DOS mode') });
  await files.getByRole('alert').getByText('no JPEG, PNG, GIF or PDF').waitFor();
  assert.ok(await page.getByRole('button', { name: 'Send', exact: true }).isDisabled());
  await files.getByRole('button', { name: 'Remove holiday.png' }).click();
  await pick([{ name: 'leak.png', mimeType: 'image/png', buffer: PNG }, { name: 'offer.pdf', mimeType: 'application/pdf', buffer: Buffer.from('%PDF-1.4\n%%EOF') }]);
  await files.getByText('leak.png').waitFor();
  await until(async () => (await files.getByRole('progressbar').count()) === 0, 'both are there');
  await look(page, 'attached');
  await files.getByRole('button', { name: 'Remove offer.pdf' }).click();
  // Pasted, the same picture under another name is another file.
  await reply.evaluate((box, bytes) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], 'pasted.png', { type: 'image/png' }));
    box.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
  }, [...PNG]);
  await files.getByText('pasted.png').waitFor();
  await reply.fill('Is it this pipe?');
  await until(async () => !(await page.getByRole('button', { name: 'Send', exact: true }).isDisabled()), 'it can be sent');
  await reply.press('Enter');
  const sent = await until(() => carrier.sent.find((one) => /this pipe/.test(one.Body)), 'the picture at the carrier', 20_000);
  assert.equal(carrier.sent.length, before + 1);
  assert.equal(sent.media.length, 2);
  const fetched = await fetch(sent.media[0]);
  assert.deepEqual([fetched.status, Buffer.from(await fetched.arrayBuffer()).equals(PNG)], [200, true]);
  const log = page.getByRole('log');
  await log.getByRole('link', { name: 'Open leak.png' }).waitFor();
  await until(() => log.getByRole('img', { name: 'leak.png' }).evaluate((image) => image.naturalWidth === 1), 'the picture is drawn');
  assert.equal(await files.count(), 0);
  // What the person sends is shown too; it is fetched from the carrier.
  carrier.media.ME1 = PNG;
  await carrier.text(colloquy.url, SAM, 'It is this one', { NumMedia: '1', MediaUrl0: `https://api.twilio.com/2010-04-01/Accounts/${ACCOUNT}/Messages/MM1/Media/ME1`, MediaContentType0: 'image/png' });
  await log.getByText('It is this one').waitFor();
  await until(() => log.getByRole('img', { name: 'Attachment 1: picture' }).evaluate((image) => image.naturalWidth === 1), 'their picture is drawn');
  await look(page, 'conversation-picture');
  // A voice message is listened to where it stands; what no browser plays is there to download; what the carrier has no more says so.
  Object.assign(carrier.media, { ME2: tone(), ME3: Buffer.from('#!AMR\n' + 'x'.repeat(200)) });
  const at = (medium) => `https://api.twilio.com/2010-04-01/Accounts/${ACCOUNT}/Messages/MM2/Media/${medium}`;
  await carrier.text(colloquy.url, SAM, 'Listen to it', { NumMedia: '3', MediaUrl0: at('ME2'), MediaUrl1: at('ME3'), MediaUrl2: at('ME4') });
  await log.getByText('Listen to it').waitFor();
  const player = log.getByLabel('Attachment 1: voice message or sound');
  await player.waitFor();
  assert.equal(await player.evaluate(async (audio) => { await audio.play(); await new Promise((done) => (audio.onended = done)); return audio.duration.toFixed(1); }), '0.5');
  assert.match(await log.getByRole('link', { name: /\.amr/ }).getAttribute('download'), /^\d+-2\.amr$/);
  await log.getByText('The carrier has it no more').waitFor();
  await look(page, 'conversation-sound');
});

test('two conversations of one person are merged by hand', async () => {
  const [talk] = (await office.api.call('GET', '/api/conversations?channel=sms')).items;
  const visitor = office.visitor();
  await visitor.say('What does a cleaning cost?');
  await go('/conversations/' + visitor.conversation);
  await page.getByRole('button', { name: 'Details' }).click();
  await page.getByRole('button', { name: 'Merge with another conversation' }).click();
  const dialog = page.getByRole('dialog', { name: 'Merge with another conversation' });
  await dialog.getByLabel('Other conversation').fill('nonsense');
  await dialog.getByRole('button', { name: 'Merge', exact: true }).click();
  await dialog.getByRole('alert').waitFor();
  await dialog.getByLabel('Other conversation').fill(`${colloquy.url}/app/conversations/${talk.id}`);
  await look(page, 'merge', { widths: [390] });
  await dialog.getByRole('button', { name: 'Merge', exact: true }).click();
  await until(() => new URL(page.url()).pathname.endsWith(talk.id), 'the other conversation');
  await go('/conversations/' + visitor.conversation);
  await page.getByText('was merged into another one').waitFor();
});

test('who must not be contacted is written down, found by whoever knows the number, and taken off again', async () => {
  await go('/settings/contacts');
  await page.getByText('Nobody is on the list').waitFor();
  await look(page, 'contacts-empty');
  await page.getByRole('button', { name: 'Add to the list' }).click();
  const dialog = page.getByRole('dialog', { name: 'Add to the list' });
  await dialog.getByLabel('Number or e-mail address').fill('12');
  await dialog.getByLabel('Why').fill('Asked at the desk');
  await dialog.getByRole('button', { name: 'Add to the list' }).click();
  await dialog.getByRole('alert').waitFor();
  await dialog.getByLabel('Number or e-mail address').fill('+1 415 555 0177');
  await look(page, 'dnc', { widths: [390] });
  await dialog.getByRole('button', { name: 'Add to the list' }).click();
  await page.getByRole('cell', { name: 'Asked at the desk' }).waitFor();
  assert.ok(!(await page.locator('table').first().innerText()).includes('555 0177'), 'numbers are masked');
  // STOP puts a person there, and only they can take it back.
  await carrier.text(colloquy.url, '+14155550188', 'STOP');
  await page.getByLabel('Number or e-mail address').fill('+14155550188');
  await page.getByRole('button', { name: 'Look it up' }).click();
  await page.getByText('The person (STOP)').waitFor();
  assert.equal(await page.getByRole('button', { name: /Take off/ }).count(), 0);
  await page.getByRole('button', { name: 'Show all' }).click();
  await page.getByRole('button', { name: /Take off/ }).click();
  await until(async () => (await office.api.call('GET', '/api/dnc')).items.every(({ source }) => source !== 'staff'), 'it is taken off', 20_000);

  await page.getByRole('button', { name: 'Record a consent' }).click();
  const consent = page.getByRole('dialog', { name: 'Record a consent' });
  await consent.getByLabel('Number or e-mail address').fill('+14155550177');
  await consent.getByLabel('Where').fill('Paper form');
  await consent.getByLabel('The words they agreed to').fill('<b>You may text me</b>');
  await consent.getByRole('button', { name: 'Record a consent' }).click();
  await page.getByRole('cell', { name: '<b>You may text me</b>' }).waitFor();
  await look(page, 'contacts');
  const { items } = await office.api.call('GET', '/api/consents');
  assert.deepEqual(items.map(({ kind, granted, source }) => [kind, granted, source]), [['messages', true, 'Paper form']]);
});

test('a viewer sees neither numbers nor the list, and a rep takes nobody off', async () => {
  const vera = await createColleague(colloquy.url, office, 'viewer', 'Vera Viewer');
  const rita = await createColleague(colloquy.url, office, 'rep', 'Rita Rep');
  await office.api.call('POST', '/api/dnc', { channel: 'phone', address: '+14155550166', reason: 'Asked' });
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, vera.email);
  for (const tab of ['numbers', 'contacts']) {
    await go('/settings/' + tab);
    await page.getByText(/the role rep/).waitFor();
    assert.equal(await page.locator('main').locator('table').count(), 0, tab);
  }
  // Also behind the interface's back.
  const refused = await page.evaluate(() => Promise.all(['/api/dnc', '/api/consents', '/api/integrations'].map((path) => fetch(path).then((answer) => answer.status))));
  assert.deepEqual(refused, [403, 403, 403]);
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, rita.email);
  await go('/settings/contacts');
  await page.getByRole('cell', { name: 'Asked', exact: true }).waitFor();
  assert.equal(await page.getByRole('button', { name: /Take off/ }).count(), 0);
  await go('/settings/numbers');
  await page.getByRole('cell', { name: OURS, exact: true }).waitFor();
  for (const name of [/Connect/, /Replace keys/, /Give up/, /Register/]) assert.equal(await page.getByRole('button', { name }).count(), 0, String(name));
  await browser.context.clearCookies();
  await signIn(page, colloquy.url, office.email);
});
