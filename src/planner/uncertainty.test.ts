import { describe, expect, it } from 'vitest';
import { processorTime } from '../base/testing/processor-time.js';
import {
  distributionSchema,
  medianOf,
  normalCumulative,
  normalQuantile,
  parseDistribution,
  quantileFunction,
} from './distribution.js';
import { propagate, quantityOf, sampleInputs } from './uncertainty.js';

/** Spearman's correlation of columns without ties, by its textbook formula. */
function spearman(a: Float64Array, b: Float64Array): number {
  const rank = (x: Float64Array): number[] => {
    const order = [...x.keys()].sort((i, j) => x[i] - x[j]);
    const ranks: number[] = [];
    order.forEach((at, i) => {
      ranks[at] = i;
    });
    return ranks;
  };
  const [ra, rb] = [rank(a), rank(b)];
  const n = a.length;
  return 1 - (6 * ra.reduce((sum, r, i) => sum + (r - rb[i]) ** 2, 0)) / (n * (n * n - 1));
}

describe('distributions', () => {
  it('inverts the normal distribution', () => {
    expect(normalQuantile(0.95)).toBeCloseTo(1.6448536269514722, 14);
    expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 14);
    for (const p of [1e-9, 1e-6, 0.01, 0.3, 0.5, 0.9, 0.99999]) {
      expect(normalCumulative(normalQuantile(p)) / p).toBeCloseTo(1, 6);
    }
    expect(normalQuantile(1e-20)).toBeCloseTo(-9.26234008979841, 12);
  });

  it('puts 5% and 95% of an interval where it says', () => {
    const price = quantileFunction({ low: 1, high: 4 });
    expect([price(0.05), price(0.5), price(0.95)].map((x) => Number(x.toFixed(12)))).toEqual([
      1, 2, 4,
    ]);
    const signed = quantileFunction({ low: -1, high: 3 });
    expect(signed(0.5)).toBeCloseTo(1, 12);
    const skewed = quantileFunction({ low: 1, value: 1.2, high: 4 });
    expect([skewed(0.05), skewed(0.5), skewed(0.95)].map((x) => Number(x.toFixed(12)))).toEqual([
      1, 1.2, 4,
    ]);
    expect(quantileFunction({ low: 0.7, high: 0.99, max: 1 })(0.999)).toBe(1);
  });

  it('draws from each part of a mixture by weight', () => {
    const mixture = quantileFunction({
      mixture: [
        { weight: 3, of: 1.2 },
        { weight: 1, of: { uniform: [2, 4] } },
      ],
    });
    expect(mixture(0.1)).toBe(1.2);
    expect(mixture(0.74)).toBe(1.2);
    expect(mixture(0.875)).toBeCloseTo(3, 9);
  });

  it('mixes measurements with an interval', () => {
    const mixture = quantileFunction({
      mixture: [
        { weight: 1, of: { empirical: [1, 2, 2, 3] } },
        { weight: 1, of: { low: 10, high: 40 } },
      ],
    });
    // Below one half of the probability lie the measurements; the interval's median, 20, is at
    // three quarters.
    expect([0.1, 0.2, 0.3, 0.45].map(mixture)).toEqual([1, 2, 2, 3]);
    expect(mixture(0.75)).toBeCloseTo(20, 9);
  });

  it('draws measurements as often as they occur', () => {
    const measured = quantileFunction({ empirical: [3, 1, 1, 2] });
    expect([0.1, 0.4, 0.6, 0.9].map(measured)).toEqual([1, 1, 2, 3]);
    expect(medianOf({ lognormal: { median: 2, sigma: 0.3 } })).toBeCloseTo(2, 12);
    expect(medianOf(7)).toBe(7);
  });

  it.each([
    [{ low: 3, high: 2 }, 'price.low: must be at most high (2), is 3'],
    [
      { low: 0, high: 2, shape: 'lognormal' },
      'price.low: must be above 0 in a lognormal interval, is 0',
    ],
    [{ low: 1, high: 2, value: 5 }, 'price.value: must lie between low and high, is 5'],
    [{ low: 1 }, 'price.high: must be a number'],
    [{ empirical: [] }, 'price.empirical: must hold at least one number'],
    [{ empirical: [1, 'x'] }, 'price.empirical[1]: must be a number'],
    [
      { mixture: [{ weight: 1, of: { uniform: [3, 2] } }] },
      'price.mixture[0].of.uniform: must be [low, high] with low at most high',
    ],
    [{ mixture: [{ weight: 0, of: 1 }] }, 'price.mixture[0].weight: must be above 0'],
    [
      'cheap',
      'price: write a number or one of {low, high}, {uniform}, {normal}, {lognormal}, {mixture} or {empirical}',
    ],
  ])('refuses %j in one line', (data, message) => {
    expect(() => parseDistribution(data, 'price')).toThrowError(message);
    expect(distributionSchema.safeParse(data).success).toBe(false);
  });
});

describe('propagate', () => {
  it('finds the interval of a product of lognormals', () => {
    // The logarithm's sigma is the root of the sum of squares: a 90% factor of 2 and one of 1.5
    // give exp(√(ln²2 + ln²1.5)).
    const { cost } = propagate(
      { hours: { low: 50, high: 200 }, usd: { low: 2, high: 4.5 } },
      ({ hours, usd }) => ({
        cost: hours * usd,
      }),
    );
    const factor = Math.exp(Math.hypot(Math.log(2), Math.log(1.5)));
    expect(cost.value / 300).toBeCloseTo(1, 1);
    expect(cost.high / (300 * factor)).toBeGreaterThan(0.97);
    expect(cost.high / (300 * factor)).toBeLessThan(1.03);
    expect((cost.low * factor) / 300).toBeGreaterThan(0.97);
    expect((cost.low * factor) / 300).toBeLessThan(1.03);
    expect(cost.samples).toHaveLength(2048);
  });

  it('says which input matters most, and in which direction', () => {
    const { y } = propagate(
      {
        small: { normal: { mean: 0, sd: 1 } },
        large: { normal: { mean: 0, sd: 3 } },
        none: { uniform: [0, 1] },
        fixed: 4,
      },
      ({ small, large, fixed }) => ({ y: small - large + fixed }),
    );
    expect(y.sensitivity.map(({ input }) => input)).toEqual(['large', 'small', 'none']);
    const [large, small, none] = y.sensitivity;
    expect(large.share).toBeGreaterThan(0.85);
    expect(large.share).toBeLessThan(0.95);
    expect(small.share).toBeGreaterThan(0.05);
    expect(small.share).toBeLessThan(0.14);
    expect(none.share).toBeLessThan(0.02);
    expect(large.rank).toBeLessThan(-0.9);
    expect(small.rank).toBeGreaterThan(0.2);
  });

  it('sees a dependence that is not monotone', () => {
    const { y } = propagate(
      { x: { uniform: [-1, 1] }, other: { uniform: [0, 0.1] } },
      ({ x, other }) => ({ y: x * x + other }),
    );
    expect(y.sensitivity[0].input).toBe('x');
    expect(y.sensitivity[0].share).toBeGreaterThan(0.9);
    expect(Math.abs(y.sensitivity[0].rank)).toBeLessThan(0.1);
  });

  it('gives correlated inputs the stated rank correlation and leaves their distributions alone', () => {
    const inputs = {
      a: { low: 1, high: 10 },
      b: { uniform: [0, 1] as [number, number] },
      c: { low: -1, high: 1 },
    };
    const free = sampleInputs(inputs);
    const tied = sampleInputs(inputs, {
      correlations: [
        { between: ['a', 'b'], rank: 0.8 },
        { between: ['b', 'c'], rank: -0.5 },
      ],
    });
    expect(Math.abs(spearman(free.a, free.b))).toBeLessThan(0.06);
    expect(spearman(tied.a, tied.b)).toBeCloseTo(0.8, 1);
    expect(spearman(tied.b, tied.c)).toBeCloseTo(-0.5, 1);
    for (const name of ['a', 'b', 'c'] as const)
      expect([...tied[name]].sort()).toEqual([...free[name]].sort());
    // A sum of inputs that rise together is wider than one of independent inputs.
    const sum = (correlations: { between: [string, string]; rank: number }[]) =>
      propagate({ a: { uniform: [0, 1] }, b: { uniform: [0, 1] } }, ({ a, b }) => ({ y: a + b }), {
        correlations,
      }).y;
    const together = sum([{ between: ['a', 'b'], rank: 0.9 }]);
    const apart = sum([]);
    expect(together.high - together.low).toBeGreaterThan(1.2 * (apart.high - apart.low));
  });

  it('refuses correlations that cannot be', () => {
    const inputs = { a: { low: 1, high: 2 }, b: { low: 1, high: 2 }, c: { low: 1, high: 2 }, d: 3 };
    const run = (correlations: { between: [string, string]; rank: number }[]) => () =>
      sampleInputs(inputs, { correlations });
    expect(
      run([
        { between: ['a', 'b'], rank: 0.9 },
        { between: ['b', 'c'], rank: 0.9 },
        { between: ['a', 'c'], rank: -0.9 },
      ]),
    ).toThrowError('the correlations of a, b, c contradict each other; make some of them weaker');
    expect(run([{ between: ['a', 'd'], rank: 0.5 }])).toThrowError(
      'correlation of a and d: d is not an uncertain input',
    );
    expect(run([{ between: ['a', 'b'], rank: 2 }])).toThrowError(
      'must lie between -0.999 and 0.999, is 2',
    );
    expect(() => sampleInputs(inputs, { samples: 3 })).toThrowError(
      'samples must be an integer of at least 16, is 3',
    );
  });

  it('is reproducible by seed, and an added input leaves the others alone', () => {
    const a = sampleInputs({ x: { low: 1, high: 2 } }, { seed: 7 });
    const b = sampleInputs({ before: { low: 1, high: 5 }, x: { low: 1, high: 2 } }, { seed: 7 });
    expect(b.x).toEqual(a.x);
    expect(sampleInputs({ x: { low: 1, high: 2 } }, { seed: 8 }).x).not.toEqual(a.x);
  });

  it('carries infinity, and says where a result is not a number', () => {
    expect(
      quantityOf(Float64Array.of(1, 2, 3, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY))
        .value,
    ).toBe(3);
    expect(() =>
      propagate({ x: { low: -1, high: 1 } }, ({ x }) => ({ y: Math.sqrt(x) })),
    ).toThrowError(/^y is not a number at \{"x":-/);
  });

  it('samples ten inputs in time for a slider', () => {
    const names = Array.from({ length: 10 }, (_, i) => `input${i}`);
    const inputs = Object.fromEntries(
      names.map((name, i) => [name, { low: 1 + i, high: 2 + 2 * i }]),
    );
    const run = () =>
      propagate(inputs, (values) => ({
        y: names.reduce((product, name) => product * values[name], 1),
      }));
    for (let i = 0; i < 5; i++) run();
    const spent = processorTime();
    for (let i = 0; i < 10; i++) run();
    // Measured: about 10 ms.
    expect(spent() / 10).toBeLessThan(100);
  });
});
