// Appointments and calendars as the API tells them, and where they stand on a page: days, minutes and lanes in the organization's zone.
import { dated } from './locale.svelte';
import { daysBefore } from './range';
import type { Hours } from './types';

export type AppointmentStatus = 'scheduled' | 'confirmed' | 'canceled' | 'completed' | 'no_show';

export interface Appointment {
  id: string;
  calendar_id: string;
  agent_id: string | null;
  conversation_id: string | null;
  channel: string | null;
  /** Booked by somebody of the organization who tried the agent: nobody comes. */
  trial?: boolean;
  title: string;
  description: string;
  type: string;
  type_name: string;
  provider_id: string | null;
  provider_name: string | null;
  starts_at: string;
  ends_at: string;
  timezone: string;
  /** When it begins, in words and in its calendar's zone. */
  when: string;
  name: string | null;
  email: string | null;
  phone: string | null;
  status: AppointmentStatus;
  moving: boolean;
  cancel_reason: string | null;
  late_cancellation: boolean;
  reminder_sent: boolean;
  /** Nothing is set up that sends: nobody got it. */
  reminder_recorded: boolean;
  reminder_sent_at: string | null;
  vertical_data: Record<string, unknown>;
  created_at: string;
  updated_at: string;
  seq: number;
  ics_url?: string;
}

/** What can be booked. */
export interface Service {
  id: string;
  name: string;
  duration_minutes: number;
  buffer_before_minutes?: number | null;
  buffer_after_minutes?: number | null;
}

export interface Provider {
  id: string;
  name: string;
  active: boolean;
  business_hours: Hours | null;
  types: string[];
}

/** Days that are otherwise. */
export interface OtherDays {
  date: string;
  until?: string | null;
  hours: { open: string; close: string } | null;
  provider_id?: string | null;
  note?: string | null;
}

export interface Calendar {
  id: string;
  name: string;
  timezone: string;
  active: boolean;
  agent_ids: string[];
  business_hours: Hours | null;
  buffer_before_minutes: number;
  buffer_after_minutes: number;
  slot_step_minutes: number;
  minimum_notice_minutes: number;
  horizon_days: number;
  reminder_minutes: number;
  late_cancellation_minutes: number;
  types: Service[];
  providers: Provider[];
  exceptions: OtherDays[];
  /** Made for the organization to begin with, and changed by nobody since. */
  starter: boolean;
  version: number;
  feed_url?: string;
}

export interface Slot {
  calendar_id: string;
  provider_id: string | null;
  provider_name: string | null;
  type: string;
  starts_at: string;
  ends_at: string;
  timezone: string;
  label: string;
}

export const STATUSES: AppointmentStatus[] = ['scheduled', 'confirmed', 'completed', 'no_show', 'canceled'];

/** Still to take place. */
export const stands = (status: AppointmentStatus) => status === 'scheduled' || status === 'confirmed';

/** The one that comes first of those that are to take place. */
export const nextOf = (all: readonly Appointment[]): Appointment | null => all.filter((one) => stands(one.status)).toSorted((a, b) => a.starts_at.localeCompare(b.starts_at))[0] ?? null;

const clocks = new Map<string, Intl.DateTimeFormat>();
/** The day (`YYYY-MM-DD`) and the minute of it that the clocks of a zone show. */
export function clockOf(iso: string, zone: string): { day: string; minute: number } {
  let clock = clocks.get(zone);
  if (!clock) clocks.set(zone, (clock = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit' })));
  const parts = Object.fromEntries(clock.formatToParts(new Date(iso)).map(({ type, value }) => [type, value]));
  return { day: `${parts.year}-${parts.month}-${parts.day}`, minute: Number(parts.hour) * 60 + Number(parts.minute) };
}

export const dayAfter = (day: string, days = 1) => daysBefore(day, -days);

/** 0 is Monday. */
export const weekday = (day: string) => (new Date(day + 'T00:00:00Z').getUTCDay() + 6) % 7;

/** The seven days of a day's week, Monday first. */
export const weekOf = (day: string) => Array.from({ length: 7 }, (_, at) => dayAfter(day, at - weekday(day)));

/** A day of an address, or the given one when it is none. */
export function dayOr(text: string, otherwise: string): string {
  const at = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text + 'T00:00:00Z') : NaN;
  return Number.isNaN(at) || new Date(at).toISOString().slice(0, 10) !== text ? otherwise : text;
}

/** A day in words; it has no zone, so none changes it. */
export function dayName(day: string, options: Intl.DateTimeFormatOptions): string {
  return dated({ ...options, timeZone: 'UTC' }).format(new Date(day + 'T00:00:00Z'));
}

/** The time of day in a zone. */
export const timeIn = (iso: string, zone: string) => dated({ timeZone: zone, hour: 'numeric', minute: '2-digit' }).format(new Date(iso));

/** When an appointment begins, in words and by its own clock. */
export const begins = (one: Pick<Appointment, 'starts_at' | 'timezone'>) => dated({ timeZone: one.timezone, weekday: 'long', month: 'long', day: 'numeric', year: 'numeric', hour: 'numeric', minute: '2-digit', timeZoneName: 'short' }).format(new Date(one.starts_at));

/** Two hundred minutes as `3 h 20 min`, a day as `1 day`. */
export function minutesText(minutes: number): string {
  if (minutes % 1440 === 0 && minutes > 0) return `${minutes / 1440} ${minutes === 1440 ? 'day' : 'days'}`;
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  return [hours ? `${hours} h` : '', rest || !hours ? `${rest} min` : ''].filter(Boolean).join(' ');
}

/** Something on a day's column: from and to in minutes, in one of so many lanes beside each other. */
export interface Placed {
  one: Appointment;
  from: number;
  to: number;
  lane: number;
  lanes: number;
}

/** The least height of an entry, in minutes: what is shorter could not be read or touched. */
const LEAST = 30;

/** The appointments of one day with their places: what overlaps stands side by side. */
export function placed(all: readonly Appointment[], day: string, zone: string): Placed[] {
  const entries: Placed[] = [];
  for (const one of all) {
    const begin = clockOf(one.starts_at, zone);
    if (begin.day !== day) continue;
    const lasts = Math.max(LEAST, (Date.parse(one.ends_at) - Date.parse(one.starts_at)) / 60_000);
    entries.push({ one, from: begin.minute, to: Math.min(1440, begin.minute + lasts), lane: 0, lanes: 1 });
  }
  entries.sort((a, b) => a.from - b.from || b.to - a.to || (a.one.id < b.one.id ? -1 : 1));
  let group: Placed[] = [];
  let ends: number[] = [];
  const close = () => {
    for (const entry of group) entry.lanes = ends.length;
    group = [];
    ends = [];
  };
  for (const entry of entries) {
    if (group.length && ends.every((end) => end <= entry.from)) close();
    const free = ends.findIndex((end) => end <= entry.from);
    entry.lane = free < 0 ? ends.length : free;
    ends[entry.lane] = entry.to;
    group.push(entry);
  }
  close();
  return entries;
}

/** The hours a grid shows: the usual ones, and whatever else has something in it. */
export function hoursOf(entries: readonly Placed[], hours: readonly (Hours | null)[]): [number, number] {
  const minute = (text: string) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
  let [from, to] = [24, 0];
  for (const week of hours) {
    for (const open of Object.values(week ?? {})) {
      if (!open) continue;
      from = Math.min(from, Math.floor(minute(open.open) / 60));
      to = Math.max(to, Math.ceil(minute(open.close) / 60));
    }
  }
  if (from >= to) [from, to] = [8, 18];
  for (const entry of entries) {
    from = Math.min(from, Math.floor(entry.from / 60));
    to = Math.max(to, Math.ceil(entry.to / 60));
  }
  return [from, to];
}

/** The newer of what was fetched and what came live. */
export function newest(pages: ReadonlyMap<string, Appointment>, board: Iterable<[string, unknown]>): Appointment[] {
  const all = new Map(pages);
  for (const [id, value] of board) {
    const one = value as Appointment;
    const held = all.get(id);
    if (!held || held.seq <= one.seq) all.set(id, one);
  }
  return [...all.values()];
}

/** Free times by when they begin: with several people free at once one of them stands for all. */
export function bySlotTime(slots: readonly Slot[]): Slot[] {
  const seen = new Set<string>();
  return slots.filter((slot) => !seen.has(slot.starts_at) && seen.add(slot.starts_at));
}

/** A key for something that has a name: `Root canal (long)` as `root_canal_long`, and none that is taken. */
export function keyOf(name: string, taken: readonly string[]): string {
  const word = name.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase().replace(/[^a-z0-9]+/g, '_').replace(/^_+|_+$/g, '').slice(0, 40);
  // A key begins with a letter.
  const base = /^[a-z]/.test(word) ? word : `n_${word || '1'}`;
  let key = base;
  for (let n = 2; taken.includes(key); n += 1) key = `${base}_${n}`;
  return key;
}
