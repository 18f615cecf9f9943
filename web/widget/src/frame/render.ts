/** An answer's text as DOM nodes: paragraphs, line breaks, bold, lists and links, and nothing else. */

import { h, link } from './dom';

/** Lengths are bounded so that hostile text costs linear time. */
const INLINE = /\*\*([^*\n]{1,500})\*\*|\[([^\][\n]{1,200})\]\(([^\s()]{1,1000})\)|https?:\/\/[^\s<>"'()]{1,1000}/g;
const BLOCK = /^\s{0,6}(?:[-*•]|(\d{1,3})[.)])\s+(.*)/;

function inline(into: Node, text: string) {
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    const [whole, bold, label, target] = found;
    // A full stop after an address ends the sentence, not the address.
    const shown = bold || label ? whole : whole.replace(/[.,;:!?*]{1,9}$/, '');
    into.appendChild(new Text(text.slice(from, found.index)));
    into.appendChild(bold ? h('strong', {}, bold) : label ? link(target, label) : link(shown, shown));
    from = found.index + shown.length;
  }
  into.appendChild(new Text(text.slice(from)));
}

export function render(text: string): DocumentFragment {
  const out = new DocumentFragment();
  let block: HTMLElement | undefined;
  for (const line of text.split('\n')) {
    const [, number, rest] = BLOCK.exec(line) ?? [];
    if (rest) {
      if (block?.tagName !== (number ? 'OL' : 'UL')) {
        block = out.appendChild(number ? h('ol', { start: +number }) : h('ul'));
      }
      inline(block!.appendChild(h('li')), rest);
    } else if (!line.trim()) {
      block = undefined;
    } else {
      if (block?.tagName === 'P') block.append(h('br'));
      else block = out.appendChild(h('p'));
      inline(block, line);
    }
  }
  return out;
}
