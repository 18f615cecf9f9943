// Unsent words by place, kept in the browser: a reload, a crash or a lost session takes nothing away.
const PREFIX = 'colloquy.draft.';
/** Older drafts than these many go. */
const MOST = 100;

export function readDraft(place: string): string {
  try {
    return (JSON.parse(localStorage.getItem(PREFIX + place) ?? '{}') as { text?: string }).text ?? '';
  } catch {
    return '';
  }
}

export function keepDraft(place: string, text: string) {
  try {
    if (!text) {
      localStorage.removeItem(PREFIX + place);
      return;
    }
    localStorage.setItem(PREFIX + place, JSON.stringify({ text, at: Date.now() }));
    const mine = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
    if (mine.length > MOST) {
      const at = (key: string) => Number((JSON.parse(localStorage.getItem(key) ?? '{}') as { at?: number }).at ?? 0);
      mine.sort((a, b) => at(a) - at(b));
      for (const key of mine.slice(0, mine.length - MOST)) localStorage.removeItem(key);
    }
  } catch {
    // A full or blocked storage: the draft lives as long as the page.
  }
}
