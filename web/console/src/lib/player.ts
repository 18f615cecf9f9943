// Plays the sentences of a call one after the other and knows how much of each answer was heard.

/** What is scheduled of one answer. */
interface Piece {
  utterance: number;
  /** By the clock of the sound. */
  starts: number;
  seconds: number;
  source: AudioBufferSourceNode;
}

/** How much was played of the pieces of an answer at an instant, milliseconds. */
export function playedMs(pieces: readonly { starts: number; seconds: number }[], now: number): number {
  const seconds = pieces.reduce((sum, { starts, seconds }) => sum + Math.min(seconds, Math.max(0, now - starts)), 0);
  return Math.round(seconds * 1000);
}

const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (one) => one.charCodeAt(0)).buffer;

export class Player {
  #context: AudioContext;
  #volume: GainNode;
  #pieces: Piece[] = [];
  #told = new Set<number>();
  /** Sounds are decoded in turn, so that they are played in the order in which they came. */
  #last: Promise<unknown> = Promise.resolve();
  #whole = new Set<number>();
  #stopped = -1;

  /** Made in answer to a click: browsers play nothing before one. */
  constructor(
    readonly told: (utterance: number, ms: number) => void,
    readonly changed: () => void,
  ) {
    this.#context = new AudioContext();
    this.#volume = this.#context.createGain();
    this.#volume.connect(this.#context.destination);
    void this.#context.resume();
  }

  get playing(): boolean {
    return this.#pieces.some((piece) => piece.starts + piece.seconds > this.#context.currentTime);
  }

  mute(on: boolean) {
    this.#volume.gain.value = on ? 0 : 1;
  }

  /** Plays a sentence after those before it; a higher answer takes the place of what is playing. */
  add(utterance: number, wav: string) {
    const newest = this.#pieces.at(-1)?.utterance ?? utterance;
    if (utterance > newest) this.stop();
    this.#last = this.#last
      .then(() => this.#context.decodeAudioData(bytesOf(wav)))
      .then((sound) => {
        if (utterance <= this.#stopped) return;
        const source = this.#context.createBufferSource();
        source.buffer = sound;
        source.connect(this.#volume);
        const before = this.#pieces.at(-1);
        const starts = Math.max(this.#context.currentTime, before ? before.starts + before.seconds : 0);
        const piece = { utterance, starts, seconds: sound.duration, source };
        this.#pieces.push(piece);
        source.onended = () => this.#ended(piece);
        source.start(starts);
        this.changed();
      })
      // A sound that cannot be read is not heard; its words are shown.
      .catch(() => {});
  }

  /** Nothing more comes of an answer: what of it was played is told when it has ended. */
  finish(utterance: number) {
    this.#whole.add(utterance);
    void this.#last.then(() => this.#settle(utterance));
  }

  /** Silence, now. */
  stop() {
    const now = this.#context.currentTime;
    const pieces = this.#pieces;
    this.#pieces = [];
    for (const utterance of new Set(pieces.map((piece) => piece.utterance))) {
      this.#stopped = Math.max(this.#stopped, utterance);
      this.#tell(utterance, playedMs(pieces.filter((piece) => piece.utterance === utterance), now));
    }
    for (const { source } of pieces) {
      source.onended = null;
      source.stop();
    }
    this.changed();
  }

  /** What of the newest answer was played so far. */
  now(): { utterance: number; ms: number } | null {
    const utterance = this.#pieces.at(-1)?.utterance;
    return utterance === undefined ? null : { utterance, ms: playedMs(this.#pieces.filter((piece) => piece.utterance === utterance), this.#context.currentTime) };
  }

  close() {
    this.stop();
    void this.#context.close();
  }

  #ended(piece: Piece) {
    this.#settle(piece.utterance);
    this.changed();
  }

  #settle(utterance: number) {
    const mine = this.#pieces.filter((piece) => piece.utterance === utterance);
    const end = Math.max(...mine.map((piece) => piece.starts + piece.seconds));
    if (!mine.length || !this.#whole.has(utterance) || end > this.#context.currentTime + 0.01) return;
    this.#pieces = this.#pieces.filter((piece) => piece.utterance !== utterance);
    this.#tell(utterance, playedMs(mine, end));
  }

  #tell(utterance: number, ms: number) {
    if (this.#told.has(utterance)) return;
    this.#told.add(utterance);
    this.told(utterance, ms);
  }
}
