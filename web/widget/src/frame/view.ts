/** The log: rows for items, the typing dots, sources, thumbs, and scrolling that never pulls the reader away. */

import { byId, h, link } from './dom';
import { render } from './render';
import type { Item } from './store';
import { t } from './strings';

/** This close to the end counts as reading the end. */
const NEAR_END_PX = 48;
/** More sources than this do not help anyone decide. */
const SOURCES_MAX = 4;

export interface Actions {
  retry(item: Item): void;
  /** False when the server did not take it. */
  thumbs(item: Item, up: boolean): Promise<boolean>;
  /** Who speaks, for screen readers. */
  name(item: Item): string;
}

export function createView(actions: Actions) {
  const log = byId('log');
  const jump = byId('jump');
  const rows = new Map<string, HTMLElement>();
  const dots = log.appendChild(h('div', { className: 'row', hidden: true }, h('div', { className: 'bubble dots' }, h('i'), h('i'), h('i'))));
  let following = true;
  /** Where the end was when it was last shown; above it someone scrolled. A log that only got smaller has not moved. */
  let top = 0;

  function toEnd() {
    following = jump.hidden = true;
    log.scrollTop = log.scrollHeight;
    top = log.scrollTop;
  }

  function look() {
    if (log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX) following = jump.hidden = true;
    else if (log.scrollTop < top) following = false;
  }

  log.onscroll = look;
  jump.onclick = toEnd;
  // A keyboard that opens, or a form that slides in, must not hide the last words.
  new ResizeObserver(() => following && toEnd()).observe(log);

  function paint(row: HTMLElement, item: Item) {
    const { kind, state, text, author } = item;
    row.className = `row ${kind} ${state}`;
    if (kind === 'note') row.textContent = text;
    else {
      row.replaceChildren(
        h('span', { className: author ? 'who' : 'vh' }, author || actions.name(item) + ': '),
        h('div', { className: 'bubble', dir: 'auto' }, kind === 'me' ? text : render(text)),
      );
    }
    if (state === 'failed') row.append(h('button', { className: 'text bad', onclick: () => actions.retry(item) }, t.retry), h('small', {}, item.error!));
    if (kind === 'bot' && !state && item.id) row.append(foot(item));
    if (following) toEnd();
    else if (kind !== 'me') jump.hidden = false;
  }

  function foot(item: Item) {
    // Several passages of one page are one source.
    const pages = new Map(item.sources?.map((source) => [source.url || source.title, source]));
    const sources = [...pages.values()].slice(0, SOURCES_MAX).map(({ url, title }) => {
      const node = link(url, title || url || '');
      node.className = 'source';
      return node;
    });
    const thumbs = [true, false].map((up) => {
      const label = up ? t.good : t.bad;
      const button = h('button', { className: 'icon', title: label, ariaLabel: label, ariaPressed: 'false' }, document.querySelector('svg')!.cloneNode(true));
      button.onclick = async () => {
        for (const other of thumbs) other.ariaPressed = String(other === button);
        if (!(await actions.thumbs(item, up))) button.ariaPressed = 'false';
      };
      return button;
    });
    return h('div', { className: 'foot' }, ...sources, h('span', { className: 'thumbs' }, ...thumbs));
  }

  return {
    put(item: Item, next: Item | undefined) {
      // The scroll event of this very moment may still be on its way.
      look();
      let row = rows.get(item.key);
      if (!row) rows.set(item.key, (row = h('div')));
      const before = (next && rows.get(next.key)) || dots;
      if (row.nextSibling !== before) log.insertBefore(row, before);
      if (item.state === 'pending') following = true;
      paint(row, item);
    },
    drop(item: Item) {
      rows.get(item.key)?.remove();
      rows.delete(item.key);
    },
    dots(shown: boolean) {
      dots.hidden = !shown;
      if (following) toEnd();
    },
    toEnd,
  };
}
