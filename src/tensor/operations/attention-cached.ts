/**
 * @file Attention of one new token a sequence against cached keys and values: the inner step of
 * sampling.
 *
 * A sequence's past lies in two runs of rows of one cache: a prefix, which the samples of a group
 * share (their prompt), and its own continuation. There is no derivative; training recomputes with
 * `attention`.
 */
import type { AttentionOptions } from '../backend.js';
import { at, dot, logSumExp, type Matrix, put } from './reference-kernel.js';

export interface CachedTables {
  prefixStart: Int32Array;
  prefixLength: Int32Array;
  ownStart: Int32Array;
  ownLength: Int32Array;
}

export function attentionCachedReference(
  out: Matrix,
  q: Matrix,
  keys: Matrix,
  values: Matrix,
  tables: CachedTables,
  options: AttentionOptions,
): void {
  const { heads, kvHeads, scale } = options;
  const dk = q.columns / heads;
  const dv = values.columns / kvHeads;
  for (let b = 0; b < q.rows; b++) {
    const past: number[] = [];
    for (let i = 0; i < tables.prefixLength[b]; i++) past.push(tables.prefixStart[b] + i);
    for (let i = 0; i < tables.ownLength[b]; i++) past.push(tables.ownStart[b] + i);
    for (let h = 0; h < heads; h++) {
      const kvHead = Math.floor((h * kvHeads) / heads);
      const scores = past.map((row) => scale * dot(q, b, h * dk, keys, row, kvHead * dk, dk));
      const lse = logSumExp(scores);
      for (let d = 0; d < dv; d++) {
        let sum = 0;
        past.forEach((row, j) => {
          sum += Math.exp(scores[j] - lse) * at(values, row, kvHead * dv + d);
        });
        put(out, b, h * dv + d, sum);
      }
    }
  }
}
