// A test call over OpenAI Realtime: the page's microphone goes into a session there, its voice comes from there, and the agent's own answers are what is said.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, until } from './lib/browser.mjs';
import { createOffice, look, signIn } from './lib/console.mjs';
import { beeps } from './lib/ears.mjs';
import { createOpenAi } from './lib/openai.mjs';
import { createColloquy } from './lib/server.mjs';

const KEY = 'key-of-the-simulated-openai';
let colloquy;
let browser;
let office;
let openai;
let folder;
/** The other end of the page's connection: another page. */
let peer;

before(async () => {
  openai = await createOpenAi(KEY, (offer) => peer.evaluate(answer, offer));
  folder = await mkdtemp(join(tmpdir(), 'colloquy-realtime-'));
  const sound = join(folder, 'beeps.wav');
  await writeFile(sound, beeps());
  colloquy = await createColloquy({ COLLOQUY_VOICE__OPENAI__API_KEY: KEY, COLLOQUY_VOICE__OPENAI__URL: openai.url });
  await colloquy.start();
  browser = await launch({
    flags: ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', `--use-file-for-fake-audio-capture=${sound}`, '--autoplay-policy=no-user-gesture-required', '--allow-loopback-in-peer-connection'],
  });
  office = await createOffice(colloquy.url);
  peer = await browser.context.newPage();
  await peer.goto(`${colloquy.url}/login`);
});
after(async () => {
  await browser?.close();
  await colloquy?.close();
  await openai?.close();
  await rm(folder, { recursive: true, force: true });
});

/** Runs in the other page: takes the offer, speaks with its own microphone, and answers. */
async function answer(sdp) {
  const connection = new RTCPeerConnection();
  window.connection = connection;
  await connection.setRemoteDescription({ type: 'offer', sdp });
  const voice = await navigator.mediaDevices.getUserMedia({ audio: true });
  for (const track of voice.getTracks()) connection.addTrack(track, voice);
  await connection.setLocalDescription(await connection.createAnswer());
  if (connection.iceGatheringState !== 'complete') {
    await new Promise((done) => (connection.onicegatheringstatechange = () => connection.iceGatheringState === 'complete' && done()));
  }
  return connection.localDescription.sdp;
}

/** Bytes of sound that came from the console's page, and those that went there. */
const carried = () => peer.evaluate(async () => {
  const all = [...(await window.connection.getStats()).values()];
  const of = (type, what) => all.filter((one) => one.type === type && one.kind === 'audio').reduce((sum, one) => sum + one[what], 0);
  return { state: window.connection.connectionState, came: of('inbound-rtp', 'bytesReceived'), went: of('outbound-rtp', 'bytesSent') };
});

test('a test call over OpenAI Realtime is heard and spoken there, and answered by the agent', async () => {
  const page = await browser.context.newPage();
  await signIn(page, colloquy.url, office.email);
  await page.goto(`${colloquy.url}/app/agents/${office.agent.id}/voice`);
  await page.getByRole('button', { name: 'Make a test call' }).click();
  const dialog = page.getByRole('dialog', { name: 'Test call: Ada' });
  await dialog.getByLabel('Over OpenAI Realtime').check();
  await dialog.getByRole('button', { name: 'Call', exact: true }).click();
  const agent = dialog.locator('.log .agent .bubble');
  const caller = dialog.locator('.log .caller .bubble');
  await agent.first().waitFor();
  await until(() => openai.joined(), 'the server sits beside the session');
  await until(async () => {
    const { state, came, went } = await carried();
    return state === 'connected' && came > 2_000 && went > 2_000;
  }, 'sound goes both ways', 20_000);
  await until(() => openai.given.length > 0, 'the greeting is given to the session');

  openai.hears('Where can I park?');
  await caller.filter({ hasText: 'Where can I park?' }).waitFor();
  await until(() => openai.given.some((words) => /Elm Street/.test(words)), 'the answer is given to the session', 30_000);
  assert.match(await agent.last().innerText(), /Elm Street/);
  await look(page, 'test-call-realtime');

  await dialog.getByRole('button', { name: 'Hang up' }).click();
  await dialog.getByText('The call has ended.').waitFor();
  await until(() => openai.hungUp, 'the session is ended');
  await until(async () => ['closed', 'disconnected', 'failed'].includes((await carried()).state), 'the microphone is let go', 30_000);
  await page.close();
});

test('where OpenAI does not answer the call says so, and can be made without it', async () => {
  const page = await browser.context.newPage();
  await page.route(`${openai.url}/v1/realtime/calls`, (route) => route.abort());
  await page.goto(`${colloquy.url}/app/agents/${office.agent.id}/voice`);
  await page.getByRole('button', { name: 'Make a test call' }).click();
  const dialog = page.getByRole('dialog', { name: 'Test call: Ada' });
  await dialog.getByLabel('Over OpenAI Realtime').check();
  await dialog.getByRole('button', { name: 'Call', exact: true }).click();
  await dialog.getByText(/OpenAI Realtime does not answer/).waitFor();
  await dialog.getByLabel('Over OpenAI Realtime').uncheck();
  await dialog.getByRole('button', { name: 'Call again' }).click();
  await dialog.locator('.log .agent .bubble').first().waitFor();
  await page.close();
});
