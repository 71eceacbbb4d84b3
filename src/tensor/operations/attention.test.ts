/** @file Attention against what one can know without computing it, and cached against packed. */
import { expect, it } from 'vitest';
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

it('weighs the past by softmax, sees no future and no other sequence', async () => {
  const backend = createReferenceBackend();
  // Two sequences of 2 and 1 rows. Scores of row 1: 0 and log 3, so its weights are ¼ and ¾.
  const q = tensor(backend, [3, 1], [5, 1, 7]);
  const k = tensor(backend, [3, 1], [0, Math.log(3), 9]);
  const v = tensor(backend, [3, 2], [4, 0, 8, 20, 100, 200]);
  const [out, logSumExp] = [backend.allocate('f32', [3, 2]), backend.allocate('f32', [3, 1])];
  const segments = tensor(backend, [3], [0, 2, 3], 'i32');
  backend.attention({ out, logSumExp, q, k, v, segments, heads: 1, kvHeads: 1, scale: 1 });
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
      ...options,
    });
    const packed = (await backend.read(out)).slice(-4 * dv);
    const found = (await backend.read(cached)).slice(b * 4 * dv, (b + 1) * 4 * dv);
    packed.forEach((value, i) => {
      expect(found[i]).toBeCloseTo(value, 12);
    });
  }
});
