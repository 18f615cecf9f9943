// A mail's HTML shown in a frame of this page, whose policy allows no inline style: what is written as a style is set by hand once the frame is there.

/** The page for a frame's `srcdoc`, its styles put aside. */
export function asideStyles(html: string): { page: string; sheets: string[] } {
  const sheets: string[] = [];
  const page = html
    .replace(/<style\b[^>]*>([\s\S]*?)<\/style\s*>/gi, (_whole, css: string) => {
      sheets.push(css);
      return '';
    })
    .replace(/(<[^<>]*?)\sstyle\s*=/gi, '$1 data-style=');
  return { page, sheets };
}

/** Sets the styles that were put aside. The frame runs no script; only this page reaches into it. */
export function setStyles(frame: HTMLIFrameElement, sheets: readonly string[]) {
  const [page, window] = [frame.contentDocument, frame.contentWindow as (Window & typeof globalThis) | null];
  if (!page || !window) return;
  for (const element of page.querySelectorAll<HTMLElement>('[data-style]')) element.style.cssText = element.dataset.style ?? '';
  page.adoptedStyleSheets = sheets.map((css) => {
    const sheet = new window.CSSStyleSheet();
    sheet.replaceSync(css);
    return sheet;
  });
}
