// Notices: an undo that is about something that has changed again since is no longer offered.
import { afterEach, expect, test, vi } from 'vitest';
import { toasts } from '../src/lib/toasts.svelte';

afterEach(() => toasts.list.forEach(({ id }) => toasts.dismiss(id)));
const texts = () => toasts.list.map(({ text }) => text);

test('what happens to the same thing takes the place of its earlier undo', () => {
  toasts.undo('You have the conversation', vi.fn(), 'talk/1');
  toasts.undo('Assigned', vi.fn(), 'talk/2');
  toasts.undo('The assistant talks again', vi.fn(), 'talk/1');
  expect(texts()).toEqual(['Assigned', 'The assistant talks again']);
});

test('while the next change is on its way, the earlier undo is gone already', () => {
  toasts.undo('You have the conversation', vi.fn(), 'talk/1');
  toasts.undo('Assigned', vi.fn(), 'talk/2');
  toasts.say('Copied');
  toasts.drop('talk/1');
  expect(texts()).toEqual(['Assigned', 'Copied']);
});

test('notices about nothing in particular stay beside each other', () => {
  toasts.undo('One', vi.fn());
  toasts.undo('Two', vi.fn());
  expect(texts()).toEqual(['One', 'Two']);
});
