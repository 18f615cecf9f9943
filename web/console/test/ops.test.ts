// What the operator page makes of the moves it is told.
import { expect, test } from 'vitest';
import { between, progress, ranges, type OpsMove } from '../src/lib/ops.svelte';

const move = (shard: number, state: string, asked_at: string, from = 'a', to = 'b'): OpsMove => ({ id: String(shard), shard, from, to, state, cause: 'order', detail: '', asked_at, started_at: null, ended_at: null });

test('progress counts what was asked for together with what is still open, and nothing older', () => {
  expect(progress([])).toBeNull();
  expect(progress([move(1, 'done', '10:00')])).toBeNull();
  const moves = [move(1, 'done', '09:00'), move(2, 'done', '10:00'), move(3, 'running', '10:00'), move(4, 'waiting', '10:01'), move(5, 'failed', '10:01')];
  expect(progress(moves)).toEqual({ done: 2, all: 4 });
});

test('a dry run is summed up by giver and taker, the most first', () => {
  const moves = [move(1, 'planned', ''), move(2, 'planned', '', 'a', 'c'), move(3, 'planned', '', 'a', 'c')];
  expect(between(moves)).toEqual([{ from: 'a', to: 'c', count: 2 }, { from: 'a', to: 'b', count: 1 }]);
  expect(between([])).toEqual([]);
});

test('hundreds of shards are told as ranges', () => {
  expect(ranges(Array.from({ length: 342 }, (_, at) => 341 - at))).toBe('0–341');
  expect([ranges([5, 1, 2, 3, 9, 8, 5]), ranges([7]), ranges([])]).toEqual(['1–3, 5, 8, 9', '7', '']);
});
