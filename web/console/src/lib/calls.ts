// Calls as the API tells them, and which of them a list shows.
import type { Tone } from './campaigns';
import { sinceTime } from './inbox';
import type { Message } from './types';

export type CallStatus = 'ringing' | 'in_progress' | 'completed' | 'missed' | 'voicemail' | 'transferred' | 'failed';
export const STATUSES: CallStatus[] = ['ringing', 'in_progress', 'completed', 'missed', 'voicemail', 'transferred', 'failed'];

export interface CallRow {
  id: string;
  provider: string;
  provider_call_id: string;
  agent_id: string;
  conversation_id: string | null;
  contact_id: string | null;
  campaign_id?: string | null;
  /** Who was at the other end, as the conversation knows them; the live board does not say. */
  name?: string | null;
  campaign_name?: string | null;
  direction: 'inbound' | 'outbound';
  from: string | null;
  to: string | null;
  phone: string | null;
  test: boolean;
  status: CallStatus;
  /** Carried by the simulated carrier. */
  simulated?: boolean;
  reconnecting: boolean;
  reason: string | null;
  created_at: string;
  answered_at: string | null;
  ended_at: string | null;
  /** Seconds. */
  duration: number;
  cost_micros: number | null;
  transfer: { to: string; kind: 'cold' | 'warm'; at: string } | null;
  sentiment: string | null;
  score: number | null;
  score_reasons: { signal: string; points: number }[];
  summary: string | null;
  reviewed_by: string | null;
  /** What was left after the beep. */
  voicemail?: Voicemail | null;
  /** There where the sound was kept. */
  recording?: { seconds: number; bytes: number } | null;
  seq: number;
}

export interface Voicemail {
  seconds: number;
  sound: string;
  transcript_status: 'pending' | 'written' | 'silent' | 'none';
  transcript_note: string | null;
  confidence_percent: number | null;
}

/** One call with what was said. */
export interface Call extends CallRow {
  transcript: Message[];
}

/** Whether the two may still be talking. */
export const going = (status: CallStatus) => status === 'ringing' || status === 'in_progress';

export const callTone = (status: CallStatus): Tone => ({ in_progress: 'ok', ringing: 'key', missed: 'bad', failed: 'bad', voicemail: 'warn' } as Record<string, Tone>)[status] ?? '';
export const moodTone = (sentiment: string): Tone => ({ positive: 'ok', negative: 'bad' } as Record<string, Tone>)[sentiment] ?? '';

export interface CallFilters {
  agent_id: string;
  status: string;
  since: string;
}

/** As the API takes them. */
export const asked = ({ agent_id, status, since }: CallFilters) => ({ agent_id: agent_id || null, status: status || null, from: sinceTime(since) });

/** The server's pages and the live board as one list, the newest first; the newer row of a call wins. */
export function listed(pages: ReadonlyMap<string, CallRow>, board: Iterable<CallRow>, filters: CallFilters, from: string | null): CallRow[] {
  const all = new Map(pages);
  for (const row of board) {
    const held = all.get(row.id);
    if (!held || held.seq <= row.seq) all.set(row.id, { ...row, name: row.name ?? held?.name, campaign_name: row.campaign_name ?? held?.campaign_name });
  }
  return [...all.values()]
    .filter((row) => (!filters.agent_id || row.agent_id === filters.agent_id) && (!filters.status || row.status === filters.status) && (!from || Date.parse(row.created_at) >= Date.parse(from)))
    .sort((a, b) => b.created_at.localeCompare(a.created_at) || b.id.localeCompare(a.id));
}

/** What was said in one call: what was read, with what came since, in order; a message that changed is the newer one. */
export function transcript(call: string, read: readonly Message[], since: readonly Message[]): Message[] {
  const all = new Map(read.map((message) => [message.id, message]));
  for (const message of since) if (message.call_id === call) all.set(message.id, message);
  return [...all.values()].sort((a, b) => a.seq - b.seq);
}
