// The real binary on free ports with a data folder of its own: started, killed at any moment, started again on the same data.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './browser.mjs';

/** A port that nothing listens on, below those that the system gives to outgoing connections: a server that was killed finds it free again. */
async function freePort() {
  for (let tries = 0; tries < 200; tries++) {
    const port = randomInt(20_000, 32_000);
    const probe = createServer().listen(port, '127.0.0.1');
    const free = await once(probe, 'listening').then(() => true, () => false);
    if (!free) continue;
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }
  throw new Error('no free port between 20000 and 32000: stop what listens there');
}

/** The server under test. It fails without a binary: a suite that skips itself proves nothing. */
export async function createColloquy(env = {}) {
  const binary = process.env.COLLOQUY_BIN;
  if (!binary) throw new Error('COLLOQUY_BIN is not set: give the path of a built server, such as COLLOQUY_BIN=../../target/debug/colloquy');
  const data = await mkdtemp(join(tmpdir(), 'colloquy-e2e-'));
  const http = `127.0.0.1:${await freePort()}`;
  const ops = `127.0.0.1:${await freePort()}`;
  const url = 'http://' + http;
  let child;
  let output = '';

  const colloquy = {
    url,
    async start() {
      child = spawn(binary, ['serve'], {
        env: {
          ...process.env,
          COLLOQUY_HTTP__LISTEN: http,
          COLLOQUY_OPS__LISTEN: ops,
          COLLOQUY_DATA__DIR: data,
          COLLOQUY_PUBLIC__URL: url,
          // Keyword search needs no weights, so the answers are the same on every machine.
          COLLOQUY_EMBEDDINGS__KIND: 'keyword',
          COLLOQUY_CRAWL__ALLOW_PRIVATE: 'true',
          ...env,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output = (output + chunk).slice(-20_000)));
      await until(
        async () => {
          if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}:\n${output}`);
          return (await fetch(`http://${ops}/health/readyz`).catch(() => undefined))?.ok;
        },
        'a ready server',
        60_000,
      );
    },
    /** As a power cut does it. */
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
    async close() {
      await colloquy.kill();
      await rm(data, { recursive: true, force: true });
    },
    /** The last of what it printed, for a failing test's message. */
    output: () => output,
  };
  return colloquy;
}

/** A customer's site on an origin of its own: one page for every path, or pages by path. */
export async function createSite(pages, headers = {}) {
  const server = createServer(({ url }, response) => {
    const html = typeof pages === 'string' ? pages : pages[url];
    response.writeHead(html ? 200 : 404, { 'Content-Type': 'text/html; charset=utf-8', ...headers }).end(html);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: 'http://127.0.0.1:' + server.address().port,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
