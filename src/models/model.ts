/**
 * @file What a model is to trainers and samplers: parameters, a forward pass, and a cache.
 *
 * A batch is packed: the tokens of all sequences lie one after the other and `segments` says where
 * each begins, so no padding is ever computed. The same forward pass serves training (no cache),
 * prefill (packed, keys and values also go to the cache) and decoding (one token a sequence,
 * against the cache).
 */
import type { Architecture } from '../architecture/index.js';
import type { Tensor } from '../tensor/backend.js';
import type { CachedAttentionTables } from '../tensor/operations/attention-cached.js';
import type { Tape, Variable } from '../tensor/tape.js';
import type { ModelConfig } from './config.js';
import type { ParameterStore } from './parameters.js';

/**
 * Keys and values of past tokens, a pair of matrices a layer, preallocated and written in place.
 * Latent attention's values are columns of its keys.
 */
export interface KvCache {
  /** Rows in every layer's matrices. */
  rows: number;
  /** f32 [rows, kvHeads·headDim], or [rows, latent + rope], one a layer. */
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
  /** i32 [S]: the segment that each goes on from, or -1; leave out where sequences share nothing. */
  prefixes?: Tensor;
  /** Where to put this batch's keys and values: row numbers i32 [N] of the cache. */
  cacheRows?: Tensor;
  cache?: KvCache;
  /** Given when decoding: one token a sequence, attending to the cache. */
  tables?: CachedAttentionTables;
  /**
   * Mixtures of experts: the sequence-wise balance loss, α times what a token counts, and where its
   * value is added, f32 [1].
   */
  balance?: { coefficient: number; loss: Tensor };
}

/** The mixtures of a model, for those who watch and balance their load. */
export interface ExpertBalance {
  /** Experts a layer, and how many of them a token uses. */
  readonly count: number;
  readonly topK: number;
  /** Names of the layers that have experts. */
  readonly layers: readonly string[];
  /** f32 [layers, count]: added to the scores when experts are chosen. */
  readonly biases: Tensor;
  /**
   * f32 [layers, count]: recorded passes add the number of times that each expert was chosen; null:
   * nobody counts.
   */
  load: Tensor | null;
}

/** Multi-token prediction: a module that looks one token further. */
export interface TokenPredictor {
  /**
   * @param hidden [N, width], what the model's `forward` gave for each token
   * @param nextIds i32 [N]: the token that follows each
   * @param input positions, and segments or a cache (of this module's own) as for the model's
   * `forward`
   * @returns [N, width]; multiply by the model's `head` for logits of the token after the next
   */
  forward(
    tape: Tape,
    hidden: Variable,
    nextIds: Tensor,
    input: Omit<ForwardInput, 'ids'>,
  ): Variable;
  createCache(rows: number): KvCache;
}

export interface Model {
  readonly config: ModelConfig;
  readonly architecture: Architecture;
  readonly store: ParameterStore;
  /** Hidden states after the last norm, [N, width]; multiply by `head` for logits. */
  forward(tape: Tape, input: ForwardInput): Variable;
  /** Output projection [vocabulary, width]; the embedding itself when tied. */
  readonly head: Variable;
  createCache(rows: number): KvCache;
  readonly experts?: ExpertBalance;
  readonly predictor?: TokenPredictor;
}
