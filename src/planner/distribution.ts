/**
 * @file What may stand where the planner takes a number: a distribution, as plain data.
 *
 *     1.6                                           exactly this
 *     {low: 0.4, high: 0.6}                         90% interval; lognormal when low > 0, normal otherwise
 *     {low: 1.1, value: 1.3, high: 2.0}             the same with its median stated, one spread on each side
 *     {low: 0.7, high: 0.95, max: 1}                no value above 1 (or below `min`)
 *     {uniform: [0, 10]}
 *     {normal: {mean: 3, sd: 0.5}}
 *     {lognormal: {median: 2, sigma: 0.3}}          sigma of the natural logarithm
 *     {mixture: [{weight: 3, of: 1.2}, {weight: 1, of: {low: 2, high: 8}}]}
 *     {empirical: [1.1, 1.3, 1.2]}                  measurements, each as likely
 *
 * The interval form is also how the catalog writes prices and how results are given, so either can
 * be fed back as an input. A distribution is used through its quantile function alone: that is what
 * Latin hypercubes and copulas need.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { exactly, type Quantity } from '../base/quantity.js';

export interface IntervalDistribution {
  /** 5% and 95% quantiles. */
  low: number;
  high: number;
  /** The median; left out: the geometric (lognormal) or arithmetic (normal) mean of both. */
  value?: number;
  shape?: 'lognormal' | 'normal';
  /** Values beyond are moved to the bound. */
  min?: number;
  max?: number;
}

export type Distribution =
  | number
  | IntervalDistribution
  | { uniform: [number, number] }
  | { normal: { mean: number; sd: number } }
  | { lognormal: { median: number; sigma: number } }
  | { mixture: { weight: number; of: Distribution }[] }
  | { empirical: number[] };

/** Half the width of a central 90% interval of the standard normal distribution. */
const Z95 = 1.6448536269514722;

const number = z.number({ error: 'must be a number' });
const above0 = number.positive({ error: 'must be above 0' });

const intervalSchema = z
  .strictObject({
    low: number,
    high: number,
    value: number.optional(),
    shape: z.enum(['lognormal', 'normal'], { error: 'must be lognormal or normal' }).optional(),
    min: number.optional(),
    max: number.optional(),
  })
  .superRefine(({ low, high, value, shape, min, max }, context) => {
    const issue = (message: string, path: string): void =>
      context.addIssue({ code: 'custom', message, path: [path] });
    if (low > high) issue(`must be at most high (${high}), is ${low}`, 'low');
    if (value !== undefined && (value < low || value > high))
      issue(`must lie between low and high, is ${value}`, 'value');
    if (shape === 'lognormal' && low <= 0)
      issue(`must be above 0 in a lognormal interval, is ${low}`, 'low');
    if (min !== undefined && min > high) issue(`must be at most high (${high}), is ${min}`, 'min');
    if (max !== undefined && max < low) issue(`must be at least low (${low}), is ${max}`, 'max');
  });

const uniformSchema = z.strictObject({
  uniform: z
    .tuple([number, number], { error: 'must be [low, high]' })
    .refine(([low, high]) => low <= high, { error: 'must be [low, high] with low at most high' }),
});
const normalSchema = z.strictObject({
  normal: z.strictObject({ mean: number, sd: number.nonnegative({ error: 'must be 0 or more' }) }),
});
const lognormalSchema = z.strictObject({
  lognormal: z.strictObject({
    median: above0,
    sigma: number.nonnegative({ error: 'must be 0 or more' }),
  }),
});
const empiricalSchema = z.strictObject({
  empirical: z
    .array(number, { error: 'must be a list of numbers' })
    .min(1, { error: 'must hold at least one number' }),
});
const mixtureSchema = z.strictObject({
  mixture: z
    .array(
      z.strictObject({
        weight: above0,
        of: z.lazy((): z.ZodType<Distribution> => distributionSchema),
      }),
      {
        error: 'must be a list of {weight, of}',
      },
    )
    .min(1, { error: 'must hold at least one part' }),
});

export const distributionSchema: z.ZodType<Distribution> = z.union([
  number,
  intervalSchema,
  uniformSchema,
  normalSchema,
  lognormalSchema,
  mixtureSchema,
  empiricalSchema,
]);

const FORMS: Record<string, z.ZodType<Distribution>> = {
  uniform: uniformSchema,
  normal: normalSchema,
  lognormal: lognormalSchema,
  mixture: mixtureSchema,
  empirical: empiricalSchema,
  low: intervalSchema,
  high: intervalSchema,
};

/**
 * Reads a distribution.
 * @param where what it belongs to, for the message
 * @throws UserError one line: what is wrong, where, and the forms that are known
 */
export function parseDistribution(data: unknown, where: string): Distribution {
  if (typeof data === 'number' && Number.isFinite(data)) return data;
  const key =
    typeof data === 'object' && data !== null
      ? Object.keys(data).find((name) => Object.hasOwn(FORMS, name))
      : undefined;
  if (key === undefined) {
    const known = '{low, high}, {uniform}, {normal}, {lognormal}, {mixture} or {empirical}';
    throw new UserError('data', `${where}: write a number or one of ${known}`, where);
  }
  // The form is known by its key, so the message is about that form and not about all of them.
  if (key === 'mixture') {
    const parts = (data as { mixture: unknown }).mixture;
    if (Array.isArray(parts)) {
      parts.forEach((part, i) => {
        if (typeof part === 'object' && part !== null && 'of' in part) {
          parseDistribution(part.of, `${where}.mixture[${i}].of`);
        }
      });
    }
  }
  const result = FORMS[key].safeParse(data);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = issue.path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('');
  throw new UserError('data', `${where}${path}: ${issue.message}`, `${where}${path}`);
}

/**
 * Quantile function of the standard normal distribution, to about 1e-15 (algorithm AS 241, Wichura
 * 1988).
 */
export function normalQuantile(p: number): number {
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) {
    const r = 0.180625 - q * q;
    const top =
      ((((((2509.0809287301227 * r + 33430.57558358813) * r + 67265.7709270087) * r +
        45921.95393154987) *
        r +
        13731.69376550946) *
        r +
        1971.5909503065513) *
        r +
        133.14166789178438) *
        r +
      3.3871328727963665;
    const bottom =
      ((((((5226.495278852854 * r + 28729.085735721943) * r + 39307.89580009271) * r +
        21213.794301586597) *
        r +
        5394.196021424751) *
        r +
        687.1870074920579) *
        r +
        42.31333070160091) *
        r +
      1;
    return (q * top) / bottom;
  }
  const tail = q < 0 ? p : 1 - p;
  if (tail <= 0) return q < 0 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  let r = Math.sqrt(-Math.log(tail));
  let x: number;
  if (r <= 5) {
    r -= 1.6;
    const top =
      ((((((7.745450142783414e-4 * r + 0.022723844989269184) * r + 0.2417807251774506) * r +
        1.2704582524523684) *
        r +
        3.6478483247632045) *
        r +
        5.769497221460691) *
        r +
        4.630337846156546) *
        r +
      1.4234371107496835;
    const bottom =
      ((((((1.0507500716444169e-9 * r + 5.475938084995345e-4) * r + 0.015198666563616457) * r +
        0.14810397642748008) *
        r +
        0.6897673349851) *
        r +
        1.6763848301838038) *
        r +
        2.053191626637759) *
        r +
      1;
    x = top / bottom;
  } else {
    r -= 5;
    const top =
      ((((((2.0103343992922881e-7 * r + 2.7115555687434876e-5) * r + 0.0012426609473880784) * r +
        0.026532189526576124) *
        r +
        0.29656057182850487) *
        r +
        1.7848265399172913) *
        r +
        5.463784911164114) *
        r +
      6.657904643501103;
    const bottom =
      ((((((2.0442631033899397e-15 * r + 1.421511758316446e-7) * r + 1.8463183175100548e-5) * r +
        7.868691311456133e-4) *
        r +
        0.014875361290850615) *
        r +
        0.1369298809227358) *
        r +
        0.599832206555888) *
        r +
      1;
    x = top / bottom;
  }
  return q < 0 ? -x : x;
}

/**
 * Cumulative standard normal distribution, by the series of Marsaglia (2004); exact to 1e-14 within
 * ±7.
 */
export function normalCumulative(x: number): number {
  if (x < -7) return 0;
  if (x > 7) return 1;
  let term = x;
  let sum = x;
  for (let i = 3; Math.abs(term) > 1e-17; i += 2) {
    term *= (x * x) / i;
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

/**
 * A distribution ready for use: its quantile function, and the probability of a value at or below
 * x.
 */
interface Compiled {
  quantile: (p: number) => number;
  cumulative: (x: number) => number;
}

function compileInterval({ low, high, value, shape, min, max }: IntervalDistribution): Compiled {
  const logarithmic = (shape ?? (low > 0 ? 'lognormal' : 'normal')) === 'lognormal';
  const into = logarithmic ? Math.log : (x: number) => x;
  const outOf = logarithmic ? Math.exp : (x: number) => x;
  const median = value === undefined ? (into(low) + into(high)) / 2 : into(value);
  const below = (median - into(low)) / Z95;
  const above = (into(high) - median) / Z95;
  const floor = min ?? Number.NEGATIVE_INFINITY;
  const ceiling = max ?? Number.POSITIVE_INFINITY;
  return {
    quantile: (p) => {
      const deviation = normalQuantile(p);
      return Math.min(
        ceiling,
        Math.max(floor, outOf(median + deviation * (deviation < 0 ? below : above))),
      );
    },
    cumulative: (x) => {
      if (x >= ceiling) return 1;
      if (x < floor || (logarithmic && x <= 0)) return 0;
      const distance = into(x) - median;
      const spread = distance < 0 ? below : above;
      return spread === 0 ? (distance < 0 ? 0 : 1) : normalCumulative(distance / spread);
    },
  };
}

/** The smallest floating-point number x with cumulative(x) ≥ p, between two bounds, by halving. */
function invert(cumulative: (x: number) => number, p: number, from: number, to: number): number {
  let low = from;
  let high = to;
  if (cumulative(low) >= p) return low;
  for (let middle = (low + high) / 2; middle > low && middle < high; middle = (low + high) / 2) {
    if (cumulative(middle) >= p) high = middle;
    else low = middle;
  }
  return high;
}

/** How many of the sorted values are at most x. */
function countUpTo(sorted: readonly number[], x: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= x) low = middle + 1;
    else high = middle;
  }
  return low;
}

function compile(distribution: Distribution): Compiled {
  if (typeof distribution === 'number') {
    return { quantile: () => distribution, cumulative: (x) => (x >= distribution ? 1 : 0) };
  }
  if ('low' in distribution) return compileInterval(distribution);
  if ('uniform' in distribution) {
    const [low, high] = distribution.uniform;
    return {
      quantile: (p) => low + p * (high - low),
      cumulative: (x) => (x < low ? 0 : x >= high ? 1 : (x - low) / (high - low)),
    };
  }
  if ('normal' in distribution) {
    const { mean, sd } = distribution.normal;
    return {
      quantile: (p) => mean + (sd === 0 ? 0 : sd * normalQuantile(p)),
      cumulative: (x) => (sd === 0 ? (x >= mean ? 1 : 0) : normalCumulative((x - mean) / sd)),
    };
  }
  if ('lognormal' in distribution) {
    const { median, sigma } = distribution.lognormal;
    const log = compile({ normal: { mean: Math.log(median), sd: sigma } });
    return {
      quantile: (p) => Math.exp(log.quantile(p)),
      cumulative: (x) => (x <= 0 ? 0 : log.cumulative(Math.log(x))),
    };
  }
  if ('empirical' in distribution) {
    const sorted = [...distribution.empirical].sort((a, b) => a - b);
    return {
      quantile: (p) => sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))],
      cumulative: (x) => countUpTo(sorted, x) / sorted.length,
    };
  }
  const total = distribution.mixture.reduce((sum, { weight }) => sum + weight, 0);
  const parts = distribution.mixture.map(({ weight, of }) => ({
    share: weight / total,
    part: compile(of),
  }));
  const cumulative = (x: number): number =>
    parts.reduce((sum, { share, part }) => sum + share * part.cumulative(x), 0);
  return {
    cumulative,
    quantile: (p) => {
      const bounds = parts.map(({ part }) => part.quantile(p));
      // A rounding error below p would step over a part that is a plain number.
      return invert(cumulative, p - 1e-12, Math.min(...bounds), Math.max(...bounds));
    },
  };
}

/**
 * The quantile function of a distribution, for 0 < p < 1.
 * @throws UserError when the distribution is not a valid one
 */
export function quantileFunction(
  distribution: Distribution,
  where = 'distribution',
): (p: number) => number {
  return compile(parseDistribution(distribution, where)).quantile;
}

/** The median: what stands for a distribution where one number is needed. */
export function medianOf(distribution: Distribution): number {
  return typeof distribution === 'number' ? distribution : quantileFunction(distribution)(0.5);
}

/** A distribution as a quantity: its median and 5% and 95% quantiles, or those that it states. */
export function quantityOfDistribution(distribution: Distribution): Quantity {
  if (typeof distribution === 'number') return exactly(distribution);
  if ('low' in distribution && distribution.value !== undefined) {
    const { value, low, high } = distribution;
    return { value, low, high };
  }
  const quantile = quantileFunction(distribution);
  return { value: quantile(0.5), low: quantile(0.05), high: quantile(0.95) };
}

/** Where a quantity may lie; what is left out is open. */
export interface Range {
  /** Above this, and not equal to it. */
  above?: number;
  min?: number;
  max?: number;
}

/** `above 0 and at most 1`. */
export function rangeText({ above, min, max }: Range): string {
  const parts = [
    above === undefined ? '' : `above ${above}`,
    min === undefined ? '' : `at least ${min}`,
    max === undefined ? '' : `at most ${max}`,
  ];
  return parts.filter((part) => part !== '').join(' and ');
}

/** The numbers that are written in a distribution, each with its path. */
function statedValues(distribution: Distribution, path: string): [path: string, value: number][] {
  if (typeof distribution === 'number') return [[path, distribution]];
  if ('low' in distribution) {
    const { low, value, high } = distribution;
    const middle: [string, number][] = value === undefined ? [] : [[`${path}.value`, value]];
    return [[`${path}.low`, low], ...middle, [`${path}.high`, high]];
  }
  if ('uniform' in distribution)
    return distribution.uniform.map((value, i) => [`${path}.uniform[${i}]`, value]);
  if ('normal' in distribution) return [[`${path}.normal.mean`, distribution.normal.mean]];
  if ('lognormal' in distribution)
    return [[`${path}.lognormal.median`, distribution.lognormal.median]];
  if ('empirical' in distribution)
    return distribution.empirical.map((value, i) => [`${path}.empirical[${i}]`, value]);
  return distribution.mixture.flatMap(({ of }, i) => statedValues(of, `${path}.mixture[${i}].of`));
}

/** The distribution with its tails moved to the ends of a range. */
function clamped(distribution: Distribution, { min, max }: Range): Distribution {
  const ends = { ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) };
  if (typeof distribution === 'number') return distribution;
  if ('low' in distribution)
    return {
      ...distribution,
      ...ends,
      ...(distribution.min === undefined ? {} : { min: distribution.min }),
      ...(distribution.max === undefined || (max !== undefined && distribution.max > max)
        ? {}
        : { max: distribution.max }),
    };
  if ('normal' in distribution) {
    const { mean, sd } = distribution.normal;
    const [low, high] = [mean - Z95 * sd, mean + Z95 * sd];
    return { low, value: mean, high, shape: 'normal', ...ends };
  }
  if ('lognormal' in distribution) {
    const { median, sigma } = distribution.lognormal;
    const factor = Math.exp(Z95 * sigma);
    return { low: median / factor, value: median, high: median * factor, ...ends };
  }
  if ('mixture' in distribution)
    return {
      mixture: distribution.mixture.map(({ weight, of }) => ({
        weight,
        of: clamped(of, { min, max }),
      })),
    };
  return distribution;
}

/** The share of values below which a distribution is not looked at. */
const LOWEST = 1e-4;

/**
 * A quantity that must lie in a range: what is written is refused outside of it, and the tails of a
 * distribution end there.
 * @param where the field, for the message
 * @throws UserError (usage) that names the field and the range
 */
export function withinRange(distribution: Distribution, where: string, range: Range): Distribution {
  const { above, min, max } = range;
  for (const [field, value] of statedValues(parseDistribution(distribution, where), where)) {
    const inside =
      Number.isFinite(value) &&
      (above === undefined || value > above) &&
      (min === undefined || value >= min) &&
      (max === undefined || value <= max);
    if (!inside)
      throw new UserError('usage', `${field}: must be ${rangeText(range)}, is ${value}`, field);
  }
  const bounded = clamped(distribution, range);
  if (above !== undefined && quantileFunction(bounded, where)(LOWEST) <= above) {
    const message = `${where}: reaches ${above} and less; write it as {low, high} with low above ${above}`;
    throw new UserError('usage', message, where);
  }
  return bounded;
}
