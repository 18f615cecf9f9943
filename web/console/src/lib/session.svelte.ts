// Who is signed in: loaded once, renewed silently, and asked to sign in again over the open page when that fails, so that no draft is lost.
import type { Session as SignedIn } from '../../../generated/api';
import { ApiError, api, identity, send } from './api';
import { locale } from './locale.svelte';
import type { Me, Role } from './types';

/** From weak to strong. */
const RANK: Role[] = ['viewer', 'rep', 'manager', 'admin', 'owner'];
/** When this browser last renewed; other tabs share the cookie. */
const RENEWED = 'colloquy.renewed';
/** A renewal of another tab this recent is ours too. */
const SHARED_MS = 8_000;

let me = $state.raw<Me | null>(null);
/** Set while the person has to sign in again; calls wait for it. */
let asking = $state.raw<{ resolve: (good: boolean) => void } | null>(null);
let phase = $state<'loading' | 'in' | 'out' | 'failed'>('loading');
let waiting: Promise<boolean> | null = null;

declare global {
  interface Window {
    /** The answer to who is signed in, asked for by `first-1.js` before this code was there. */
    colloquyMe?: Promise<Response | null>;
  }
}

/** The early answer, once: what is not good is asked again, with all that a call does when it is refused. */
async function early(): Promise<Me | null> {
  const asked = window.colloquyMe;
  delete window.colloquyMe;
  const response = await asked;
  return response?.ok ? ((await response.json().catch(() => null)) as Me | null) : null;
}

function take(next: Me) {
  me = next;
  identity.csrf = next.csrf_token;
  locale.take(next.organization.settings?.locale);
}

async function refresh(): Promise<boolean> {
  const shared = Number(localStorage.getItem(RENEWED) ?? 0);
  if (Date.now() - shared < SHARED_MS) return true;
  const response = await fetch('/api/auth/refresh', { method: 'POST', credentials: 'same-origin' });
  if (!response.ok) {
    if (response.status === 401) return false;
    throw new ApiError(response.status, { type: '', title: '', status: response.status, code: 'unavailable', detail: 'The session could not be renewed just now.', retry: 'safe' });
  }
  const session = (await response.json()) as SignedIn;
  identity.csrf = session.csrf_token;
  localStorage.setItem(RENEWED, String(Date.now()));
  return true;
}

/** One tab renews at a time: each refresh token works once. */
const alone = (job: () => Promise<boolean>): Promise<boolean> => (navigator.locks ? (navigator.locks.request('colloquy-renew', job) as Promise<boolean>) : job());

async function renew(): Promise<boolean> {
  waiting ??= (async () => {
    if (await alone(refresh)) return true;
    if (phase !== 'in') return false;
    return new Promise<boolean>((resolve) => (asking = { resolve }));
  })().finally(() => (waiting = null));
  return waiting;
}

identity.renew = renew;

export const session = {
  get me(): Me {
    if (!me) throw new Error('nobody is signed in yet');
    return me;
  },
  get known() {
    return me !== null;
  },
  get phase() {
    return phase;
  },
  get asking() {
    return asking !== null;
  },
  /** Whether the person's role is at least this one. The server decides; this only hides what it would refuse. */
  can(role: Role): boolean {
    return me !== null && RANK.indexOf(me.role) >= RANK.indexOf(role);
  },
  async load() {
    phase = 'loading';
    try {
      take((await early()) ?? (await api.get<Me>('/api/me')));
      phase = 'in';
    } catch (error) {
      phase = error instanceof ApiError && error.status === 401 ? 'out' : 'failed';
    }
  },
  async reload() {
    take(await api.get<Me>('/api/me'));
  },
  renew,
  /** Signs in again over the open page. Another person than before starts afresh. */
  async signInAgain(password: string) {
    const { data } = await send<SignedIn>('POST', '/api/auth/login', { body: { email: session.me.user.email, password } });
    identity.csrf = data.csrf_token;
    if (data.organization.id !== session.me.organization.id) {
      const { data: back } = await send<SignedIn>('POST', '/api/auth/switch', { body: { organization_id: session.me.organization.id } });
      identity.csrf = back.csrf_token;
    }
    localStorage.setItem(RENEWED, String(Date.now()));
    asking?.resolve(true);
    asking = null;
  },
  giveUp() {
    asking?.resolve(false);
    asking = null;
    leave('/login?next=' + encodeURIComponent(location.pathname + location.search));
  },
  async switchTo(organization: string) {
    await api.post('/api/auth/switch', { organization_id: organization });
    leave('/app');
  },
  /** Ends the session; whoever signs in then comes back to `next`. */
  async signOut(next?: string) {
    await api.post('/api/auth/logout', {}).catch(() => {});
    leave(next ? '/login?next=' + encodeURIComponent(next) : '/login');
  },
};

/** Leaves the console for another page, or starts it anew. */
export function leave(to: string) {
  location.assign(to);
}
