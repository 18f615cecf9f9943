/** Text becomes the few elements we allow, and hostile text stays text, in time. */
import { expect, test } from 'vitest';
import { render } from '../../src/frame/render';

function html(text: string): string {
  const box = document.createElement('div');
  box.append(render(text));
  return box.innerHTML;
}

const link = (href: string, text = href) => `<a href="${href}" target="_blank" rel="noopener">${text}</a>`;

test.each([
  ['one\ntwo\n\nthree', '<p>one<br>two</p><p>three</p>'],
  ['a **bold** word', '<p>a <strong>bold</strong> word</p>'],
  ['- a\n- b\n\n1. c\n2. d', '<ul><li>a</li><li>b</li></ul><ol start="1"><li>c</li><li>d</li></ol>'],
  ['3) three', '<ol start="3"><li>three</li></ol>'],
  ['Text\n- item\nmore', '<p>Text</p><ul><li>item</li></ul><p>more</p>'],
  ['See https://a.example/x?y=1.', `<p>See ${link('https://a.example/x?y=1')}.</p>`],
  ['[us](https://a.example/)', `<p>${link('https://a.example/', 'us')}</p>`],
  ['2 * 3 ** 4', '<p>2 * 3 ** 4</p>'],
  ['', ''],
])('%j', (text, expected) => {
  expect(html(text)).toBe(expected);
});

test.each([
  '<img src=x onerror=alert(1)>',
  '[x](javascript:alert(1))',
  '[x](JaVaScRiPt:alert`1`)',
  '[x](data:text/html;base64,PHNjcmlwdD4=)',
  '[x](vbscript:x)',
  '[x](//evil.example)',
  '**<b onclick=x>**',
  '- <script>alert(1)</script>',
  '[<svg/onload=alert(1)>](https://a.example)',
])('hostile text makes no element that runs: %s', (text) => {
  const box = document.createElement('div');
  box.append(render(text));
  expect(box.querySelector('img,script,svg,b,[onclick],[onerror],[onload]')).toBeNull();
  for (const a of box.querySelectorAll('a')) expect(a.protocol).toMatch(/^https?:$/);
});

test.each(['[', '**', '*', '](', 'https://', '- ', '1. ', '\n', '#', '[a]('])('a long run of %j takes linear time', (part) => {
  const started = performance.now();
  render(part.repeat(20_000 / part.length));
  expect(performance.now() - started).toBeLessThan(2000);
});
