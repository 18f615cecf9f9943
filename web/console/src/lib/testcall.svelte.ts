// A test call: its socket, what is said, what is played, and a connection that may be lost and found again.
import type { VoiceServer } from '../../../generated/sockets';
import { ApiError, seg } from './api';
import { listen, MICROPHONE_HZ } from './microphone';
import { Player } from './player';
import { NoSession, openSession, type Session } from './realtime';

/** The server keeps a call whose page is gone for a minute and a half. */
const BACK_WITHIN_MS = 85_000;
const RETRY_MS = [500, 5_000] as const;
/** While the caller is heard, the server wants to know so often how far we are. */
const TELL_MS = 250;

export type Phase = 'idle' | 'connecting' | 'on' | 'lost' | 'over';
type Hello = Extract<VoiceServer, { type: 'call' }>;

export interface Line {
  key: string;
  who: 'agent' | 'caller';
  text: string;
  utterance: number | null;
  /** The caller spoke before it was over. */
  cut: boolean;
}

export class TestCall {
  phase = $state<Phase>('idle');
  /** Who is to speak. */
  turn = $state<'agent' | 'caller' | 'thinking'>('agent');
  lines = $state.raw<Line[]>([]);
  hello = $state.raw<Hello | null>(null);
  problem = $state<{ code: string; detail: string } | null>(null);
  /** Why it ended, as the server says it. */
  reason = $state('');
  putThrough = $state<string | null>(null);
  muted = $state(false);
  /** What is being heard of the caller. */
  hearing = $state('');
  playing = $state(false);
  #socket: WebSocket | null = null;
  #player: Player | null = null;
  #said = 0;
  #silent = 0;
  #next = 0;
  /** What was said last, until it is answered: a new connection asks for the same answer. */
  #open: { turn: number; text: string } | null = null;
  #lostAt = 0;
  #tries = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #teller: ReturnType<typeof setInterval> | undefined;
  #closeMicrophone: (() => void) | null = null;
  #microphone = false;
  /** Of OpenAI Realtime, where it hears and speaks. */
  #session: Session | null = null;
  #begun = 0;
  #leaving = false;

  constructor(readonly agent: string) {}

  get listens() {
    return this.hello !== null && this.hello.listening !== 'typed';
  }

  /** Begins; called from a click, because browsers play and listen only then. With `realtime` a session of OpenAI's hears and speaks. */
  start(microphone = false, realtime = false) {
    this.stop();
    this.#microphone = microphone && !realtime;
    this.#leaving = false;
    [this.phase, this.lines, this.hello, this.problem, this.reason, this.putThrough] = ['connecting', [], null, null, '', null];
    [this.#said, this.#silent, this.#open, this.#tries, this.turn, this.hearing] = [0, 0, null, 0, 'agent', ''];
    if (realtime) {
      void this.#openSession();
      return;
    }
    this.#player = typeof AudioContext === 'undefined' ? null : new Player((utterance, ms) => this.#send({ type: 'played', utterance, ms }), () => this.#moved());
    this.#player?.mute(this.muted);
    this.#connect();
  }

  async #openSession() {
    const begun = this.#begun;
    try {
      const session = await openSession(this.agent, () => (this.problem = { code: 'realtime', detail: '' }));
      if (begun !== this.#begun) {
        session.close();
        return;
      }
      session.mute(this.muted);
      this.#session = session;
      this.#connect();
    } catch (cause) {
      if (begun !== this.#begun) return;
      if (cause instanceof NoSession) this.problem = { code: cause.why === 'microphone' ? 'microphone' : 'realtime', detail: '' };
      else this.problem = cause instanceof ApiError ? { code: cause.problem.code, detail: cause.problem.detail } : { code: 'offline', detail: '' };
      this.#over('');
    }
  }

  /** The page leaves: the call ends with it. */
  stop() {
    if (this.phase === 'on') this.hangUp();
    this.#end();
  }

  #end() {
    this.#begun += 1;
    this.#session?.close();
    this.#session = null;
    clearTimeout(this.#timer);
    clearInterval(this.#teller);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#closeMicrophone?.();
    this.#closeMicrophone = null;
    this.#closePlayer();
    this.playing = false;
  }

  mute(on: boolean) {
    this.muted = on;
    this.#player?.mute(on);
    this.#session?.mute(on);
  }

  #connect() {
    const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/api/voice/browser?agent_id=${seg(this.agent)}`);
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => socket.send(JSON.stringify({ type: 'start', ...(this.hello ? { call_id: this.hello.call_id } : {}), ...(this.#microphone ? { microphone_hz: MICROPHONE_HZ } : {}), ...(this.#session ? { realtime_call_id: this.#session.id } : {}) }));
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      let frame: VoiceServer;
      try {
        frame = JSON.parse(String(data)) as VoiceServer;
      } catch {
        return; // What is no frame is nothing.
      }
      this.take(frame);
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#lost();
    };
  }

  #lost() {
    this.#socket = null;
    if (this.phase === 'over' || this.phase === 'idle') return;
    if (this.#leaving) {
      this.#over('ended');
      return;
    }
    if (!this.hello) {
      this.problem ??= { code: 'offline', detail: '' };
      this.#over('');
      return;
    }
    if (this.phase !== 'lost') this.#lostAt = Date.now();
    this.phase = 'lost';
    if (Date.now() - this.#lostAt > BACK_WITHIN_MS) {
      this.#over('unreachable');
      return;
    }
    const wait = Math.min(RETRY_MS[1], RETRY_MS[0] * 2 ** this.#tries);
    this.#tries += 1;
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  #over(reason: string) {
    this.phase = 'over';
    this.reason = reason;
    this.#session?.close();
    this.#session = null;
    clearTimeout(this.#timer);
    clearInterval(this.#teller);
    this.#closeMicrophone?.();
    this.#closeMicrophone = null;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    // What is being said is said to its end.
    this.#moved();
  }

  #moved() {
    this.playing = this.#player?.playing ?? false;
    if (this.phase === 'over' && !this.playing) this.#closePlayer();
  }

  /** Let go before it is closed: closing it stops it, which is heard here. */
  #closePlayer() {
    const player = this.#player;
    this.#player = null;
    player?.close();
  }

  #send(frame: object) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  /** What the server tells. */
  take(frame: VoiceServer) {
    switch (frame.type) {
      case 'call': {
        const back = this.hello !== null;
        this.hello = frame;
        this.phase = 'on';
        this.#tries = 0;
        if (back && this.#open) this.#send({ type: 'said', ...this.#open });
        if (this.listens && this.#microphone && !this.#closeMicrophone) void this.#openMicrophone();
        return;
      }
      case 'say': {
        this.#speak(frame.utterance, frame.text);
        if (frame.audio) this.#player?.add(Number(frame.utterance), frame.audio);
        this.turn = 'agent';
        return;
      }
      case 'done':
        this.#open = null;
        this.#player?.finish(Number(frame.utterance));
        if (frame.then === 'transfer') this.putThrough = frame.to ?? '';
        if (frame.then === 'listen') this.turn = 'caller';
        return;
      case 'stop':
        this.#cut(Number(frame.utterance));
        this.#player?.stop();
        return;
      case 'hearing':
        this.hearing = frame.done ? '' : frame.text;
        if (frame.done && frame.text) {
          // Whoever went on before anything was answered said one thing.
          if (frame.turn !== undefined && frame.turn === this.#said) this.#takeBack();
          this.#said = frame.turn ?? this.#said + 1;
          this.#open = { turn: this.#said, text: frame.text };
          this.#add('caller', frame.text);
          this.turn = 'thinking';
        }
        return;
      case 'error':
        this.problem = { code: frame.code, detail: frame.detail };
        if (!this.hello) this.#over('');
        return;
      case 'bye':
        // After a restart the call waits for this page.
        if (frame.reason === 'restarting') return;
        this.#over(frame.reason);
        return;
    }
  }

  async #openMicrophone() {
    try {
      this.#closeMicrophone = await listen((piece) => {
        if (this.#socket?.readyState === WebSocket.OPEN && this.phase === 'on') this.#socket.send(piece);
      });
      this.#teller = setInterval(() => {
        const now = this.#player?.now();
        if (now && this.#player?.playing) this.#send({ type: 'played', ...now });
      }, TELL_MS);
    } catch {
      this.problem = { code: 'microphone', detail: '' };
    }
  }

  #add(who: Line['who'], text: string, utterance: number | null = null) {
    this.lines = [...this.lines, { key: `${who}-${this.#next++}`, who, text, utterance, cut: false }];
  }

  #takeBack() {
    if (this.lines.at(-1)?.who === 'caller') this.lines = this.lines.slice(0, -1);
  }

  /** Sentences of one answer are one line. */
  #speak(given: number | bigint, text: string) {
    const utterance = Number(given);
    const last = this.lines.at(-1);
    if (last?.who === 'agent' && last.utterance === utterance) this.lines = [...this.lines.slice(0, -1), { ...last, text: `${last.text} ${text}` }];
    else this.#add('agent', text, utterance);
  }

  #cut(utterance: number) {
    this.lines = this.lines.map((line) => (line.utterance === utterance ? { ...line, cut: true } : line));
  }

  /** The caller says something: whatever is being said to him is over. */
  say(text: string) {
    const words = text.trim();
    if (!words || this.phase !== 'on') return;
    this.#hush();
    this.#said += 1;
    this.#silent = 0;
    this.#open = { turn: this.#said, text: words };
    this.#add('caller', words);
    this.turn = 'thinking';
    this.problem = null;
    this.#send({ type: 'said', ...this.#open });
  }

  /** Whoever types has read what is being said: it stops, and is not called interrupted. */
  #hush() {
    // What was heard of it is told before the words that follow.
    this.#player?.stop();
  }

  /** The caller says nothing for a while. */
  quiet() {
    if (this.phase !== 'on') return;
    this.#silent += 1;
    this.#send({ type: 'silent', count: this.#silent });
  }

  hangUp() {
    this.#leaving = true;
    this.#player?.stop();
    this.#send({ type: 'hangup' });
    if (this.phase !== 'on') this.#over('ended');
  }
}
