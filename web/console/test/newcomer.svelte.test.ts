// What somebody new to it meets: facts of their website to confirm, an address nobody reaches, mail that is not sent, an account that is none.
import { cleanup, fireEvent, render, screen, waitFor } from '@testing-library/svelte';
import { tick } from 'svelte';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { identity } from '../src/lib/api';
import { reachOf } from '../src/lib/embed';
import { session } from '../src/lib/session.svelte';
import type { Account } from '../src/lib/types';
import AboutBusiness, { blank, changes, missing, type About } from '../src/pages/onboarding/About.svelte';
import AccountDialog from '../src/pages/settings/AccountDialog.svelte';
import Lines from '../src/pages/settings/Lines.svelte';
import Team from '../src/pages/settings/Team.svelte';
import Embed from '../src/ui/Embed.svelte';
import Status from '../src/ui/Status.svelte';
import Week from '../src/ui/Week.svelte';

const EVIL = '<img src=x onerror="window.evil=1">';
type Sent = { method: string; url: string; body: unknown };
let sent: Sent[];
let answers: Record<string, unknown>;
const me = (more: object = {}, organization: object = {}) => ({ user: { id: 'me', name: 'Olive', email: 'o@oak.example' }, organization: { id: 'o', name: 'Oak', timezone: 'America/Chicago', business_hours: {}, address: null, phone: null, ...organization }, organizations: [], role: 'owner', csrf_token: 'x', ...more });

beforeEach(async () => {
  sent = [];
  answers = { '/api/me': me() };
  identity.csrf = 'x';
  // happy-dom knows no modal dialogs.
  HTMLDialogElement.prototype.showModal = function () {
    this.open = true;
  };
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    sent.push({ method: init.method ?? 'GET', url, body: init.body ? JSON.parse(String(init.body)) : undefined });
    const known = answers[url.split('?')[0] ?? ''];
    return known === undefined ? new Response(null, { status: 204 }) : new Response(JSON.stringify(known));
  });
  await session.load();
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const week = { mon: { open: '08:00', close: '18:00' }, tue: null, wed: null, thu: null, fri: null, sat: { open: '09:00', close: '13:00' }, sun: null };
const facts = {
  hours: { business_hours: week, breaks: true, found_on: { title: EVIL, url: 'javascript:window.evil=1' } },
  address: { address: { street: '12 Elm Street', city: 'Springfield', state: 'IL', zip: '62704', country: '' }, found_on: { title: 'Contact', url: 'https://oak.example/contact' } },
  phone: { phone: '(217) 555-0133', found_on: { title: '', url: 'https://oak.example/' } },
};
function about(read: boolean) {
  const held = $state<{ about: About; books: boolean; read: boolean }>({ about: blank(), books: true, read });
  const view = render(AboutBusiness, {
    props: {
      get about() {
        return held.about;
      },
      set about(value) {
        held.about = value;
      },
      books: true,
      agent: 'a1',
      get read() {
        return held.read;
      },
      error: null,
      onchange: () => {},
    },
  });
  return { held, view };
}

test('what the website says is filled in with the page it stands on, and what was typed stays', async () => {
  answers['/api/agents/a1/business'] = facts;
  const { held, view } = about(false);
  expect(sent.some(({ url }) => url.includes('business'))).toBe(false);
  const phone = screen.getByLabelText<HTMLInputElement>('Telephone number');
  await fireEvent.input(phone, { target: { value: '217-555-0199' } });
  held.read = true;
  await waitFor(() => expect(screen.getByLabelText<HTMLInputElement>('Monday opens').value).toBe('08:00'));
  expect(screen.getByLabelText<HTMLInputElement>('Saturday closes').value).toBe('13:00');
  expect(screen.queryByLabelText('Sunday opens')).toBeNull();
  expect(screen.getByLabelText<HTMLInputElement>('City').value).toBe('Springfield');
  expect(phone.value).toBe('217-555-0199');
  expect(screen.getByText(/names breaks/)).toBeTruthy();
  // Where it is from; an address that is no website leads nowhere, and a title is text.
  expect([...view.container.querySelectorAll('a')].map((link) => [link.textContent, link.getAttribute('href'), link.rel])).toEqual([['Contact', 'https://oak.example/contact', 'noopener noreferrer']]);
  expect(view.container.querySelector('img')).toBeNull();
  expect(changes(held.about)).toEqual({ business_hours: week, address: facts.address.address, phone: '217-555-0199' });
  // What is changed by hand is the owner's word, not the page's.
  await fireEvent.input(screen.getByLabelText('City'), { target: { value: 'Shelbyville' } });
  expect(view.container.querySelectorAll('a')).toHaveLength(0);
});

test('a website that says nothing leaves it open, and nothing is stored of what nobody said', async () => {
  answers['/api/agents/a1/business'] = { hours: null, address: null, phone: null };
  const { held } = about(true);
  await screen.findByText(/does not say when you are open/);
  expect(changes(held.about)).toEqual({});
  await fireEvent.click(screen.getByRole('button', { name: 'Monday to Friday, 9 to 5' }));
  expect(changes(held.about).business_hours?.fri).toEqual({ open: '09:00', close: '17:00' });
  expect(changes(held.about).business_hours?.sat).toBeUndefined();
});

test('what the organization has said itself is not replaced by a website', async () => {
  answers['/api/me'] = me({}, { phone: '1', address: { street: 's', city: '', state: '', zip: '', country: '' }, business_hours: { mon: { open: '10:00', close: '11:00' } } });
  await session.load();
  expect(missing(session.me.organization)).toBe(false);
  answers['/api/agents/a1/business'] = facts;
  const { held } = about(true);
  await waitFor(() => expect(sent.some(({ url }) => url.includes('business'))).toBe(true));
  await tick();
  expect(changes(held.about)).toEqual({});
});

test('an address that no visitor reaches is named with the setting that changes it', () => {
  expect(['http://localhost:8080', 'http://127.0.0.1:8080', 'http://[::1]:1', 'http://a.localhost', 'http://0.0.0.0'].map(reachOf)).toEqual(Array(5).fill('computer'));
  expect(['http://10.0.0.7', 'http://192.168.1.2:80', 'http://172.20.0.1', 'http://169.254.1.1', 'http://[fd00::1]', 'http://[fe80::1]', 'http://office', 'http://office.local'].map(reachOf)).toEqual(Array(8).fill('network'));
  expect(['https://chat.oak.example', 'http://172.32.0.1', 'http://11.0.0.1', 'http://[2001:db8::1]', 'https://10.example', 'https://fd.example'].map(reachOf)).toEqual(Array(6).fill('everywhere'));
  const told = (url: string) => {
    const meta = document.head.appendChild(document.createElement('meta'));
    [meta.name, meta.content] = ['colloquy-widget-url', url];
    const { container } = render(Embed, { agent: 'a1' });
    const said = container.querySelector('[role="note"]')?.textContent ?? '';
    meta.remove();
    cleanup();
    return said;
  };
  expect(told('http://127.0.0.1:8080')).toMatch(/only on this computer.*127\.0\.0\.1:8080.*public\.\w*url.*COLLOQUY_PUBLIC__/);
  expect(told('http://192.168.1.2')).toMatch(/own network/);
  expect(told('https://chat.oak.example')).toBe('');
});

test('an invitation that is only recorded says so, with the link and the way to the mailbox', async () => {
  const invited = async (more: object) => {
    answers['/api/team/invitations'] = { id: 'i', email: 'n@oak.example', role: 'rep', created_at: '2026-01-01T00:00:00Z', expires_at: '2026-01-08T00:00:00Z', link: 'https://c.example/signup?invitation=x', mailed: true, items: [], ...more };
    render(Team);
    await fireEvent.click(screen.getByRole('button', { name: 'Invite' }));
    await fireEvent.submit(document.querySelector('#invite')!);
    await screen.findByText('https://c.example/signup?invitation=x');
    const [said, link] = [document.body.textContent ?? '', document.querySelector('a[href="/dev/mailbox"]')];
    cleanup();
    return { onItsWay: /on its way/.test(said), noServer: /no mail server yet/.test(said), link: link !== null };
  };
  answers['/api/team/members'] = { items: [] };
  expect(await invited({ recorded: false })).toEqual({ onItsWay: true, noServer: false, link: false });
  expect(await invited({ recorded: true })).toEqual({ onItsWay: false, noServer: true, link: false });
  answers['/api/me'] = me({ mail_recorded: true, mailbox: '/dev/mailbox' });
  await session.load();
  expect(await invited({ recorded: true })).toEqual({ onItsWay: false, noServer: true, link: true });
});

const account = (provider: string, more: Partial<Account> = {}): Account => ({ provider, connected: false, simulated: provider.startsWith('simulated'), account: null, token_hint: null, connected_at: null, webhook_url: '', available: true, ...more });

test('the simulated carrier is connected without keys; another account is not', async () => {
  answers['/api/integrations/simulated/connect'] = account('simulated', { connected: true });
  render(AccountDialog, { account: account('simulated'), onclose: () => {}, onconnected: () => {} });
  expect(document.querySelectorAll('[required]')).toHaveLength(0);
  await fireEvent.submit(document.querySelector('#account')!);
  expect(sent.at(-1)).toEqual({ method: 'POST', url: '/api/integrations/simulated/connect', body: {} });
  cleanup();
  render(AccountDialog, { account: account('twilio'), onclose: () => {}, onconnected: () => {} });
  expect(document.querySelectorAll('[required]')).toHaveLength(2);
});

test('where there is no simulated carrier it is said what to do, and there is nothing to press', async () => {
  answers['/api/integrations'] = { items: [account('twilio'), account('simulated', { available: false })] };
  answers['/api/voice/numbers'] = { items: [] };
  render(Lines);
  await screen.findByText(/messages\.simulated_url/);
  expect(screen.getAllByRole('button', { name: /^Connect/ }).map((button) => button.getAttribute('aria-label'))).toEqual(['Connect: Twilio']);
});

test('a conversation that somebody has taken needs a person no more', () => {
  const said = (props: { person?: string; mine?: boolean }) => {
    const { container } = render(Status, { talk: 'escalated', ...props });
    const text = container.textContent;
    cleanup();
    return text;
  };
  expect([said({}), said({ person: 'Dana' }), said({ person: 'Dana', mine: true })]).toEqual(['Needs a person', 'With Dana', 'With you']);
});

test('the times of one weekday are taken over by the others, and the weekend stays as it is', async () => {
  const sat = { open: '09:00', close: '13:00' };
  const tue = { open: '07:30', close: '18:00' };
  let given: Record<string, unknown> = {};
  const show = (hours: object) => render(Week, { hours: hours as never, onchange: (now) => (given = now) });
  show({ tue, thu: { open: '10:00', close: '12:00' }, sat });
  await fireEvent.click(screen.getByRole('button', { name: 'Same for all weekdays' }));
  expect(given).toEqual({ mon: tue, tue, wed: tue, thu: tue, fri: tue, sat });
  cleanup();
  show(given);
  expect(screen.queryByRole('button', { name: 'Same for all weekdays' })).toBeNull();
  cleanup();
  show({ sat });
  expect(screen.queryByRole('button', { name: 'Same for all weekdays' })).toBeNull();
});
