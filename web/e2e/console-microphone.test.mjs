// A test call that is spoken: the browser's microphone is heard, the caller talks over the agent, and what was heard stands.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, until } from './lib/browser.mjs';
import { createOffice, look, signIn } from './lib/console.mjs';
import { beeps, createEars } from './lib/ears.mjs';
import { createColloquy } from './lib/server.mjs';

const KEY = 'key-of-the-simulated-ears';
let colloquy;
let browser;
let office;
let ears;
let folder;

before(async () => {
  ears = await createEars(KEY);
  folder = await mkdtemp(join(tmpdir(), 'colloquy-microphone-'));
  const sound = join(folder, 'beeps.wav');
  await writeFile(sound, beeps());
  colloquy = await createColloquy({ COLLOQUY_VOICE__DEEPGRAM__API_KEY: KEY, COLLOQUY_VOICE__DEEPGRAM__URL: ears.url });
  await colloquy.start();
  browser = await launch({
    flags: ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', `--use-file-for-fake-audio-capture=${sound}`, '--autoplay-policy=no-user-gesture-required'],
  });
  office = await createOffice(colloquy.url);
});
after(async () => {
  await browser?.close();
  await colloquy?.close();
  await ears?.close();
  await rm(folder, { recursive: true, force: true });
});

test('what is said into the microphone is written down live, answered, interrupts the agent, and stands in the history', async () => {
  const page = await browser.context.newPage();
  await signIn(page, colloquy.url, office.email);
  await page.goto(`${colloquy.url}/app/agents/${office.agent.id}/voice`);
  await page.getByRole('button', { name: 'Make a test call' }).click();
  const dialog = page.getByRole('dialog', { name: 'Test call: Ada' });
  assert.ok(await dialog.getByLabel('With the microphone').isChecked(), 'somebody listens: the microphone is offered');
  await dialog.getByRole('button', { name: 'Call', exact: true }).click();
  const agent = dialog.locator('.log .agent .bubble');
  const caller = dialog.locator('.log .caller .bubble');
  await agent.first().waitFor();
  await until(() => ears.listens(), 'somebody listens');
  assert.match(ears.query, /encoding=linear16&sample_rate=16000/);
  await dialog.getByText('The agent listens').waitFor({ timeout: 60_000 });

  // Words come as they are heard; the caller has not finished.
  await ears.says('Where can I', false);
  await dialog.locator('.caller .soft').filter({ hasText: 'Where can I' }).waitFor();
  await ears.says('Where can I park?');
  await caller.filter({ hasText: 'Where can I park?' }).waitFor();
  await until(async () => /Elm Street/.test(await agent.last().innerText()), 'an answer', 30_000);

  // The caller talks over the answer: it falls silent, and what follows is about what was said then.
  const had = await agent.count();
  await ears.says('And when are you open on Saturday?');
  await until(async () => (await agent.count()) > had, 'an answer to what interrupted');
  await look(page, 'test-call-spoken');
  const call = (await office.api.call('GET', '/api/voice/calls')).items[0];
  const said = await until(async () => {
    const shown = await office.api.call('GET', `/api/voice/calls/${call.id}`);
    const users = shown.transcript.filter(({ role }) => role === 'user').map(({ content }) => content);
    return users.length === 2 && shown.transcript.at(-1).role === 'assistant' && users;
  }, 'both turns stand');
  assert.deepEqual(said, ['Where can I park?', 'And when are you open on Saturday?']);

  // Typing goes on beside it, and counts as the next turn.
  const before = await agent.count();
  await dialog.getByLabel('What the caller says').fill('Thank you');
  await page.keyboard.press('Enter');
  await until(async () => (await agent.count()) > before, 'an answer to what was typed');
  await dialog.getByRole('button', { name: 'Hang up' }).click();
  await dialog.getByText('The call has ended.').waitFor();
  await until(() => !ears.listens(), 'nobody listens any more');
  await page.close();
});
