// The shapes of what the API answers with, where the generated contract has only the requests: names are the contract's.
import type { AuditEntry, AuditPage, Daily, DailyRow, Funnel, Heatmap, NotificationKind as NoticeKind, NotificationPreferences, NotificationView as Notice, Page, SearchMatch as Match, Source, StoredFile, Streaming, Summary, TimeSeries, TopQuestion, TopQuestions } from '../../../generated/api';
import type { PresencePerson as Colleague } from '../../../generated/sockets';

export type { AuditEntry, AuditPage, Colleague, Daily, DailyRow, Funnel, Heatmap, Match, Notice, NoticeKind, Page, Source, StoredFile, Streaming, Summary, TimeSeries, TopQuestion, TopQuestions };
export type Role = 'owner' | 'admin' | 'manager' | 'rep' | 'viewer';
export type AgentStatus = 'draft' | 'training' | 'active' | 'paused' | 'error';
export type ConversationStatus = 'active' | 'resolved' | 'escalated' | 'abandoned';
export type Urgency = 'low' | 'normal' | 'high' | 'emergency';
export type LeadStatus = 'new' | 'contacted' | 'qualified' | 'converted' | 'lost';

export interface Person {
  id: string;
  name: string;
  email: string;
  email_verified: boolean;
  has_password: boolean;
  platform_admin: boolean;
}

export type Day = 'mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat' | 'sun';
export type Hours = Partial<Record<Day, { open: string; close: string } | null>>;

export interface Address {
  street: string;
  city: string;
  state: string;
  zip: string;
  country: string;
}

export interface Organization {
  id: string;
  name: string;
  slug: string;
  vertical: string | null;
  website_url: string | null;
  phone: string | null;
  email: string | null;
  address: Address | null;
  business_hours: Hours;
  timezone: string;
  logo_url: string | null;
  subscription_plan: string;
  settings: Record<string, unknown> & { retention?: { conversations_days?: number | null; recordings_days?: number | null }; locale?: string | null };
  version: number;
}

export interface Me {
  user: Person;
  organization: Organization;
  organizations: { id: string; name: string; role: Role; slug: string }[];
  role: Role;
  /** Whether e-mails are only recorded on the server, and reach nobody. */
  mail_recorded?: boolean;
  /** Where those can be read, if this browser may. */
  mailbox?: string | null;
  csrf_token: string;
}

export interface Template {
  id: string;
  kind: string;
  vertical: string;
  name: string;
  description: string;
  icon: string;
  quick_prompts: string[];
  variables: Record<string, string>;
}

export interface AgentRow {
  id: string;
  name: string;
  status: AgentStatus;
  status_reason: string | null;
  vertical: string;
  website_url: string | null;
  chat_avatar_url: string | null;
  config_version: number;
  total_conversations: number;
  total_messages: number;
  avg_satisfaction: number | null;
  created_at: string;
  updated_at: string;
}

export interface Theme {
  primary_color: string | null;
  font_family: string | null;
  border_radius: number | null;
  mode: string | null;
}

export interface Config {
  name: string;
  system_prompt: string;
  welcome_message: string;
  fallback_message: string;
  escalation_message: string;
  after_hours_message: string;
  voice_welcome_message: string;
  quick_prompts: string[];
  guardrails: string[];
  tools: string[];
  variables: Record<string, string>;
  variable_defaults: Record<string, string>;
  personality_traits: Record<string, string>;
  llm_model: string;
  temperature: number;
  max_tokens: number;
  max_messages_per_convo: number;
  collect_leads: boolean;
  business_hours_only: boolean;
  escalation_enabled: boolean;
  escalation_email: string | null;
  escalation_phone: string | null;
  chat_enabled: boolean;
  chat_position: string;
  chat_theme: Theme;
  chat_avatar_url: string | null;
  show_branding: boolean;
  cookie_consent: boolean;
  allowed_origins: string[];
  voice_enabled: boolean;
  voice_id: string;
  voice_provider: string;
  voice_language: string;
  voice_speed: number;
  /** Words for situations of a call, such as `on_hold`. */
  voice_scripts: Record<string, string>;
  transfer_kind: 'cold' | 'warm';
  voicemail: boolean;
  missed_call_text: string | null;
  use_platform_knowledge: boolean;
  auto_call_leads: AutoCall | null;
  voice_recording: boolean;
  /** What must be said, and when. */
  compliance_notices: { type: string; text: string; when: string }[];
}

/** New leads that an agent calls by itself. */
export interface AutoCall {
  within_minutes: number;
  questions: string[];
  consent: 'ai_calls' | 'calls' | 'none';
  /** Two letters each, besides those that the organization has numbers in. */
  countries: string[];
}

export interface Agent extends AgentRow, Config {
  template_id: string;
  index_version: number;
  publishable_key: string;
  /** The secret address of its calls at Retell; for managers and above. */
  voice_socket_url?: string;
  vapi_url?: string;
}

export interface Version {
  version: number;
  saved_at: string;
  saved_by: string;
  current: boolean;
  changed: string[];
  restored_from: number | null;
  config: Config & Record<string, unknown>;
}

export interface KnowledgeState {
  chunks: number;
  embedder: string;
  faqs: number;
  faqs_pending: number;
  generating_faqs: boolean;
  generation_error: string | null;
  index_error: string | null;
  index_version: number;
  indexed_at: string | null;
  indexing: boolean;
  pages: number;
  pages_done: number;
  pages_failed: number;
  pages_found: number;
  reading: number;
  sources: number;
  unanswered: number;
}

export interface SourceRow {
  id: string;
  type: string;
  name: string;
  url: string | null;
  status: string;
  page_count: number;
  char_count: number;
  chunk_count: number;
  error_message: string | null;
  note: string | null;
  last_synced_at: string | null;
  next_sync_at: string | null;
  auto_sync: boolean;
  sync_frequency: string;
  created_at: string;
  version: number;
}

export interface CrawledPage {
  url: string;
  title: string;
  status: string;
  error?: string | null;
}

export interface ScrapeStatus {
  source_id: string;
  status: 'pending' | 'in_progress' | 'completed' | 'failed';
  pages_found: number;
  pages_done: number;
  pages_failed: number;
  chunks: number;
  error: string | null;
  pages: CrawledPage[];
}

export interface Faq {
  id: string;
  question: string;
  answer: string;
  category: string;
  priority: number;
  is_auto: boolean;
  status: string;
  source_url: string | null;
  version: number;
  updated_at: string;
}

export interface Unanswered {
  agent_id: string;
  key: string;
  question: string;
  count: number;
  first_asked_at: string;
  last_asked_at: string;
}

export interface Found {
  confidence: number;
  index_version: number;
  took_us: number;
  faqs: { id: string; question: string; answer: string; score?: number }[];
  items: { chunk_id: string; score: number; section: string; text: string; source: { title: string; url: string | null; snippet: string } }[];
}

export interface ConversationRow {
  id: string;
  agent_id: string;
  assigned_to: string | null;
  channel: string;
  channels: string[];
  escalated: boolean;
  escalation_reason: string | null;
  is_lead: boolean;
  last_message: string;
  last_role: string;
  message_count: number;
  person: string | null;
  sandbox: boolean;
  /** Somebody of the organization tries the agent. */
  trial?: boolean;
  satisfaction_rating: number | null;
  seq: number;
  started_at: string;
  updated_at: string;
  status: ConversationStatus;
  urgency: Urgency;
  visitor_id: string;
  visitor_name: string | null;
  visitor_email: string | null;
  visitor_phone: string | null;
  /** Sequence number of its last message, and of the visitor's last. */
  last_seq?: number;
  last_visitor_seq?: number | null;
  /** Those of the visitor's newest messages. */
  visitor_seqs?: number[];
  /** Unread by whoever asked; in lists of the server only. */
  unread?: number;
  /** Where the words that were searched for stand. */
  match?: Match;
}

export interface Conversation extends ConversationRow {
  closed: boolean;
  /** The visitor said not to be contacted any more. */
  no_contact?: boolean;
  floor: { holder: 'assistant' } | { holder: 'person'; user: string; name: string };
  lead_id: string | null;
  lead_fields: Record<string, string>;
  satisfaction_feedback: string | null;
  first_response_time: number | null;
  state_hash?: string;
  visitor_metadata: { locale: string | null; page_url: string | null; referrer: string | null; user_agent: string | null };
  visitor_location: { city: string | null; region: string | null; country: string | null };
}

export interface Message {
  id: string;
  seq: number;
  role: 'user' | 'assistant' | 'system' | 'human_agent';
  author?: { id: string; name: string };
  channel: string;
  content: string;
  sources: Source[];
  confidence: number | null;
  created_at: string;
  fallback: boolean;
  feedback_text: string | null;
  thumbs_up: boolean | null;
  latency_ms: number | null;
  tokens_used: number | null;
  turn: string | null;
  whisper: boolean;
  /** What the person attached, as their carrier names it. */
  attachments?: string[];
  /** Files that a person of the team sent with it. */
  files?: StoredFile[];
  /** The call it was said in. */
  call_id?: string | null;
  /** The rest of it, which the caller did not hear any more. */
  unheard?: string | null;
  /** Said after the beep, to nobody. */
  voicemail?: boolean;
  /** Typed in a call. */
  typed?: boolean;
}

export type Streamed =
  | { type: 'token'; message_id: string; attempt: number; index: number; text: string }
  | { type: 'discard'; message_id: string; reason: string }
  | { type: 'typing'; role: string };

export interface Trace {
  turn: string;
  attempt: number;
  confidence: number | null;
  config_version: number;
  index_version: number;
  model: string;
  cost: { amount_micros: number; currency: string };
  tokens: { input: number; output: number; cached: number };
  stages: Record<string, number>;
  retrieved: { chunk_id: string; score: number; used: boolean }[];
  problems: string[];
  tools: unknown[];
  outcome: { state: string; message_id?: string };
}

/** What a piece of knowledge says, and where it came from. */
export interface Chunk {
  chunk_id: string;
  text: string;
  title: string;
  url: string | null;
  gone: boolean;
}

/** A model that agents may name. */
export interface Model {
  id: string;
  provider: string;
  name: string;
  context_tokens: number;
  default: boolean;
  available: boolean;
  why_not?: string | null;
}

export interface Talk {
  conversation: Conversation;
  messages: Message[];
  messages_cursor: number | null;
  trace: Trace[];
}

export interface JournalEvent {
  seq: number;
  at: string;
  event: { type: string } & Record<string, unknown>;
}

export interface Lead {
  id: string;
  agent_id: string | null;
  conversation_id: string | null;
  channel: string | null;
  name: string | null;
  email: string | null;
  phone: string | null;
  source_page: string | null;
  intent: string;
  urgency: Urgency;
  score: number;
  score_reasons: { signal: string; points: number }[];
  notes: string;
  fields: Record<string, string>;
  vertical_data: Record<string, string>;
  status: LeadStatus;
  followed_up: boolean;
  assigned_to: string | null;
  team: string | null;
  /** The same group where nobody of it has the lead. */
  suggested_team?: string | null;
  created_at: string;
  updated_at: string;
  seq: number;
}

export interface Figures {
  total_conversations: number;
  conversations_24h: number;
  conversations_7d: number;
  conversations_30d: number;
  messages: number;
  resolved: number;
  escalated: number;
  abandoned: number;
  leads_captured: number;
  unanswered: number;
  avg_satisfaction: number | null;
  avg_response_ms: number | null;
  thumbs_up_count: number;
  thumbs_down_count: number;
  calls_answered: number;
  calls_missed: number;
  voice_minutes_used: number;
  voice_minutes_remaining: number | null;
  voice_minutes_overage: number;
  voice_overage_micros: number;
  chat_messages_used: number;
  chat_messages_remaining: number | null;
  cost_micros: number;
  by_channel: Record<string, number>;
  window: string;
}

export interface Member {
  id: string;
  user_id: string;
  name: string;
  email: string;
  role: Role;
  accepted_at: string | null;
  version: number;
}

export interface Invitation {
  id: string;
  email: string | null;
  role: Role;
  created_at: string;
  expires_at: string;
  code?: string;
  link?: string;
  mailed?: boolean;
  /** Its e-mail is only recorded on the server. */
  recorded?: boolean;
}

export interface ApiKey {
  id: string;
  name: string;
  kind: 'secret' | 'publishable';
  role: Role | null;
  agent_id: string | null;
  hint: string;
  created_at: string;
  last_used_at: string | null;
  revoked_at: string | null;
  key?: string;
}

export interface Erasure {
  id: string;
  status: string;
  about: Record<string, string>;
  counts: Record<string, number>;
  requested_at: string;
  finished_at: string | null;
  error: string | null;
}

export type NoticeTopic = Exclude<keyof NotificationPreferences, 'daily_summary'>;

export interface Preferences extends Record<string, unknown> {
  notifications: NotificationPreferences;
}

/** An account at a provider of calls or messages; its keys are shown to nobody. */
export interface Account {
  provider: string;
  connected: boolean;
  simulated: boolean;
  account: string | null;
  token_hint: string | null;
  connected_at: string | null;
  /** Whether there is anything to connect to: a simulated carrier has to be started and named first. */
  available?: boolean;
  webhook_url: string;
  /** Where the provider asks what to do with a call. */
  voice_url?: string;
  verify_token?: string | null;
}

/** What a provider said when it was asked whether an account works. */
export interface AccountCheck {
  ok: boolean;
  numbers: { number: string; ok: boolean; error: string | null }[];
}

/** A number of the organization. */
export interface Line {
  id: string;
  number: string;
  provider: string;
  simulated: boolean;
  agent_id: string;
  channels: string[];
  external_id: string | null;
  whatsapp_template: { name: string; language: string } | null;
  connected: boolean;
  /** Whether the provider is known to bring its calls to us: `ready` or `not_set_up`. */
  state: string;
  /** Why it could not be set up. */
  trouble: string | null;
  created_at: string;
}

/** An entry of the do-not-contact list; the address is a mask. */
export interface Unwanted {
  id: string;
  channel: string;
  address: string;
  reason: string;
  source: string;
  by: string | null;
  created_at: string;
  expires_at: string | null;
}

/** A record of the consent ledger. */
export interface Consent {
  id: string;
  kind: string;
  granted: boolean;
  address: string;
  text: string;
  source: string;
  by: string | null;
  captured_at: string;
}

/** What became of a message that went over a carrier. */
export interface Delivery {
  message_id: string;
  channel: string;
  status: string;
  error: string | null;
  retry_at: string | null;
}

/** What became of an alert to the organization's own people. */
export interface Alert {
  id: string;
  channel: 'sms' | 'email';
  about: string;
  status: string;
  provider: string | null;
  simulated: boolean;
  error: string | null;
  retry_at: string | null;
}

/** How the person of a conversation can be reached over a carrier. */
export interface Reachable {
  channel: string;
  /** Free words are taken until then; null: always, or not at all where `closed`. */
  free_until: string | null;
  closed: boolean;
  template: boolean;
  /** The largest file that it carries itself by media type; 0: such a file goes as a link. */
  carries?: Record<string, number>;
}
