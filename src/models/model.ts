/**
 * @file What a model is to trainers and samplers: parameters, a forward pass, and a cache.
 *
 * A batch is packed: the tokens of all sequences lie one after the other and `segments` says where each begins, so no
 * padding is ever computed. The same forward pass serves training (no cache), prefill (packed, keys and values also go to the
 * cache) and decoding (one token a sequence, against the cache).
 */
import type { CachedAttentionTables, Tensor } from '../tensor/backend.js';
import type { Tape, Variable } from '../tensor/tape.js';
import type { ModelConfig } from './config.js';
import type { ParameterStore } from './parameters.js';

/** Keys and values of past tokens, a pair of matrices a layer, preallocated and written in place. */
export interface KvCache {
  /** Rows in every layer's matrices. */
  rows: number;
  /** f32 [rows, kvHeads·headDim], one a layer. */
  keys: Tensor[];
  values: Tensor[];
  /** Bytes a token takes over all layers. */
  bytesPerToken: number;
}

export interface ForwardInput {
  /** i32 [N]. */
  ids: Tensor;
  /** i32 [N]: position of each token in its sequence. */
  positions: Tensor;
  /** i32 [S + 1] when the batch is packed whole sequences; leave out when decoding. */
  segments?: Tensor;
  /** Where to put this batch's keys and values: row numbers i32 [N] of the cache. */
  cacheRows?: Tensor;
  cache?: KvCache;
  /** Given when decoding: one token a sequence, attending to the cache. */
  tables?: CachedAttentionTables;
}

export interface Model {
  readonly config: ModelConfig;
  readonly store: ParameterStore;
  /** Hidden states after the last norm, [N, width]; multiply by `head` for logits. */
  forward(tape: Tape, input: ForwardInput): Variable;
  /** Output projection [vocabulary, width]; the embedding itself when tied. */
  readonly head: Variable;
  createCache(rows: number): KvCache;
}
