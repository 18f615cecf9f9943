// OpenAI's side of Realtime: gives tokens, takes a page's offer, and says in the socket beside the session what the test says it hears.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { accept, frame, refuse, TEXT } from './websocket.mjs';

const TOKEN = 'ek_of_the_simulated_openai';
const CALL = 'rtc_1';

/** `answer` makes an answer (SDP) of a page's offer. */
export async function createOpenAi(key, answer) {
  let socket;
  const openai = {
    /** What it was given to say, in order. */
    given: [],
    hungUp: false,
    joined: () => socket !== undefined && !socket.destroyed,
    /** The caller says this. */
    hears(words) {
      tell({ type: 'input_audio_buffer.speech_started', audio_start_ms: 1, item_id: 'i' });
      tell({ type: 'conversation.item.input_audio_transcription.completed', item_id: 'i', transcript: words });
    },
    close() {
      socket?.destroy();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
  const tell = (event) => socket.write(frame(JSON.stringify(event)));
  const server = createServer(async (request, response) => {
    // Pages of other origins ask it, and read where their session is.
    const open = { 'access-control-allow-origin': '*', 'access-control-allow-headers': 'authorization, content-type', 'access-control-expose-headers': 'location' };
    const end = (status, body = '', more = {}) => response.writeHead(status, { ...open, ...more }).end(body);
    let body = '';
    for await (const piece of request) body += piece;
    const bearer = request.headers.authorization;
    if (request.method === 'OPTIONS') return end(204);
    if (request.url === '/v1/realtime/client_secrets' && bearer === `Bearer ${key}`) {
      return end(200, JSON.stringify({ value: TOKEN, expires_at: Math.floor(Date.now() / 1000) + 60, session: JSON.parse(body).session }), { 'content-type': 'application/json' });
    }
    if (request.url === '/v1/realtime/calls' && bearer === `Bearer ${TOKEN}`) {
      return end(201, await answer(body), { 'content-type': 'application/sdp', location: `/v1/realtime/calls/${CALL}` });
    }
    if (request.url === `/v1/realtime/calls/${CALL}/hangup` && bearer === `Bearer ${key}`) {
      openai.hungUp = true;
      return end(200);
    }
    return end(401);
  });
  server.on('upgrade', (request, opened) => {
    if (request.headers.authorization !== `Bearer ${key}` || request.url !== `/v1/realtime?call_id=${CALL}`) return refuse(opened);
    socket = opened;
    accept(request, opened, (kind, payload) => {
      const event = kind === TEXT ? JSON.parse(payload.toString()) : {};
      if (event.type !== 'response.create') return;
      // Played to its end at once.
      openai.given.push(event.response.instructions.split('\n').slice(1).join('\n'));
      tell({ type: 'output_audio_buffer.started', response_id: 'r' });
      tell({ type: 'response.done', response: { id: 'r', status: 'completed' } });
      tell({ type: 'output_audio_buffer.stopped', response_id: 'r' });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  openai.url = `http://127.0.0.1:${server.address().port}`;
  return openai;
}
