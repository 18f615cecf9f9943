// A server's side of the WebSocket protocol, as far as the simulated providers need it: text out, whole frames in.
import { createHash } from 'node:crypto';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** Kinds of frames. */
export const TEXT = 1;
export const BINARY = 2;

/** A text frame of a server, which masks nothing. */
export function frame(text) {
  const bytes = Buffer.from(text);
  const head = bytes.length < 126 ? Buffer.from([0x81, bytes.length]) : Buffer.from([0x81, 126, bytes.length >> 8, bytes.length & 255]);
  return Buffer.concat([head, bytes]);
}

/** Takes whole frames off what came in: [kind, payload], and what is left. */
function frames(bytes) {
  const all = [];
  for (;;) {
    if (bytes.length < 2) return [all, bytes];
    let [length, at] = [bytes[1] & 127, 2];
    if (length === 126) [length, at] = [bytes.length < 4 ? Infinity : bytes.readUInt16BE(2), 4];
    else if (length === 127) [length, at] = [bytes.length < 10 ? Infinity : Number(bytes.readBigUInt64BE(2)), 10];
    if (bytes.length < at + 4 + length) return [all, bytes];
    const mask = bytes.subarray(at, at + 4);
    all.push([bytes[0] & 15, Buffer.from(bytes.subarray(at + 4, at + 4 + length).map((byte, n) => byte ^ mask[n & 3]))]);
    bytes = bytes.subarray(at + 4 + length);
  }
}

/** Takes a socket that is being opened, and tells of each frame that comes: kind and payload. */
export function accept(request, opened, take) {
  const proof = createHash('sha1').update(request.headers['sec-websocket-key'] + GUID).digest('base64');
  opened.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${proof}\r\n\r\n`);
  let left = Buffer.alloc(0);
  opened.on('error', () => {});
  opened.on('end', () => opened.destroy());
  opened.on('data', (chunk) => {
    let all;
    [all, left] = frames(Buffer.concat([left, chunk]));
    for (const [kind, payload] of all) take(kind, payload);
  });
}

export function refuse(opened) {
  opened.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n');
}
