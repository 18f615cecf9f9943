// A question that has an answer already is found however it is put.
import { afterEach, expect, test, vi } from 'vitest';
import { prepared, same } from '../src/lib/faqs';

afterEach(() => vi.unstubAllGlobals());

test('only letters and digits of a question count', () => {
  expect(same('What are your HOURS?')).toBe(same('what are your hours'));
  expect(same('Wo ist Ihr Büro?')).toBe('wo ist ihr büro');
  expect(same('Are you open?')).not.toBe(same('Are you open on Sundays?'));
});

test('a prepared question is found on a later page too, and none is none', async () => {
  const pages = [
    { items: [{ id: '1', question: 'Do you ship?' }], next_cursor: 'more' },
    { items: [{ id: '2', question: 'What are your hours?' }], next_cursor: null },
  ];
  const asked: string[] = [];
  vi.stubGlobal('fetch', async (url: string) => {
    asked.push(url);
    return new Response(JSON.stringify(pages[url.includes('cursor=more') ? 1 : 0]), { headers: { 'content-type': 'application/json' } });
  });
  expect((await prepared('/api/agents/a/faqs', 'what are your hours'))?.id).toBe('2');
  expect(asked.length).toBe(2);
  expect(await prepared('/api/agents/a/faqs', 'Where are you?')).toBe(null);
});
