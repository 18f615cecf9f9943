// Components with hostile words in them, and edits that somebody else was faster with.
import { cleanup, render, screen } from '@testing-library/svelte';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Edit } from '../src/lib/edit.svelte';
import type { Message } from '../src/lib/types';
import Bubble from '../src/ui/Bubble.svelte';
import DiffView from '../src/ui/DiffView.svelte';
import Status from '../src/ui/Status.svelte';

const EVIL = '<img src=x onerror="window.evil=1"><script>window.evil=1</script>';
const message = (more: Partial<Message> = {}): Message => ({ id: 'm', seq: 3, role: 'assistant', channel: 'chat', content: EVIL, sources: [], confidence: 0.9, created_at: '2026-01-01T10:00:00Z', fallback: false, feedback_text: null, thumbs_up: null, latency_ms: 5, tokens_used: null, turn: 't', whisper: false, ...more });

beforeEach(() => localStorage.clear());
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

test('a message with markup is shown as it was written, and its sources lead nowhere evil', () => {
  const sources = [
    { chunk_id: 'a', title: EVIL, url: 'javascript:window.evil=1', score: 1, snippet: EVIL },
    { chunk_id: 'b', title: 'Prices', url: 'https://oak.example/prices', score: 1, snippet: '' },
  ];
  const { container } = render(Bubble, { message: message({ sources }) });
  expect(container.querySelector('.bubble')?.textContent).toBe(EVIL);
  expect(container.querySelectorAll('img, script')).toHaveLength(0);
  expect([...container.querySelectorAll('a')].map((link) => [link.href, link.rel])).toEqual([['https://oak.example/prices', 'noopener noreferrer']]);
});

test('a whisper is marked as one, an answer without knowledge says so', () => {
  render(Bubble, { message: message({ role: 'system', whisper: true, author: { id: 'u', name: 'Dana' } }) });
  expect(screen.getByText('Whisper of Dana')).toBeTruthy();
  cleanup();
  render(Bubble, { message: message({ fallback: true }) });
  expect(screen.getByText('Had no answer')).toBeTruthy();
});

test('a state of a newer server is shown by its own word', () => {
  render(Status, { talk: 'snoozed' as never });
  expect(screen.getByText('snoozed')).toBeTruthy();
});

test('a difference shows lines as text', () => {
  const { container } = render(DiffView, { label: 'Prompt', lines: [{ kind: 'added', text: EVIL }] });
  expect(container.textContent).toContain(EVIL);
  expect(container.querySelector('img')).toBeNull();
});

interface Thing {
  name: string;
  note: string;
}

test('an edit is kept in the browser, and what is back to what is stored is no edit', () => {
  const edit = new Edit<Thing>('/api/x', { name: 'a', note: '' }, '"1"');
  edit.set('name', 'b');
  expect(new Edit<Thing>('/api/x', { name: 'a', note: '' }, '"1"').get('name')).toBe('b');
  edit.set('name', 'a');
  expect(edit.dirty).toBe(false);
  expect(new Edit<Thing>('/api/x', { name: 'a', note: '' }, '"1"').dirty).toBe(false);
});

test('a save that comes too late overwrites nothing until somebody decides', async () => {
  const sent: { method: string; version: string | undefined }[] = [];
  let stored = { version: '"2"', body: { name: 'theirs', note: 'theirs too' } as Thing };
  vi.stubGlobal('fetch', async (_url: string, init: RequestInit) => {
    const version = (init.headers as Record<string, string>)['If-Match'];
    sent.push({ method: init.method ?? '', version });
    if (init.method === 'PATCH' && version !== stored.version) return new Response(JSON.stringify({ type: '', title: '', status: 412, code: 'stale', detail: '', retry: 'never', current: stored.body }), { status: 412 });
    if (init.method === 'PATCH') stored = { version: '"3"', body: { ...stored.body, ...(JSON.parse(String(init.body)) as Thing) } };
    return new Response(JSON.stringify(stored.body), { status: 200, headers: { etag: stored.version } });
  });
  const edit = new Edit<Thing>('/api/x', { name: 'a', note: '' }, '"1"');
  edit.set('name', 'mine');
  expect(await edit.save()).toBe(false);
  expect(stored.body.name).toBe('theirs');
  expect(edit.clashes).toEqual([{ field: 'name', theirs: 'theirs', mine: 'mine' }]);
  edit.settle(true);
  expect(await edit.save()).toBe(true);
  expect(stored.body).toEqual({ name: 'mine', note: 'theirs too' });
  expect(edit.get('note')).toBe('theirs too');
  expect(sent.at(-1)).toEqual({ method: 'PATCH', version: '"2"' });
});
