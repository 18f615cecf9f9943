// Every text of the console, by area. Another language is another object of this shape.
import { agents } from './texts/agents';
import { analytics } from './texts/analytics';
import { appointments } from './texts/appointments';
import { calls } from './texts/calls';
import { campaigns } from './texts/campaigns';
import { contacts } from './texts/contacts';
import { inbox } from './texts/inbox';
import { settings } from './texts/settings';
import { shell } from './texts/shell';

export const t = { ...shell, ...inbox, ...agents, ...analytics, ...appointments, ...calls, ...campaigns, ...contacts, ...settings };
