// How days and times read: as the organization chose, else as each person's browser has them. All texts are English; only their order and clock differ.

/** 4:00 PM, Nov 30; or 16:00, 30 Nov. */
export const LOCALES = ['en-US', 'en-GB'] as const;
export type Locale = (typeof LOCALES)[number];

/** What this browser's person is used to. */
export function ofBrowser(language: string): Locale {
  try {
    return new Intl.DateTimeFormat(language, { hour: 'numeric' }).resolvedOptions().hourCycle?.startsWith('h2') ? 'en-GB' : 'en-US';
  } catch {
    return 'en-US';
  }
}

let chosen = $state<Locale | null>(null);
const usual = ofBrowser(navigator.language);
const made = new Map<string, Intl.DateTimeFormat>();

export const locale = {
  get now(): Locale {
    return chosen ?? usual;
  },
  /** What an organization's settings say; what is none of them leaves it to the browser. */
  take(setting: unknown) {
    chosen = LOCALES.find((one) => one === setting) ?? null;
  },
};

/** A format in the chosen locale. A page that uses it follows when the choice changes. */
export function dated(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = locale.now + JSON.stringify(options);
  let format = made.get(key);
  // A clock of 24 hours has two digits for each.
  if (!format) made.set(key, (format = new Intl.DateTimeFormat(locale.now, locale.now === 'en-GB' && options.hour ? { ...options, hour: '2-digit' } : options)));
  return format;
}

/** A minute of a day: `4:30 PM`, `16:30`. The end of a day is its beginning. */
export const minuteName = (minute: number) => dated({ hour: 'numeric', minute: '2-digit', timeZone: 'UTC' }).format(Date.UTC(2000, 0, 1, 0, minute % 1440));

/** An hour of a day in few characters: `4 PM`, `16:00`. */
export const hourName = (hour: number) => (locale.now === 'en-GB' ? minuteName(hour * 60) : dated({ hour: 'numeric', timeZone: 'UTC' }).format(Date.UTC(2000, 0, 1, hour % 24)));

/** A time as settings hold it, `08:30`; what is none stays as it is. */
export function clockName(text: string): string {
  const parts = /^(\d{1,2}):(\d{2})$/.exec(text);
  return parts ? minuteName(Number(parts[1]) * 60 + Number(parts[2])) : text;
}
