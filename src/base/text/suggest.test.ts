import { expect, it } from 'vitest';
import { didYouMean, editDistance, nearestName } from './suggest.js';

it('counts insertions, deletions, substitutions and swaps of neighbours', () => {
  expect(editDistance('goodput', 'goodput')).toBe(0);
  expect(editDistance('godput', 'goodput')).toBe(1);
  expect(editDistance('gooodput', 'goodput')).toBe(1);
  expect(editDistance('goodpat', 'goodput')).toBe(1);
  expect(editDistance('goodptu', 'goodput')).toBe(1);
  expect(editDistance('', 'abc')).toBe(3);
});

it('suggests a name only where few letters differ', () => {
  expect(nearestName('GOODPUT', ['pue', 'goodput'])).toBe('goodput');
  expect(nearestName('price', ['pue', 'goodput'])).toBeUndefined();
  expect(nearestName('x', [])).toBeUndefined();
  expect(didYouMean('layuot', ['layout', 'count'])).toBe(' (did you mean layout?)');
  expect(didYouMean('price', ['pue'])).toBe('');
});
