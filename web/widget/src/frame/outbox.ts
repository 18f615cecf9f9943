/** What the visitor sent and the server has not yet settled: kept in order, sent again after every reconnect. */

import type { Lead, Message, Rating } from './protocol';

export type Request = Message | Lead | Rating;

/** More unanswered messages than a person types during an outage. */
export const OUTBOX_MAX = 50;

const PREFIX = 'q:';

export interface Keeper {
  held: Record<string, string>;
  /** Undefined forgets the key. */
  set(key: string, value?: string): void;
}

export function createOutbox(keeper: Keeper) {
  const waiting = new Map<string, Request>();

  return {
    waiting,
    /** Messages that an earlier page, or another tab that closed, left behind. */
    restore(): Message[] {
      const left = Object.entries(keeper.held)
        .filter(([key]) => key.startsWith(PREFIX))
        .map(([key, text]): Message => ({ type: 'message', client_message_id: key.slice(PREFIX.length), text }));
      for (const message of left) waiting.set(message.client_message_id, message);
      return left;
    },
    /** False when full. Only messages outlive the page; a form is still on the screen. */
    add(id: string, request: Request): boolean {
      if (waiting.size >= OUTBOX_MAX) return false;
      waiting.set(id, request);
      if (request.type === 'message') keeper.set(PREFIX + id, request.text);
      return true;
    },
    settle(id: string): Request | undefined {
      const request = waiting.get(id);
      if (waiting.delete(id)) keeper.set(PREFIX + id);
      return request;
    },
  };
}
