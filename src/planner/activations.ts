/**
 * @file Bytes of activations that a layer keeps for its backward pass.
 *
 * Korthikanti et al. (arXiv:2205.05198, sections 4.1 to 4.3 and 5), written out term by term, so
 * that grouped queries, latent attention (DeepSeek-V3, arXiv:2412.19437, sections 3.2.3 and 3.3.3),
 * gated networks and experts fall out of the same sum. Every term is bytes a token on one rank.
 */
import { type Architecture, attentionWidths } from '../architecture/index.js';
import type { Layout } from './layout.js';

export interface ActivationOptions {
  /** Tokens of a sequence. */
  sequenceTokens: number;
  /** Whether attention scores are never stored (FlashAttention, Dao et al. 2022); default true. */
  flashAttention?: boolean;
  /**
   * Whether dropout masks are stored; default: in GPT's form of network (biases, no gate), as in
   * Korthikanti et al.
   */
  dropout?: boolean;
  /** Tokens of the busiest expert rank over the mean; default 1.1. */
  routingImbalance?: number;
  /**
   * Activations kept in 8 bits for the backward pass (DeepSeek-V3, section 3.3.3); default false.
   */
  fp8Activations?: boolean;
}

export interface TokenBytes {
  /** Kept for the backward pass under the layout's recompute. */
  kept: number;
  /** All that the layer's forward pass makes and its backward pass reads. */
  all: number;
}

export interface Traits {
  sequenceTokens: number;
  flashAttention: boolean;
  dropout: boolean;
  routingImbalance: number;
  fp8Activations: boolean;
}

const isGpt = ({ attention, gated }: Architecture): boolean =>
  attention.kind === 'gqa' && attention.bias === 'all' && !gated;

/** The options with every default filled in. */
export function traitsOf(architecture: Architecture, options: ActivationOptions): Traits {
  const { sequenceTokens, flashAttention = true, dropout = isGpt(architecture) } = options;
  const { routingImbalance = 1.1, fp8Activations = false } = options;
  return { sequenceTokens, flashAttention, dropout, routingImbalance, fp8Activations };
}

/** Widths of what attention projects down, and of the part with a norm. */
function latentWidth(attention: Architecture['attention']): { projected: number; normed: number } {
  switch (attention.kind) {
    case 'gqa':
      return { projected: 0, normed: 0 };
    case 'mla': {
      const normed = (attention.qLoraRank ?? 0) + attention.kvLoraRank;
      return { projected: normed + attention.qkRopeHeadDim, normed };
    }
    case 'compressed': {
      const { qLoraRank, outputGroups, outputRank, headDim } = attention;
      const normed = qLoraRank + headDim;
      return { projected: normed + outputGroups * outputRank, normed };
    }
  }
}

/**
 * Bytes a token of one layer's activations on one rank. `moe`: the feed-forward network is a
 * mixture of experts.
 */
export function layerBytes(
  architecture: Architecture,
  layout: Layout,
  traits: Traits,
  moe: boolean,
): TokenBytes {
  const { hidden: h, attention, moe: mixture, hybrid } = architecture;
  const { tensor: t, sequenceParallel, recompute, sharding, expertTensor } = layout;
  const outside = sequenceParallel ? t : 1;
  // An input of a linear layer: 16 bits, or 8 where the backward pass reads it in FP8.
  const input = traits.fp8Activations ? 1 : 2;

  // Inputs and outputs of the two norms; the outputs are the inputs of linear layers. Of several
  // residual streams each is kept.
  const normInputs = (4 * h * (architecture.residualStreams ?? 1)) / outside;
  const normOutputs = (2 * input * h) / outside;
  const masks = traits.dropout ? (2 * h) / outside : 0;

  const widths = attentionWidths(architecture);
  const projected = (2 * (widths.query + widths.key + widths.value)) / t;
  const core = (input * widths.output) / t;
  const latents = latentWidth(attention);
  const latent = 2 * latents.projected;
  const latentNorms = input * latents.normed;
  // Softmax's output; with dropout its mask and its result too. FlashAttention keeps one float a
  // head.
  const scores = traits.flashAttention
    ? (4 * attention.heads) / t
    : ((traits.dropout ? 5 : 2) * attention.heads * traits.sequenceTokens) / t;

  /** Gate and up (or the one matrix) before the activation, and its output. */
  const network = (width: number): { before: number; after: number } => ({
    before: (architecture.gated ? 2 : 1) * input * width,
    after: input * width,
  });
  let before: number;
  let after: number;
  let routed = 0;
  if (moe && mixture !== null) {
    const copies = mixture.topK * traits.routingImbalance;
    const expert = network(mixture.expertIntermediate);
    const shared = network(mixture.sharedExperts * mixture.expertIntermediate);
    // Tensor-parallel ranks share the tokens (experts whole) or the experts (tokens whole): a t-th
    // of the products either way.
    before = (copies * expert.before + shared.before) / t;
    after = (copies * expert.after + shared.after) / t;
    // Logits and probabilities of the router, and tokens as the experts receive them. What experts
    // return is summed and not kept: probabilities are applied before their last product.
    routed =
      (8 * mixture.experts) / outside +
      (copies * input * (mixture.latentDim ?? h) * expertTensor) / t;
  } else {
    const dense = network(architecture.intermediate);
    before = dense.before / t;
    after = dense.after / t;
  }
  let all =
    normInputs +
    normOutputs +
    masks +
    latent +
    latentNorms +
    projected +
    scores +
    core +
    before +
    after +
    routed;
  if (hybrid !== undefined) {
    // Layers that differ (recurrent, attention, feed-forward): their mean, with one norm before
    // each block.
    const { layers } = architecture;
    const inner = hybrid.recurrent.heads * hybrid.recurrent.headDim;
    const convolved = inner + 2 * hybrid.recurrent.groups * hybrid.recurrent.state;
    const recurrent = (2 * (3 * inner + 2 * convolved)) / t;
    const attends = hybrid.attentionLayers / layers;
    const feeds = hybrid.feedForwardLayers / layers;
    const mixes = hybrid.recurrentLayers / layers;
    all =
      ((attends + feeds + mixes) * (normInputs + normOutputs)) / 2 +
      attends * (projected + scores + core) +
      feeds * (before + after + routed) +
      mixes * recurrent;
  }
  if (recompute === 'none') return { kept: all, all };
  const layerInput = normInputs / 2;
  if (recompute === 'full') return { kept: layerInput, all };
  // PyTorch's selective checkpointing keeps attention's result and every second product; Megatron's
  // recomputes the scores.
  if (sharding === 'weights') {
    const products = projected + before + (4 * h) / outside;
    return { kept: Math.min(all, layerInput + latent + core + products / 2 + routed), all };
  }
  // DeepSeek-V3 recomputes norms, the up-projections of latent attention, and SwiGLU.
  if (attention.kind === 'mla')
    return { kept: normInputs + masks + latent + core + before + routed, all };
  return { kept: traits.flashAttention ? all : all - scores, all };
}

/**
 * Bytes that one layer keeps of one micro-batch on one rank: the quantity of Korthikanti et al.,
 * table 2.
 * @param kind which feed-forward network the layer has; default dense
 */
export function layerActivationBytes(
  architecture: Architecture,
  layout: Layout,
  options: ActivationOptions,
  kind: 'dense' | 'moe' = 'dense',
): number {
  const tokens = (options.sequenceTokens * layout.microBatch) / layout.context;
  return (
    tokens * layerBytes(architecture, layout, traitsOf(architecture, options), kind === 'moe').kept
  );
}

/** Micro-batches whose activations a pipeline rank holds at once, in units of all of its layers. */
export function microBatchesInFlight(
  { pipeline: p, chunks: v, schedule }: Layout,
  rank: number,
  microBatches: number,
): number {
  if (p === 1) return 1;
  if (schedule === 'dualpipe') return Math.min(microBatches, p + 1);
  // Interleaved: 2 (p − rank − 1) + (v − 1) p + 1 chunks; for rank 0 that is p (1 + (p − 1)/(p v))
  // micro-batches.
  if (v > 1) return Math.min(microBatches, (2 * (p - rank - 1) + (v - 1) * p + 1) / v);
  return Math.min(microBatches, p - rank);
}
