// Trying an agent as a visitor would: the public chat over HTTP, its answer streamed.
import { ApiError } from './api';
import type { ChatResponse, Problem, Source } from '../../../generated/api';

export interface Said {
  key: string;
  role: 'user' | 'assistant';
  text: string;
  done: boolean;
  sources: Source[];
  confidence: number | null;
  conversation: string | null;
  failed: unknown;
}

/** The events of a `text/event-stream` as they come. */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<{ event: string; data: string }> {
  const reader = body.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader();
  let left = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    left += value.replaceAll('\r', '');
    for (let end = left.indexOf('\n\n'); end >= 0; end = left.indexOf('\n\n')) {
      const block = left.slice(0, end);
      left = left.slice(end + 2);
      let event = 'message';
      const data: string[] = [];
      for (const line of block.split('\n')) {
        if (line.startsWith('event:')) event = line.slice(6).trim();
        else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
      }
      if (data.length) yield { event, data: data.join('\n') };
    }
  }
}

const random = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

export class Trial {
  said = $state<Said[]>([]);
  busy = $state(false);
  conversation = $state<string | null>(null);
  #visitor = random();
  #token: string | null = null;

  constructor(readonly agent: string) {}

  async ask(text: string) {
    if (this.busy || !text.trim()) return;
    this.busy = true;
    const line = (role: Said['role'], words: string): Said => ({ key: random(), role, text: words, done: role === 'user', sources: [], confidence: null, conversation: null, failed: null });
    this.said.push(line('user', text), line('assistant', ''));
    const answer = this.said.at(-1) as Said;
    try {
      const headers: Record<string, string> = { 'Content-Type': 'application/json', Accept: 'text/event-stream' };
      if (this.#token) headers.Authorization = 'Visitor ' + this.#token;
      const body = JSON.stringify({ agent_id: this.agent, message: text, visitor_id: this.#visitor, conversation_id: this.conversation ?? undefined, client_message_id: random(), metadata: { page_url: location.origin + '/app', locale: navigator.language } });
      const response = await fetch('/api/chat', { method: 'POST', headers, body, credentials: 'same-origin' });
      if (!response.ok || !response.body) throw await problem(response);
      for await (const { event, data } of events(response.body)) {
        if (event === 'token') answer.text += (JSON.parse(data) as { text: string }).text;
        else if (event === 'discard') answer.text = '';
        else if (event === 'error') {
          const given = JSON.parse(data) as Problem;
          throw new ApiError(given.status, given);
        } else if (event === 'message') {
          const whole = JSON.parse(data) as ChatResponse;
          answer.text = whole.response;
          answer.sources = whole.sources;
          answer.confidence = whole.confidence;
          answer.conversation = this.conversation = whole.conversation_id;
          this.#token = whole.visitor_token;
        }
      }
      answer.done = true;
    } catch (error) {
      answer.failed = error;
      answer.done = true;
    } finally {
      this.busy = false;
    }
  }

  /** Starts again as a new visitor. */
  reset() {
    this.said = [];
    this.conversation = null;
    this.#token = null;
    this.#visitor = random();
  }
}

async function problem(response: Response): Promise<ApiError> {
  const given = (await response.json().catch(() => null)) as Problem | null;
  return new ApiError(response.status, given ?? { type: '', title: '', status: response.status, code: 'unknown', detail: `The server answered ${response.status}.`, retry: 'never' }, Number(response.headers.get('retry-after')) || null);
}
