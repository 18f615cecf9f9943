// What the peers share: one task as JSON on standard input, one answer as JSON on standard output.
import { createServer } from "node:http";

export async function task() {
  let text = "";
  for await (const piece of process.stdin) text += piece;
  return JSON.parse(text);
}

export function answer(value) {
  process.stdout.write(JSON.stringify(value));
}

// A server that keeps what it is asked and answers each request with `reply(request)`.
export async function recorder(reply) {
  const requests = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (piece) => (body += piece));
    request.on("end", () => {
      requests.push({
        method: request.method,
        path: request.url,
        authorization: request.headers.authorization ?? null,
        content_type: request.headers["content-type"] ?? null,
        body,
      });
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(reply(request)));
    });
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return { requests, url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
