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
   * everything. `chunked`: a token sees those of its own chunk of so many (Llama 4).
   */
  window: { tokens: number; layers: number; chunked?: true } | null;
  /** The query projection also gives a gate for each number of the output (Qwen3-Next). */
  outputGate?: true;
  /** A learned logit a head that attends to nothing (GPT-OSS). */
  sinks?: true;
}

/**
 * What chooses the keys of sparse attention: it scores every entry of the cache with small heads
 * and one key, and attention sees the `topK` best (DeepSeek-V3.2, arXiv:2512.02556, section 2.1).
 */
export interface Indexer {
  /** Layers that have one; others take the choice of the layer before (GLM-5.2). */
  layers: number;
  heads: number;
  headDim: number;
  topK: number;
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
  indexer?: Indexer;
}

/**
 * Compressed attention (DeepSeek-V4, arXiv:2606.19348, section 2.3): one key for all heads, which
 * is also its value. A layer sees the last `window` tokens, and entries that stand for `ratio`
 * tokens each: those that an indexer picks (`sparse`), or all (`heavy`).
 */
export interface CompressedAttention {
  kind: 'compressed';
  heads: number;
  headDim: number;
  qLoraRank: number;
  /** Groups of heads that are projected down to `outputRank` each, before the output projection. */
  outputGroups: number;
  outputRank: number;
  window: number;
  /** `layers` of it are those of `sparse`. */
  indexer: Indexer;
  sparse: { layers: number; ratio: number };
  heavy: { layers: number; ratio: number };
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
  /** They lie between the layers of experts (Llama 4 Maverick), not before them. */
  interleaved?: true;
  /** A weight that gates the shared expert (Qwen). */
  sharedGate?: true;
  /** Biases of experts and their gate (GPT-OSS). */
  expertBias?: true;
  /**
   * Width in which the routed experts work when tokens are projected down before them (Nemotron 3's
   * LatentMoE).
   */
  latentDim?: number;
}

/**
 * A stack in which other layers than attention mix tokens. Each layer is one thing alone in
 * Nemotron 3 (arXiv:2512.20848); in Qwen3-Next every layer has a feed-forward network too. Without
 * this, every layer has attention and a feed-forward network.
 */
export interface Hybrid {
  attentionLayers: number;
  recurrentLayers: number;
  feedForwardLayers: number;
  recurrent: RecurrentMixer;
}

/**
 * Mamba-2 (Dao & Gu 2024), or a gated delta rule (Yang et al., arXiv:2412.06464): heads with a
 * state of `headDim` × `state`, groups that share keys (B) and queries (C), and a convolution.
 */
export interface RecurrentMixer {
  kind: 'mamba2' | 'gated-delta';
  heads: number;
  headDim: number;
  state: number;
  groups: number;
  convolution: number;
}

export interface Architecture {
  name: string;
  layers: number;
  hidden: number;
  vocab: number;
  attention: GroupedQueryAttention | LatentAttention | CompressedAttention;
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
  /** Norms after attention and feed-forward network as well as before them (Gemma 2 and 3). */
  sandwichNorms?: true;
  /** Residual streams that learned maps mix around each block (DeepSeek-V4's mHC). */
  residualStreams?: number;
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
