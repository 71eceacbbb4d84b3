/**
 * @file What the planner knows of a model: the numbers of its configuration, in one form for every family.
 *
 * Dense decoders, grouped-query and latent attention, mixtures of experts and multi-token prediction differ in a handful of
 * numbers; everything here is arithmetic on those. No tensors: a 671-billion-parameter model costs nothing to describe.
 */

/** Grouped-query attention; multi-head attention when `kvHeads` equals `heads` (Ainslie et al. 2023). */
export interface GroupedQueryAttention {
  kind: 'gqa';
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Biases on the query, key and value projections (Qwen2, GPT). */
  bias: boolean;
  /** Tokens that a local-attention layer sees, and how many layers are local; null: every layer sees everything. */
  window: { tokens: number; layers: number } | null;
}

/** Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, section 2.1). */
export interface LatentAttention {
  kind: 'mla';
  heads: number;
  /** Rank of the compressed queries; null when queries are not compressed. */
  qLoraRank: number | null;
  kvLoraRank: number;
  qkNopeHeadDim: number;
  qkRopeHeadDim: number;
  vHeadDim: number;
}

export interface MixtureOfExperts {
  /** Routed experts a layer. */
  experts: number;
  /** Routed experts a token. */
  topK: number;
  /** Always-on experts, in units of `expertIntermediate`. */
  sharedExperts: number;
  expertIntermediate: number;
  /** Groups of experts, and how many of them a token may use (DeepSeek-V3's node-limited routing); 1 and 1 without. */
  groups: number;
  topGroups: number;
  /** Layers with a dense feed-forward network instead. */
  denseLayers: number;
}

export interface Architecture {
  name: string;
  layers: number;
  hidden: number;
  vocab: number;
  attention: GroupedQueryAttention | LatentAttention;
  /** Width of the dense feed-forward network. */
  intermediate: number;
  /** Three matrices (SwiGLU) or two (GELU, ReLU²). */
  gated: boolean;
  moe: MixtureOfExperts | null;
  /** Multi-token-prediction modules (DeepSeek-V3, section 2.2). */
  mtpLayers: number;
  /** One matrix for embedding and head. */
  tiedEmbeddings: boolean;
  /** Learned positions (GPT-2, GPT-3): their number, or 0 with rotary ones. */
  learnedPositions: number;
  /** Longest sequence. */
  maxPositions: number;
}
