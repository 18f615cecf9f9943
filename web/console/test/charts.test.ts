// The shared time range, numbers that arrive late, and charts as text.
import { cleanup, render } from '@testing-library/svelte';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { dayStart, daysBefore, spanOf, today, wrongDays } from '../src/lib/range';
import { Report, csvAddress } from '../src/lib/report.svelte';
import Bars from '../src/ui/Bars.svelte';
import { named, scaleTop, places } from '../src/ui/charts/lines';
import Funnel from '../src/ui/charts/Funnel.svelte';
import Heat from '../src/ui/charts/Heat.svelte';
import Panel from '../src/ui/charts/Panel.svelte';
import { createRawSnippet } from 'svelte';
import Questions from '../src/pages/analytics/Questions.svelte';

const EVIL = '<script>window.evil=1</script>';
const of = (fields: Record<string, string>) => (name: string) => fields[name] ?? '';

beforeEach(() => vi.unstubAllGlobals());
afterEach(cleanup);

test('an address gives a window or days, and nonsense the usual range', () => {
  expect(spanOf(of({ window: '30d' }))).toEqual({ window: '30d' });
  expect(spanOf(of({ window: '99y' }))).toEqual({ window: '7d' });
  expect(spanOf(of({ from: '2026-01-01', to: '2026-01-31' }))).toEqual({ from: '2026-01-01', to: '2026-01-31' });
  expect(spanOf(of({ from: '2026-01-31', to: '2026-01-01' }))).toEqual({ window: '7d' });
  expect(['2026-02-30', 'yesterday', ''].map((day) => wrongDays(day, '2026-03-01'))).toEqual(['missing', 'missing', 'missing']);
  expect([wrongDays('2026-01-01', '2026-04-02'), wrongDays('2026-01-01', '2026-04-03'), wrongDays('2026-01-02', '2026-01-01')]).toEqual([null, 'long', 'order']);
});

test('a day is the organization’s, also when its clocks change', () => {
  expect(today('Pacific/Auckland', new Date('2026-03-01T12:00:00Z'))).toBe('2026-03-02');
  expect(daysBefore('2026-03-01', 1)).toBe('2026-02-28');
  expect(dayStart('2026-03-02', 'UTC')).toBe('2026-03-02T00:00:00.000Z');
  expect(dayStart('2026-03-29', 'Europe/Berlin')).toBe('2026-03-28T23:00:00.000Z');
  expect(dayStart('2026-03-30', 'Europe/Berlin')).toBe('2026-03-29T22:00:00.000Z');
  // Between midnight in Greenwich and midnight there, the clocks change.
  expect(dayStart('2026-09-27', 'Pacific/Auckland')).toBe('2026-09-26T12:00:00.000Z');
  expect(dayStart('2026-11-02', 'America/New_York')).toBe('2026-11-02T05:00:00.000Z');
  expect(dayStart('2026-11-01', 'America/New_York')).toBe('2026-11-01T04:00:00.000Z');
});

test('the answer to the newest question is shown, however late another comes', async () => {
  const pending: ((n: number) => void)[] = [];
  // An answer that was on its way when it was given up may still come.
  vi.stubGlobal('fetch', () => new Promise((resolve) => {
    pending.push((n) => resolve(n < 0 ? new Response('{"detail":"no","code":"x","status":422}', { status: 422 }) : new Response(JSON.stringify({ n }))));
  }));
  const report = new Report<{ n: number }>('/api/x');
  const first = report.load({ window: '7d' });
  const second = report.load({ window: '30d' });
  pending[1]?.(30);
  pending[0]?.(7);
  await Promise.all([first, second]);
  expect([report.data, report.error, report.busy]).toEqual([{ n: 30 }, null, false]);
  // A failed repeat keeps what there is; a failed other question does not leave it under the wrong heading.
  const again = report.load({ window: '30d' });
  pending[2]?.(-1);
  await again;
  expect([report.data, (report.error as { status: number }).status]).toEqual([{ n: 30 }, 422]);
  const other = report.load({ window: '24h' });
  pending[3]?.(-1);
  await other;
  expect(report.data).toBeNull();
});

test('the table for spreadsheets is asked for with the same filters', () => {
  expect(csvAddress('/api/analytics/funnel', { window: '7d', agent_id: 'a', channel: '', from: undefined })).toBe('/api/analytics/funnel?window=7d&agent_id=a&format=csv');
});

test('a funnel says its numbers and shares, and divides by nothing', () => {
  const { container } = render(Funnel, { label: 'x', stages: [{ name: 'Visitors', count: 200 }, { name: 'Conversations', count: 50, to: '/app/conversations' }, { name: 'Leads', count: 0, to: '/app/leads' }, { name: 'Appointments', count: 0 }] });
  expect(container.textContent).toContain('25% go on');
  expect(container.textContent).not.toMatch(/NaN|Infinity/);
  expect([...container.querySelectorAll('a')].map((link) => link.getAttribute('href'))).toEqual(['/app/conversations']);
  expect([...container.querySelectorAll('polygon')].every((one) => !/NaN/.test(one.getAttribute('points') ?? 'NaN'))).toBe(true);
});

test('a heatmap has a cell for every hour of the week, and leads to those with somebody in them', () => {
  const picked: [number, number][] = [];
  const { container } = render(Heat, { label: 'x', cells: [{ weekday: 0, hour: 9, conversations: 4 }], onpick: (weekday, hour) => picked.push([weekday, hour]) });
  const cells = container.querySelectorAll('rect');
  expect(cells).toHaveLength(168);
  for (const cell of cells) cell.dispatchEvent(new MouseEvent('click', { bubbles: true }));
  expect(picked).toEqual([[0, 9]]);
});

test('questions of visitors are text, with their other wordings and conversations', () => {
  const { container } = render(Questions, { items: [{ question: EVIL, count: 3, answered: false, conversations: ['c1', 'c2'], similar: [EVIL] }], teach: () => {} });
  expect(container.querySelector('script')).toBeNull();
  expect(container.textContent).toContain(EVIL);
  expect([...container.querySelectorAll('a')].map((link) => link.getAttribute('href'))).toEqual(['/app/conversations/c1', '/app/conversations/c2']);
  expect(container.querySelector('button')?.textContent).toBe('Answer');
});

test('a panel waits, fails with a way on, says that nothing is there, and turns into a table', async () => {
  const text = (words: string) => createRawSnippet(() => ({ render: () => `<span>${words}</span>` }));
  const usual = { title: 'T', ready: true, empty: false, emptyText: 'Nothing.', error: null, retry: () => {}, csv: '/x?format=csv', name: 'n', chart: text('the chart'), table: text('the table') };
  const { container, rerender } = render(Panel, usual);
  expect(container.textContent).toContain('the chart');
  container.querySelector<HTMLButtonElement>('button[aria-pressed]')?.click();
  await Promise.resolve();
  expect(container.textContent).toContain('the table');
  await rerender({ ...usual, ready: false });
  expect(container.querySelector('[role=status]')).toBeTruthy();
  await rerender({ ...usual, ready: false, error: new Error('x') });
  expect(container.textContent).toContain('Try again');
  await rerender({ ...usual, empty: true });
  expect(container.textContent).toContain('Nothing.');
  await rerender({ ...usual, error: new Error('x') });
  expect(container.textContent).toContain('not the newest');
});

test('styles of a mail are put aside before the frame sees them, words stay as they are', async () => {
  const { asideStyles } = await import('../src/lib/mail');
  const { page, sheets } = asideStyles('<html><head><style>p{color:red}</style></head><body STYLE="margin:0"><p class="a" style="color:#000">My style = mine</p></body></html>');
  expect(sheets).toEqual(['p{color:red}']);
  expect(page).toBe('<html><head></head><body data-style="margin:0"><p class="a" data-style="color:#000">My style = mine</p></body></html>');
});

test('the numbers of a bar chart stand at its lines, are easy to read, and none of its bars is higher', () => {
  expect([0, 1, 2, 3, 5, 9, 10, 11, 37, 61, 99, 101, 0.4, 1234].map(scaleTop)).toEqual([2, 2, 2, 4, 6, 10, 10, 20, 40, 80, 100, 200, 2, 2000]);
  const { container } = render(Bars, { label: 'Messages', points: Array.from({ length: 31 }, (_, day) => ({ key: `2026-01-${String(day + 1).padStart(2, '0')}`, value: day })) });
  expect([...container.querySelectorAll('.scale span')].map((one) => one.textContent)).toEqual(['40', '20', '0']);
  for (const bar of container.querySelectorAll('rect')) expect(Number(bar.getAttribute('y'))).toBeGreaterThanOrEqual(0);
  // The last day is always named.
  expect(container.querySelector('.days span:last-child')?.textContent).toBe('Jan 31');
});

test('moments below a chart never stand in each other: a first one that is no whole step away has no name', () => {
  const days = Array.from({ length: 7 }, (_, day) => 86_400 * (day + 1));
  expect(named([80_000, ...days], 900, 76)).toEqual(days);
  expect(named([0, ...days], 900, 76)).toEqual([0, ...days]);
  const narrow = named(Array.from({ length: 31 }, (_, day) => 86_400 * day), 320, 76);
  expect([narrow.at(-1), narrow.length <= 4]).toEqual([86_400 * 30, true]);
  expect([named([], 300, 76), named([5], 300, 76)]).toEqual([[], [5]]);
});

test('a range that begins late on a day has that day a whole step before the next, and others stay where they are', () => {
  const days = ['2026-11-15T05:30:00Z', '2026-11-15T06:00:00Z', '2026-11-16T06:00:00Z', '2026-11-17T06:00:00Z'].map((at) => ({ at }));
  const day = 86_400;
  const begun = Date.parse('2026-11-15T06:00:00Z') / 1000;
  expect(places(days)).toEqual([begun - day, begun, begun + day, begun + 2 * day]);
  expect(places(days.slice(1))).toEqual([begun, begun + day, begun + 2 * day]);
  expect(places(days.slice(0, 2))).toEqual(days.slice(0, 2).map(({ at }) => Date.parse(at) / 1000));
});
