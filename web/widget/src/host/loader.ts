/** The script on the host page: the `vbot` command queue, and the life of button, frame and channel. */

import type { FromHost, Start, ToHost } from '../frame/link';
import { openVault } from '../shared/storage';
import { createLauncher } from './launcher';

interface Options {
  agentId: string;
  /** Where the server lives; this script's own origin unless given. */
  apiUrl?: string;
  position?: string;
  color?: string;
  locale?: string;
  theme?: 'auto' | 'light' | 'dark';
  /** Fetch the frame when the page is idle instead of at the first sign of interest. */
  preload?: boolean;
  open?: boolean;
}

type Vbot = { (verb: string, value?: unknown, listener?: unknown): void; q?: [string, unknown, unknown][]; live?: boolean };

const global = window as unknown as Record<string, any>;
const queue: Vbot | undefined = global.vbot;

// A classic script, also an injected one, knows itself only while it runs.
const script = document.currentScript as HTMLScriptElement | null;
const home = script?.src.replace(/(\/widget)?\/loader\.js.*/, '');

/** After the page's own first work; older Safari has no idle callback. */
const PRELOAD_AFTER_MS = 2000;
/** The page speaks before it has loaded; after this long it will not. */
const REFUSED_AFTER_MS = 999;
/** The chat's own default, in the light and in the dark. */
const DEFAULT_COLOR = 'light-dark(#0067c5,#3db2ff)';

let listeners: [string, (data: unknown) => void][] = [];
let chat: ReturnType<typeof createChat> | undefined;
let locale: string | undefined;
let identity: any;

function emit(event: string, data?: unknown) {
  for (const [wanted, listener] of listeners) {
    // Theirs: what it throws is reported as theirs, and stops nothing here.
    if (wanted === event) setTimeout(listener, 0, data);
  }
}

function createChat(options: Options) {
  const address = `${options.apiUrl || home}/widget/${options.agentId}`;
  const { origin } = new URL(address, location.href);
  const vault = openVault(options.agentId);
  const launcher = createLauncher(() => toggle(), load);
  const frame = document.createElement('iframe');
  let port: MessagePort | undefined;
  let open = false;
  let back = launcher.button as HTMLElement;

  function look(color?: string, side?: string) {
    launcher.look(color, options.position || side);
    launcher.show(open);
  }

  function tell(message: FromHost) {
    port?.postMessage(message);
  }

  function load() {
    if (frame.src) return;
    frame.title = 'Chat';
    frame.src = address;
    // Loaded, but not by us: this origin is refused, or the server is down. Nobody is left before the browser's own grey page.
    frame.onload = () =>
      setTimeout(() => {
        if (port) return;
        toggle(false);
        frame.removeAttribute('src');
      }, REFUSED_AFTER_MS);
    launcher.box.prepend(frame);
    addEventListener('message', greet);
  }

  /** Answers our own frame, also when it was reloaded, with a channel and what it has to know. */
  function greet(event: MessageEvent) {
    if (event.source !== frame.contentWindow || event.origin !== origin || event.data.vbot !== 'ready') return;
    const channel = new MessageChannel();
    port = channel.port1;
    port.onmessage = receive;
    const start: Start = {
      store: vault.held,
      open,
      locale: (locale || options.locale)!,
      theme: options.theme!,
      identity,
      page: { page_url: location.origin + location.pathname, referrer: document.referrer.split(/[?#]/)[0]! },
    };
    (event.source as Window).postMessage({ vbot: 'port', ...start }, origin, [channel.port2]);
  }

  function receive({ data }: MessageEvent<ToHost>) {
    switch (data.t) {
      case 'close':
        return toggle(false);
      case 'unread':
        launcher.unread(data.v);
        return emit('unread', data.v);
      case 'set':
        return vault.set(data.k, data.v);
      case 'look':
        frame.title = data.v.title;
        return look(data.v.color, data.v.side);
      case 'event':
        emit(data.k, data.v);
    }
  }

  function toggle(value = !open) {
    if (value === open) return;
    open = value;
    if (open) {
      const from = document.activeElement as HTMLElement | null;
      back = !from || from === document.body || from === launcher.host ? launcher.button : from;
      load();
    }
    launcher.show(open);
    tell({ t: 'open', v: open });
    // Back to what opened it; with the panel gone the focus would fall to the top of the page.
    (open ? frame : back).focus();
    emit(open ? 'open' : 'close');
  }

  launcher.look(DEFAULT_COLOR);
  look(options.color);
  // Who has a conversation here sees a person's answer on the button, on every page.
  if (options.preload || vault.held.conv) setTimeout(load, PRELOAD_AFTER_MS);
  if (options.open) toggle();

  return {
    id: options.agentId,
    toggle,
    tell,
    remove() {
      removeEventListener('message', greet);
      launcher.remove();
    },
    forget: vault.forget,
  };
}

const commands: Record<string, (value: any, listener: any) => void> = {
  init(options: Options) {
    // A page that swaps its body runs the snippet again: the same agent goes on undisturbed.
    if (chat?.id === options.agentId) return;
    chat?.remove();
    chat = createChat(options);
  },
  open: () => chat?.toggle(true),
  close: () => chat?.toggle(false),
  toggle: () => chat?.toggle(),
  identify(v) {
    identity = v;
    chat?.tell({ t: 'identify', v });
  },
  locale(v) {
    locale = v;
    chat?.tell({ t: 'locale', v });
  },
  on: (event, listener) => listeners.push([event, listener]),
  shutdown() {
    chat?.remove();
    // The next person at this computer must not find the conversation.
    chat?.forget();
    chat = identity = undefined;
    listeners = [];
  },
};

if (!queue?.live) {
  const vbot: Vbot = (verb, value, listener) => {
    try {
      commands[verb]?.(value, listener);
    } catch (error) {
      // A host page must never break because of its chat button.
      console.error(error);
    }
  };
  vbot.live = true;
  global.vbot = vbot;
  for (const [verb, value, listener] of queue?.q ?? []) vbot(verb, value, listener);
}
