/** Every word the widget says by itself; English ships with it, the other languages are fetched when needed. */

/** A key that is also the id of an element in the page is that element's label. */
const en = {
  input: 'Write a message…',
  send: 'Send',
  close: 'Close chat',
  end: 'End chat',
  mute: 'Mute sounds',
  ai: 'AI assistant',
  connecting: 'Connecting…',
  offline: 'Offline. Messages wait until you are back.',
  away: 'Not available right now.',
  retry: 'Not sent. Try again',
  jump: 'New messages',
  joined: 'A team member joined',
  back: 'The assistant is back',
  ended: 'This conversation has ended.',
  fresh: 'New conversation',
  rate: 'How was this chat?',
  feedback: 'Anything to add?',
  thanks: 'Thank you!',
  later: 'Not now',
  details: 'Your details',
  good: 'Helpful',
  bad: 'Not helpful',
  cookie: 'Keep this chat in this browser?',
  allow: 'Allow',
  you: 'You',
};

export type Strings = typeof en;

/** Replaced in place, so that every module sees the current language. */
export const t: Strings = { ...en };

/** Each is a file of its own beside this script. */
const LANGUAGES = /^(ar|de|es|fr)/;

/** Falls back to English for a language we do not speak. */
export async function speak(locale: string): Promise<void> {
  const [code = ''] = LANGUAGES.exec(locale.toLowerCase()) ?? [];
  const file = `./${code}.js`;
  // A dictionary that cannot be fetched must not cost the conversation.
  Object.assign(t, en, code && (await import(file).then((module) => module.default, () => {})));
  document.documentElement.lang = code || 'en';
  document.documentElement.dir = code === 'ar' ? 'rtl' : 'ltr';
}
