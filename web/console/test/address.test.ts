// A postal address as the contract has it: a thing of parts, gone when every part is.
import { expect, test } from 'vitest';
import { withPart } from '../src/lib/address';
import { Edit } from '../src/lib/edit.svelte';

const whole = { street: '48 Oak Street', city: 'Springfield', state: 'IL', zip: '62704', country: 'USA' };

test('one part changes and the others stay', () => {
  expect(withPart(whole, 'city', ' Chatham ')).toEqual({ ...whole, city: 'Chatham' });
  expect(withPart(null, 'street', '1 Elm Street')).toEqual({ street: '1 Elm Street', city: '', state: '', zip: '', country: '' });
});

test('with its last part the address is gone', () => {
  expect(withPart({ street: '1 Elm Street', city: '', state: '', zip: '', country: '' }, 'street', '')).toBeNull();
  expect(withPart(null, 'zip', '  ')).toBeNull();
});

test('typed back, nothing is left to save', () => {
  const edit = new Edit('/api/organization', { address: whole as typeof whole | null }, null);
  edit.set('address', withPart(edit.get('address'), 'zip', '1'));
  expect(edit.dirty).toBe(true);
  edit.set('address', withPart(edit.get('address'), 'zip', '62704'));
  expect(edit.dirty).toBe(false);
});

test('what an earlier version of the console kept as one line becomes the street', () => {
  expect(withPart('48 Oak Street, Springfield' as never, 'zip', '62704')).toEqual({ street: '48 Oak Street, Springfield', city: '', state: '', zip: '62704', country: '' });
});
