/**
 * @file Model FLOPs by formula: what the arithmetic of the model itself takes, whatever a program
 * spends on it.
 *
 * Definition used everywhere in this project unless a name says otherwise:
 *
 * - A multiplication and the addition that follows are 2 FLOPs.
 * - Matrix products count: the projections of each layer and the head (also where the head shares
 *   the embedding's weights). The embedding itself is a look-up and counts nothing. Norms,
 *   activations, rotary embedding and softmax count nothing. Forward, per token: 2 × (parameters in
 *   matrix products). Kaplan et al. 2020 (arXiv:2001.08361), §2.1 and table 1, who leave the head
 *   out; with it, Chowdhery et al. 2022 (arXiv:2204.02311), appendix B.
 * - Attention is causal: the token at position p (from 0) has p + 1 keys. Scores and weighted
 *   values take 2 × 2 × layers × heads × head_dim FLOPs a key, forward. Chowdhery et al. count all
 *   keys of the sequence, causal or not;
 *   `attention: 'full'` gives their number.
 * - A mixture of experts counts what a token is sent to. Latent attention counts its training form,
 *   keys and values expanded, also where a program decodes on the latents; a prediction module
 *   (MTP) counts where it is said to be trained.
 * - Training is three times forward: the derivative has two products for each one. Recomputation is
 *   not counted; with these FLOPs, achieved ÷ peak is MFU (Chowdhery et al. 2022, §4.1), not HFU.
 */

import { type DeepseekCounts, type DeepseekShape, deepseekCounts } from './deepseek.js';

/** The fields of a Hugging Face `config.json` that the formulas need. */
export interface DecoderShape {
  hidden_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  /** Default: num_attention_heads. */
  num_key_value_heads?: number;
  /** Default: hidden_size / num_attention_heads. */
  head_dim?: number;
  intermediate_size: number;
  vocab_size: number;
  tie_word_embeddings?: boolean;
  /**
   * Biases on the query, key, value and output projections (on the first three only with model_type
   * `qwen2`).
   */
  attention_bias?: boolean;
  /**
   * `qwen3` has a norm of head_dim on queries and on keys; `qwen2` has biases on queries, keys and
   * values.
   */
  model_type?: string;
  /** Multi-token prediction modules of `deepseek_v3`, whose other fields are in `DeepseekShape`. */
  num_nextn_predict_layers?: number | null;
}

const deepseekOf = (shape: DecoderShape): DeepseekCounts | null =>
  shape.model_type === 'deepseek_v3' ? deepseekCounts(shape as DecoderShape & DeepseekShape) : null;

export interface ParameterCounts {
  total: number;
  /** Without the token embedding and without an untied head (Kaplan et al.: "non-embedding"). */
  nonEmbedding: number;
  /**
   * Parameters that take part in a matrix product for every token: projections and head; of experts
   * those that it is sent to.
   */
  matmul: number;
  /**
   * Parameters that a token uses: embedding and head, and of experts those that it is sent to;
   * without a prediction module.
   */
  active: number;
  /** The multi-token prediction module's; part of `total`. */
  mtp: number;
}

const headDim = (shape: DecoderShape): number =>
  shape.head_dim ?? shape.hidden_size / shape.num_attention_heads;

/** Parameters of a Llama-, Qwen- or DeepSeek-V3-style decoder. */
export function countParameters(shape: DecoderShape): ParameterCounts {
  const width = shape.hidden_size;
  const deepseek = deepseekOf(shape);
  if (deepseek) {
    const embedding = shape.vocab_size * width;
    const embeddings = embedding * (shape.tie_word_embeddings ? 1 : 2);
    return {
      total: deepseek.layers + deepseek.mtp + embeddings,
      nonEmbedding: deepseek.layers + deepseek.mtp,
      matmul: deepseek.activeMatrices + embedding,
      active: deepseek.active + embeddings,
      mtp: deepseek.mtp,
    };
  }
  const queries = shape.num_attention_heads * headDim(shape);
  const keys = (shape.num_key_value_heads ?? shape.num_attention_heads) * headDim(shape);
  const matrices = width * queries * 2 + width * keys * 2 + width * shape.intermediate_size * 3;
  let vectors = 2 * width;
  if (shape.model_type === 'qwen3') vectors += 2 * headDim(shape);
  if (shape.model_type === 'qwen2') vectors += queries + 2 * keys;
  else if (shape.attention_bias) vectors += queries + 2 * keys + width;
  const embedding = shape.vocab_size * width;
  const nonEmbedding = shape.num_hidden_layers * (matrices + vectors) + width;
  const total = nonEmbedding + embedding * (shape.tie_word_embeddings ? 1 : 2);
  return {
    total,
    nonEmbedding,
    matmul: shape.num_hidden_layers * matrices + embedding,
    active: total,
    mtp: 0,
  };
}

export interface SequencePart {
  /** Tokens that are computed. */
  tokens: number;
  /** Tokens before them whose keys are there already (a cache). Default 0. */
  past?: number;
  /** Tokens for which logits are computed. Default: all. */
  headTokens?: number;
  /** Default `causal`. */
  attention?: 'causal' | 'full';
  /**
   * Tokens for which a prediction module (MTP) also gives logits; it is computed for all. Default:
   * no module.
   */
  furtherTokens?: number;
}

/** FLOPs of a forward pass over (a part of) one sequence. Sum it over the sequences of a batch. */
export function forwardFlops(shape: DecoderShape, part: SequencePart): number {
  const { tokens, headTokens = tokens } = part;
  const head = shape.vocab_size * shape.hidden_size;
  const layers = countParameters(shape).matmul - head;
  const { furtherTokens } = part;
  const further =
    furtherTokens === undefined
      ? 0
      : tokens * (deepseekOf(shape)?.mtpActiveMatrices ?? 0) + furtherTokens * head;
  return 2 * (tokens * layers + headTokens * head + further) + attentionFlops(shape, part);
}

/** Of them, scores and weighted values. */
function attentionFlops(shape: DecoderShape, part: SequencePart): number {
  const { tokens, past = 0, attention = 'causal' } = part;
  const further = part.furtherTokens !== undefined;
  // Sum over positions past … past + tokens − 1 of (position + 1).
  const keys =
    attention === 'causal' ? tokens * past + (tokens * (tokens + 1)) / 2 : tokens * (past + tokens);
  const deepseek = deepseekOf(shape);
  const perKey = deepseek
    ? 2 * deepseek.perKey
    : 4 * shape.num_hidden_layers * shape.num_attention_heads * headDim(shape);
  return (perKey + (further && deepseek ? 2 * deepseek.mtpPerKey : 0)) * keys;
}

/**
 * FLOPs of a forward and backward pass over one sequence: three times forward.
 * @param adapterParameters where they alone are trained: frozen matrices then have no derivative of
 * their own, so each is multiplied by
 *   twice (4 FLOPs a parameter and token instead of 6)
 */
export function trainingFlops(
  shape: DecoderShape,
  part: SequencePart,
  adapterParameters?: number,
): number {
  if (adapterParameters === undefined) return 3 * forwardFlops(shape, part);
  return (
    2 * forwardFlops(shape, part) +
    attentionFlops(shape, part) +
    6 * adapterParameters * part.tokens
  );
}

/** Forward FLOPs per token, averaged over a sequence of `context` tokens. */
export function forwardFlopsPerToken(
  shape: DecoderShape,
  context: number,
  attention: 'causal' | 'full' = 'causal',
): number {
  return forwardFlops(shape, { tokens: context, attention }) / context;
}

/**
 * Model FLOPs utilisation: achieved model FLOP/s ÷ peak FLOP/s of the machine in the precision
 * used.
 */
export function mfu(modelFlops: number, seconds: number, peakFlopsPerSecond: number): number {
  return modelFlops / seconds / peakFlopsPerSecond;
}
