/**
 * @file The sizes of a DeepSeek-V3 by formula: its parameters, and those that a token is multiplied
 * by (arXiv:2412.19437, sections 2.1 and 2.2).
 */

/** The fields of a `config.json` with model_type `deepseek_v3` that the formulas need. */
export interface DeepseekShape {
  hidden_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  intermediate_size: number;
  vocab_size: number;
  tie_word_embeddings?: boolean;
  q_lora_rank?: number | null;
  kv_lora_rank: number;
  qk_nope_head_dim: number;
  qk_rope_head_dim: number;
  v_head_dim: number;
  n_routed_experts: number;
  num_experts_per_tok: number;
  moe_intermediate_size: number;
  n_shared_experts?: number | null;
  first_k_dense_replace?: number | null;
  num_nextn_predict_layers?: number | null;
}

export interface DeepseekCounts {
  /** Without embedding, head, and prediction module. */
  layers: number;
  /**
   * Of those, in a matrix product for every token: `num_experts_per_tok` of the experts, the gate,
   * no norms.
   */
  activeMatrices: number;
  /** Of those, used by a token: `activeMatrices` and the norms. */
  active: number;
  /** The multi-token prediction module, without the embedding and head that it shares. */
  mtp: number;
  mtpActiveMatrices: number;
  /**
   * Multiply-adds that attention takes for each earlier token, over all layers: scores and weighted
   * values.
   */
  perKey: number;
  mtpPerKey: number;
}

export function deepseekCounts(shape: DeepseekShape): DeepseekCounts {
  const width = shape.hidden_size;
  const heads = shape.num_attention_heads;
  const key = shape.qk_nope_head_dim + shape.qk_rope_head_dim;
  const rank = shape.q_lora_rank ?? null;
  const latent = shape.kv_lora_rank;
  const queries = rank === null ? width * heads * key : rank * (width + heads * key);
  const keysAndValues =
    width * (latent + shape.qk_rope_head_dim) +
    latent * heads * (shape.qk_nope_head_dim + shape.v_head_dim);
  const attention = queries + keysAndValues + heads * shape.v_head_dim * width;
  const norms = (rank ?? 0) + latent + 2 * width;
  const expert = 3 * width * shape.moe_intermediate_size;
  const always = (shape.n_shared_experts ?? 1) * expert + shape.n_routed_experts * width;
  const mixture = {
    total: attention + always + shape.n_routed_experts * expert + shape.n_routed_experts + norms,
    activeMatrices: attention + always + shape.num_experts_per_tok * expert,
  };
  const denseMatrices = attention + 3 * width * shape.intermediate_size;
  const dense = Math.min(shape.first_k_dense_replace ?? 0, shape.num_hidden_layers);
  const sparse = shape.num_hidden_layers - dense;
  const mtpLayers = shape.num_nextn_predict_layers ?? 0;
  const activeMatrices = dense * denseMatrices + sparse * mixture.activeMatrices;
  const perKey = heads * (key + shape.v_head_dim);
  return {
    layers: dense * (denseMatrices + norms) + sparse * mixture.total + width,
    activeMatrices,
    active: activeMatrices + shape.num_hidden_layers * norms + width,
    mtp: mtpLayers * (mixture.total + 2 * width * width + 3 * width),
    mtpActiveMatrices: mtpLayers * (mixture.activeMatrices + 2 * width * width),
    perKey: shape.num_hidden_layers * perKey,
    mtpPerKey: mtpLayers * perKey,
  };
}
