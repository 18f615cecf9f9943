// The cluster as an operator sees it: asked again and again, quicker while something moves, slower while nobody answers, not at all while nobody looks.
import type { OpsMove, OpsMoves, OpsNode, OpsPlanning, OpsShard } from '../../../generated/api';
import { api } from './api';
import type { Page } from './types';

export type { OpsMove, OpsNode, OpsShard };

/** Between two looks: while moves are open, and else. */
const LOOK_MS = { moving: 1_000, quiet: 4_000 } as const;
/** The longest wait after failures. */
const WAIT_MAX_MS = 30_000;
/** An order shows its first effects within this time. */
const AFTER_ORDER_MS = 6_000;

const OPEN = new Set(['waiting', 'running']);

/** How far the moves that are open now, and those asked for together with them, have come. */
export function progress(moves: OpsMove[]): { done: number; all: number } | null {
  const open = moves.filter((move) => OPEN.has(move.state));
  if (!open.length) return null;
  const first = open.reduce((min, move) => (move.asked_at < min ? move.asked_at : min), open[0]?.asked_at ?? '');
  const together = moves.filter((move) => move.asked_at >= first);
  return { done: together.filter((move) => !OPEN.has(move.state)).length, all: together.length };
}

/** Numbers as ranges: `0–341, 350`. */
export function ranges(numbers: readonly number[]): string {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  const runs: [number, number][] = [];
  for (const one of sorted) {
    const last = runs.at(-1);
    if (last && one === last[1] + 1) last[1] = one;
    else runs.push([one, one]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : to === from + 1 ? `${from}, ${to}` : `${from}–${to}`)).join(', ');
}

/** How many moves between each pair of nodes. */
export function between(moves: OpsMove[]): { from: string; to: string; count: number }[] {
  const pairs = new Map<string, { from: string; to: string; count: number }>();
  for (const { from, to } of moves) {
    const key = JSON.stringify([from, to]);
    const pair = pairs.get(key) ?? { from, to, count: 0 };
    pair.count += 1;
    pairs.set(key, pair);
  }
  return [...pairs.values()].sort((a, b) => b.count - a.count);
}

export class Cluster {
  nodes = $state.raw<OpsNode[]>([]);
  shards = $state.raw<OpsShard[]>([]);
  moves = $state.raw<OpsMove[]>([]);
  paused = $state(false);
  ready = $state(false);
  /** Why the last look failed. */
  error = $state.raw<unknown>(null);
  seenAt = $state(Date.now());
  readonly progress = $derived.by(() => progress(this.moves));
  readonly living = $derived.by(() => this.nodes.filter((node) => node.state === 'alive'));
  #failures = 0;
  #orderedAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;
  #asking = false;

  /** Looks until the returned function is called. */
  start(): () => void {
    const seen = () => void (document.hidden || this.look());
    document.addEventListener('visibilitychange', seen);
    void this.look();
    return () => {
      this.#stopped = true;
      clearTimeout(this.#timer);
      document.removeEventListener('visibilitychange', seen);
    };
  }

  async look() {
    if (this.#asking || this.#stopped) return;
    this.#asking = true;
    clearTimeout(this.#timer);
    try {
      const [nodes, shards, moves, planning] = await Promise.all([
        api.get<Page<OpsNode>>('/api/ops/nodes'),
        api.get<Page<OpsShard>>('/api/ops/shards'),
        api.get<Page<OpsMove>>('/api/ops/moves'),
        api.get<OpsPlanning>('/api/ops/rebalance'),
      ]);
      this.nodes = nodes.items;
      this.shards = shards.items;
      this.moves = moves.items;
      this.paused = planning.paused;
      this.seenAt = Date.now();
      this.ready = true;
      this.error = null;
      this.#failures = 0;
    } catch (error) {
      this.error = error;
      this.#failures += 1;
    } finally {
      this.#asking = false;
      this.#next();
    }
  }

  #next() {
    if (this.#stopped || document.hidden) return;
    const moving = this.progress !== null || Date.now() - this.#orderedAt < AFTER_ORDER_MS;
    const wait = Math.min(WAIT_MAX_MS, LOOK_MS[moving && !this.#failures ? 'moving' : 'quiet'] * 2 ** Math.min(this.#failures, 4));
    this.#timer = setTimeout(() => void this.look(), wait);
  }

  /** Gives an order and looks at once what becomes of it. */
  async order(path: string, body: Record<string, unknown> = {}): Promise<OpsMove[]> {
    const { moves } = await api.post<OpsMoves>('/api/ops/' + path, body);
    this.#orderedAt = Date.now();
    await this.look();
    return moves;
  }
}
