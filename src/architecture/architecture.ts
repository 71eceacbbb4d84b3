/**
 * @file The architecture of a model: the numbers of its configuration, in one form for every
 * family.
 *
 * Dense decoders, grouped-query and latent attention, mixtures of experts and multi-token
 * prediction differ in a handful of numbers; everything here is arithmetic on those. No tensors: a
 * 671-billion-parameter model costs nothing to describe.
 */
/**
 * Grouped-query attention; multi-head attention when `kvHeads` equals `heads` (Ainslie et al.
 * 2023).
 */
export interface GroupedQueryAttention {
  kind: 'gqa';
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Biases on the query, key and value projections (Qwen2), or on the output's too (GPT). */
  bias: 'none' | 'qkv' | 'all';
  /** Norms on queries and keys: one weight a dimension of a head (Qwen3), or of all (OLMo 2). */
  qkNorm: 'none' | 'head' | 'all';
  /**
   * Tokens that a local-attention layer sees, and how many layers are local; null: every layer sees
   * everything.
   */
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
  /**
   * Groups of experts, and how many of them a token may use (DeepSeek-V3's node-limited routing); 1
   * and 1 without.
   */
  groups: number;
  topGroups: number;
  /** A number an expert that is added to its score (DeepSeek-V3 moves it, and trains it not). */
  routerBias: boolean;
  /** Layers with a dense feed-forward network instead. */
  denseLayers: number;
  /**
   * Width in which the routed experts work when tokens are projected down before them (Nemotron 3's
   * LatentMoE).
   */
  latentDim?: number;
}

/**
 * A stack whose layers are each one thing alone: attention, a Mamba-2 mixer or a feed-forward
 * network (Nemotron 3, arXiv:2512.20848). Without it every layer has attention and a feed-forward
 * network.
 */
export interface Hybrid {
  attentionLayers: number;
  mambaLayers: number;
  feedForwardLayers: number;
  /**
   * Mamba-2 (Dao & Gu 2024): heads, their width, state size, groups that share B and C, and the
   * convolution's length.
   */
  mamba: { heads: number; headDim: number; state: number; groups: number; convolution: number };
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
  hybrid?: Hybrid;
}

/** Layers that have attention. */
export function attentionLayers({ layers, hybrid }: Architecture): number {
  return hybrid?.attentionLayers ?? layers;
}

/** Layers that have a feed-forward network, dense or of experts. */
export function feedForwardLayers({ layers, hybrid }: Architecture): number {
  return hybrid?.feedForwardLayers ?? layers;
}

/** Layers whose feed-forward network is a mixture of experts. */
export function moeLayers(architecture: Architecture): number {
  const { moe } = architecture;
  return moe === null ? 0 : feedForwardLayers(architecture) - moe.denseLayers;
}

/** Layers whose feed-forward network is dense. */
export function denseLayers(architecture: Architecture): number {
  return feedForwardLayers(architecture) - moeLayers(architecture);
}
