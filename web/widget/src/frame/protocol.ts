/** The frames of the chat socket and the page's configuration, as the public contract names them. */

export interface Theme {
  primary_color?: string;
  font_family?: string;
  border_radius?: number | string;
  /** `auto` follows the reader's system. */
  mode?: 'auto' | 'light' | 'dark';
}

export interface Agent {
  name: string;
  avatar_url?: string | null;
  welcome_message?: string | null;
  quick_prompts?: string[] | null;
  chat_theme?: Theme | null;
}

/** What the server writes into the page. */
export interface Config {
  agent: Agent & {
    position?: string | null;
    show_branding?: boolean;
    /** `true` for our own notice, or the owner's wording. */
    cookie_consent?: boolean | string | null;
    locale?: string | null;
    live?: boolean;
  };
  /** Where the API lives when it is not the page's own origin. */
  api_url?: string | null;
  message_chars_max?: number;
}

export interface Source {
  title?: string | null;
  url?: string | null;
}

export interface Field {
  name: string;
  label?: string;
  type?: string;
  options?: string[];
  required?: boolean;
}

export interface LeadForm {
  /** Its id. */
  form: string;
  title?: string;
  fields: Field[];
  /** What is known already. */
  values?: Record<string, string>;
  /** What must be said with it. */
  notices?: string[];
}

/** A quick reply: its words, or what it says and what it sends. */
export type Option = string | { label?: string; value?: string };

export interface FieldError {
  field: string;
  message: string;
}

export interface Identity {
  external_id: string;
  hmac: string;
  name?: string;
  email?: string;
  phone?: string;
  phone_signed?: boolean;
  expires_at?: number;
}

export type Message = { type: 'message'; client_message_id: string; text: string };
export type Lead = { type: 'lead'; client_id: string; fields: Record<string, string> };
export type Rating = { type: 'rating'; client_id: string; rating: number; feedback?: string };

export type ClientFrame =
  | {
      type: 'hello';
      visitor_id: string;
      visitor_token?: string | undefined;
      conversation_id?: string | undefined;
      last_seq: number;
      metadata?: Record<string, string>;
    }
  | ({ type: 'identify' } & Identity)
  | Message
  | { type: 'typing' }
  | Lead
  | Rating
  | { type: 'close' };

/** Every frame may also carry the conversation it belongs to. */
export type ServerFrame = { conversation_id?: string | null } & (
  | { type: 'welcome' | 'identified'; visitor_token: string; seq: number; agent?: Agent }
  | { type: 'ack'; client_message_id: string; seq: number }
  | { type: 'token'; message_id: string; attempt: number; index: number; text: string }
  | { type: 'discard'; message_id: string; reason?: string }
  | {
      type: 'message';
      id: string;
      seq: number;
      role: string;
      author?: string | null;
      content: string;
      sources?: Source[] | null;
      client_message_id?: string;
    }
  | { type: 'typing'; role?: string }
  /** Its parts stand beside `kind`. */
  | ({ type: 'prompt'; kind: string; options?: Option[] } & Partial<LeadForm>)
  | { type: 'status'; status: string; assigned_to?: string | null }
  | { type: 'done'; client_id: string; id?: string }
  | {
      type: 'error';
      client_id?: string;
      code: string;
      detail?: string;
      errors?: FieldError[];
      retry?: string;
    }
  | { type: 'bye'; reason?: string }
);
