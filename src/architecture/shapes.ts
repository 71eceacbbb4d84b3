/**
 * @file Shapes that follow from an architecture: widths of attention and of a token in the
 * cache of keys and values.
 */
import type { Architecture } from './architecture.js';

/** Width of all query heads together, of one token's keys, and of its values, in elements. */
export function attentionWidths({ attention }: Architecture): {
  query: number;
  key: number;
  value: number;
  output: number;
} {
  if (attention.kind === 'gqa') {
    const { heads, kvHeads, headDim } = attention;
    return {
      query: heads * headDim,
      key: kvHeads * headDim,
      value: kvHeads * headDim,
      output: heads * headDim,
    };
  }
  if (attention.kind === 'compressed') {
    const { heads, headDim } = attention;
    return { query: heads * headDim, key: headDim, value: 0, output: heads * headDim };
  }
  const { heads, qkNopeHeadDim, qkRopeHeadDim, vHeadDim } = attention;
  const query = heads * (qkNopeHeadDim + qkRopeHeadDim);
  return { query, key: query, value: heads * vHeadDim, output: heads * vHeadDim };
}

/**
 * Numbers that an entry takes in the cache of one layer: keys and values of each head, one latent
 * and one rotated key (DeepSeek-V2, arXiv:2405.04434, section 2.1.2), or one key that is the value
 * too (DeepSeek-V4).
 */
export function cacheWidth({ attention }: Architecture): number {
  switch (attention.kind) {
    case 'gqa':
      return 2 * attention.kvHeads * attention.headDim;
    case 'mla':
      return attention.kvLoraRank + attention.qkRopeHeadDim;
    case 'compressed':
      return attention.headDim;
  }
}
