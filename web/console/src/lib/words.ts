// What an agent says, in pieces: links with a name are links, everything else is text.

export interface Piece {
  text: string;
  href?: string;
}

/** As the widget reads them; an address that could run something is none. */
const NAMED = /\[([^\][\n]{1,200})\]\((https?:\/\/[^\s()]{1,1000})\)/g;

export function pieces(text: string): Piece[] {
  const all: Piece[] = [];
  let from = 0;
  for (const found of text.matchAll(NAMED)) {
    const [whole, name, href] = found;
    if (found.index > from) all.push({ text: text.slice(from, found.index) });
    all.push({ text: name ?? '', href });
    from = found.index + whole.length;
  }
  if (from < text.length) all.push({ text: text.slice(from) });
  return all;
}

/** A sentence of the server for people: names of settings stand in it without the marks of programmers. */
export const plainly = (text: string): string => text.replace(/`([^`\n]+)`/g, '$1');
