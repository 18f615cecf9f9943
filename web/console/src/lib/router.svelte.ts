// The address: path and query as reactive state, links without a reload, and filters that live in the query.

/** Where the console lives. */
export const BASE = '/app';

function read() {
  return { path: location.pathname.replace(/\/+$/, '') || '/', query: new URLSearchParams(location.search) };
}

let now = $state.raw(read());

export const route = {
  /** The path below `/app`, beginning with a slash. */
  get path() {
    return now.path.startsWith(BASE) ? now.path.slice(BASE.length) || '/' : now.path;
  },
  /** One field of the query. */
  q(name: string): string {
    return now.query.get(name) ?? '';
  },
  get query() {
    return now.query;
  },
};

/** Goes to a path below `/app`. */
export function go(to: string, { replace = false } = {}) {
  const url = BASE + (to === '/' ? '' : to);
  if (url === location.pathname + location.search) return;
  const moves = new URL(url, location.href).pathname !== location.pathname;
  history[replace ? 'replaceState' : 'pushState'](null, '', url);
  now = read();
  if (moves) scrollTo(0, 0);
}

/** Changes fields of the query; an empty one goes away. */
export function setQuery(fields: Record<string, string | null>, { replace = true } = {}) {
  const query = new URLSearchParams(now.query);
  for (const [name, value] of Object.entries(fields)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  history[replace ? 'replaceState' : 'pushState'](null, '', now.path + (text ? '?' + text : ''));
  now = read();
}

/** Listens to the browser's buttons and to clicks on our own links. */
export function startRouter(): () => void {
  const back = () => (now = read());
  const click = (event: MouseEvent) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.('a[href]');
    if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute('download')) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || (url.pathname !== BASE && !url.pathname.startsWith(BASE + '/'))) return;
    event.preventDefault();
    go((url.pathname.slice(BASE.length) || '/') + url.search);
  };
  addEventListener('popstate', back);
  document.addEventListener('click', click);
  return () => {
    removeEventListener('popstate', back);
    document.removeEventListener('click', click);
  };
}

/** The fields of `pattern` (`/agents/:id/:tab?`) in a path, or null when it does not fit. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split('/').filter(Boolean);
  const given = path.split('/').filter(Boolean);
  if (given.length > wanted.length) return null;
  const found: Record<string, string> = {};
  for (const [at, part] of wanted.entries()) {
    const value = given[at];
    const optional = part.endsWith('?');
    if (part.startsWith(':')) {
      if (value === undefined && !optional) return null;
      if (value !== undefined) {
        try {
          found[part.slice(1).replace('?', '')] = decodeURIComponent(value);
        } catch {
          return null;
        }
      }
    } else if (part !== value) return null;
  }
  return found;
}
