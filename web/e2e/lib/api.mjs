// The public HTTP contract as a test's hands: sign up, make an agent that knows something, act as a colleague.
import { randomBytes } from 'node:crypto';
import { until } from './browser.mjs';

export function createApi(url) {
  let token;

  async function call(method, path, body, headers = {}) {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(body ? { 'Content-Type': 'application/json' } : {}),
        ...(token ? { Authorization: 'Bearer ' + token } : {}),
        ...headers,
      },
      body: body ? JSON.stringify(body) : undefined,
      // Longer than the server's own deadlines: it must have said something by then.
      signal: AbortSignal.timeout(90_000),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  return {
    call,
    /** An owner of a fresh organization; later calls are theirs. */
    async signUp({ email = `owner-${randomBytes(6).toString('hex')}@example.com` } = {}) {
      const answer = await call('POST', '/api/auth/signup', {
        email,
        password: 'correct horse battery staple',
        name: 'Dana Whitfield',
        organization: { name: 'Northwind Dental', vertical: 'dental_medical', timezone: 'UTC' },
      });
      token = answer.access_token;
      return answer;
    },
    /** Proves the address by the link in a mail, which is what makes an administrator of the platform, and keeps the password; later calls are theirs. */
    async prove(email, password = 'correct horse battery staple') {
      await call('POST', '/api/auth/forgot-password', { email });
      const letter = async () => (await call('GET', `/dev/mailbox?to=${encodeURIComponent(email)}`)).items.map(({ text }) => /\/reset-password\?token=(\S+)/.exec(text ?? '')?.[1]).find(Boolean);
      await call('POST', '/api/auth/reset-password', { token: await until(letter, 'the mail with a link'), password });
      token = (await call('POST', '/api/auth/login', { email, password })).access_token;
    },
    /** Somebody who has an account; later calls are theirs. */
    async signIn(email, password) {
      token = (await call('POST', '/api/auth/login', { email, password })).access_token;
    },
    /** A live agent from the vertical's template. */
    createAgent: (fields = {}) =>
      call('POST', '/api/agents', { vertical: 'dental_medical', name: 'Ada', variables: { business_name: 'Northwind Dental' }, ...fields }),
    updateAgent: (id, fields) => call('PATCH', `/api/agents/${id}`, fields),
    /** Adds a text and waits until a search finds it, which is when the new index serves. */
    async teach(agentId, name, content, probe) {
      await call('POST', `/api/agents/${agentId}/sources`, { type: 'manual_text', name, content });
      await until(async () => (await call('POST', `/api/agents/${agentId}/search`, { query: probe, limit: 3 })).items.length, 'the text in the index', 60_000);
    },
    conversations: async (agentId) => (await call('GET', `/api/conversations?agent_id=${agentId}`)).items,
    conversation: (id) => call('GET', `/api/conversations/${id}`),
    takeOver: (id) => call('POST', `/api/conversations/${id}/takeover`, {}),
    write: (id, content) => call('POST', `/api/conversations/${id}/messages`, { content }),
    whisper: (id, content) => call('POST', `/api/conversations/${id}/whisper`, { content }),
    handBack: (id) => call('POST', `/api/conversations/${id}/handback`, {}),
    leads: async (agentId) => (await call('GET', `/api/leads?agent_id=${agentId}`)).items,
  };
}
