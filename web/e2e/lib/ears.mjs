// Deepgram's side of its socket: takes sound, and hears what the test says it hears, once there was sound.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { until } from './browser.mjs';
import { accept, BINARY, frame, refuse } from './websocket.mjs';

/** Samples louder than this are no silence. */
const LOUD = 1_000;

export async function createEars(key) {
  let socket;
  let turn = 0;
  const ears = {
    /** Bytes of sound, and the loudest sample. */
    bytes: 0,
    peak: 0,
    /** What it was asked with. */
    query: '',
    listens: () => socket !== undefined && !socket.destroyed,
    /** The caller says this: it is heard word by word, then their turn is over. */
    async says(words, done = true) {
      const had = ears.bytes;
      await until(() => ears.listens() && ears.bytes > had && ears.peak > LOUD, 'sound from the microphone', 20_000);
      const say = (event, transcript) => socket.write(frame(JSON.stringify({ type: 'TurnInfo', event, turn_index: turn, transcript })));
      say('StartOfTurn', words.split(' ')[0]);
      say('Update', words);
      if (done) {
        say('EndOfTurn', words);
        turn += 1;
      }
    },
    close() {
      socket?.destroy();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
  const server = createServer();
  server.on('upgrade', (request, opened) => {
    if (request.headers.authorization !== `Token ${key}`) return refuse(opened);
    ears.query = request.url;
    socket = opened;
    accept(request, opened, (kind, payload) => {
      if (kind !== BINARY) return;
      ears.bytes += payload.length;
      for (let at = 0; at + 1 < payload.length; at += 2) ears.peak = Math.max(ears.peak, Math.abs(payload.readInt16LE(at)));
    });
    opened.write(frame(JSON.stringify({ type: 'Connected', request_id: 'r', sequence_id: 0 })));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ears.url = `http://127.0.0.1:${server.address().port}`;
  return ears;
}

/** A WAV file of two seconds that beeps, for a microphone without anybody. */
export function beeps(rate = 16_000) {
  const samples = Buffer.alloc(rate * 4);
  for (let n = 0; n < rate * 2; n += 1) samples.writeInt16LE(Math.round(12_000 * Math.sin((n * 2 * Math.PI * 440) / rate)), n * 2);
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + samples.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  head.writeUInt32LE(samples.length, 40);
  return Buffer.concat([head, samples]);
}
