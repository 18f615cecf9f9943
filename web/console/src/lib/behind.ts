// Addresses of the lists behind a number: the inbox or the leads with the filters that a chart counted by.
export interface Behind {
  agent?: string | undefined;
  channel?: string;
  status?: string;
  /** Instants; `to` is not included. */
  from?: string;
  to?: string;
  weekday?: number;
  hour?: number;
  /** Words that were said. */
  q?: string;
}

function address(path: string, { agent, ...rest }: Behind): string {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries({ agent_id: agent, ...rest })) if (value !== undefined && value !== '') fields.set(name, String(value));
  return path + (fields.size ? '?' + fields.toString() : '');
}

export const conversationsBehind = (behind: Behind) => address('/conversations', behind);
export const leadsBehind = ({ agent, from, to }: Behind) => address('/leads', { agent, from: from ?? '', to: to ?? '' });
