// Events of a conversation's journal as a person would say them.
import { plain } from './format';
import { t } from './texts';
import type { JournalEvent } from './types';

const short = (text: unknown) => {
  const words = String(text ?? '').replace(/\s+/g, ' ');
  return words.length > 70 ? words.slice(0, 69) + '…' : words;
};

export function describe({ event }: JournalEvent): string {
  const person = (event.by ?? event.author) as { name?: string } | string | undefined;
  const name = typeof person === 'object' ? (person.name ?? '') : '';
  const words = t.events[event.type];
  if (!words) return plain(event.type);
  return words.replace('{text}', short(event.text ?? event.question)).replace('{name}', name || t.talk.roles.human_agent || '').replace('{status}', t.talkStatus[String(event.status)] ?? plain(String(event.status ?? ''))).replace('{urgency}', t.urgency[String(event.urgency)] ?? '');
}
