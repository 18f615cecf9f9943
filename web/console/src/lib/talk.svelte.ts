// One conversation as it lives: its messages, the answer that is being written, who types, and what this person has sent but not seen confirmed.
import type { Change } from '../../../generated/sockets';
import { ApiError, api, seg } from './api';
import { live, type Topic } from './live.svelte';
import { session } from './session.svelte';
import type { Alert, Conversation, Delivery, Message, Reachable, StoredFile, Streamed, Streaming } from './types';

/** Somebody who stopped typing says nothing more: the dots go after this. */
const TYPING_MS = 4_000;

export interface Outgoing {
  key: string;
  text: string;
  whisper: boolean;
  /** Over which carrier; empty: where the person is. */
  channel: string;
  files: StoredFile[];
  failed: unknown;
  /** The message it became; shown as sent until that stands in the conversation. */
  as: string | null;
}

export interface Carried {
  lines: Reachable[];
  deliveries: Delivery[];
  alerts: Alert[];
  links: string[];
  merged_into: string | null;
}

/** Words of an answer in the making, in order, for the highest attempt seen. */
export class Answer {
  attempt = 0;
  pieces: string[] = [];
  /** What had been written before this page listened. */
  #before = '';
  /** Pieces below this are in it. */
  #next = 0;
  /** Begins with what had been written when the conversation was opened. */
  static from({ attempt, next_index, text }: Pick<Streaming, 'attempt' | 'next_index' | 'text'>): Answer {
    const answer = new Answer();
    answer.attempt = attempt;
    answer.#before = text;
    answer.#next = next_index;
    return answer;
  }
  /** False when the piece belongs to an attempt that was replaced. */
  add(attempt: number, index: number, text: string): boolean {
    if (attempt < this.attempt) return false;
    if (attempt > this.attempt) {
      this.attempt = attempt;
      this.pieces = [];
      this.#before = '';
      this.#next = 0;
    }
    if (index < this.#next) return false;
    this.pieces[index] = text;
    return true;
  }
  get text() {
    return this.#before + this.pieces.join('');
  }
}

export class TalkView {
  readonly topic: Topic;
  #half = $state.raw<{ id: string; text: string } | null>(null);
  /** The answer in the making; what it became takes its place in the same frame, so that the words are never in neither. */
  readonly writing = $derived.by(() => (this.#half && !this.#stands(this.#half.id) ? this.#half : null));
  typing = $state(false);
  #sent = $state.raw<Outgoing[]>([]);
  readonly outgoing = $derived.by(() => this.#sent.filter((one) => !one.as || !this.#stands(one.as)));
  /** What was just asked for and is not confirmed yet. */
  wish = $state.raw<Partial<Conversation>>({});
  readonly base = $derived.by(() => this.topic.entries.get('conversation') as Conversation | undefined);
  readonly conversation = $derived.by(() => (this.base ? ({ ...this.base, ...this.wish } as Conversation) : undefined));
  readonly messages = $derived.by(() => {
    const all: Message[] = [];
    for (const [key, value] of this.topic.entries) if (key.startsWith('message/')) all.push(value as Message);
    return all.sort((a, b) => a.seq - b.seq);
  });
  /** What is known beyond the chat: carriers, receipts, conversations of perhaps the same person. */
  readonly carried = $derived.by(() => this.topic.entries.get('carried') as Carried | undefined);
  readonly deliveries = $derived.by(() => new Map(this.carried?.deliveries.map((one) => [one.message_id, one])));
  #answers = new Map<string, Answer>();
  /** Messages that came since the last snapshot: what is still told of their making, such as that its task has ended, takes nothing back. */
  #came = new Set<string>();
  #dots: ReturnType<typeof setTimeout> | undefined;
  #stops: (() => void)[];

  constructor(readonly id: string) {
    const [topic, unfollow] = live.follow('conversation:' + id);
    this.topic = topic;
    this.#stops = [unfollow, topic.hear((changes) => this.#hear(changes)), topic.begin((entries) => this.#begin(entries)), () => clearTimeout(this.#dots)];
  }

  /** Opened in the middle of an answer, or after a gap: what is already written is shown at once. */
  #begin(entries: ReadonlyMap<string, unknown>) {
    const half = entries.get('streaming') as Streaming | null | undefined;
    this.#answers.clear();
    this.#came.clear();
    this.#half = null;
    if (!half || entries.has('message/' + half.message_id)) return;
    this.#answers.set(half.message_id, Answer.from(half));
    this.#half = { id: half.message_id, text: half.text };
  }

  /** Whether a message is among those that are shown. */
  #stands(id: string): boolean {
    return this.topic.entries.has('message/' + id);
  }

  stop() {
    for (const stop of this.#stops) stop();
  }

  #hear(changes: Change[]) {
    for (const { op, key, value } of changes) {
      if (key === 'stream') this.#stream(value as Streamed);
      else if (!key.startsWith('message/')) continue;
      else if (op === 'put') this.#arrived(value as Message, !this.topic.entries.has(key));
      else if (key === 'message/' + this.#half?.id) this.#half = null;
    }
  }

  #arrived(message: Message, fresh: boolean) {
    // Often the push is here before the answer to the call: the words are shown once.
    const mine = fresh && message.author?.id === session.me.user.id ? this.outgoing.find((one) => !one.as && one.text === message.content && one.whisper === message.whisper && one.files.length === (message.files?.length ?? 0)) : undefined;
    if (mine) this.#became(mine.key, message.id);
    this.#answers.delete(message.id);
    this.#came.add(message.id);
    if (message.role === 'user') this.typing = false;
  }

  #stream(frame: Streamed) {
    switch (frame.type) {
      case 'token': {
        if (this.#came.has(frame.message_id) || this.#stands(frame.message_id)) return;
        let answer = this.#answers.get(frame.message_id);
        if (!answer) this.#answers.set(frame.message_id, (answer = new Answer()));
        if (answer.add(frame.attempt, frame.index, frame.text)) this.#half = { id: frame.message_id, text: answer.text };
        return;
      }
      case 'discard':
        if (this.#came.has(frame.message_id)) return;
        this.#answers.delete(frame.message_id);
        if (this.#half?.id === frame.message_id) this.#half = null;
        return;
      case 'typing':
        if (frame.role !== 'user') return;
        this.typing = true;
        clearTimeout(this.#dots);
        this.#dots = setTimeout(() => (this.typing = false), TYPING_MS);
        return;
    }
  }

  /** Sends words, files or both; they are shown at once, and stay with their reason when they cannot be sent. */
  async say(text: string, whisper: boolean, channel = '', files: StoredFile[] = [], key: string = crypto.randomUUID()): Promise<boolean> {
    this.#sent = [...this.outgoing.filter((one) => one.key !== key), { key, text, whisper, channel, files, failed: null, as: null }];
    try {
      const { id } = await api.post<{ id: string }>(`/api/conversations/${seg(this.id)}/${whisper ? 'whisper' : 'messages'}`, { content: text, ...(channel && !whisper ? { channel } : {}), ...(files.length ? { attachments: files.map((file) => file.id) } : {}) }, { key });
      this.#became(key, id);
      return true;
    } catch (error) {
      this.#sent = this.#sent.map((one) => (one.key === key ? { ...one, failed: error } : one));
      return false;
    }
  }

  #became(key: string, id: string) {
    this.#sent = this.#sent.map((one) => (one.key === key ? { ...one, failed: null, as: id } : one));
  }

  forget(key: string) {
    this.#sent = this.#sent.filter((one) => one.key !== key);
  }

  /** Shows a change at once, asks for it, and takes it back when it is refused. */
  async change(wish: Partial<Conversation>, ask: () => Promise<unknown>): Promise<void> {
    this.wish = { ...this.wish, ...wish };
    try {
      await ask();
    } finally {
      const rest = { ...this.wish };
      for (const name of Object.keys(wish)) delete rest[name as keyof Conversation];
      this.wish = rest;
    }
  }

  patch(fields: { status?: string; urgency?: string; assigned_to?: string | null }) {
    return this.change(fields as Partial<Conversation>, () => api.patch(`/api/conversations/${seg(this.id)}`, fields));
  }

  takeOver() {
    const { id, name } = session.me.user;
    return this.change({ floor: { holder: 'person', user: id, name } }, () => api.post(`/api/conversations/${seg(this.id)}/takeover`, {}));
  }

  handBack() {
    return this.change({ floor: { holder: 'assistant' } }, () => api.post(`/api/conversations/${seg(this.id)}/handback`, {}));
  }

  mergeInto(other: string) {
    return api.post(`/api/conversations/${seg(this.id)}/merge`, { into: other });
  }

  get missing(): ApiError | null {
    const code = this.topic.refused;
    if (!code || this.topic.ready) return null;
    const status = code === 'not_found' ? 404 : 503;
    return new ApiError(status, { type: '', title: code, status, code, detail: code, retry: 'safe' });
  }
}
