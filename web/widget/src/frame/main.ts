/** The framed page: ties link, connection, store and view together. */

import { createComposer } from './composer';
import { createConnection, type Socket } from './connection';
import { byId, h } from './dom';
import { createKeeper, embeddedLink, type Link } from './link';
import { createOutbox, type Request } from './outbox';
import type { Agent, Config, LeadForm, Option, ServerFrame } from './protocol';
import { render } from './render';
import { createSheet } from './sheet';
import { blip } from './sound';
import { createStore } from './store';
import { speak, t } from './strings';
import { createView } from './view';

/** The server's default limit, used when the page does not carry the operator's. */
const MESSAGE_CHARS_DEFAULT = 4000;
/** Someone who stopped typing this long ago is not typing. */
const TYPING_SHOWN_MS = 8000;
/** A refused but repeatable request is tried again after this. */
const RESEND_MS = 5000;
/** Beyond guessing, and no clock or hardware in it. */
const ID_BYTES = 20;
/** More buttons than this are no quick choice. */
const CHIPS_MAX = 8;
/** Spoken lines kept in the live region; screen readers read additions only. */
const SPOKEN_MAX = 3;

/** Framed by our own page under this name, or a page of its own: no loader speaks to it. */
const alone = window.name === 'alone' || parent === window;
const agentId = document.body.dataset.agent!;
const config = JSON.parse(byId('config').textContent!) as Config;
// The page stands at <base>/widget/<agent>, whatever precedes it.
const base = config.api_url || location.href.replace(/\/widget\/[^/]*$/, '');

const randomId = () => crypto.getRandomValues(new Uint8Array(ID_BYTES)).reduce((id, byte) => id + (byte + 256).toString(16).slice(1), '');

async function run(link: Link) {
  const { start, post: tell } = link;
  const given = config.agent;
  let agent: Agent = given;
  const keeper = createKeeper(link, !given.cookie_consent || !!start.store.ok);
  const { held } = keeper;
  const outbox = createOutbox(keeper);

  let { open, identity } = start;
  /** Who of the team holds the floor. */
  let person: string | null | undefined;
  /** As the server last said; unknown at first. */
  let status = '';
  let unread = 0;
  /** Up to here the visitor has seen, on any page of this site. */
  let read = +(held.read ?? 0);
  let closed = false;
  /** Why nobody answers here; true for no reason given. */
  let away: string | boolean = given.live === false;
  let typingTimer: Parameters<typeof clearTimeout>[0];

  const view = createView({
    name: ({ kind }) => (kind === 'me' ? t.you : agent.name),
    retry({ key, text }) {
      store.remove(key);
      post(text);
    },
    thumbs: ({ id }, up) =>
      fetch(`${base}/api/chat/${held.conv}/messages/${id}/feedback`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Authorization: 'Visitor ' + held.token },
        body: JSON.stringify({ thumbs_up: up }),
      }).then(
        ({ ok }) => ok,
        () => false,
      ),
  });

  const store = createStore({
    ...view,
    arrived({ kind, text, seq, author }, fresh) {
      typing(false);
      if (!markRead() && seq! > read) tell({ t: 'unread', v: ++unread });
      if (!fresh) return;
      announce((author || agent.name) + ': ' + render(text).textContent);
      tell({ t: 'event', k: 'message', v: { role: kind, text } });
      if (!held.mute) blip();
    },
  });

  const connection = createConnection(
    {
      open: () => new WebSocket(`${base.replace(/^http/, 'ws')}/api/chat/socket?agent_id=${agentId}`) as Socket,
      now: Date.now,
      random: Math.random,
    },
    {
      hello: () => ({
        type: 'hello',
        visitor_id: held.id!,
        visitor_token: held.token,
        conversation_id: held.conv,
        last_seq: store.lastSeq,
        metadata: { ...start.page, locale: navigator.language },
      }),
      frame: receive,
      state(state) {
        if (state === 'ready') {
          identify();
          outbox.waiting.forEach((request) => connection.send(request));
        }
        refresh();
      },
    },
  );

  const sheet = createSheet(() => composer.focus());
  const composer = createComposer(config.message_chars_max ?? MESSAGE_CHARS_DEFAULT, post, () => connection.send({ type: 'typing' }, false));

  const handlers: { [T in ServerFrame['type']]: (frame: ServerFrame & { type: T }) => void } = {
    welcome,
    identified: welcome,
    ack({ client_message_id: id, seq }) {
      outbox.settle(id);
      store.acked(id, seq);
    },
    token({ message_id: id, attempt, index, text }) {
      typing(false);
      store.token(id, attempt, index, text);
    },
    discard: ({ message_id: id }) => store.discard(id),
    message(frame) {
      if (frame.client_message_id) outbox.settle(frame.client_message_id);
      store.message(frame);
    },
    // Our own comes back to us.
    typing: ({ role }) => typing(role !== 'user'),
    prompt(frame) {
      if (frame.kind === 'lead_form') askLead(frame as LeadForm);
      else offer(frame.options);
    },
    status({ status: now, assigned_to: name }) {
      // The first one of a visit tells how things stand, the others what happened.
      if (status) {
        if (!person !== !name) say(name ? t.joined : t.back);
        if (status !== now && now === 'resolved' && !closed) sheet.ratingForm(t.send, rated);
      }
      if (name) store.silence();
      status = now;
      person = name;
    },
    done({ client_id: id }) {
      if (outbox.settle(id)?.type !== 'lead') return;
      sheet.hide();
      say(t.thanks);
      tell({ t: 'event', k: 'lead' });
    },
    error: refused,
    bye() {
      if (closed) connection.stop();
    },
  };

  /** Who the visitor is: at first, and again once the host page has vouched for them. */
  function welcome({ conversation_id: conversation, visitor_token: token, seq, agent: fresh }: ServerFrame & { type: 'welcome' | 'identified' }) {
    keeper.set('token', token);
    // Erased, never stored, or somebody else's.
    if (held.conv && !conversation) forget();
    store.began(seq);
    agent = { ...agent, ...fresh };
    dress();
  }

  /** Another conversation goes on: what was not delivered is said in it. */
  function forget() {
    keeper.set('conv');
    store.clear();
    outbox.waiting.forEach((request) => request.type === 'message' && store.posted(request));
  }

  function receive(frame: ServerFrame) {
    const { conversation_id: conversation } = frame;
    if (conversation && conversation !== held.conv) {
      if (held.conv) forget();
      keeper.set('conv', conversation);
      identify();
    }
    // A frame of a later version is ignored.
    (handlers[frame.type] as ((frame: ServerFrame) => void) | undefined)?.(frame);
    refresh();
  }

  function refused({ client_id: id = '', code, detail = '', errors = [], retry }: ServerFrame & { type: 'error' }) {
    const request = outbox.waiting.get(id);
    if (code === 'conversation_closed') closed = true;
    else if (request && retry !== 'never' && !errors.length) {
      setTimeout(() => outbox.waiting.has(id) && connection.send(request), RESEND_MS);
      return;
    }
    if (request) {
      outbox.settle(id);
      if (request.type === 'message') store.failed(id, detail);
      else if (request.type === 'lead') sheet.refuse(errors, detail);
      else say(detail);
    } else if (connection.state !== 'ready' && retry === 'never') {
      // The server refuses this visitor: the token may be of another time. Once more as a stranger, then it is final.
      if (held.token && code !== 'agent_not_live') {
        keeper.set('token');
        startOver();
      } else {
        away = detail || true;
        connection.stop();
      }
    } else tell({ t: 'event', k: 'error', v: { code, detail } });
  }

  /** Who the host page says this is; the server has nothing to attach it to before the first message. */
  function identify() {
    if (identity) connection.send({ type: 'identify', ...identity }, false);
  }

  /** One announcement for each thing that happened, never the whole log and never half an answer. */
  function announce(text: string) {
    const region = byId('say');
    region.prepend(h('p', {}, text));
    region.children[SPOKEN_MAX]?.remove();
  }

  /** A line in the log that is spoken too. */
  function say(text: string) {
    store.note(randomId(), text);
    announce(text);
  }

  function typing(shown: boolean) {
    clearTimeout(typingTimer);
    view.dots(shown);
    if (shown) typingTimer = setTimeout(view.dots, TYPING_SHOWN_MS);
  }

  /** False when too much is waiting already. */
  function ask(id: string, request: Request): boolean {
    const added = outbox.add(id, request);
    if (added) connection.send(request);
    return added;
  }

  function post(text: string): boolean {
    const id = randomId();
    const request = { type: 'message', client_message_id: id, text } as const;
    const added = !closed && !away && ask(id, request);
    if (added) {
      store.posted(request);
      offer();
    }
    return added;
  }

  function askLead(form: LeadForm) {
    sheet.leadForm(form, (fields) => {
      const id = randomId();
      return ask(id, { type: 'lead', client_id: id, fields });
    });
  }

  function rated(rating: number, feedback: string) {
    const id = randomId();
    if (rating && ask(id, { type: 'rating', client_id: id, rating, feedback })) say(t.thanks);
  }

  function finish() {
    // Without a connection the server ends it by itself after a while.
    connection.send({ type: 'close' }, false);
    closed = true;
    refresh();
  }

  function startOver() {
    const unsent = store.items.filter((item) => item.state === 'failed').map((item) => item.text);
    forget();
    person = status = '';
    closed = false;
    connection.restart();
    dress();
    sheet.hide();
    composer.restore(unsent.join('\n'));
  }

  function offer(options: Option[] = []) {
    const chips = byId('chips');
    chips.replaceChildren(
      ...options.slice(0, CHIPS_MAX).map((option) => {
        const { label = option as string, value = label } = option as { label?: string; value?: string };
        return h('button', { onclick: () => post(value) && composer.focus() }, label);
      }),
    );
    view.toEnd();
  }

  /** False when nobody is looking. */
  function markRead(): boolean {
    const looking = open && !document.hidden;
    if (looking) {
      if (unread) tell({ t: 'unread', v: (unread = 0) });
      if (read < store.lastSeq) keeper.set('read', '' + (read = store.lastSeq));
    }
    return looking;
  }

  /** Everything that depends on the agent's look, the language, and whether anything was said yet. */
  function dress() {
    const { name, avatar_url: src, chat_theme: theme, welcome_message: welcome, quick_prompts: prompts } = agent;
    const { style } = document.documentElement;
    // Not a colour scheme (`auto`) means: as the reader's system.
    style.colorScheme = start.theme ?? theme?.mode ?? '';
    const color = theme?.primary_color ?? '';
    // The CSSOM refuses what is not a value; a custom property takes anything, so that one is checked.
    if (CSS.supports('color', color)) style.setProperty('--brand', color);
    if (theme?.border_radius != null) style.setProperty('--r', parseInt(theme.border_radius as string) + 'px');
    if (theme?.font_family) style.fontFamily = theme.font_family + ',system-ui,sans-serif';
    byId('name').textContent = document.title = name;
    const initial = [...name][0] ?? '';
    // A picture that cannot be fetched shows the initial instead.
    byId('avatar').replaceChildren(src ? h('img', { src, alt: initial }) : initial);
    tell({ t: 'look', v: { color, side: given.position ?? '', title: name } });
    for (const [id, label] of Object.entries(t)) {
      const element = byId(id) as HTMLInputElement | null;
      if (element) element.ariaLabel = element.title = element.placeholder = label;
    }
    if (store.items.some(({ key }) => key !== 'welcome')) return;
    if (welcome) store.greet(welcome);
    if (!held.conv) offer(prompts ?? []);
  }

  /** The status line, the bar above the composer, and what may be pressed. */
  function refresh() {
    const { state } = connection;
    const line = byId('status');
    line.className = state;
    line.textContent = /connecting|waiting/.test(state) ? t.connecting : person || t.ai;
    byId('end').hidden = closed || !held.conv;
    byId('composer').hidden = closed || !!away;
    byId('mute').ariaPressed = String(!!held.mute);
    const bar = byId('bar');
    const text = (away === true ? t.away : away) || (closed ? t.ended : navigator.onLine ? '' : t.offline);
    if (bar.firstChild?.textContent !== text) {
      bar.replaceChildren(h('span', {}, text));
      if (closed) bar.append(h('button', { className: 'text', onclick: startOver }, t.fresh));
      if (text) announce(text);
    }
    bar.hidden = !text;
  }

  function setOpen(value: boolean) {
    open = value;
    if (!away && (open || held.conv)) connection.start();
    if (!open) return;
    markRead();
    view.toEnd();
    // Inside a page that somebody reads, nothing takes the focus away.
    if (!alone && !sheet.shown()) composer.focus();
  }

  async function translate(locale?: string | null) {
    await speak(locale || navigator.language);
    dress();
    refresh();
  }

  if (!held.id) keeper.set('id', randomId());
  await translate(start.locale || given.locale);
  const { cookie_consent: asks } = given;
  if (asks && !held.ok) {
    const consent = byId('consent');
    const choice = (text: string, allow: boolean) =>
      h('button', { className: 'text', onclick: () => ((consent.hidden = true), allow && (keeper.set('ok', '1'), keeper.allow())) }, text);
    consent.append(h('span', {}, asks === true ? t.cookie : asks), choice(t.later, false), choice(t.allow, true));
    consent.hidden = false;
  }
  byId('brand').hidden = given.show_branding === false;
  byId('app').hidden = false;
  outbox.restore().forEach(store.posted);

  function close() {
    // Whatever arrives before the host has answered is unread already.
    open = false;
    tell({ t: 'close' });
  }
  byId('close').onclick = close;
  byId('mute').onclick = () => {
    keeper.set('mute', held.mute ? undefined : '1');
    refresh();
  };
  byId('end').onclick = () =>
    sheet.ratingForm(t.end, (rating, feedback) => {
      rated(rating, feedback);
      finish();
    });
  onkeydown = ({ key, isComposing }) => {
    if (key === 'Escape' && !isComposing) close();
  };
  const woken = (sure: boolean) => {
    connection.wake(sure);
    markRead();
    refresh();
  };
  ononline = () => woken(true);
  onoffline = refresh;
  onpageshow = ({ persisted }) => woken(persisted);
  document.onvisibilitychange = () => woken(false);
  link.listen((message) => {
    if (message.t === 'open') setOpen(message.v);
    if (message.t === 'locale') void translate(message.v);
    if (message.t === 'identify') {
      identity = message.v;
      identify();
    }
  });
  setOpen(open);
  tell({ t: 'event', k: 'ready' });
}

void (alone ? import('./alone.js').then(({ ownLink }) => ownLink(agentId)) : embeddedLink()).then(run);
