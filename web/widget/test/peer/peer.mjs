// A stand-in for the server, for the widget's own tests: serves dist/ and speaks the chat socket by script.
// It keeps a journal per conversation, so that stopping and starting it again behaves like a restarted server.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const dist = new URL('../../dist/', import.meta.url);
const TYPES = { js: 'text/javascript', css: 'text/css', html: 'text/html' };

const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; connect-src 'self'; base-uri 'none'; form-action 'none'";

export function createPeer() {
  const peer = {
    /** Changed by a test before it loads the page. */
    agent: {
      name: 'Ada at Northwind Dental',
      welcome_message: 'Hi, I am Ada, the AI receptionist of Northwind Dental. How can I help?',
      quick_prompts: ['What are your opening hours?', 'Do you take new patients?', 'I have a toothache'],
      chat_theme: {},
      position: 'bottom-right',
      show_branding: true,
      live: true,
    },
    config: {},
    frameAncestors: '*',
    /** Pages of a host site by path. */
    pages: {},
    pageHeaders: {},
    conversations: new Map(),
    sockets: new Set(),
    hellos: [],
    received: [],
    feedback: [],
    /** What the assistant does with a message; replaced by a test. */
    answer: async (talk, text) => talk.stream(`You said **${text}**.`),
    onLead: (talk, frame) => talk.send({ type: 'done', client_id: frame.client_id, id: 'lead-1' }),
    /** Drops messages without an answer, as a network does. */
    deaf: false,
    url: '',
    start,
    stop,
    /** Every open socket of the only conversation. */
    talk: () => [...peer.sockets].at(-1),
  };
  let server;
  let port = 0;

  async function page(request, response) {
    const { pathname } = new URL(request.url, 'http://peer');
    const send = (status, type, body, headers = {}) => response.writeHead(status, { 'Content-Type': type + '; charset=utf-8', ...headers }).end(body);
    const feedback = /^\/api\/chat\/([^/]+)\/messages\/([^/]+)\/feedback$/.exec(pathname);
    if (feedback && request.method === 'POST') {
      let body = '';
      for await (const chunk of request) body += chunk;
      peer.feedback.push({ conversation: feedback[1], message: feedback[2], auth: request.headers.authorization, body: JSON.parse(body) });
      return send(204, 'text/plain', '');
    }
    if (peer.pages[pathname]) return send(200, 'text/html', peer.pages[pathname], peer.pageHeaders);
    if (pathname === '/widget/loader.js') return send(200, TYPES.js, await readFile(new URL('loader.js', dist)));
    const asset = /^\/widget\/(assets\/\w+\/\w+\.(js|css))$/.exec(pathname);
    if (asset) return send(200, TYPES[asset[2]], await readFile(new URL(asset[1], dist)));
    const stub = /^\/widget\/(\w+)\.js$/.exec(pathname);
    if (stub) {
      const text = await readFile(new URL('stub.js', dist), 'utf8');
      return send(200, TYPES.js, text.replaceAll('__AGENT_ID__', stub[1]).replaceAll('__BASE__', peer.url));
    }
    const frame = /^\/widget\/(\w+)$/.exec(pathname);
    if (frame) {
      const config = JSON.stringify({ agent: peer.agent, ...peer.config }).replaceAll('<', '\\u003c');
      const html = (await readFile(new URL('frame.html', dist), 'utf8')).replace('__AGENT_ID__', frame[1]).replace('__CONFIG_JSON__', () => config);
      return send(200, TYPES.html, html, { 'Content-Security-Policy': `${CSP}; frame-ancestors ${peer.frameAncestors}` });
    }
    return send(404, 'text/plain', 'nothing here');
  }

  function serve(socket) {
    let conversation;
    const talk = {
      send: (frame) => socket.readyState === 1 && socket.send(JSON.stringify(frame)),
      /** Appends to the journal and delivers. */
      say(role, content, more = {}) {
        conversation ??= begin();
        const message = { id: `m${conversation.seq + 1}`, seq: ++conversation.seq, role, content, sources: [], ...more };
        conversation.messages.push(message);
        if (role !== 'user') talk.send({ type: 'message', ...message });
        return message;
      },
      stream(text, more = {}) {
        const id = `m${(conversation?.seq ?? 0) + 1}`;
        const parts = text.match(/.{1,12}/gs) ?? [];
        parts.forEach((part, index) => talk.send({ type: 'token', message_id: id, attempt: 1, index, text: part }));
        return talk.say('assistant', text, { id, ...more });
      },
      /** How things stand, as after every change. */
      status: (status = 'active', assigned_to = undefined) => talk.send({ type: 'status', status, assigned_to }),
      drop: () => socket.terminate(),
      get conversation() {
        return conversation;
      },
    };
    function begin() {
      const fresh = { id: 'c' + (peer.conversations.size + 1), seq: 0, messages: [], acks: new Map() };
      peer.conversations.set(fresh.id, fresh);
      return fresh;
    }
    peer.sockets.add(talk);
    socket.on('close', () => peer.sockets.delete(talk));
    socket.on('message', async (data) => {
      const frame = JSON.parse(data);
      peer.received.push(frame);
      if (peer.deaf) return;
      if (frame.type === 'hello') {
        peer.hellos.push(frame);
        conversation = peer.conversations.get(frame.conversation_id);
        talk.send({ type: 'welcome', conversation_id: conversation?.id, visitor_token: 'token-of-' + frame.visitor_id, seq: conversation?.seq ?? 0, agent: peer.agent });
        for (const message of conversation?.messages ?? []) if (message.seq > frame.last_seq) talk.send({ type: 'message', ...message });
        if (conversation) talk.status();
      } else if (frame.type === 'message') {
        conversation ??= begin();
        const known = conversation.acks.get(frame.client_message_id);
        if (known) return talk.send({ type: 'ack', client_message_id: frame.client_message_id, seq: known, conversation_id: conversation.id });
        if (conversation.closed) {
          return talk.send({ type: 'error', client_id: frame.client_message_id, code: 'conversation_closed', detail: 'This conversation has ended.', retry: 'never' });
        }
        const { seq } = talk.say('user', frame.text);
        conversation.acks.set(frame.client_message_id, seq);
        talk.send({ type: 'ack', client_message_id: frame.client_message_id, seq, conversation_id: conversation.id });
        talk.status();
        await peer.answer(talk, frame.text);
      } else if (frame.type === 'typing') talk.send({ type: 'typing', role: 'user' });
      else if (frame.type === 'lead') peer.onLead(talk, frame);
      else if (frame.type === 'rating') talk.send({ type: 'done', client_id: frame.client_id, id: 'r' });
    });
  }

  async function start() {
    server = createServer((request, response) => page(request, response).catch((error) => response.writeHead(500).end(String(error))));
    const sockets = new WebSocketServer({ noServer: true });
    server.on('upgrade', (request, socket, head) => {
      if (!request.url.startsWith('/api/chat/socket?agent_id=')) return socket.destroy();
      sockets.handleUpgrade(request, socket, head, serve);
    });
    await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
    ({ port } = server.address());
    peer.url = 'http://127.0.0.1:' + port;
  }

  async function stop() {
    for (const talk of peer.sockets) talk.drop();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  return peer;
}
