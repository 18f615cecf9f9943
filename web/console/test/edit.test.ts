// Changes before they are saved: what counts as one, and which part of a thing they belong to.
import { beforeEach, expect, test } from 'vitest';
import { Edit } from '../src/lib/edit.svelte';

beforeEach(() => localStorage.clear());

const day = { open: '09:00', close: '17:00' };

test('the order of days and a closed day are no change that is left to save', () => {
  const edit = new Edit('/api/organization', { hours: { mon: day, sat: day } as Record<string, unknown> }, null, 'hours');
  edit.set('hours', { sat: { close: '17:00', open: '09:00' }, mon: day, sun: null });
  expect(edit.dirty).toBe(false);
  edit.set('hours', { mon: day, sat: null });
  expect(edit.dirty).toBe(true);
  edit.take({ hours: { mon: day } }, null);
  expect(edit.dirty).toBe(false);
});

test('the order of a list is a change', () => {
  const edit = new Edit('/api/agents/a', { lines: ['a', 'b'] }, null);
  edit.set('lines', ['b', 'a']);
  expect(edit.dirty).toBe(true);
});

test('two parts of one thing are kept and saved apart', () => {
  const stored = { name: 'Oak', hours: {} as Record<string, unknown> };
  new Edit('/api/organization', stored, null, 'organization').set('name', '');
  const hours = new Edit('/api/organization', stored, null, 'hours');
  expect(hours.fields).toEqual([]);
  hours.set('hours', { mon: day });
  expect(hours.fields).toEqual(['hours']);
  expect(new Edit('/api/organization', stored, null, 'organization').fields).toEqual(['name']);
});
