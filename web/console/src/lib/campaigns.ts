// Campaigns as the API tells them, and what their pages make of the numbers.
import type { Account, Line } from './types';

export type CampaignStatus = 'draft' | 'scheduled' | 'running' | 'paused' | 'stopping' | 'stopped' | 'completed' | 'deleting' | 'deleted';
export const STATUSES: CampaignStatus[] = ['draft', 'scheduled', 'running', 'paused', 'stopping', 'stopped', 'completed'];

export interface Again {
  attempts: number;
  delays_minutes: number[];
}
export const RETRIED = ['no_answer', 'busy', 'failed'] as const;
export type Retried = (typeof RETRIED)[number];

export interface Hours {
  start: string;
  end: string;
  days: string[];
  timezone: string;
}

/** What a list came to. */
export interface Import {
  import: number;
  accepted: number;
  rejected_total: number;
  rejected: { line: number; reason: string }[];
  duplicates: number;
  failed: string | null;
}

export interface Campaign {
  id: string;
  name: string;
  type: 'outbound' | 'inbound';
  agent_id: string;
  voice_id: string | null;
  objective: string;
  opening: string | null;
  script: string | null;
  questions: string[];
  from_numbers: string[];
  default_country: string | null;
  max_concurrent: number;
  calls_per_second: number;
  retry: Record<Retried, Again>;
  voicemail: 'hangup' | 'message' | 'retry';
  voicemail_message: string | null;
  window: Hours;
  consent: 'ai_calls' | 'calls' | 'none';
  dials_per_day: number;
  ring_seconds: number;
  max_call_minutes: number;
  starts_at: string | null;
  deadline: string | null;
  budget: number | null;
  status: CampaignStatus;
  paused_by: string | null;
  reason: string | null;
  simulated: boolean;
  settings_version: number;
  created_by: string;
  created_at: string;
  updated_at: string;
  started_at: string | null;
  ended_at: string | null;
  importing: boolean;
  progress: { targets: number; calling: number; done: number; connected: number };
  cost_usd: number;
  abandonment: { connected: number; abandoned: number; days: number };
  imports?: Import[];
}
/** As the live board has it: long texts are read with the campaign. */
export type CampaignRow = Omit<Campaign, 'objective' | 'opening' | 'script' | 'questions' | 'voicemail_message'>;

export interface Cards {
  total_calls: number;
  connected_calls: number;
  meetings_booked: number;
  avg_duration_s: number | null;
  connect_rate: number | null;
  meeting_rate: number | null;
}

export interface Counts {
  targets: number;
  waiting: number;
  trying: number;
  done: number;
  outcomes: Record<string, number>;
  failed: Record<string, number>;
  skipped: Record<string, number>;
  dials: number;
  connected: number;
  machines: number;
  meetings: number;
  abandoned: number;
  unconfirmed: number;
  talk_s: number;
  cost_micros: number;
  costed: number;
}

export interface CampaignCall {
  id: string;
  attempt: number;
  status: string;
  outcome?: string | null;
  reason?: string | null;
  from_number: string;
  provider_call: string | null;
  dialed_at: string | null;
  answered_at: string | null;
  ended_at?: string | null;
  talk_seconds: number | null;
  abandoned?: boolean;
  score?: number | null;
  conversation_id?: string | null;
  call_id?: string | null;
  cost_usd?: number | null;
  settings_version: number;
  phone: string | null;
  name: string | null;
  erased: boolean;
}

export interface Target {
  id: string;
  phone: string | null;
  name: string | null;
  fields: Record<string, string> | null;
  status: 'waiting' | 'calling' | 'done';
  next_at: string | null;
  outcome: string | null;
  reason: string | null;
  attempts: number;
  lead_id: string | null;
  contact_id: string | null;
  erased: boolean;
}

/** In the order in which they are read: the best first. */
export const OUTCOMES = ['meeting_booked', 'callback', 'answered', 'not_interested', 'voicemail', 'no_answer', 'busy', 'failed', 'skipped'] as const;

export type Tone = '' | 'ok' | 'warn' | 'bad' | 'key';
export const outcomeTone = (outcome: string): Tone => ({ meeting_booked: 'ok', answered: 'ok', callback: 'key', failed: 'bad', not_interested: 'warn' } as Record<string, Tone>)[outcome] ?? '';
export const statusTone = (status: string): Tone => ({ running: 'ok', scheduled: 'key', paused: 'warn', stopping: 'warn', deleting: 'warn' } as Record<string, Tone>)[status] ?? '';
export const scoreTone = (score: number): Tone => (score >= 70 ? 'ok' : score >= 40 ? 'warn' : 'bad');

/** Whether it may still call. */
export const alive = (status: CampaignStatus) => status === 'draft' || status === 'scheduled' || status === 'running' || status === 'paused';
/** Those that an owner wants to know of now: what calls first, then what is held, then what waits for its time. */
export function current(all: Iterable<CampaignRow>): CampaignRow[] {
  const order: CampaignStatus[] = ['running', 'stopping', 'paused', 'scheduled'];
  return [...all].filter((one) => order.includes(one.status)).sort((a, b) => order.indexOf(a.status) - order.indexOf(b.status) || b.updated_at.localeCompare(a.updated_at));
}
/** What people may order in a state. */
export const orders = (status: CampaignStatus): ('start' | 'pause' | 'resume' | 'stop')[] =>
  status === 'draft' ? ['start'] : status === 'scheduled' || status === 'running' ? ['pause', 'stop'] : status === 'paused' ? ['resume', 'stop'] : [];

/** How far it is, 0 to 1; nothing without targets. */
export const share = ({ targets, done }: { targets: number; done: number }) => (targets > 0 ? Math.min(1, done / targets) : null);

/** Calls from the first ring to a meeting, the same counts as the cards; each step is part of the one before. Whoever is called twice is two calls. */
export function funnel(counts: Counts): { stage: 'dialed' | 'spoken' | 'meetings'; count: number }[] {
  return [
    { stage: 'dialed', count: counts.dials },
    { stage: 'spoken', count: counts.connected },
    { stage: 'meetings', count: counts.meetings },
  ];
}

/** Outcomes with their reasons, those that happened, in the order in which they are read. An outcome of a newer server comes last. */
export function outcomes(counts: Counts): { outcome: string; count: number; reasons: [string, number][] }[] {
  const named = [...OUTCOMES, ...Object.keys(counts.outcomes).filter((name) => !OUTCOMES.some((known) => known === name))];
  const why = (outcome: string) => (outcome === 'failed' ? counts.failed : outcome === 'skipped' ? counts.skipped : {});
  return named
    .map((outcome) => ({ outcome, count: counts.outcomes[outcome] ?? 0, reasons: Object.entries(why(outcome)).sort((a, b) => b[1] - a[1]) }))
    .filter((one) => one.count > 0);
}

/** Of a thousand people who answered, how many heard nobody; nothing before anybody answered. */
export const abandonedShare = ({ connected, abandoned }: Campaign['abandonment']) => (connected > 0 ? abandoned / connected : null);
/** From this many answered calls on the rate holds a campaign. */
export const ABANDONMENT_FROM = 100;
export const ABANDONMENT_MAX = 0.03;

/** Numbers that can call, each with the word for its account. */
export function callers(numbers: Line[], accounts: Account[]): Line[] {
  return numbers.filter((line) => line.channels.includes('voice') && accounts.some((account) => account.provider === line.provider && account.connected));
}

/** What stands in the way of a start, as names of sentences, in the order in which one would mend it. */
export function obstacles(campaign: Campaign, agents: { id: string }[], now = Date.now()): ('agent' | 'targets' | 'importing' | 'numbers' | 'deadline')[] {
  const found: ReturnType<typeof obstacles> = [];
  if (!agents.some((agent) => agent.id === campaign.agent_id)) found.push('agent');
  if (campaign.importing) found.push('importing');
  else if (!campaign.progress.targets && campaign.type === 'outbound') found.push('targets');
  if (!campaign.from_numbers.length) found.push('numbers');
  if (campaign.deadline && Date.parse(campaign.deadline) <= now) found.push('deadline');
  return found;
}

/** The least time that so many first calls take, in minutes. */
export const minutesAtLeast = ({ progress, calls_per_second }: Pick<Campaign, 'progress' | 'calls_per_second'>) => (calls_per_second > 0 ? Math.ceil((progress.targets - progress.done) / calls_per_second / 60) : null);

/** A list as it is sent: its kind is told by its first character. */
export function listOf(text: string | Blob, head: string): Blob {
  const json = /^[\uFEFF\s]*([[{])/.exec(head)?.[1];
  return new Blob([text], { type: json === '[' ? 'application/json' : json ? 'application/x-ndjson' : 'text/csv' });
}

/** The lines of a list as an editor counts them: the first is at 0. */
export const linesOf = (text: string): string[] => text.replace(/^\uFEFF/, '').split(/\r\n|\n/);

/** Numbers that people write with commas or spaces between them: `60, 240`. What is none is left out. */
export const numbersIn = (text: string): number[] => text.split(/[^0-9]+/).filter(Boolean).map(Number);

/** An instant as the field of a form shows it, by this browser's clock; and back. */
export function localTime(iso: string | null): string {
  if (!iso) return '';
  const at = new Date(iso);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
export const instant = (text: string): string | null => {
  const at = text ? new Date(text) : null;
  return at && !Number.isNaN(at.getTime()) ? at.toISOString() : null;
};

/** 75 s as 1:15. */
export const talkTime = (seconds: number | null | undefined): string => {
  if (seconds == null) return '–';
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, '0');
  return hours ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
};
