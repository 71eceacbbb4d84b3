import { expect, it } from 'vitest';
import { sparkline } from './sparkline.js';

it('sparklines', () => {
  expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)).toBe('▁▂▃▄▅▆▇█');
  expect(sparkline([5, 5, 5], 8)).toBe('▄▄▄');
  // averaged in pairs: 0.5, 2.5
  expect(sparkline([0, 1, 2, 3], 2)).toBe('▁█');
  expect(sparkline([], 8)).toBe('');
  expect(sparkline([1, Number.NaN, 2], 8)).toBe('▁█');
});
