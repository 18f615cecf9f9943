/** Building DOM nodes without markup: text stays text, whatever it contains. */

/** An element with its properties and children; an empty string is no child. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Record<string, unknown> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children);
  return element;
}

export const byId = (id: string) => document.getElementById(id) as HTMLElement;

/** A link, if following it cannot run anything; otherwise only its text. */
export function link(url: string | null | undefined, text: string): HTMLElement {
  try {
    const { href } = new URL(url!);
    if (/^https?:/.test(href)) return h('a', { href, target: '_blank', rel: 'noopener' }, text);
  } catch {
    // Not an address.
  }
  return h('span', {}, text);
}
