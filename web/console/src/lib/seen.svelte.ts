// How far this person has read each conversation, in this browser.
const KEY = 'colloquy.seen';
/** More conversations than these are forgotten, the oldest first. */
const MOST = 500;

function stored(): [string, number][] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(list) ? (list as [string, number][]) : [];
  } catch {
    return [];
  }
}

let read = $state.raw(new Map(stored()));

export const seen = {
  unread: (row: { id: string; seq: number; last_role: string }) => row.last_role === 'user' && (read.get(row.id) ?? 0) < row.seq,
  mark(id: string, seq: number) {
    if ((read.get(id) ?? 0) >= seq) return;
    const next = new Map(read);
    next.delete(id);
    next.set(id, seq);
    read = new Map([...next].slice(-MOST));
    try {
      localStorage.setItem(KEY, JSON.stringify([...read]));
    } catch {
      // A blocked storage: what was read is known until the page closes.
    }
  },
};
