/** The input line: grows with its text, counts near the limit, and never sends in the middle of composing a character. */

import { byId } from './dom';

/** The count appears over the last fifth. */
const COUNT_FROM = 0.8;
/** One sign of life in this time is enough for "is typing". */
const TYPING_EVERY_MS = 3000;
/** What older browsers report for a key that belongs to an input method. */
const KEY_OF_IME = 229;

export function createComposer(max: number, send: (text: string) => boolean, typing: () => void) {
  const form = byId('composer') as HTMLFormElement;
  const input = byId('input') as HTMLTextAreaElement;
  const button = byId('send') as HTMLButtonElement;
  const count = byId('count');
  let typedAt = 0;

  function refresh() {
    input.style.height = 'auto';
    input.style.height = input.scrollHeight + 2 + 'px';
    // The server counts characters, not UTF-16 units.
    const length = [...input.value].length;
    const over = length > max;
    count.textContent = length > max * COUNT_FROM ? length + ' / ' + max : '';
    count.className = over ? 'bad' : '';
    input.ariaInvalid = String(over);
    button.disabled = over || !input.value.trim();
  }

  function submit() {
    refresh();
    if (button.disabled || !send(input.value.trim())) return;
    input.value = '';
    refresh();
  }

  form.onsubmit = (event) => {
    event.preventDefault();
    submit();
    input.focus();
  };
  input.oninput = () => {
    refresh();
    if (Date.now() - typedAt > TYPING_EVERY_MS) {
      typedAt = Date.now();
      typing();
    }
  };
  input.onkeydown = (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === KEY_OF_IME) return;
    event.preventDefault();
    submit();
  };

  return {
    /** A draft is given back when a message could not be sent. */
    restore(text: string) {
      input.value ||= text;
      refresh();
    },
    focus() {
      // On a phone the keyboard would cover the answer that was just opened.
      (form.hidden || matchMedia('(pointer:coarse)').matches ? byId('app') : input).focus({ preventScroll: true });
    },
  };
}
