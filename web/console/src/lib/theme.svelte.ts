// Light, dark, or as the system has it; kept in the browser and set before the first paint by `first-1.js`.
export type Choice = 'system' | 'light' | 'dark';
const KEY = 'colloquy.theme';

const stored = localStorage.getItem(KEY);
let choice = $state<Choice>(stored === 'light' || stored === 'dark' ? stored : 'system');

export const theme = {
  get choice() {
    return choice;
  },
  set(next: Choice) {
    choice = next;
    if (next === 'system') {
      localStorage.removeItem(KEY);
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem(KEY, next);
      document.documentElement.dataset.theme = next;
    }
  },
  toggle() {
    const dark = choice === 'dark' || (choice === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
    theme.set(dark ? 'light' : 'dark');
  },
};
