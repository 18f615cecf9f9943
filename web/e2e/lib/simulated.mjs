// The simulated carrier of the product itself (`colloquy carrier`) on a free port: it reaches nobody, and calls go to a server that runs for a test.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { until } from './browser.mjs';

export const ACCOUNT = 'AC00000000000000000000000000005151';
export const TOKEN = 'simulated-auth-token';
export const OURS = '+14155550100';

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** Rings and talks pass `speed` times faster than in life. */
export async function createSimulatedCarrier({ speed = 20 } = {}) {
  const port = await freePort();
  const listen = `127.0.0.1:${port}`;
  const child = spawn(process.env.COLLOQUY_BIN, ['carrier', '--listen', listen, '--account', ACCOUNT, '--token', TOKEN, '--number', OURS, '--speed', String(speed)], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output = (output + chunk).slice(-20_000)));
  const answers = () =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(socket.end() && true));
      socket.on('error', () => resolve(false));
    });
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`the carrier ended with ${child.exitCode}:\n${output}`);
    return answers();
  }, 'a carrier that answers');
  return {
    /** Settings of a server that uses it. */
    settings: { COLLOQUY_MESSAGES__SIMULATED_URL: 'http://' + listen },
    output: () => output,
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Connects an office to it and registers its number. */
export async function connectTo(office) {
  await office.api.call('POST', '/api/integrations/simulated/connect', { account_sid: ACCOUNT, auth_token: TOKEN });
  return office.api.call('POST', '/api/voice/numbers', { number: OURS, provider: 'simulated', agent_id: office.agent.id });
}
