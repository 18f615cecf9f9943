// The live socket: one connection, topics by name, a snapshot then deltas in order; a hole in the numbers asks for a new snapshot.
import type { Change, LiveServer } from '../../../generated/sockets';
import { session } from './session.svelte';

/** The first wait before a new try, and the longest. */
const RETRY_MS = [400, 12_000] as const;
/** Frames and pings come at least this often; a socket that is silent after waking is replaced. */
const WAKE_SILENT_MS = 30_000;

type Entries = Map<string, unknown>;

/** How one topic's entries are kept. Reads are reactive, and follow the socket once per frame however many deltas come. */
export class Topic {
  /** The entries as of the last painted frame. */
  entries = $state.raw<ReadonlyMap<string, unknown>>(new Map());
  /** Whether a snapshot has arrived. */
  ready = $state(false);
  /** Why there will be none. */
  refused = $state<string | null>(null);
  seq: number | null = null;
  followers = 0;
  #held: Entries = new Map();
  #due = false;
  /** Hears every change at once, also those that a frame skips, such as tokens of an answer. */
  #ears = new Set<(changes: Change[]) => void>();
  #beginners = new Set<(entries: ReadonlyMap<string, unknown>) => void>();

  constructor(
    readonly name: string,
    /** Lists in a snapshot whose members are entries of their own, with the field that names each: `{ people: 'user_id' }`. */
    readonly lists: Readonly<Record<string, string>> = {},
  ) {}

  /** Hears every snapshot, the one that is there included. */
  begin(ear: (entries: ReadonlyMap<string, unknown>) => void): () => void {
    this.#beginners.add(ear);
    if (this.ready) ear(this.#held);
    return () => void this.#beginners.delete(ear);
  }

  hear(ear: (changes: Change[]) => void): () => void {
    this.#ears.add(ear);
    return () => this.#ears.delete(ear);
  }

  snapshot(seq: number, data: unknown) {
    this.seq = seq;
    this.#held = new Map();
    for (const [key, value] of Object.entries((data ?? {}) as Record<string, unknown>)) {
      const name = this.lists[key];
      if (name && Array.isArray(value)) for (const one of value as Record<string, unknown>[]) this.#held.set(String(one[name]), one);
      else this.#held.set(key, value);
    }
    this.refused = null;
    this.#publish();
    this.ready = true;
    for (const ear of this.#beginners) ear(this.#held);
  }

  /** False when a number is missing, which only a new snapshot repairs. */
  delta(seq: number, changes: Change[]): boolean {
    if (this.seq === null) return false;
    if (seq <= this.seq) return true;
    if (seq !== this.seq + 1) return false;
    this.seq = seq;
    for (const { op, key, value } of changes) {
      if (op === 'put') this.#held.set(key, value);
      else if (op === 'remove') this.#held.delete(key);
    }
    for (const ear of this.#ears) ear(changes);
    this.#schedule();
    return true;
  }

  #schedule() {
    if (this.#due) return;
    this.#due = true;
    const run = () => this.#due && this.#publish();
    // A hidden page paints no frames; its title and counters still have to follow.
    if (document.hidden) setTimeout(run, 250);
    else requestAnimationFrame(run);
  }

  #publish() {
    this.#due = false;
    this.entries = new Map(this.#held);
  }
}

export type LiveState = 'connecting' | 'live' | 'reconnecting' | 'offline';

const topics = new Map<string, Topic>();
let state = $state<LiveState>('connecting');
let heardAt = $state(Date.now());
let socket: WebSocket | null = null;
let tries = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
let started = false;
/** What every new connection is told first, such as who is here. */
const greetings = new Set<() => object>();

function ask(topic: Topic, fresh = false) {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const since = fresh ? null : topic.seq;
  socket.send(JSON.stringify({ type: 'subscribe', topic: topic.name, since }));
}

function take(frame: LiveServer) {
  heardAt = Date.now();
  switch (frame.type) {
    case 'snapshot':
      topics.get(frame.topic)?.snapshot(Number(frame.seq), frame.data);
      return;
    case 'delta': {
      const topic = topics.get(frame.topic);
      if (topic && !topic.delta(Number(frame.seq), frame.changes)) ask(topic, true);
      return;
    }
    case 'gap':
      // The server follows up with what was missed, or a snapshot.
      return;
    case 'error': {
      if (frame.code === 'unauthorized') void unauthorized();
      const topic = topics.get(frame.topic);
      if (topic) topic.refused = frame.code;
      return;
    }
  }
}

let renewing = false;
async function unauthorized() {
  if (renewing) return;
  renewing = true;
  try {
    if (await session.renew()) replace();
  } catch {
    again();
  } finally {
    renewing = false;
  }
}

function connect() {
  clearTimeout(timer);
  if (!started) return;
  if (!navigator.onLine) {
    state = 'offline';
    return;
  }
  const mine = new WebSocket(location.origin.replace(/^http/, 'ws') + '/api/live');
  socket = mine;
  mine.onopen = () => {
    if (socket !== mine) return;
    tries = 0;
    state = 'live';
    heardAt = Date.now();
    for (const topic of topics.values()) ask(topic);
    for (const greeting of greetings) mine.send(JSON.stringify(greeting()));
  };
  mine.onmessage = (event) => {
    if (socket !== mine) return;
    let frame: LiveServer;
    try {
      frame = JSON.parse(String(event.data)) as LiveServer;
    } catch {
      return;
    }
    take(frame);
  };
  mine.onclose = () => {
    if (socket === mine) again();
  };
}

function again() {
  socket = null;
  if (!started) return;
  state = navigator.onLine ? 'reconnecting' : 'offline';
  const wait = Math.min(RETRY_MS[1], RETRY_MS[0] * 2 ** tries);
  tries += 1;
  clearTimeout(timer);
  timer = setTimeout(connect, wait * (0.7 + Math.random() * 0.6));
}

function replace() {
  const old = socket;
  socket = null;
  old?.close();
  tries = 0;
  connect();
}

function wake() {
  if (document.hidden) return;
  if (socket?.readyState !== WebSocket.OPEN) {
    if (socket?.readyState !== WebSocket.CONNECTING) replace();
  } else if (Date.now() - heardAt > WAKE_SILENT_MS) {
    // The socket may be dead without knowing it; a subscription that is answered proves that it lives.
    replace();
  }
}

export const live = {
  get state() {
    return state;
  },
  get heardAt() {
    return heardAt;
  },
  start() {
    if (started) return;
    started = true;
    connect();
    addEventListener('online', replace);
    addEventListener('offline', () => (state = 'offline'));
    document.addEventListener('visibilitychange', wake);
  },
  /** Sends a frame if there is a connection; what has to outlive one is a greeting. */
  send(frame: object) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  },
  /** Says something at the beginning of every connection until the returned function is called. */
  greet(greeting: () => object): () => void {
    greetings.add(greeting);
    live.send(greeting());
    return () => void greetings.delete(greeting);
  },
  /** Follows a topic until the returned function is called; a topic that several follow is fetched once. */
  follow(name: string, lists?: Readonly<Record<string, string>>): [Topic, () => void] {
    let topic = topics.get(name);
    if (!topic) {
      topic = new Topic(name, lists);
      topics.set(name, topic);
      ask(topic);
    }
    topic.followers += 1;
    const held = topic;
    let left = false;
    return [
      held,
      () => {
        if (left) return;
        left = true;
        held.followers -= 1;
        if (held.followers > 0) return;
        topics.delete(name);
        if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: 'unsubscribe', topic: name }));
      },
    ];
  },
};
