// Answers that grow word by word, over the real path to a model, and what cuts them short. COLLOQUY_BIN names the binary.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { until } from './lib/browser.mjs';
import { createModel, gate } from './lib/model.mjs';
import { createStage, wiretap } from './lib/stage.mjs';
import { answers, bubbles, say } from './lib/widget.mjs';

let model;
const stage = createStage(async () => {
  model = await createModel();
  return { COLLOQUY_MODELS__OPENAI__BASE_URL: model.url, COLLOQUY_MODELS__OPENAI__API_KEY: 'sk-test' };
});
after(() => model?.close());

const partial = (frame) => frame.locator('.row.partial .bubble');
const shows = (frame, text) => frame.locator('#log', { hasText: text }).waitFor();

test('an answer grows under the eyes of the visitor, is announced once, and stands once', async () => {
  const more = gate();
  model.answer = async (write) => {
    write('Park behind ');
    await more.opened;
    write('the building, on Elm Street.');
  };
  const frames = wiretap(stage.page);
  const frame = await stage.visit();
  await say(frame, 'Where can I park?');
  await partial(frame).getByText('Park behind').waitFor();
  assert.equal(await frame.locator('#say p').count(), 0, 'half an answer is not announced');
  more.open();
  await answers(frame).getByText('Park behind the building, on Elm Street.').waitFor();
  await partial(frame).waitFor({ state: 'detached' });
  assert.equal(await frame.locator('#say p').count(), 1);
  const tokens = frames.filter(({ type }) => type === 'token');
  assert.ok(tokens.length >= 2);
  assert.deepEqual(tokens.map(({ index }) => index), tokens.map((_, at) => at), 'no piece twice, none missing');
});

test('a colleague takes over in the middle of an answer: what was half shown goes, the assistant is silent', async () => {
  const more = gate();
  model.answer = async (write) => {
    write('I think that ');
    await more.opened;
    write('nobody should read this.');
  };
  const frames = wiretap(stage.page);
  const frame = await stage.visit();
  await say(frame, 'Can you help me?');
  await partial(frame).getByText('I think that').waitFor();
  const { id } = await stage.conversation();
  await stage.api.takeOver(id);
  await partial(frame).waitFor({ state: 'detached' });
  await shows(frame, 'A team member joined');
  more.open();
  await stage.api.write(id, 'Dana here, I will help you.');
  await shows(frame, 'Dana here');
  assert.deepEqual((await stage.said()).map(({ role }) => role), ['user', 'human_agent']);
  assert.ok(!(await bubbles(frame)).some((text) => text.includes('I think that')));
  const half = frames.find(({ type }) => type === 'token').message_id;
  assert.equal(frames.filter(({ type, message_id: id }) => type === 'discard' && id === half).length, 1, 'other clients are told to take it back');
});

test('kill -9 in the middle of an answer: after the restart the question is answered once, by itself', async () => {
  const never = gate();
  let calls = 0;
  model.answer = async (write) => {
    if (++calls > 1) return write('The whole answer.');
    write('Half an ans');
    await never.opened;
  };
  const frame = await stage.visit();
  await say(frame, 'What do I bring?');
  await partial(frame).getByText('Half an ans').waitFor();
  await stage.colloquy.kill();
  await stage.colloquy.start();
  never.open();
  await answers(frame).getByText('The whole answer.').waitFor({ timeout: 30_000 });
  const words = await bubbles(frame);
  assert.equal(words.filter((text) => text === 'What do I bring?').length, 1);
  assert.equal(words.some((text) => text.includes('Half an ans')), false);
  const said = await stage.said();
  assert.deepEqual(said.map(({ role }) => role), ['user', 'assistant']);
  assert.match(said[1].content, /^The whole answer\./);
});

test('a model that breaks off in the middle leaves the visitor with a whole answer', async () => {
  model.answer = async (write) => {
    write('Let me se');
    throw new Error('cut');
  };
  const frame = await stage.visit();
  const text = await stage.ask(frame, 'Where can I park?');
  assert.doesNotMatch(text, /Let me se/);
  assert.ok(text.length > 20, text);
  await until(async () => !(await partial(frame).count()), 'no half answer');
});
