/**
 * @file Parameters of a model by kind, counted from its architecture.
 *
 * The counts equal the tensors of the released checkpoints, and those that `models/` makes. Three
 * totals have three names: `total` is the model without its prediction module (MTP), `stored` is
 * the model with it, and `active` is what one token uses.
 */
import { type Architecture, attentionLayers, denseLayers, moeLayers } from './architecture.js';
import {
  attentionParameters,
  meanShares,
  recurrentParameters,
  streamParameters,
} from './layer-parameters.js';

/** Weights of one layer by kind; where layers differ in their attention, their mean. */
interface LayerParameters {
  attention: number;
  dense: number;
  router: number;
  shared: number;
  /** One routed expert. */
  expert: number;
  /** All that a layer of experts holds. */
  moe: number;
  recurrent: number;
  /** Norms, and the maps of residual streams. */
  norms: number;
}

/** Weights of one layer that are in a matrix product for each token, by kind. */
interface LayerMatrices {
  attention: number;
  dense: number;
  router: number;
  /** Routed experts of a token, shared experts and the projections around them. */
  experts: number;
  recurrent: number;
  residual: number;
  /** Attention of a multi-token-prediction module. */
  moduleAttention: number;
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
  const own = attentionParameters(architecture, meanShares(architecture));
  const inModule = attentionParameters(architecture, { sparse: 0, heavy: 0, indexer: 1 });
  const recurrent =
    hybrid === undefined ? { matrices: 0, vectors: 0 } : recurrentParameters(hidden, hybrid);
  const streams = streamParameters(architecture);
  const shared =
    moe === null ? 0 : moe.sharedExperts * feedForwardMatrices * hidden * moe.expertIntermediate;
  const width = moe?.latentDim ?? hidden;
  const expert =
    moe === null
      ? 0
      : feedForwardMatrices * width * moe.expertIntermediate +
        (moe.expertBias ? (feedForwardMatrices - 1) * moe.expertIntermediate + width : 0);
  const latent = moe?.latentDim === undefined ? 0 : 2 * hidden * moe.latentDim;
  const matrices: LayerMatrices = {
    attention: own.matrices,
    dense: feedForwardMatrices * hidden * intermediate,
    router: moe === null ? 0 : hidden * (moe.experts + (moe.sharedGate ? 1 : 0)),
    experts: shared + latent + (moe?.topK ?? 0) * expert,
    recurrent: recurrent.matrices,
    residual: streams.matrices,
    moduleAttention: inModule.matrices,
  };
  const router = matrices.router + (moe?.routerBias ? moe.experts : 0);
  const layers = {
    attention: attentionLayers(architecture),
    dense: denseLayers(architecture),
    moe: moeLayers(architecture),
    recurrent: hybrid?.recurrentLayers ?? 0,
  };
  // Each block (attention, recurrent, feed-forward) has a norm before it.
  const blocks =
    hybrid === undefined
      ? 2
      : (hybrid.attentionLayers + hybrid.recurrentLayers + hybrid.feedForwardLayers) /
        architecture.layers;
  const perLayer: LayerParameters = {
    attention: own.matrices + own.vectors,
    dense: matrices.dense + (gpt ? intermediate + hidden : 0),
    router,
    shared,
    expert,
    moe: router + shared + latent + (moe?.experts ?? 0) * expert,
    recurrent: recurrent.matrices + recurrent.vectors,
    norms:
      hidden * blocks * (gpt || architecture.sandwichNorms ? 2 : 1) +
      streams.matrices +
      streams.vectors,
  };
  const embedding =
    vocab * hidden * (tiedEmbeddings ? 1 : 2) + architecture.learnedPositions * hidden;
  const common = Math.round(
    embedding +
      hidden * (gpt ? 2 : 1) +
      streams.head +
      architecture.layers * perLayer.norms +
      layers.attention * perLayer.attention +
      layers.recurrent * perLayer.recurrent +
      layers.dense * perLayer.dense,
  );
  const total = common + layers.moe * perLayer.moe;
  // A projection of two hidden states, three norms, and a layer.
  const module =
    2 * hidden * hidden +
    3 * hidden +
    inModule.matrices +
    inModule.vectors +
    2 * hidden +
    streams.matrices +
    streams.vectors +
    streams.head +
    (moe === null ? perLayer.dense : perLayer.moe);
  const mtp = mtpLayers * module;
  return {
    total,
    mtp,
    stored: total + mtp,
    active: common + layers.moe * (matrices.router + matrices.experts),
    embedding,
    nonEmbedding: total + mtp - embedding,
    matmul: Math.round(
      layers.attention * matrices.attention +
        layers.recurrent * matrices.recurrent +
        layers.dense * matrices.dense +
        layers.moe * (matrices.router + matrices.experts) +
        architecture.layers * matrices.residual +
        vocab * hidden,
    ),
    perLayer,
    matrices,
  };
}
