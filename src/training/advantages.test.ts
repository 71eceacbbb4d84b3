import { describe, expect, it } from 'vitest';
import { advantages, hasSignal } from './advantages.js';

const close = (actual: number[], expected: number[]): void => {
  expect(actual).toHaveLength(expected.length);
  for (let i = 0; i < actual.length; i++) expect(actual[i]).toBeCloseTo(expected[i], 9);
};

describe('group-mean', () => {
  it('subtracts the mean', () => {
    // mean of 1, 0, 0, 1, 0.5 is 0.5
    close(advantages['group-mean']([1, 0, 0, 1, 0.5]), [0.5, -0.5, -0.5, 0.5, 0]);
  });
});

describe('group-std', () => {
  it('divides by the unbiased standard deviation plus 1e-4', () => {
    // rewards 1, 0, 0, 0: mean 1/4; squares 9/16 + 3 · 1/16 = 12/16; unbiased variance (12/16)/3 =
    // 1/4; std 1/2.
    close(advantages['group-std']([1, 0, 0, 0]), [
      0.75 / 0.5001,
      -0.25 / 0.5001,
      -0.25 / 0.5001,
      -0.25 / 0.5001,
    ]);
    // rewards 2, 4, 9: mean 5; squares 9 + 1 + 16 = 26; variance 13.
    const std = Math.sqrt(13) + 1e-4;
    close(advantages['group-std']([2, 4, 9]), [-3 / std, -1 / std, 4 / std]);
  });

  it('is zero, never NaN, where a group has no spread', () => {
    close(advantages['group-std']([1, 1, 1]), [0, 0, 0]);
    close(advantages['group-std']([1]), [0]);
    expect(advantages['group-std']([])).toEqual([]);
  });

  it('sums to zero', () => {
    const sum = advantages['group-std']([0.1, 0.7, 0.2, 1, 0]).reduce((a, b) => a + b, 0);
    expect(sum).toBeCloseTo(0, 12);
  });
});

it('hasSignal is false for a group of equal rewards', () => {
  expect(hasSignal([1, 1, 1])).toBe(false);
  expect(hasSignal([0, 0, 0.1])).toBe(true);
  expect(hasSignal([1])).toBe(false);
  expect(hasSignal([])).toBe(false);
});
