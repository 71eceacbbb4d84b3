/**
 * @file Parameters of a model by kind, counted from its architecture.
 *
 * The counts equal the tensors of the released checkpoints, and those that `models/` makes. Three
 * totals have three names: `total` is the model without its prediction module (MTP), `stored` is
 * the model with it, and `active` is what one token uses.
 */
import {
  type Architecture,
  attentionLayers,
  denseLayers,
  type Hybrid,
  moeLayers,
} from './architecture.js';

/** Weights of one layer by kind. */
interface LayerParameters {
  attention: number;
  dense: number;
  router: number;
  shared: number;
  /** One routed expert. */
  expert: number;
  /** All that a layer of experts holds. */
  moe: number;
  mamba: number;
  norms: number;
}

/** Weights of one layer that are in a matrix product for each token, by kind. */
interface LayerMatrices {
  attention: number;
  dense: number;
  router: number;
  /** Routed experts of a token, shared experts and the projections around them. */
  experts: number;
  mamba: number;
}

export interface Parameters {
  /** Every weight but those of multi-token prediction. */
  total: number;
  /** Weights of the multi-token-prediction modules (their embedding and head are the model's). */
  mtp: number;
  /** `total + mtp`: what a checkpoint holds. */
  stored: number;
  /**
   * Weights that one token uses, embedding and head included; without multi-token prediction and
   * without the bias of a gate.
   */
  active: number;
  /** Embedding, head (once when tied) and learned positions. */
  embedding: number;
  /** `stored` without `embedding` (Kaplan et al. 2020: "non-embedding"). */
  nonEmbedding: number;
  /** In a matrix product for each token: projections, its experts, and the head. Without MTP. */
  matmul: number;
  perLayer: LayerParameters;
  matrices: LayerMatrices;
}

const counted = new WeakMap<Architecture, Parameters>();

/** Counted once for each architecture. */
export function countParameters(architecture: Architecture): Parameters {
  let parameters = counted.get(architecture);
  if (parameters === undefined) {
    parameters = count(architecture);
    counted.set(architecture, parameters);
  }
  return parameters;
}

function count(architecture: Architecture): Parameters {
  const { hidden, vocab, intermediate, gated, moe, hybrid, attention, mtpLayers, tiedEmbeddings } =
    architecture;
  const feedForwardMatrices = gated ? 3 : 2;
  // GPT: biases in every linear layer and in the norms.
  const gpt = attention.kind === 'gqa' && attention.bias === 'all' && !gated;
  const own = attentionParameters(architecture);
  const mamba = hybrid === undefined ? { matrices: 0, total: 0 } : mambaParameters(hidden, hybrid);
  const shared =
    moe === null ? 0 : moe.sharedExperts * feedForwardMatrices * hidden * moe.expertIntermediate;
  const expert =
    moe === null ? 0 : feedForwardMatrices * (moe.latentDim ?? hidden) * moe.expertIntermediate;
  const latent = moe?.latentDim === undefined ? 0 : 2 * hidden * moe.latentDim;
  const matrices: LayerMatrices = {
    attention: own.matrices,
    dense: feedForwardMatrices * hidden * intermediate,
    router: moe === null ? 0 : hidden * moe.experts,
    experts: shared + latent + (moe?.topK ?? 0) * expert,
    mamba: mamba.matrices,
  };
  const routerBias = moe?.routerBias ? moe.experts : 0;
  const router = matrices.router + routerBias;
  const perLayer: LayerParameters = {
    attention: own.matrices + own.vectors,
    dense: matrices.dense + (gpt ? intermediate + hidden : 0),
    router,
    shared,
    expert,
    moe: router + shared + latent + (moe?.experts ?? 0) * expert,
    mamba: mamba.total,
    norms: hidden * (hybrid === undefined ? 2 : 1) * (gpt ? 2 : 1),
  };
  const embedding =
    vocab * hidden * (tiedEmbeddings ? 1 : 2) + architecture.learnedPositions * hidden;
  const layers = {
    attention: attentionLayers(architecture),
    dense: denseLayers(architecture),
    moe: moeLayers(architecture),
    mamba: hybrid?.mambaLayers ?? 0,
  };
  const common =
    embedding +
    hidden * (gpt ? 2 : 1) +
    architecture.layers * perLayer.norms +
    layers.attention * perLayer.attention +
    layers.mamba * perLayer.mamba +
    layers.dense * perLayer.dense;
  const total = common + layers.moe * perLayer.moe;
  // A projection of two hidden states, three norms, and a layer.
  const module =
    2 * hidden * hidden +
    3 * hidden +
    perLayer.attention +
    2 * hidden +
    (moe === null ? perLayer.dense : perLayer.moe);
  const mtp = mtpLayers * module;
  return {
    total,
    mtp,
    stored: total + mtp,
    active: common + layers.moe * (matrices.router + matrices.experts),
    embedding,
    nonEmbedding: total + mtp - embedding,
    matmul:
      layers.attention * matrices.attention +
      layers.mamba * matrices.mamba +
      layers.dense * matrices.dense +
      layers.moe * (matrices.router + matrices.experts) +
      vocab * hidden,
    perLayer,
    matrices,
  };
}

/** Matrices of one layer of attention, and its biases and norms. */
function attentionParameters({ hidden, attention }: Architecture): {
  matrices: number;
  vectors: number;
} {
  if (attention.kind === 'gqa') {
    const { heads, kvHeads, headDim, bias, qkNorm } = attention;
    const norms =
      qkNorm === 'none' ? 0 : qkNorm === 'head' ? 2 * headDim : (heads + kvHeads) * headDim;
    const biases = bias === 'none' ? 0 : (heads + 2 * kvHeads) * headDim;
    return {
      matrices: 2 * hidden * heads * headDim + 2 * hidden * kvHeads * headDim,
      vectors: norms + biases + (bias === 'all' ? hidden : 0),
    };
  }
  const { heads, qLoraRank, kvLoraRank, qkNopeHeadDim, qkRopeHeadDim, vHeadDim } = attention;
  const query = heads * (qkNopeHeadDim + qkRopeHeadDim);
  return {
    matrices:
      (qLoraRank === null ? hidden * query : hidden * qLoraRank + qLoraRank * query) +
      hidden * (kvLoraRank + qkRopeHeadDim) +
      kvLoraRank * heads * (qkNopeHeadDim + vHeadDim) +
      heads * vHeadDim * hidden,
    vectors: (qLoraRank ?? 0) + kvLoraRank,
  };
}

function mambaParameters(hidden: number, { mamba }: Hybrid): { matrices: number; total: number } {
  const { heads, headDim, state, groups, convolution } = mamba;
  const inner = heads * headDim;
  const convolved = inner + 2 * groups * state;
  const matrices = hidden * (inner + convolved + heads) + inner * hidden;
  return { matrices, total: matrices + convolved * (convolution + 1) + 3 * heads + inner };
}
