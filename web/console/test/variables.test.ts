// What is shown for a variable without words of its own is what visitors are told.
import { expect, test } from 'vitest';
import { standing } from '../src/lib/variables';

const agent = { variable_defaults: { business_hours_answer: 'Our hours vary.', city: 'our shop', service_area: 'the local area', payment_methods: 'Cash.' } };
const nothing = { name: 'Oak', phone: null, email: null, address: null, business_hours: {} };

test('the template’s sentence stands while the organization says nothing', () => {
  expect(standing(agent, nothing)).toEqual(agent.variable_defaults);
  expect(standing(agent, { ...nothing, business_hours: { mon: null } }).business_hours_answer).toBe('Our hours vary.');
});

test('what the organization says about itself comes first, and only where the agent has such a variable', () => {
  const said = standing(agent, { ...nothing, phone: '+1', address: { street: '', city: 'Springfield', state: 'IL', zip: '', country: '' }, business_hours: { mon: { open: '08:00', close: '17:00' } } });
  expect(said).toEqual({ business_hours_answer: '(your business hours)', city: 'Springfield', service_area: 'the Springfield area', payment_methods: 'Cash.' });
});
