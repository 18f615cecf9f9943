/** The floating button and the panel around the frame, out of reach of the host page's styles. */

/** Above everything a host page is likely to have. */
const Z_INDEX = '2147483000';
/** A page that keeps removing us wins after this many rounds. */
const ATTACH_MAX = 500;
const BADGE_MAX = 9;

const STYLES = `*{all:initial;color-scheme:light dark}
div{--c:#0067c5}
button,iframe{position:fixed;bottom:20px;right:20px;background:var(--c);box-shadow:0 0 1px #888,0 8px 32px #0f13174d;transition:.16s}
button{width:56px;height:56px;border-radius:50%;cursor:pointer}
button:focus-visible{outline:3px solid var(--c);outline-offset:3px}
button::before{content:"";display:block;width:28px;height:28px;margin:auto;background:#fff;background:lab(from var(--c) calc((49 - l)*99) 0 0);clip-path:path(evenodd,"M14 3a11 11 0 1 1-6 20l-6 2 2-6A11 11 0 0 1 14 3zM9 11h10v2H9zM9 15h7v2H9z")}
.open button::before{clip-path:path("M6 10l2-2 6 6 6-6 2 2-8 8z")}
[data-n]::after{content:attr(data-n);position:absolute;top:-4px;right:-4px;min-width:22px;border-radius:11px;background:#b3261e;color:#fff;font:600 12px/22px system-ui;text-align:center}
iframe{bottom:92px;width:400px;height:min(660px,100vh - 112px);border-radius:16px;background:light-dark(#f7f6f3,#0f1317);visibility:hidden;opacity:0;translate:0 12px}
.open iframe{visibility:visible;opacity:1;translate:0}
.left>*{right:auto;left:20px}
@media(max-width:480px){iframe{inset:var(--t,0) 0 auto!important;width:100%;height:var(--h,100%);border-radius:0}.open button{display:none}}
@media(prefers-reduced-motion){*{transition:none!important}}`;

export function createLauncher(onToggle: () => void, onNear: () => void) {
  const host = document.createElement('div');
  // Inline and important: no rule of the host page, however aggressive, stands above it.
  host.style.cssText = `all:initial!important;position:fixed!important;z-index:${Z_INDEX}!important`;
  const shadow = host.attachShadow({ mode: 'open' });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLES);
  // Allowed under a host's Content-Security-Policy that forbids inline styles.
  shadow.adoptedStyleSheets = [sheet];
  const box = shadow.appendChild(document.createElement('div'));
  const button = box.appendChild(document.createElement('button'));
  button.onclick = onToggle;
  button.onpointerenter = button.onfocus = onNear;

  let left = false;
  let rounds = 0;

  // Beside <body>, not in it: a page that swaps its body (Turbo, Astro, view transitions) leaves us alone,
  // and it does not matter whether there is a body yet.
  const observer = new MutationObserver(attach);
  function attach() {
    const root = document.documentElement;
    if (!root || rounds > ATTACH_MAX) return;
    if (host.parentNode !== root) {
      rounds++;
      root.appendChild(host);
    }
    observer.disconnect();
    observer.observe(document, { childList: true });
    observer.observe(root, { childList: true });
  }

  // iOS draws its keyboard over the page; the visible part is all the panel may cover.
  const seen = visualViewport!;
  function fit() {
    box.style.setProperty('--h', seen.height + 'px');
    box.style.setProperty('--t', seen.offsetTop + 'px');
  }
  seen.addEventListener('resize', fit);
  seen.addEventListener('scroll', fit);

  function show(open: boolean) {
    box.className = (open ? 'open ' : '') + (left ? 'left' : '');
    button.setAttribute('aria-expanded', '' + open);
  }

  function unread(n: number) {
    if (n) button.dataset.n = n > BADGE_MAX ? BADGE_MAX + '+' : '' + n;
    else delete button.dataset.n;
    // The same word in most languages; the state is said by aria-expanded.
    button.setAttribute('aria-label', n ? `Chat (${n})` : 'Chat');
  }

  show(false);
  unread(0);
  attach();

  return {
    host,
    box,
    button,
    show,
    unread,
    /** Values that are no colour or no position leave the default. */
    look(color = '', side = '') {
      if (CSS.supports('color', color)) box.style.setProperty('--c', color);
      left = side === 'bottom-left';
    },
    remove() {
      observer.disconnect();
      host.remove();
    },
  };
}
