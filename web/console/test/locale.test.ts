// How days and times read, by an organization's choice.
import { afterEach, expect, test } from 'vitest';
import { begins, timeIn } from '../src/lib/agenda';
import { moment, when } from '../src/lib/format';
import { clockName, hourName, locale, ofBrowser } from '../src/lib/locale.svelte';
import { t } from '../src/lib/texts';

afterEach(() => locale.take(undefined));
/** Narrow spaces are a matter of the browser's data. */
const plain = (text: string) => text.replace(/[\u202f\u00a0]/g, ' ');

test('a choice counts for every clock there is; what is none leaves it to the browser', () => {
  const all = () =>
    [hourName(16), hourName(24), hourName(9), clockName('08:30'), timeIn('2026-11-30T15:05:00Z', 'Europe/Zurich'), when('2026-11-30T15:05:00Z', Date.parse('2026-11-20T00:00:00Z') + 86_400_000 * 90), t.inbox.hour(16), t.setup.hoursOf('08:00', '21:00', 'every day')].map(plain);
  locale.take('en-US');
  expect(all()).toEqual(['4 PM', '12 AM', '9 AM', '8:30 AM', '4:05 PM', 'Nov 30', '4 PM to 5 PM', '8:00 AM to 9:00 PM, every day']);
  locale.take('en-GB');
  expect(all()).toEqual(['16:00', '00:00', '09:00', '08:30', '16:05', '30 Nov', '16:00 to 17:00', '08:00 to 21:00, every day']);
  expect(plain(begins({ starts_at: '2026-11-30T15:05:00Z', timezone: 'Europe/Zurich' }))).toMatch(/^Monday,? 30 November 2026 at 16:05/);
  expect(plain(moment('2026-11-30T12:00:00Z'))).toMatch(/^\d+ Nov 2026, \d\d:\d\d$/);
  locale.take('tlh');
  expect(locale.now).toBe(ofBrowser(navigator.language));
  expect(clockName('soon')).toBe('soon');
});

test('a browser’s language says which clock its person reads', () => {
  expect(['en-US', 'en-CA', 'de-CH', 'en-GB', 'fr-FR', 'not a language'].map(ofBrowser)).toEqual(['en-US', 'en-US', 'en-GB', 'en-GB', 'en-GB', 'en-US']);
});
