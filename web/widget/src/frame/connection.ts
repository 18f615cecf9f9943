/** The chat socket's life: connecting, greeting, silence, backing off and waking, without any DOM. */

import type { ClientFrame, ServerFrame } from './protocol';

/** The part of a WebSocket that is used, so that tests can script one. */
export interface Socket {
  send(text: string): void;
  close(): void;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
}

/** The outside world: sockets, clock and randomness arrive as values. */
export interface World {
  open(): Socket;
  now(): number;
  random(): number;
}

export type State = 'idle' | 'connecting' | 'ready' | 'waiting' | 'stopped';

export interface Hooks {
  hello(): ClientFrame;
  frame(frame: ServerFrame): void;
  state(state: State): void;
}

/** The first delay; doubled on each failure in a row. */
export const BACKOFF_FIRST_MS = 500;
/** A visitor who waits longer than this presses the button again. */
export const BACKOFF_MAX_MS = 30_000;
/** A handshake over a poor mobile network takes seconds, not longer than this. */
export const CONNECT_TIMEOUT_MS = 12_000;
/** The server acknowledges in milliseconds; a socket silent for this long after a request is dead. */
export const ANSWER_TIMEOUT_MS = 10_000;
/** Returning to a tab whose socket was silent for this long replaces the socket: it may be half open. */
export const STALE_AFTER_MS = 30_000;
/** Only a connection that stood this long forgives earlier failures, so that a crashing server is not hammered. */
export const STABLE_AFTER_MS = 10_000;

export function createConnection(world: World, hooks: Hooks) {
  let state: State = 'idle';
  let socket: Socket | undefined;
  let failures = 0;
  let heardAt = 0;
  let readyAt = 0;
  /** The end of a wait: for the server's greeting, or before the next attempt. */
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** The end of patience with a socket that was asked something. */
  let watch: ReturnType<typeof setTimeout> | undefined;

  function become(next: State) {
    state = next;
    hooks.state(next);
  }

  function drop() {
    clearTimeout(timer);
    clearTimeout(watch);
    const old = socket;
    socket = undefined;
    if (old) {
      old.onopen = old.onmessage = old.onclose = null;
      old.close();
    }
  }

  function lost() {
    if (state === 'ready' && world.now() - readyAt >= STABLE_AFTER_MS) failures = 0;
    drop();
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** failures);
    failures++;
    become('waiting');
    // Half fixed, half random: thousands of widgets must not return in the same instant.
    timer = setTimeout(connect, ceiling / 2 + (ceiling / 2) * world.random());
  }

  function connect() {
    drop();
    become('connecting');
    timer = setTimeout(lost, CONNECT_TIMEOUT_MS);
    let mine: Socket;
    try {
      mine = world.open();
    } catch {
      return lost();
    }
    socket = mine;
    mine.onopen = () => mine.send(JSON.stringify(hooks.hello()));
    mine.onclose = lost;
    mine.onmessage = ({ data }) => {
      heardAt = world.now();
      clearTimeout(watch);
      const frame = parse(data);
      if (frame?.type === 'welcome') {
        clearTimeout(timer);
        readyAt = heardAt;
        hooks.frame(frame);
        become('ready');
      } else if (frame) {
        hooks.frame(frame);
        if (frame.type === 'bye' && socket === mine) lost();
      }
    };
  }

  return {
    get state() {
      return state;
    },
    start() {
      if (state === 'idle' || state === 'stopped') {
        failures = 0;
        connect();
      }
    },
    /** Says goodbye for good, until `start`. */
    stop() {
      drop();
      become('stopped');
    },
    /** Replaces the socket now, for example to greet under another conversation. */
    restart() {
      if (state !== 'idle') connect();
    },
    /** The tab, phone or network came back; `sure` when an open socket cannot have survived. */
    wake(sure: boolean) {
      if (state === 'waiting' || (state === 'ready' && (sure || world.now() - heardAt >= STALE_AFTER_MS))) connect();
    },
    /** False when there is no connection; the caller keeps the frame. */
    send(frame: ClientFrame, expectsAnswer = true): boolean {
      if (state !== 'ready' || !socket) return false;
      socket.send(JSON.stringify(frame));
      if (expectsAnswer) {
        clearTimeout(watch);
        watch = setTimeout(lost, ANSWER_TIMEOUT_MS);
      }
      return true;
    },
  };
}

/** Nothing for what is not JSON; a frame of an unknown type is the caller's to ignore. */
function parse(data: unknown): ServerFrame | null | undefined {
  try {
    return JSON.parse(data as string);
  } catch {
    return;
  }
}
