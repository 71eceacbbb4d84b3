import { describe, expect, it } from 'vitest';
import { clusteredInterval, majorityVote, passAtK, wilsonInterval } from './statistics.js';

describe('passAtK', () => {
  it('is 1 − C(n − c, k)/C(n, k)', () => {
    expect(passAtK(4, 1, 1)).toBeCloseTo(1 / 4, 12);
    expect(passAtK(4, 1, 2)).toBeCloseTo(1 - 3 / 6, 12);
    expect(passAtK(10, 3, 5)).toBeCloseTo(1 - 21 / 252, 12);
    expect(passAtK(16, 2, 4)).toBeCloseTo(1 - 1001 / 1820, 12);
  });
  it('is 0 without a correct sample and 1 when k must hit one', () => {
    expect(passAtK(16, 0, 16)).toBe(0);
    expect(passAtK(16, 1, 16)).toBe(1);
    expect(passAtK(16, 13, 4)).toBe(1);
  });
  it('does not overflow', () => expect(passAtK(2000, 1, 1000)).toBeCloseTo(0.5, 9));
  it('refuses more than was sampled', () => {
    expect(() => passAtK(4, 1, 5)).toThrow(RangeError);
    expect(() => passAtK(4, 5, 1)).toThrow(RangeError);
  });
  it('equals the mean over all subsets', () => {
    // 5 samples, the first 2 correct: of the 10 subsets of 3, only {3, 4, 5} has none
    expect(passAtK(5, 2, 3)).toBeCloseTo(0.9, 12);
  });
});

describe('wilsonInterval', () => {
  it('agrees with published values', () => {
    // Newcombe 1998, table I, method 3: 81/263 → 0.2553 to 0.3662; 15/148 → 0.0624 to 0.1605; 0/20
    // → 0 to 0.1611; 1/29 → 0.0061 to 0.1718
    const cases: [number, number, number, number][] = [
      [81, 263, 0.2553, 0.3662],
      [15, 148, 0.0624, 0.1605],
      [0, 20, 0, 0.1611],
      [1, 29, 0.0061, 0.1718],
    ];
    for (const [successes, trials, low, high] of cases) {
      const interval = wilsonInterval(successes, trials);
      expect(interval.low).toBeCloseTo(low, 4);
      expect(interval.high).toBeCloseTo(high, 4);
    }
  });
  it('contains its mean at both ends', () => {
    expect(wilsonInterval(7, 7).high).toBe(1);
    expect(wilsonInterval(0, 7).low).toBe(0);
  });
});

describe('clusteredInterval', () => {
  it("is Wilson's over problems, however many samples each has", () => {
    const values = Array.from({ length: 100 }, (_, i) => (i % 4) / 3);
    expect(clusteredInterval(values)).toEqual(wilsonInterval(50, 100));
    // 0 right of 20 problems: the interval is not empty.
    const none = clusteredInterval(Array.from({ length: 20 }, () => 0));
    expect([none.low, none.mean]).toEqual([0, 0]);
    expect(none.high).toBeCloseTo(0.1611, 4);
    expect(clusteredInterval([])).toMatchObject({ low: 0, high: 1 });
  });
});

describe('majorityVote', () => {
  it('takes the most frequent answer, the first on a tie, and ignores missing ones', () => {
    expect(majorityVote(['7', '9', '9', null, null, null])).toBe('9');
    expect(majorityVote(['7', '9', '9', '7'])).toBe('7');
    expect(majorityVote([null, null])).toBeNull();
    expect(majorityVote([])).toBeNull();
  });
});
