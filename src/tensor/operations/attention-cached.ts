/**
 * @file Attention of one new token a sequence against cached keys and values: the inner step of
 * sampling.
 *
 * A sequence's past lies in two runs of rows of one cache: a prefix, which the samples of a group
 * share (their prompt), and its own continuation. There is no derivative; training recomputes with
 * `attention`.
 */
import { type ArgumentsOf, count, declare, i32, real, strided } from './declare.js';
import { at, dot, logSumExp, put } from './reference-kernel.js';

export const attentionCachedOperations = {
  /**
   * Sequence b attends to rows prefixStart[b] … + prefixLength[b] and ownStart[b] … + ownLength[b],
   * the current token included. Latent attention's values are the first columns of its keys.
   */
  attentionCached: declare({
    args: {
      out: strided('B', 'heads*dv'),
      q: strided('B', 'heads*dk'),
      keys: strided('R', 'kvHeads*dk'),
      values: strided('R', 'kvHeads*dv'),
      prefixStart: i32('B'),
      prefixLength: i32('B'),
      ownStart: i32('B'),
      ownLength: i32('B'),
      heads: count(),
      kvHeads: count(),
      scale: real(),
    },
    where: ['heads = kvHeads*share'],
    reference(t, { B, heads, kvHeads, dk, dv, scale }) {
      const { out, q, keys, values, prefixStart, prefixLength, ownStart, ownLength } = t;
      for (let b = 0; b < B; b++) {
        const past: number[] = [];
        for (let i = 0; i < prefixLength[b]; i++) past.push(prefixStart[b] + i);
        for (let i = 0; i < ownLength[b]; i++) past.push(ownStart[b] + i);
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
    },
  }),
};

/**
 * Where each active sequence's past keys and values lie, i32 [B] each: first rows and lengths of a
 * shared prefix (its prompt) and of its own continuation.
 */
export type CachedAttentionTables = Pick<
  ArgumentsOf<typeof attentionCachedOperations.attentionCached>,
  'prefixStart' | 'prefixLength' | 'ownStart' | 'ownLength'
>;

declare module '../backend.js' {
  interface Operations {
    attentionCached: typeof attentionCachedOperations.attentionCached;
  }
}
