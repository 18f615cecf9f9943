// Campaigns, their pace, and calls: what pages make of the numbers.
import { expect, test } from 'vitest';
import { listed, transcript, type CallRow } from '../src/lib/calls';
import { abandonedShare, current, funnel, instant, linesOf, listOf, localTime, minutesAtLeast, numbersIn, obstacles, orders, outcomes, share, talkTime, type Campaign, type CampaignRow, type Counts } from '../src/lib/campaigns';
import { Pace, STEP_MS } from '../src/lib/pace';
import { playedMs } from '../src/lib/player';
import { pcm16 } from '../src/lib/microphone';
import type { Message } from '../src/lib/types';

const counts = (more: Partial<Counts> = {}): Counts => ({ targets: 10, waiting: 0, trying: 0, done: 10, outcomes: {}, failed: {}, skipped: {}, dials: 14, connected: 5, machines: 0, meetings: 1, abandoned: 0, unconfirmed: 0, talk_s: 0, cost_micros: 0, costed: 0, ...more });

test('each step of the funnel is part of the one before, however often somebody was called', () => {
  // One person was spoken to three times: the funnel says what the cards say, calls.
  const of = counts({ targets: 1, done: 1, outcomes: { callback: 1 }, dials: 4, connected: 3, meetings: 1 });
  expect(funnel(of).map(({ count }) => count)).toEqual([4, 3, 1]);
});

test('outcomes come with their reasons, the best first, and none that did not happen', () => {
  const of = counts({ outcomes: { skipped: 3, meeting_booked: 1, teleported: 2 }, skipped: { no_consent: 1, do_not_contact: 2 } });
  expect(outcomes(of)).toEqual([
    { outcome: 'meeting_booked', count: 1, reasons: [] },
    { outcome: 'skipped', count: 3, reasons: [['do_not_contact', 2], ['no_consent', 1]] },
    { outcome: 'teleported', count: 2, reasons: [] },
  ]);
});

test('what people may order follows the state, and an ended campaign takes no orders', () => {
  expect(orders('draft')).toEqual(['start']);
  expect(orders('running')).toEqual(['pause', 'stop']);
  expect(orders('paused')).toEqual(['resume', 'stop']);
  for (const over of ['stopping', 'stopped', 'completed', 'deleting', 'deleted'] as const) expect(orders(over)).toEqual([]);
});

test('what stands in the way of a start is named, and nothing else', () => {
  const campaign = { agent_id: 'a', type: 'outbound', importing: false, progress: { targets: 0, calling: 0, done: 0, connected: 0 }, from_numbers: [], deadline: '2020-01-01T00:00:00Z' } as unknown as Campaign;
  expect(obstacles(campaign, [])).toEqual(['agent', 'targets', 'numbers', 'deadline']);
  expect(obstacles({ ...campaign, importing: true }, [{ id: 'a' }])).toEqual(['importing', 'numbers', 'deadline']);
  expect(obstacles({ ...campaign, type: 'inbound', from_numbers: ['+1'], deadline: null }, [{ id: 'a' }])).toEqual([]);
});

test('a list is told by its first character', async () => {
  const kind = (text: string) => listOf(text, text.slice(0, 64)).type;
  expect([kind('phone,name\n+1,x'), kind(' \n[{"phone":"+1"}]'), kind('{"phone":"+1"}\n{"phone":"+2"}'), kind('\uFEFFphone\n+1')]).toEqual(['text/csv', 'application/json', 'application/x-ndjson', 'text/csv']);
});

test('numbers, shares, durations and times read as people write them', () => {
  expect(numbersIn('60, 240 ;x 5')).toEqual([60, 240, 5]);
  expect([talkTime(75), talkTime(0), talkTime(3_725), talkTime(null)]).toEqual(['1:15', '0:00', '1:02:05', '–']);
  expect([share({ targets: 0, done: 0 }), share({ targets: 8, done: 2 })]).toEqual([null, 0.25]);
  expect([abandonedShare({ connected: 0, abandoned: 0, days: 30 }), abandonedShare({ connected: 200, abandoned: 5, days: 30 })]).toEqual([null, 0.025]);
  expect(minutesAtLeast({ progress: { targets: 600, calling: 0, done: 0, connected: 0 }, calls_per_second: 2 })).toBe(5);
  expect(instant('')).toBeNull();
  expect(instant(localTime('2026-12-01T17:05:00.000Z'))).toBe('2026-12-01T17:05:00.000Z');
});

test('a refused line is found as an editor counts it', () => {
  expect(linesOf('\uFEFFphone\r\n12\n\n+1')).toEqual(['phone', '12', '', '+1']);
});

test('the home page names what calls before what is held, and nothing that is over or has not begun', () => {
  const one = (id: string, status: string, updated_at = '2026-01-01') => ({ id, status, updated_at }) as CampaignRow;
  const all = [one('d', 'draft'), one('p', 'paused'), one('old', 'running'), one('c', 'completed'), one('s', 'scheduled'), one('new', 'running', '2026-01-02'), one('x', 'stopped'), one('e', 'stopping')];
  expect(current(all).map((row) => row.id)).toEqual(['new', 'old', 'e', 'p', 's']);
});

const AT = 1_000 * STEP_MS;

test('counters that rise are calls that began in between, spread over the time that passed', () => {
  const pace = new Pace(AT);
  pace.sample(AT, 100, 3);
  pace.sample(AT + 2 * STEP_MS, 112, 5);
  const points = pace.points(AT + 4 * STEP_MS);
  const of = (step: number) => points.find((point) => point.at === (AT + step * STEP_MS) / 1000);
  expect([0, 1, 2, 3].map((step) => of(step)?.begun)).toEqual([24, 24, 24, 0]);
  expect([of(0)?.calling, of(1)?.calling, of(2)?.calling]).toEqual([3, null, 5]);
  expect(of(-1)?.begun).toBeNull();
});

test('calls that are known fill the time before, as far back as all of them are known', () => {
  const pace = new Pace(AT);
  pace.seed([AT - 1, AT - STEP_MS - 1, AT - STEP_MS - 2, AT - 3 * STEP_MS, AT + 5], false);
  const points = pace.points(AT + STEP_MS);
  const of = (step: number) => points.find((point) => point.at === (AT + step * STEP_MS) / 1000)?.begun;
  expect([of(-1), of(-2), of(-3), of(-4)]).toEqual([6, 12, null, null]);
  const whole = new Pace(AT);
  whole.seed([], true);
  expect(whole.points(AT + STEP_MS).every((point) => point.begun === 0)).toBe(true);
});

const call = (id: string, seq: number, more: Partial<CallRow> = {}) => ({ id, seq, agent_id: 'a', status: 'completed', created_at: `2026-01-0${seq}T00:00:00Z`, ...more }) as CallRow;

test('pages and board are one list of calls: the newer row wins, filters hold for live ones too', () => {
  const pages = new Map([call('x', 1), call('y', 2)].map((one) => [one.id, one]));
  const rows = listed(pages, [call('x', 3, { status: 'missed' }), call('z', 4, { agent_id: 'b' })], { agent_id: 'a', status: '', since: '' }, null);
  expect(rows.map((row) => [row.id, row.status])).toEqual([['x', 'missed'], ['y', 'completed']]);
  expect(listed(pages, [], { agent_id: '', status: '', since: '' }, '2026-01-02T00:00:00Z').map((row) => row.id)).toEqual(['y']);
});

test('the board knows no names: what a page said of a call stays', () => {
  const pages = new Map([call('x', 1, { name: 'Ann Lee', campaign_name: 'Boilers' })].map((one) => [one.id, one]));
  const rows = listed(pages, [call('x', 3, { status: 'missed' }), call('n', 4)], { agent_id: '', status: '', since: '' }, null);
  expect(rows.map((row) => [row.id, row.status, row.name, row.campaign_name])).toEqual([['n', 'completed', undefined, undefined], ['x', 'missed', 'Ann Lee', 'Boilers']]);
});

test('what was said in a call is put together with what comes: other calls stay out, what was cut off replaces what was said', () => {
  const message = (id: string, seq: number, more: Partial<Message> = {}) => ({ id, seq, call_id: 'c', content: id, ...more }) as Message;
  const said = transcript('c', [message('a', 1), message('b', 2)], [message('b', 2, { content: 'b…', unheard: 'rest' }), message('o', 3, { call_id: 'other' }), message('d', 4)]);
  expect(said.map((one) => [one.id, one.content, one.unheard])).toEqual([['a', 'a', undefined], ['b', 'b…', 'rest'], ['d', 'd', undefined]]);
});

test('how much was played of an answer counts each sentence as far as it was heard', () => {
  const pieces = [{ starts: 10, seconds: 2 }, { starts: 12, seconds: 3 }];
  expect([playedMs(pieces, 9), playedMs(pieces, 11.5), playedMs(pieces, 13), playedMs(pieces, 99)]).toEqual([0, 1500, 3000, 5000]);
});

test('samples beyond the scale are cut, not wrapped around', () => {
  expect([...pcm16([0, 0.5, 1, -1, 3, -3])]).toEqual([0, 16384, 32767, -32767, 32767, -32767]);
});
