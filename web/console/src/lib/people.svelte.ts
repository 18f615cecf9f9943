// The members and agents of the organization, for names in lists: fetched once, again when something changes them.
import { api } from './api';
import type { AgentRow, Member, Page } from './types';

let members = $state.raw<Member[]>([]);
let agents = $state.raw<AgentRow[]>([]);
let agentsKnown = $state(false);
let asked: Promise<void> | null = null;

export const people = {
  get members() {
    return members;
  },
  get agents() {
    return agents;
  },
  get agentsKnown() {
    return agentsKnown;
  },
  name: (id: string | null | undefined) => members.find((member) => member.user_id === id)?.name ?? (id === 'system' ? 'Colloquy' : id ? 'Somebody who left' : ''),
  agent: (id: string | null | undefined) => agents.find((agent) => agent.id === id)?.name ?? '',
  /** Both lists, once. */
  load: () => (asked ??= Promise.all([people.reloadMembers(), people.reloadAgents()]).then(() => undefined, (error: unknown) => {
    asked = null;
    throw error;
  })),
  async reloadMembers() {
    members = (await api.get<Page<Member>>('/api/team/members', { limit: 200 })).items;
  },
  async reloadAgents() {
    agents = (await api.get<Page<AgentRow>>('/api/agents', { limit: 200 })).items;
    agentsKnown = true;
  },
};
