// The word and the colour of the live state: what is not live must not look live.
import { cleanup, render } from '@testing-library/svelte';
import { afterEach, expect, test } from 'vitest';
import LiveDot from '../src/ui/LiveDot.svelte';

afterEach(cleanup);

test('while there is no connection the dot has neither the class nor the glow of a live one', () => {
  const { container } = render(LiveDot);
  expect(container.textContent).toContain('Connecting');
  expect(container.querySelector('.live')).toBeNull();
  expect(container.querySelector('.glow')).toBeNull();
});
