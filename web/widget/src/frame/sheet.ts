/** What slides in above the composer: the contact form and the rating. */

import { byId, h } from './dom';
import type { FieldError, LeadForm } from './protocol';
import { t } from './strings';

/** Longer than any honest answer to one field. */
const FIELD_CHARS_MAX = 1000;
/** ITU-T E.164 allows 15 digits; fewer than 7 is no full number anywhere. */
const PHONE = '(\\D*\\d){7,15}\\D*';

const TYPES: Record<string, object> = {
  date: { type: 'date' },
  email: { type: 'email', autocomplete: 'email' },
  phone: { type: 'tel', autocomplete: 'tel', pattern: PHONE },
};

type Input = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

export function createSheet(closed: () => void) {
  const box = byId('sheet');
  let form: HTMLFormElement;

  function hide() {
    box.hidden = true;
    closed();
  }

  function show(title: string, submit: string, parts: Node[], done: () => void) {
    form = h(
      'form',
      { noValidate: true },
      ...parts,
      h(
        'div',
        { className: 'actions' },
        h('button', { type: 'button', className: 'text', onclick: hide }, t.later),
        h('button', { className: 'primary' }, submit),
      ),
    );
    form.onsubmit = (event) => {
      event.preventDefault();
      done();
    };
    box.replaceChildren(h('h2', { id: 'sheet-title' }, title), form);
    box.hidden = false;
    (form[0] as Input).focus({ preventScroll: true });
  }

  /** Every field's complaint, or none, below it; what belongs to no field stands at the end. */
  function refuse(errors: FieldError[], detail = '') {
    let first: Input | undefined;
    for (const input of inputs()) {
      const message = errors.find(({ field }) => field.split('.').pop() === input.name)?.message ?? '';
      input.nextSibling!.textContent = message;
      input.ariaInvalid = String(!!message);
      if (message) first ??= input;
    }
    first?.focus();
    form.querySelector('p')!.textContent = first ? '' : detail;
    form.querySelector<HTMLButtonElement>('.primary')!.disabled = false;
  }

  const inputs = () => form.querySelectorAll<Input>('[name]');

  return {
    hide,
    /** True while something is asked. */
    shown: () => !box.hidden,
    /** Shows what the server refused. */
    refuse,
    /** `send` is false when it cannot be sent now. */
    leadForm({ form: which, title, fields, values = {}, notices = [] }: LeadForm, send: (values: Record<string, string>) => boolean) {
      const parts = fields.flatMap(({ name, label, type, options = [], required }, index) => {
        const id = 'f' + index;
        const common = { id, name, required };
        const input =
          type === 'select'
            ? h('select', common, ...['', ...options].map((value) => h('option', {}, value)))
            : // The browser checks these types, and says what is wrong in the reader's language.
            h(type === 'textarea' ? type : 'input', { ...common, maxLength: FIELD_CHARS_MAX, ...TYPES[type!] });
        input.value = values[name] ?? '';
        input.setAttribute('aria-describedby', id + 'e');
        return [
          h('label', { htmlFor: id }, (label || name) + (required ? ' *' : '')),
          input,
          h('small', { className: 'bad', id: id + 'e' }),
        ];
      });
      show(title || t.details, t.send, [...parts, ...notices.map((notice) => h('div', { className: 'foot' }, notice)), h('p', { className: 'bad', role: 'alert' })], () => {
        // Which form it is decides what is required and who is told.
        const filled: Record<string, string> = { form: which };
        const errors: FieldError[] = [];
        for (const input of inputs()) {
          const { name, validationMessage: message } = input;
          if (message) errors.push({ field: name, message });
          if (input.value.trim()) filled[name] = input.value.trim();
        }
        refuse(errors);
        form.querySelector<HTMLButtonElement>('.primary')!.disabled = !errors.length && send(filled);
      });
    },
    /** `done` gets 0 when no star was chosen. */
    ratingForm(submit: string, done: (rating: number, feedback: string) => void) {
      const words = h('textarea', { maxLength: FIELD_CHARS_MAX, placeholder: t.feedback, ariaLabel: t.feedback });
      const stars = [1, 2, 3, 4, 5].map((value) =>
        h('label', {}, h('input', { type: 'radio', name: 'stars', value, ariaLabel: value + ' / 5' }), '★'),
      );
      show(t.rate, submit, [h('div', { className: 'stars', role: 'radiogroup', ariaLabel: t.rate }, ...stars), words], () => {
        hide();
        done(+form.stars.value, words.value.trim());
      });
    },
  };
}
