/** The page's tie to whoever shows it: the host page through a message channel, or nobody when opened by itself. */

import type { Keeper } from './outbox';
import type { Identity, Theme } from './protocol';

/** What the host hands over with the channel; nothing of it ever stands in an address. */
export interface Start {
  store: Record<string, string>;
  open: boolean;
  locale?: string;
  theme?: Theme['mode'];
  identity?: Identity;
  /** Address and referrer of the host page, without query. */
  page?: Record<string, string>;
}

export type FromHost =
  | { t: 'open'; v: boolean }
  | { t: 'locale'; v: string }
  | { t: 'identify'; v: Identity };

export type ToHost =
  | { t: 'close' }
  | { t: 'unread'; v: number }
  | { t: 'set'; k: string; v: string | undefined }
  | { t: 'look'; v: { color: string; side: string; title: string } }
  | { t: 'event'; k: string; v?: unknown };

export interface Link {
  start: Start;
  post(message: ToHost): void;
  listen(handler: (message: FromHost) => void): void;
}

/** The host's loader is the only listener; anything else that frames us gets no port and waits here. */
export function embeddedLink(): Promise<Link> {
  return new Promise((resolve) => {
    onmessage = ({ source, data, ports: [port] }) => {
      if (source !== parent || !port || data.vbot !== 'port') return;
      onmessage = null;
      resolve({
        start: data,
        post: (message) => port.postMessage(message),
        listen: (handler) => (port.onmessage = (message) => handler(message.data)),
      });
    };
    parent.postMessage({ vbot: 'ready' }, '*');
  });
}

/** Keys kept in memory, and beyond it once storing is allowed. */
export function createKeeper({ start, post }: Link, allowed: boolean): Keeper & { allow(): void } {
  const held = { ...start.store };
  return {
    held,
    set(k, v) {
      if (v === undefined) delete held[k];
      else held[k] = v;
      if (allowed) post({ t: 'set', k, v });
    },
    allow() {
      allowed = true;
      for (const k in held) post({ t: 'set', k, v: held[k] });
    },
  };
}
