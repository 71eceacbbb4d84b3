/**
 * @file What the planner knows of a model: the numbers of its configuration, in one form for every
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
  /** Biases on the query, key and value projections (Qwen2, GPT). */
  bias: boolean;
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
  const { heads, qkNopeHeadDim, qkRopeHeadDim, vHeadDim } = attention;
  const query = heads * (qkNopeHeadDim + qkRopeHeadDim);
  return { query, key: query, value: heads * vHeadDim, output: heads * vHeadDim };
}

export interface Parameters {
  /** Every weight but those of multi-token prediction. */
  total: number;
  /** Weights that one token uses, embedding and head included, multi-token prediction not. */
  active: number;
  /** Weights of the multi-token-prediction modules (their embedding and head are the model's). */
  mtp: number;
  /** Embedding, head (once when tied) and learned positions. */
  embedding: number;
  /**
   * One layer's share by kind, norms in `norms`. `expert` is one routed expert; `moe` is all that a
   * layer of experts holds.
   */
  perLayer: {
    attention: number;
    dense: number;
    router: number;
    shared: number;
    expert: number;
    moe: number;
    mamba: number;
    norms: number;
  };
}

/** Weights of a model by kind. */
export function parametersOf(architecture: Architecture): Parameters {
  const { hidden, vocab, intermediate, gated, moe, hybrid, attention, mtpLayers, tiedEmbeddings } =
    architecture;
  const matrices = gated ? 3 : 2;
  // GPT: biases in every linear layer and in the norms. Elsewhere `bias` is that of queries, keys
  // and values.
  const gpt = attention.kind === 'gqa' && attention.bias && !gated;
  const dense = matrices * hidden * intermediate + (gpt ? intermediate + hidden : 0);
  const perLayer = {
    attention: attentionParameters(architecture),
    dense,
    router: moe === null ? 0 : hidden * moe.experts + moe.experts,
    shared: moe === null ? 0 : moe.sharedExperts * matrices * hidden * moe.expertIntermediate,
    expert: moe === null ? 0 : matrices * (moe.latentDim ?? hidden) * moe.expertIntermediate,
    moe: 0,
    mamba: hybrid === undefined ? 0 : mambaParameters(hidden, hybrid),
    norms: hidden * (hybrid === undefined ? 2 : 1) * (gpt ? 2 : 1),
  };
  const latent = moe?.latentDim === undefined ? 0 : 2 * hidden * moe.latentDim;
  const always = perLayer.router + perLayer.shared + latent;
  perLayer.moe = always + (moe?.experts ?? 0) * perLayer.expert;
  const activeMoe = always + (moe?.topK ?? 0) * perLayer.expert;
  const embedding =
    vocab * hidden * (tiedEmbeddings ? 1 : 2) + architecture.learnedPositions * hidden;
  const common =
    embedding +
    hidden * (gpt ? 2 : 1) +
    architecture.layers * perLayer.norms +
    attentionLayers(architecture) * perLayer.attention +
    (hybrid?.mambaLayers ?? 0) * perLayer.mamba +
    denseLayers(architecture) * dense;
  const mtpModule =
    2 * hidden * hidden +
    3 * hidden +
    perLayer.attention +
    2 * hidden +
    (moe === null ? dense : perLayer.moe);
  return {
    total: common + moeLayers(architecture) * perLayer.moe,
    active: common + moeLayers(architecture) * activeMoe,
    mtp: mtpLayers * mtpModule,
    embedding,
    perLayer,
  };
}

function attentionParameters({ hidden, gated, attention }: Architecture): number {
  if (attention.kind === 'gqa') {
    const { heads, kvHeads, headDim, bias } = attention;
    const biases = bias ? (heads + 2 * kvHeads) * headDim + (gated ? 0 : hidden) : 0;
    return 2 * hidden * heads * headDim + 2 * hidden * kvHeads * headDim + biases;
  }
  const { heads, qLoraRank, kvLoraRank, qkNopeHeadDim, qkRopeHeadDim, vHeadDim } = attention;
  const query = heads * (qkNopeHeadDim + qkRopeHeadDim);
  return (
    (qLoraRank === null ? hidden * query : hidden * qLoraRank + qLoraRank + qLoraRank * query) +
    hidden * (kvLoraRank + qkRopeHeadDim) +
    kvLoraRank +
    kvLoraRank * heads * (qkNopeHeadDim + vHeadDim) +
    heads * vHeadDim * hidden
  );
}

function mambaParameters(hidden: number, { mamba }: Hybrid): number {
  const { heads, headDim, state, groups, convolution } = mamba;
  const inner = heads * headDim;
  const convolved = inner + 2 * groups * state;
  return (
    hidden * (inner + convolved + heads) +
    convolved * (convolution + 1) +
    3 * heads +
    inner +
    inner * hidden
  );
}
