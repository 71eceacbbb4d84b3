/** @file Attention against what one can know without computing it, and cached against packed. */
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import type { Backend, Tensor } from '../backend.js';
import { createReferenceBackend } from '../backends/reference.js';

function tensor(
  backend: Backend,
  shape: number[],
  values: ArrayLike<number>,
  dtype: 'f32' | 'i32' = 'f32',
): Tensor {
  const made = backend.allocate(dtype, shape);
  backend.write(made, Array.from(values));
  return made;
}

/** No sequence goes on from another. */
const alone = { prefixes: null };

it('weighs the past by softmax, sees no future and no other sequence', async () => {
  const backend = createReferenceBackend();
  // Two sequences of 2 and 1 rows. Scores of row 1: 0 and log 3, so its weights are ¼ and ¾.
  const q = tensor(backend, [3, 1], [5, 1, 7]);
  const k = tensor(backend, [3, 1], [0, Math.log(3), 9]);
  const v = tensor(backend, [3, 2], [4, 0, 8, 20, 100, 200]);
  const [out, logSumExp] = [backend.allocate('f32', [3, 2]), backend.allocate('f32', [3, 1])];
  const segments = tensor(backend, [3], [0, 2, 3], 'i32');
  backend.attention({
    out,
    logSumExp,
    q,
    k,
    v,
    segments,
    ...alone,
    heads: 1,
    kvHeads: 1,
    scale: 1,
  });
  const expected = [4, 0, 7, 15, 100, 200];
  (await backend.read(out)).forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i], 12);
  });
  expect((await backend.read(logSumExp))[1]).toBeCloseTo(Math.log(4), 12);
});

it('gives consecutive query heads the same key-value head', async () => {
  const backend = createReferenceBackend();
  // One row: attention returns the value of the head's own key-value head.
  const q = tensor(backend, [1, 4], [1, 2, 3, 4]);
  const k = tensor(backend, [1, 2], [1, 1]);
  const v = tensor(backend, [1, 2], [10, 20]);
  const [out, logSumExp] = [backend.allocate('f32', [1, 4]), backend.allocate('f32', [1, 4])];
  backend.attention({
    out,
    logSumExp,
    q,
    k,
    v,
    segments: tensor(backend, [2], [0, 1], 'i32'),
    ...alone,
    heads: 4,
    kvHeads: 2,
    scale: 1,
  });
  expect([...(await backend.read(out))]).toEqual([10, 10, 20, 20]);
});

it('cached attention of the last token equals packed attention, with a shared prefix', async () => {
  const backend = createReferenceBackend();
  const random = new Random('cached equals packed');
  const options = { heads: 4, kvHeads: 2, scale: 0.4 };
  const [dk, dv, prefix, own] = [6, 5, 3, [2, 4]];
  const numbers = (count: number): number[] => Array.from({ length: count }, () => random.normal());
  // The cache: 3 rows of prefix, then 4 rows for each of two sequences.
  const [cacheK, cacheV] = [numbers(11 * 2 * dk), numbers(11 * 2 * dv)];
  const queries = own.map((length) => numbers((prefix + length) * 4 * dk));

  const lastQueries = queries.flatMap((q) => q.slice(-4 * dk));
  const cached = backend.allocate('f32', [2, 4 * dv]);
  backend.attentionCached({
    out: cached,
    q: tensor(backend, [2, 4 * dk], lastQueries),
    keys: tensor(backend, [11, 2 * dk], cacheK),
    values: tensor(backend, [11, 2 * dv], cacheV),
    prefixStart: tensor(backend, [2], [0, 0], 'i32'),
    prefixLength: tensor(backend, [2], [prefix, prefix], 'i32'),
    ownStart: tensor(backend, [2], [3, 7], 'i32'),
    ownLength: tensor(backend, [2], own, 'i32'),
    ...options,
  });

  const rowsOf = (cache: number[], width: number, b: number): number[] => [
    ...cache.slice(0, prefix * width),
    ...cache.slice((3 + 4 * b) * width, (3 + 4 * b + own[b]) * width),
  ];
  for (const b of [0, 1]) {
    const n = prefix + own[b];
    const [out, logSumExp] = [
      backend.allocate('f32', [n, 4 * dv]),
      backend.allocate('f32', [n, 4]),
    ];
    backend.attention({
      out,
      logSumExp,
      q: tensor(backend, [n, 4 * dk], queries[b]),
      k: tensor(backend, [n, 2 * dk], rowsOf(cacheK, 2 * dk, b)),
      v: tensor(backend, [n, 2 * dv], rowsOf(cacheV, 2 * dv, b)),
      segments: tensor(backend, [2], [0, n], 'i32'),
      ...alone,
      ...options,
    });
    const packed = (await backend.read(out)).slice(-4 * dv);
    const found = (await backend.read(cached)).slice(b * 4 * dv, (b + 1) * 4 * dv);
    packed.forEach((value, i) => {
      expect(found[i]).toBeCloseTo(value, 12);
    });
  }
});

describe('a prefix that sequences share', () => {
  const options = { heads: 2, kvHeads: 1, scale: 0.5 };
  const [dk, dv] = [3, 2];
  const random = new Random('shared prefixes');
  const numbers = (count: number): number[] => Array.from({ length: count }, () => random.normal());
  /** Two prompts of 3 and 2 rows; completions of 2, 0 and 1 rows of the first, 3 of the second. */
  const lengths = [3, 2, 0, 1, 2, 3];
  const prefixes = [-1, 0, 0, 0, -1, 4];
  const starts = lengths.map((_, s) => lengths.slice(0, s).reduce((a, b) => a + b, 0));
  const rows = 11;
  const widths = { q: 2 * dk, k: dk, v: dv, dOut: 2 * dv };
  const shared = Object.fromEntries(
    Object.entries(widths).map(([name, width]) => [name, numbers(rows * width)]),
  ) as Record<keyof typeof widths, number[]>;

  /** Both passes over rows of the shared batch. */
  async function run(
    of: readonly number[],
    ends: number[],
    names: number[] | null,
    dOut: number[],
  ) {
    const backend = createReferenceBackend();
    const pick = (name: keyof typeof widths) =>
      of.flatMap((row) => shared[name].slice(row * widths[name], (row + 1) * widths[name]));
    const given = {
      q: tensor(backend, [of.length, 2 * dk], pick('q')),
      k: tensor(backend, [of.length, dk], pick('k')),
      v: tensor(backend, [of.length, dv], pick('v')),
      segments: tensor(backend, [ends.length + 1], [0, ...ends], 'i32'),
      prefixes: names && tensor(backend, [ends.length], names, 'i32'),
      ...options,
    };
    const out = backend.allocate('f32', [of.length, 2 * dv]);
    const logSumExp = backend.allocate('f32', [of.length, 2]);
    backend.attention({ out, logSumExp, ...given });
    const d = {
      dq: backend.allocate('f32', [of.length, 2 * dk]),
      dk: backend.allocate('f32', [of.length, dk]),
      dv: backend.allocate('f32', [of.length, dv]),
    };
    const accumulate = { dq: false, dk: false, dv: false };
    const gradient = tensor(backend, [of.length, 2 * dv], dOut);
    backend.attentionBackward({ ...d, dOut: gradient, out, logSumExp, ...given, accumulate });
    const read = async (t: Tensor) => Array.from(await backend.read(t));
    return {
      out: await read(out),
      dq: await read(d.dq),
      dk: await read(d.dk),
      dv: await read(d.dv),
    };
  }

  it('gives each what it would see alone, and gets the sum of their gradients', async () => {
    const ends = lengths.map((length, s) => starts[s] + length);
    const all = Array.from({ length: rows }, (_, i) => i);
    const together = await run(all, ends, prefixes, shared.dOut);
    const total = { dk: new Array(rows * dk).fill(0), dv: new Array(rows * dv).fill(0) };
    for (const s of [1, 3, 5]) {
      const rowsOf = (t: number) => Array.from({ length: lengths[t] }, (_, i) => starts[t] + i);
      const past = rowsOf(prefixes[s]);
      const of = [...past, ...rowsOf(s)];
      // What the prompt's own rows give is counted with the first of its completions.
      const counts = (row: number) => !past.includes(row) || s !== 3;
      const dOut = of.flatMap((row) =>
        shared.dOut.slice(row * 2 * dv, (row + 1) * 2 * dv).map((x) => (counts(row) ? x : 0)),
      );
      const alone = await run(of, [of.length], null, dOut);
      of.forEach((row, i) => {
        const slice = (name: 'out' | 'dq' | 'dk' | 'dv', width: number) => [
          alone[name].slice(i * width, (i + 1) * width),
          together[name].slice(row * width, (row + 1) * width),
        ];
        const [out, sharedOut] = slice('out', 2 * dv);
        out.forEach((x, c) => {
          expect(sharedOut[c]).toBeCloseTo(x, 12);
        });
        if (!past.includes(row)) {
          const [dq, sharedDq] = slice('dq', 2 * dk);
          dq.forEach((x, c) => {
            expect(sharedDq[c]).toBeCloseTo(x, 12);
          });
        }
        for (let c = 0; c < dk; c++) total.dk[row * dk + c] += alone.dk[i * dk + c];
        for (let c = 0; c < dv; c++) total.dv[row * dv + c] += alone.dv[i * dv + c];
      });
    }
    together.dk.forEach((x, i) => {
      expect(x).toBeCloseTo(total.dk[i], 12);
    });
    together.dv.forEach((x, i) => {
      expect(x).toBeCloseTo(total.dv[i], 12);
    });
  });
});
