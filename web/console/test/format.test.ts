// How texts read: what comes from pages and lists, as a person sees it.
import { expect, test } from 'vitest';
import { reading } from '../src/lib/format';

test('headings of a page are read without their marks, and nothing else changes', () => {
  expect(reading('# Warranty\n\nTwo years.\n\n## Parts\nPart #5 costs $9.')).toBe('Warranty\n\nTwo years.\n\nParts\nPart #5 costs $9.');
  expect(reading('#1 in Springfield')).toBe('#1 in Springfield');
});
