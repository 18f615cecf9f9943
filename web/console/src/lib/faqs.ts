// The questions that an agent has answers to.
import { api } from './api';
import type { Faq, Page } from './types';

/** What is compared of a question: its letters and digits, as the server does it. */
export const same = (question: string) => question.toLowerCase().match(/[\p{L}\p{N}]+/gu)?.join(' ') ?? '';

/** The prepared question that is put like this, if there is one. */
export async function prepared(path: string, question: string): Promise<Faq | null> {
  const wanted = same(question);
  let cursor: string | undefined;
  do {
    const page: Page<Faq> = await api.get<Page<Faq>>(path, { limit: 200, cursor });
    const found = page.items.find((faq) => same(faq.question) === wanted);
    if (found) return found;
    cursor = page.next_cursor ?? undefined;
  } while (cursor);
  return null;
}
