// How numbers, times and names read.
import { dated } from './locale.svelte';

const number = new Intl.NumberFormat('en');
const oneDigit = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export const count = (value: number | null | undefined) => (value == null ? '–' : number.format(value));
export const decimal = (value: number | null | undefined) => (value == null ? '–' : oneDigit.format(value));
export const percent = (part: number | null | undefined) => (part == null ? '–' : `${Math.round(part * 100)}%`);
export const plural = (n: number, one: string, many = one + 's') => `${number.format(n)} ${n === 1 ? one : many}`;

/** 15 ms, 1.2 s. */
export const ms = (value: number | null | undefined) => (value == null ? '–' : value < 1000 ? `${Math.round(value)} ms` : `${oneDigit.format(value / 1000)} s`);

export const money = (micros: number, currency = 'USD') =>
  new Intl.NumberFormat('en', { style: 'currency', currency, maximumFractionDigits: micros !== 0 && Math.abs(micros) < 10_000 ? 5 : 2 }).format(micros / 1e6);

const CLOCK = { hour: 'numeric', minute: '2-digit' } as const;
/** A date's time today, its day otherwise. */
export function when(iso: string | null | undefined, now = Date.now()): string {
  if (!iso) return '–';
  const date = new Date(iso);
  const age = now - date.getTime();
  if (age < 60_000) return 'now';
  if (age < 3_600_000) return `${Math.floor(age / 60_000)} min`;
  return new Date(now).toDateString() === date.toDateString() ? dated(CLOCK).format(date) : dated({ day: 'numeric', month: 'short' }).format(date);
}

export const seconds = (iso: string) => dated({ dateStyle: 'medium', timeStyle: 'medium' }).format(new Date(iso));
export const moment = (iso: string | null | undefined) => (iso ? dated({ dateStyle: 'medium', timeStyle: 'short' }).format(new Date(iso)) : '–');
export const time = (iso: string) => dated(CLOCK).format(new Date(iso));

/** `home_services` as `Home services`. */
export function plain(word: string | null | undefined): string {
  const text = (word ?? '').replace(/[_.]/g, ' ').trim();
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What a visitor is called: a name when known, else a short form of the id that stays the same. */
export function visitor(row: { visitor_name: string | null; visitor_email: string | null; visitor_id: string }): string {
  return row.visitor_name || row.visitor_email || `Visitor ${row.visitor_id.replace(/[^a-z0-9]/gi, '').slice(-4).toUpperCase()}`;
}

/** A link only when it leads to a website: `javascript:` and the like are somebody else's text. */
export function website(url: string | null | undefined): string | null {
  try {
    const parsed = new URL(url ?? '');
    return parsed.protocol === 'https:' || parsed.protocol === 'http:' ? parsed.href : null;
  } catch {
    return null;
  }
}

export const host = (url: string | null | undefined) => {
  const good = website(url);
  return good ? new URL(good).host : '';
};

export const initials = (name: string) =>
  name
    .split(/\s+/)
    .slice(0, 2)
    .map((word) => word.charAt(0).toUpperCase())
    .join('') || '?';

/** A text with its `{{variables}}` filled in. */
export const filled = (text: string, variables: Record<string, string>, defaults: Record<string, string> = {}) =>
  text.replace(/\{\{\s*([a-z0-9_]+)\s*\}\}/gi, (whole, name: string) => variables[name] || defaults[name] || whole);

/** A piece of a page as it is read: its headings without the marks that set them off. */
export const reading = (text: string) => text.replace(/^#{1,6}[ \t]+/gm, '');

/** A moment as day and hour in a time zone; nothing for what is no moment. */
export function dayHour(iso: string, zone: string): string {
  if (!iso || Number.isNaN(Date.parse(iso))) return '';
  return dated({ timeZone: zone, day: 'numeric', month: 'short', ...CLOCK }).format(new Date(iso));
}

/** A link of the server's that stays in the console, as an address of it; nothing for any other. */
export function inside(link: string | null | undefined): string | undefined {
  if (!link || !/^\/(?![/\\])/.test(link)) return undefined;
  return link === '/app' || link.startsWith('/app/') || link.startsWith('/app?') ? link : '/app' + link;
}
/** How large a file is. */
export const size = (bytes: number) => (bytes < 1_000_000 ? `${number.format(Math.max(1, Math.round(bytes / 1000)))} kB` : `${oneDigit.format(bytes / 1_000_000)} MB`);
