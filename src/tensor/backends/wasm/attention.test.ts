import { describe, expect, it } from 'vitest';
import { Random } from '../../../base/random.js';
import {
  ATTENTION_SCRATCH_BYTES,
  type AttentionBackwardArguments,
  type AttentionContext,
  attentionBackward,
  attentionCached,
  attentionForward,
  type Strided,
} from './attention.js';
import { hasRelaxedSimd } from './features.js';
import { createGemm, GEMM_SCRATCH_BYTES, planGemm } from './gemm.js';
import type { KernelExports } from './kernels.js';
import { type Build, loadKernels } from './load.js';
import type { Products } from './product-choice.js';

const MB = 2 ** 20;
const memory = new WebAssembly.Memory({ initial: 160, maximum: 160, shared: true });
const floats = new Float32Array(memory.buffer);
const ints = new Int32Array(memory.buffer);
/** Tensors lie below, in floats from `START` to `END`. */
const [START, END] = [MB / 4, MB];
const SCRATCH = 4 * MB;

async function open(
  build: Build,
  products: Products,
  scratchBytes = ATTENTION_SCRATCH_BYTES,
): Promise<AttentionContext> {
  const { module, relaxed } = loadKernels(build);
  const { exports } = new WebAssembly.Instance(module, { env: { memory, abort: () => {} } });
  const choice = await planGemm({ module, relaxed }, products);
  const scratch = SCRATCH + GEMM_SCRATCH_BYTES;
  const gemm = await createGemm({
    exports,
    memory,
    scratch: SCRATCH,
    scratchBytes: GEMM_SCRATCH_BYTES,
    products,
    relaxed,
    choice,
  });
  const kernels = { ...exports, ...gemm.exports } as unknown as KernelExports;
  return { kernels, memory, gemm, scratch, scratchBytes };
}

const variants: [string, AttentionContext][] = [
  ['plain', await open('plain', 'wasm')],
  // So little scratch that all but the shortest sequences go in blocks of queries.
  ['plain, in blocks', await open('plain', 'wasm', 6000)],
  ['portable', await open('auto', 'portable')],
  ['native', await open('auto', 'auto')],
];
if (hasRelaxedSimd()) variants.push(['relaxed', await open('relaxed', 'wasm')]);

/**
 * Places matrices one after another, with a row stride that is `gap` longer than needed; 7s mark
 * what nobody may touch.
 */
class Arena {
  private top = START;
  constructor(
    private readonly random: Random,
    private readonly gap: number,
  ) {
    floats.fill(7, START, END);
  }

  matrix(rows: number, columns: number, fill: 'random' | 'nan' = 'random'): Strided {
    const stride = columns + this.gap;
    const start = this.top;
    this.top += rows * stride + 5;
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++)
        floats[start + i * stride + j] = fill === 'nan' ? Number.NaN : this.random.normal();
    }
    return { address: 4 * start, stride };
  }

  /** Contiguous. */
  vector(n: number): number {
    const start = this.top;
    this.top += n + 5;
    floats.fill(Number.NaN, start, start + n);
    return 4 * start;
  }

  integers(values: number[]): number {
    const start = this.top;
    this.top += values.length + 5;
    ints.set(values, start);
    return 4 * start;
  }
}

const element = (x: Strided, row: number, column: number): number =>
  floats[x.address / 4 + row * x.stride + column];

interface Shape {
  lengths: number[];
  /** The segment that each goes on from, or -1; left out: none does. */
  prefixes?: number[];
  heads: number;
  kvHeads: number;
  keyDim: number;
  valueDim: number;
  gap: number;
}

interface Naive {
  out: Float64Array;
  lse: Float64Array;
  dq: Float64Array;
  dk: Float64Array;
  dv: Float64Array;
}

/** Attention and its derivative as the formulas say, in float64. */
function naive(shape: Shape, p: AttentionBackwardArguments): Naive {
  const { heads, kvHeads, keyDim, valueDim, lengths } = shape;
  const rows = lengths.reduce((a, b) => a + b, 0);
  const result: Naive = {
    out: new Float64Array(rows * heads * valueDim),
    lse: new Float64Array(rows * heads),
    dq: new Float64Array(rows * heads * keyDim),
    dk: new Float64Array(rows * kvHeads * keyDim),
    dv: new Float64Array(rows * kvHeads * valueDim),
  };
  const starts = startsOf(lengths);
  for (const [s, length] of lengths.entries()) {
    const first = starts[s];
    const prefix = shape.prefixes?.[s] ?? -1;
    const past =
      prefix < 0 ? [] : Array.from({ length: lengths[prefix] }, (_, i) => starts[prefix] + i);
    for (let h = 0; h < heads; h++) {
      const g = Math.floor(h / (heads / kvHeads));
      for (let t = first; t < first + length; t++) {
        const seen = [...past];
        for (let j = first; j <= t; j++) seen.push(j);
        const scores = seen.map((j) => {
          let sum = 0;
          for (let i = 0; i < keyDim; i++)
            sum += element(p.q, t, h * keyDim + i) * element(p.k, j, g * keyDim + i);
          return sum * p.scale;
        });
        const most = Math.max(...scores);
        const lse = most + Math.log(scores.reduce((a, s) => a + Math.exp(s - most), 0));
        result.lse[t * heads + h] = lse;
        const probabilities = scores.map((s) => Math.exp(s - lse));
        const dp = probabilities.map((_, j) => {
          let sum = 0;
          for (let i = 0; i < valueDim; i++)
            sum += element(p.dOut, t, h * valueDim + i) * element(p.v, seen[j], g * valueDim + i);
          return sum;
        });
        const delta = probabilities.reduce((a, x, j) => a + x * dp[j], 0);
        probabilities.forEach((x, j) => {
          const key = seen[j];
          for (let i = 0; i < valueDim; i++) {
            result.out[(t * heads + h) * valueDim + i] += x * element(p.v, key, g * valueDim + i);
            result.dv[(key * kvHeads + g) * valueDim + i] +=
              x * element(p.dOut, t, h * valueDim + i);
          }
          const ds = x * (dp[j] - delta) * p.scale;
          for (let i = 0; i < keyDim; i++) {
            result.dq[(t * heads + h) * keyDim + i] += ds * element(p.k, key, g * keyDim + i);
            result.dk[(key * kvHeads + g) * keyDim + i] += ds * element(p.q, t, h * keyDim + i);
          }
        });
      }
    }
  }
  return result;
}

const startsOf = (lengths: readonly number[]): number[] =>
  lengths.map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0));

function expectClose(
  name: string,
  x: Strided,
  columns: number,
  wanted: Float64Array,
  before?: number[],
): void {
  let largest = 1e-3;
  for (const value of wanted) largest = Math.max(largest, Math.abs(value));
  for (let i = 0; i < wanted.length; i++) {
    const got = element(x, Math.floor(i / columns), i % columns) - (before?.[i] ?? 0);
    if (!(Math.abs(got - wanted[i]) < 2e-5 * largest + 1e-6))
      expect.fail(`${name}[${i}] is ${got}, not ${wanted[i]}`);
  }
}

const snapshot = (x: Strided, rows: number, columns: number): number[] =>
  Array.from({ length: rows * columns }, (_, i) =>
    element(x, Math.floor(i / columns), i % columns),
  );

function checkBoth(
  context: AttentionContext,
  shape: Shape,
  accumulate: { q: boolean; k: boolean; v: boolean },
): void {
  const { heads, kvHeads, keyDim, valueDim, lengths, prefixes, gap } = shape;
  const arena = new Arena(new Random('attention', lengths.length, keyDim), gap);
  const rows = lengths.reduce((a, b) => a + b, 0);
  const p: AttentionBackwardArguments = {
    heads,
    kvHeads,
    keyDim,
    valueDim,
    scale: 1 / Math.sqrt(keyDim),
    q: arena.matrix(rows, heads * keyDim),
    k: arena.matrix(rows, kvHeads * keyDim),
    v: arena.matrix(rows, kvHeads * valueDim),
    dOut: arena.matrix(rows, heads * valueDim),
    out: arena.matrix(rows, heads * valueDim, 'nan'),
    logSumExp: arena.vector(rows * heads),
    dq: arena.matrix(rows, heads * keyDim, accumulate.q ? 'random' : 'nan'),
    dk: arena.matrix(rows, kvHeads * keyDim, accumulate.k ? 'random' : 'nan'),
    dv: arena.matrix(rows, kvHeads * valueDim, accumulate.v ? 'random' : 'nan'),
    segments: arena.integers([...startsOf(lengths), rows]),
    prefixes: prefixes ? arena.integers(prefixes) : 0,
    sequences: lengths.length,
    accumulate,
  };
  const wanted = naive(shape, p);
  const before = {
    q: accumulate.q ? snapshot(p.dq, rows, heads * keyDim) : undefined,
    k: accumulate.k ? snapshot(p.dk, rows, kvHeads * keyDim) : undefined,
    v: accumulate.v ? snapshot(p.dv, rows, kvHeads * valueDim) : undefined,
  };
  const untouched = floats.slice(START, END);
  attentionForward(context, p);
  expectClose('out', p.out, heads * valueDim, wanted.out);
  expectClose('logSumExp', { address: p.logSumExp, stride: heads }, heads, wanted.lse);
  attentionBackward(context, p);
  expectClose('dq', p.dq, heads * keyDim, wanted.dq, before.q);
  expectClose('dk', p.dk, kvHeads * keyDim, wanted.dk, before.k);
  expectClose('dv', p.dv, kvHeads * valueDim, wanted.dv, before.v);
  // The gaps between rows and between tensors still hold their 7s.
  const after = floats.subarray(START, END);
  let written = 0;
  for (let i = 0; i < untouched.length; i++) if (untouched[i] === 7 && after[i] !== 7) written++;
  expect(written).toBe(0);
}

describe.each(variants)('attention, %s', (_name, context) => {
  it.each<Shape>([
    { lengths: [1], heads: 1, kvHeads: 1, keyDim: 1, valueDim: 1, gap: 0 },
    { lengths: [5, 1, 0, 13, 8], heads: 3, kvHeads: 3, keyDim: 8, valueDim: 8, gap: 0 },
    { lengths: [], heads: 2, kvHeads: 1, keyDim: 8, valueDim: 8, gap: 0 },
    { lengths: [0, 0], heads: 2, kvHeads: 1, keyDim: 8, valueDim: 8, gap: 0 },
    { lengths: [7, 22, 31], heads: 4, kvHeads: 2, keyDim: 24, valueDim: 24, gap: 3 },
    { lengths: [64, 47, 48, 49], heads: 3, kvHeads: 1, keyDim: 12, valueDim: 20, gap: 1 },
    { lengths: [17, 100], heads: 2, kvHeads: 2, keyDim: 5, valueDim: 3, gap: 2 },
    { lengths: [5, 270], heads: 2, kvHeads: 1, keyDim: 16, valueDim: 32, gap: 4 },
    {
      lengths: [9, 3, 1, 0, 16, 30, 7, 1],
      prefixes: [-1, 0, 0, 0, 0, -1, 5, 5],
      ...{ heads: 4, kvHeads: 2, keyDim: 24, valueDim: 16, gap: 3 },
    },
    {
      lengths: [64, 13, 20, 0, 12, 5],
      prefixes: [-1, 0, -1, -1, 3, 2],
      ...{ heads: 3, kvHeads: 1, keyDim: 10, valueDim: 13, gap: 0 },
    },
    {
      lengths: [51, 100, 49, 8],
      prefixes: [-1, 0, 0, 0],
      ...{ heads: 2, kvHeads: 2, keyDim: 16, valueDim: 16, gap: 1 },
    },
  ])(
    'agrees with float64, forward and backward: $lengths tokens after $prefixes, $heads/$kvHeads heads, $keyDim/$valueDim',
    (shape) => {
      checkBoth(context, shape, { q: false, k: false, v: false });
      checkBoth(context, shape, { q: true, k: true, v: true });
      checkBoth(context, shape, { q: false, k: true, v: false });
    },
  );

  it('survives scores far outside the range of exp', () => {
    const arena = new Arena(new Random(5), 0);
    const [q, k, v] = [arena.matrix(3, 4), arena.matrix(3, 4), arena.matrix(3, 4)];
    for (let i = 0; i < 12; i++) floats[q.address / 4 + i] = 100;
    for (let i = 0; i < 12; i++) floats[k.address / 4 + i] = [30, -30, 60][Math.floor(i / 4)];
    const out = arena.matrix(3, 4, 'nan');
    const logSumExp = arena.vector(3);
    const segments = arena.integers([0, 3]);
    attentionForward(context, {
      q,
      k,
      v,
      out,
      logSumExp,
      segments,
      prefixes: 0,
      sequences: 1,
      heads: 1,
      kvHeads: 1,
      keyDim: 4,
      valueDim: 4,
      scale: 1,
    });
    expect(floats.slice(out.address / 4, out.address / 4 + 12)).toEqual(
      Float32Array.from([0, 0, 2].flatMap((row) => [0, 1, 2, 3].map((i) => element(v, row, i)))),
    );
    expect([...floats.subarray(logSumExp / 4, logSumExp / 4 + 3)]).toEqual([12000, 12000, 24000]);
  });

  it.each([
    { heads: 3, kvHeads: 3, keyDim: 32, valueDim: 32, gap: 0 },
    { heads: 4, kvHeads: 2, keyDim: 24, valueDim: 24, gap: 3 },
    { heads: 4, kvHeads: 1, keyDim: 10, valueDim: 45, gap: 1 },
    { heads: 5, kvHeads: 1, keyDim: 64, valueDim: 7, gap: 0 },
  ])(
    'agrees with float64 against a cache: $heads/$kvHeads heads, $keyDim/$valueDim',
    ({ heads, kvHeads, keyDim, valueDim, gap }) => {
      const random = new Random(7, keyDim);
      const arena = new Arena(random, gap);
      const prefixes = [3, 0, 17, 3, 8, 0];
      const owns = [1, 5, 40, 2, 0, 0];
      const prefixStart = prefixes.map(() => random.integer(0, 20));
      const ownStart = owns.map((_, i) => 40 + 50 * i);
      const keys = arena.matrix(400, kvHeads * keyDim);
      const values = arena.matrix(400, kvHeads * valueDim);
      const q = arena.matrix(6, heads * keyDim);
      const out = arena.matrix(6, heads * valueDim, 'nan');
      const scale = 0.3;
      const p = { heads, kvHeads, keyDim, valueDim, scale, q, out, keys, values, batch: 6 };
      const tables = {
        prefixStart: arena.integers(prefixStart),
        prefixLength: arena.integers(prefixes),
        ownStart: arena.integers(ownStart),
        ownLength: arena.integers(owns),
      };
      attentionCached(context, { ...p, ...tables });
      const wanted = new Float64Array(6 * heads * valueDim);
      for (let b = 0; b < 6; b++) {
        const rows = [
          ...Array.from({ length: prefixes[b] }, (_, i) => prefixStart[b] + i),
          ...Array.from({ length: owns[b] }, (_, i) => ownStart[b] + i),
        ];
        for (let h = 0; h < heads; h++) {
          const g = Math.floor(h / (heads / kvHeads));
          const weights = rows.map((row) => {
            let sum = 0;
            for (let i = 0; i < keyDim; i++)
              sum += element(q, b, h * keyDim + i) * element(keys, row, g * keyDim + i);
            return Math.exp(sum * scale);
          });
          const total = weights.reduce((x, y) => x + y, 0);
          rows.forEach((row, j) => {
            for (let i = 0; i < valueDim; i++)
              wanted[(b * heads + h) * valueDim + i] +=
                (weights[j] / total) * element(values, row, g * valueDim + i);
          });
        }
      }
      expectClose('out', out, heads * valueDim, wanted);
    },
  );
});
