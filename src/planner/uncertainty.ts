/**
 * @file Distributions in, intervals out.
 *
 * Any input of the planner may be a number or a distribution, written as plain data that fits into
 * JSON and YAML. Inputs are sampled by Latin hypercube (McKay, Beckman and Conover 1979): each
 * input's N values lie one in each of N equal slices of its probability, so a few thousand samples
 * give smooth 5% and 95% quantiles. Correlated inputs keep their slices and are only reordered
 * (Iman and Conover 1982), by the ranks of a Gaussian copula. The order of an input's values is
 * keyed by the seed and the input's name: dragging one input, or adding another, leaves the draws
 * of the others as they were.
 *
 * The sensitivity of an output to an input is the share of the variance of the output's ranks that
 * the input alone explains, estimated from the same samples (Plischke, Borgonovo and Smith 2013):
 * no further model runs, and no unit matters.
 */
import { UserError } from '../base/errors.js';
import { Random } from '../base/random.js';
import type { Quantity } from './cluster.js';
import { type Distribution, quantileFunction } from './distribution.js';

/** Two inputs that move together: Spearman's rank correlation, −1 to 1. */
export interface Correlation {
  between: readonly [string, string];
  rank: number;
}

export interface SamplingOptions {
  /** Default 2,048. */
  samples?: number;
  /** Default 1. */
  seed?: number;
  correlations?: readonly Correlation[];
}

/** How much one input moves one output. */
export interface Sensitivity {
  input: string;
  /** Share of the variance of the output's ranks that this input alone explains, 0 to 1. */
  share: number;
  /** Spearman's rank correlation of input and output: its sign says in which direction. */
  rank: number;
}

export interface Outcome extends Quantity {
  mean: number;
  /** Inputs that vary, the most important first. */
  sensitivity: Sensitivity[];
  /** The output at every sample, in the order of the samples. */
  samples: Float64Array;
}

const DEFAULT_SAMPLES = 2048;

/**
 * Lower-triangular Cholesky factor of a correlation matrix; null when it is not positive definite.
 */
function cholesky(matrix: readonly Float64Array[]): Float64Array[] | null {
  const factor = matrix.map((row) => new Float64Array(row.length));
  for (let i = 0; i < matrix.length; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i][j];
      for (let k = 0; k < j; k++) sum -= factor[i][k] * factor[j][k];
      if (i === j && sum <= 1e-12) return null;
      factor[i][j] = i === j ? Math.sqrt(sum) : sum / factor[j][j];
    }
  }
  return factor;
}

/** How many of the sorted values lie below `value`. */
function countBelow(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Ranks 0 … n − 1; equal values share their mean rank. (Sorting numbers is native; sorting by a
 * comparison is 20 times slower.)
 */
function ranksOf(values: Float64Array, sorted = Float64Array.from(values).sort()): Float64Array {
  return values.map((value) => {
    const first = countBelow(sorted, value);
    let last = first;
    while (last + 1 < sorted.length && sorted[last + 1] === value) last++;
    return (first + last) / 2;
  });
}

/** Permutations that were drawn: a slider asks for the same ones again and again. */
const drawn = new Map<string, Float64Array>();

/**
 * Which slice of its probability each sample of an input lies in: a permutation of 0 … n − 1, keyed
 * by name. Not to be changed.
 */
function slicesOf(name: string, n: number, seed: number): Float64Array {
  const key = `${seed} ${n} ${name}`;
  const known = drawn.get(key);
  if (known !== undefined) return known;
  const random = new Random(seed, 'latin-hypercube', name);
  const slices = Float64Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor((random.uint32() / 4294967296) * (i + 1));
    const swap = slices[i];
    slices[i] = slices[j];
    slices[j] = swap;
  }
  if (drawn.size >= 1000) drawn.clear();
  drawn.set(key, slices);
  return slices;
}

/**
 * Reorders the slices of correlated inputs so that their ranks correlate as stated (Iman and
 * Conover 1982).
 */
function correlate(slices: Map<string, Float64Array>, correlations: readonly Correlation[]): void {
  const names: string[] = [];
  for (const { between, rank } of correlations) {
    const title = `correlation of ${between[0]} and ${between[1]}`;
    for (const name of between) {
      if (!slices.has(name))
        throw new UserError('data', `${title}: ${name} is not an uncertain input`, 'correlations');
      if (!names.includes(name)) names.push(name);
    }
    if (between[0] === between[1])
      throw new UserError('data', `${title}: name two different inputs`, 'correlations');
    if (!(rank >= -0.999 && rank <= 0.999)) {
      throw new UserError(
        'data',
        `${title}: must lie between -0.999 and 0.999, is ${rank}`,
        'correlations',
      );
    }
  }
  const matrix = names.map((_, i) => Float64Array.from(names, (_, j) => (i === j ? 1 : 0)));
  for (const { between, rank } of correlations) {
    const [i, j] = between.map((name) => names.indexOf(name));
    // Pearson's correlation of two normals whose ranks correlate by `rank`.
    matrix[i][j] = matrix[j][i] = 2 * Math.sin((Math.PI * rank) / 6);
  }
  const factor = cholesky(matrix);
  if (factor === null) {
    throw new UserError(
      'data',
      `the correlations of ${names.join(', ')} contradict each other; make some of them weaker`,
      'correlations',
    );
  }
  const columns = names.map((name) => slices.get(name) as Float64Array);
  const n = columns[0].length;
  const normal = quantileFunction({ normal: { mean: 0, sd: 1 } });
  const scores = Float64Array.from({ length: n }, (_, i) => normal((i + 0.5) / n));
  names.forEach((name, i) => {
    const mixed = new Float64Array(n);
    for (let s = 0; s < n; s++)
      for (let k = 0; k <= i; k++) mixed[s] += factor[i][k] * scores[columns[k][s]];
    slices.set(name, ranksOf(mixed));
  });
}

interface Sampled {
  columns: Record<string, Float64Array>;
  /** Of the inputs that vary: the slice of each sample, which is its rank. */
  slices: Map<string, Float64Array>;
}

function sampleWithSlices(
  inputs: Readonly<Record<string, Distribution>>,
  { samples: n = DEFAULT_SAMPLES, seed = 1, correlations = [] }: SamplingOptions,
): Sampled {
  if (!Number.isInteger(n) || n < 16)
    throw new UserError('usage', `samples must be an integer of at least 16, is ${n}`);
  const slices = new Map<string, Float64Array>();
  for (const name of Object.keys(inputs)) {
    if (typeof inputs[name] !== 'number') slices.set(name, slicesOf(name, n, seed));
  }
  if (correlations.length > 0) correlate(slices, correlations);
  const columns: Record<string, Float64Array> = {};
  for (const [name, distribution] of Object.entries(inputs)) {
    const slice = slices.get(name);
    if (slice === undefined) {
      columns[name] = new Float64Array(n).fill(distribution as number);
      continue;
    }
    // The quantile in the middle of each slice, computed once a slice.
    const quantile = quantileFunction(distribution, name);
    const values = Float64Array.from({ length: n }, (_, i) => quantile((i + 0.5) / n));
    if (values[0] === values[n - 1]) slices.delete(name);
    columns[name] = slice.map((i) => values[i]);
  }
  return { columns, slices };
}

/**
 * Samples of every input: one column each; a number gives a constant column.
 * @throws UserError for an impossible distribution or correlation
 */
export function sampleInputs<Inputs extends Readonly<Record<string, Distribution>>>(
  inputs: Inputs,
  options: SamplingOptions = {},
): Record<keyof Inputs, Float64Array> {
  return sampleWithSlices(inputs, options).columns as Record<keyof Inputs, Float64Array>;
}

/** The q-quantile of sorted values, linear between neighbours (type 7 of Hyndman and Fan 1996). */
function quantileOf(sorted: Float64Array, q: number): number {
  const at = q * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  const share = at - below;
  // No arithmetic where none is needed: infinity less infinity is not a number.
  if (share === 0 || sorted[below] === sorted[above]) return sorted[below];
  return sorted[below] + share * (sorted[above] - sorted[below]);
}

/**
 * Median and 5% to 95% interval of samples; infinite ones (a layout that does not fit) sort last.
 */
export function quantityOf(samples: Float64Array): Quantity {
  return quantityOfSorted(Float64Array.from(samples).sort());
}

const quantityOfSorted = (sorted: Float64Array): Quantity => ({
  value: quantileOf(sorted, 0.5),
  low: quantileOf(sorted, 0.05),
  high: quantileOf(sorted, 0.95),
});

/**
 * Share of the variance of `ranks` that lies between equal bins of one input's slices, less what
 * chance puts there.
 */
function explainedShare(slices: Float64Array, ranks: Float64Array): number {
  const n = ranks.length;
  const bins = Math.max(4, Math.round(Math.sqrt(n) / 2));
  const mean = (n - 1) / 2;
  const sums = new Float64Array(bins);
  const counts = new Float64Array(bins);
  let total = 0;
  for (let i = 0; i < n; i++) {
    const bin = Math.floor((slices[i] * bins) / n);
    sums[bin] += ranks[i] - mean;
    counts[bin]++;
    total += (ranks[i] - mean) ** 2;
  }
  if (total === 0) return 0;
  let between = 0;
  for (let b = 0; b < bins; b++) between += (sums[b] * sums[b]) / counts[b];
  const chance = ((bins - 1) * (total - between)) / (n - bins);
  return Math.min(1, Math.max(0, (between - chance) / total));
}

/** Spearman's correlation of two rank columns. */
function rankCorrelation(a: Float64Array, b: Float64Array): number {
  const mean = (a.length - 1) / 2;
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += (a[i] - mean) * (b[i] - mean);
    aa += (a[i] - mean) ** 2;
    bb += (b[i] - mean) ** 2;
  }
  return aa === 0 || bb === 0 ? 0 : ab / Math.sqrt(aa * bb);
}

/**
 * Runs a model on samples of its inputs.
 *
 * @param inputs numbers or distributions
 * @param model from one value an input to the outputs; the object that it is given is reused from
 * sample to sample
 * @returns for each output its median, 5% and 95% quantiles, mean, and which inputs matter most
 * @throws UserError when an input cannot be sampled or an output is not a number
 */
export function propagate<
  Inputs extends Readonly<Record<string, Distribution>>,
  Output extends string,
>(
  inputs: Inputs,
  model: (values: { readonly [Name in keyof Inputs]: number }) => Readonly<Record<Output, number>>,
  options: SamplingOptions = {},
): Record<Output, Outcome> {
  const { columns, slices } = sampleWithSlices(inputs, options);
  const names = Object.keys(inputs);
  const n = options.samples ?? DEFAULT_SAMPLES;
  const values: Record<string, number> = {};
  const outputs = new Map<Output, Float64Array>();
  for (let i = 0; i < n; i++) {
    for (const name of names) values[name] = columns[name][i];
    const result = model(values as { [Name in keyof Inputs]: number });
    for (const output in result) {
      const value: number = result[output];
      if (Number.isNaN(value)) {
        throw new UserError(
          'data',
          `${output} is not a number at ${JSON.stringify(values)}; narrow the inputs`,
          output,
        );
      }
      let column = outputs.get(output);
      if (column === undefined) {
        column = new Float64Array(n);
        outputs.set(output, column);
      }
      column[i] = value;
    }
  }
  const outcomes = {} as Record<Output, Outcome>;
  for (const [output, samples] of outputs) {
    const sorted = Float64Array.from(samples).sort();
    const ranks = ranksOf(samples, sorted);
    const sensitivity = [...slices]
      .map(([input, slice]) => ({
        input,
        share: explainedShare(slice, ranks),
        rank: rankCorrelation(slice, ranks),
      }))
      .sort((a, b) => b.share - a.share || Math.abs(b.rank) - Math.abs(a.rank));
    const mean = samples.reduce((sum, x) => sum + x, 0) / n;
    outcomes[output] = { ...quantityOfSorted(sorted), mean, sensitivity, samples };
  }
  return outcomes;
}
