// A language model at the far end of the wire: speaks the streaming chat API, and says what the test tells it, when the test lets it.
import { once } from 'node:events';
import { createServer } from 'node:http';

export async function createModel() {
  const model = {
    /** What was asked, as the provider got it. */
    requests: [],
    /** How an answer goes; `write` sends a piece of it, a rejection cuts the stream. */
    answer: async (write) => write('Of course.'),
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const asked = JSON.parse(body);
    model.requests.push(asked);
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    const send = (delta, finish_reason = null) =>
      response.write(`data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 0, model: asked.model, choices: [{ index: 0, delta, finish_reason }] })}\n\n`);
    try {
      await model.answer((content) => send({ role: 'assistant', content }), asked);
      send({}, 'stop');
      response.end('data: [DONE]\n\n');
    } catch {
      response.destroy();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  model.url = `http://127.0.0.1:${server.address().port}/v1`;
  return model;
}

/** A door that is shut until `open` is called. */
export function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { open, opened };
}
