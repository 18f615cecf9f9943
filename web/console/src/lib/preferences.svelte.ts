// What this person wants to be told, and how: shown as wished at once, taken back when it is refused.
import { api } from './api';
import type { Preferences } from './types';

type Wish = { [K in keyof Preferences['notifications']]?: Partial<Preferences['notifications'][K]> };

let stored = $state.raw<Preferences | null>(null);

function merged(before: Preferences, wish: Wish): Preferences {
  const notifications = { ...before.notifications } as Record<string, object>;
  for (const [name, change] of Object.entries(wish)) notifications[name] = { ...notifications[name], ...change };
  return { ...before, notifications: notifications as unknown as Preferences['notifications'] };
}

export const preferences = {
  get stored() {
    return stored;
  },
  async load() {
    stored = await api.get<Preferences>('/api/me/preferences');
  },
  async change(wish: Wish): Promise<void> {
    const before = stored;
    if (!before) return;
    stored = merged(before, wish);
    try {
      // Only what changes: another tab may have set the rest.
      stored = await api.patch<Preferences>('/api/me/preferences', { notifications: wish });
    } catch (error) {
      stored = before;
      throw error;
    }
  },
};
