// A telephone company on loopback: speaks Twilio's side, writes down what it was asked to send, and signs what it posts as Twilio does.
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

export const ACCOUNT = 'AC00000000000000000000000000000042';
export const TOKEN = 'auth-token-of-the-simulated-account';
export const OURS = '+14155550100';

export async function createCarrier() {
  const carrier = {
    /** What it was asked to send: `{ To, From, Body, StatusCallback, media, sid }`. */
    sent: [],
    /** Settings of a server that uses it. */
    settings: {},
    /** A text message of somebody, as it reaches the server. */
    text: (url, number, words, media = {}) => post(url, '/api/messages/twilio', { MessageSid: 'SM' + randomBytes(16).toString('hex'), AccountSid: ACCOUNT, From: number, To: OURS, Body: words, NumMedia: '0', ...media }),
    /** Bytes of media that people sent, by id. */
    media: {},
    /** A receipt of something it sent. */
    receipt: (url, message, status) => post(url, message.StatusCallback.slice(url.length), { MessageSid: message.sid, MessageStatus: status, From: message.From, To: message.To, AccountSid: ACCOUNT }),
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
  async function post(url, path, fields) {
    const covered = url + path + Object.keys(fields).sort().map((name) => name + fields[name]).join('');
    const signature = createHmac('sha1', TOKEN).update(covered).digest('base64');
    const response = await fetch(url + path, { method: 'POST', headers: { 'X-Twilio-Signature': signature, 'Content-Type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams(fields).toString() });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  }
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const answer = (value, status = 200) => response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
    const path = new URL(request.url, 'http://x').pathname;
    if (path.endsWith('/IncomingPhoneNumbers.json')) return answer({ incoming_phone_numbers: [{ sid: 'PN1', phone_number: OURS }] });
    if (path.endsWith('/Messages.json') && request.method === 'POST') {
      const sid = 'SM' + randomBytes(16).toString('hex');
      const form = new URLSearchParams(body);
      carrier.sent.push({ Body: '', ...Object.fromEntries(form), media: form.getAll('MediaUrl'), sid });
      return answer({ sid, status: 'queued' }, 201);
    }
    if (path.endsWith('/Messages.json')) return answer({ messages: [] });
    const medium = carrier.media[path.split('/').at(-1)];
    if (medium && path.includes('/Media/')) return response.writeHead(200, { 'Content-Type': 'image/png' }).end(medium);
    const key = Buffer.from((request.headers.authorization ?? '').replace('Basic ', ''), 'base64').toString();
    return key === `${ACCOUNT}:${TOKEN}` ? answer({ sid: ACCOUNT }) : answer({ code: 20003, message: 'Authenticate', status: 401 }, 401);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  carrier.settings = { COLLOQUY_MESSAGES__TWILIO_URL: `http://127.0.0.1:${server.address().port}` };
  return carrier;
}
