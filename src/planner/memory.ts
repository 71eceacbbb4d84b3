/**
 * @file Bytes on one accelerator while a model trains, by kind, on the pipeline rank that needs
 * most.
 *
 * Weights, gradients and optimizer state are counted, not modelled: so many bytes a parameter, over
 * the ranks that share them (ZeRO, Rajbhandari et al. 2020). Activations are bytes a token of a
 * layer (see `activations.ts`), times the tokens of a micro-batch, times the micro-batches in
 * flight.
 *
 * Two numbers are calibrated, on measured peaks: the share that an allocator cannot use, and what
 * the framework holds.
 */

import {
  type Architecture,
  countParameters,
  moeLayers as sparseLayers,
} from '../architecture/index.js';
import {
  type ActivationOptions,
  layerBytes,
  microBatchesInFlight,
  type TokenBytes,
  type Traits,
  traitsOf,
} from './activations.js';
import type { Quantity } from './cluster.js';
import type { Layout } from './layout.js';

export interface MemoryOptions extends ActivationOptions {
  /**
   * Micro-batches a data-parallel rank takes in a step; few of them do not fill a pipeline.
   * Default: enough.
   */
  microBatches?: number;
  /**
   * Bytes a parameter of master weights and moments: 12 is Adam in float32; 8 with bfloat16 moments
   * (DeepSeek-V3).
   */
  optimizerBytes?: number;
  /**
   * Bytes a parameter of gradients: default 2 with fp16, else 4 (Megatron-LM); DeepSpeed's bfloat16
   * optimizer keeps 6.
   */
  gradientBytes?: number;
  /**
   * `adapters`: the weights are frozen, and only low-rank adapters have gradients and optimizer
   * state; default `full`.
   */
  training?: 'full' | 'adapters';
  /**
   * Bytes a logit: default 12 (16-bit logits and their gradient, float32 copy and softmax); near 0
   * with a chunked loss.
   */
  logitBytes?: number;
}

export interface TrainingMemory {
  weights: number;
  gradients: number;
  optimizer: number;
  /** Kept from the forward to the backward pass. */
  activations: number;
  /** Held for a moment: recomputed layers, gradients of activations, logits, gathered weights. */
  workspace: number;
  /** Tokens on their way to and from experts. */
  moeBuffers: number;
  /** The driver's context, communicators, and what the allocator cannot use. */
  framework: number;
  /** All of the above. */
  total: number;
  /** `total` with its 90% interval. */
  interval: Quantity;
  /** The pipeline rank that needs this much. */
  pipelineRank: number;
}

/**
 * Calibrated on 95 peaks of BigScience's 176B chronicles and 18 of torchtitan (see
 * docs/benchmarks.md).
 */
export const MEMORY_CALIBRATION = {
  /** Share of what is allocated that fragmentation adds. */
  fragmentation: 0.07,
  /** Context, communicators and libraries' workspaces, bytes. */
  frameworkBytes: 4.6e9,
  /**
   * Ratio of the 95% quantile to the median; of mixtures of experts no peak is published, so their
   * factor is assumed.
   */
  factor90: 1.11,
  moeFactor90: 1.3,
};

/** First layer of a pipeline rank, and the one after its last. */
export function stageLayers(layers: number, pipeline: number, rank: number): [number, number] {
  // Where it makes the split even, the embedding and the head count as a layer each (BLOOM: 70
  // layers on 12 ranks; Llama 3.1).
  const ends = pipeline > 1 && layers % pipeline !== 0 && (layers + 2) % pipeline === 0 ? 1 : 0;
  const each = Math.ceil((layers + 2 * ends) / pipeline);
  return [
    Math.min(layers, Math.max(0, rank * each - ends)),
    rank === pipeline - 1 ? layers : Math.min(layers, (rank + 1) * each - ends),
  ];
}

/**
 * Weights of adapters over those that they adapt: rank 16 on every linear layer of a
 * 7-billion-parameter model is 0.6%.
 */
const ADAPTER_SHARE = 0.006;

interface StageParameters {
  /** On one tensor-parallel rank, all but routed experts. */
  common: number;
  /** On one expert-parallel rank, routed experts. */
  experts: number;
  /** Embedding and head within `common`. */
  ends: number;
}

/** How many of the layers [from, to) are dense: of those that come first, or of every stretch. */
function denseIn(from: number, to: number, { moe, layers }: Architecture): number {
  if (moe === null) return to - from;
  if (moe.interleaved) return ((to - from) * moe.denseLayers) / layers;
  return Math.max(0, Math.min(to, moe.denseLayers) - from);
}

function stageParameters(
  architecture: Architecture,
  layout: Layout,
  rank: number,
): StageParameters {
  const { hidden, vocab, layers, moe, hybrid, learnedPositions, tiedEmbeddings } = architecture;
  const { tensor: t, pipeline, expert, expertTensor } = layout;
  const { perLayer, mtp, total, embedding } = countParameters(architecture);
  const [from, to] = stageLayers(layers, pipeline, rank);
  const n = to - from;
  const first = rank === 0;
  const last = rank === pipeline - 1;
  const table = vocab * hidden;
  const ends =
    (first ? table + learnedPositions * hidden : 0) +
    (last && !(first && tiedEmbeddings) ? table : 0);
  // Without expert parallelism, tensor parallelism splits the experts like everything else.
  const shards = expert > 1 ? expert * expertTensor : Math.max(t, expertTensor);
  const expertsEach = moe === null ? 0 : (moe.experts * perLayer.expert) / shards;
  if (hybrid !== undefined || moe?.interleaved) {
    // Layers of different kinds alternate: every stage has the same share of each.
    const experts = moe === null ? 0 : sparseLayers(architecture) * moe.experts * perLayer.expert;
    const share = n / layers;
    return {
      common: (share * (total - embedding - experts) + ends) / t,
      experts: (share * experts) / shards,
      ends: ends / t,
    };
  }
  const dense = denseIn(from, to, architecture);
  const router = perLayer.router * (n - dense);
  const split =
    n * perLayer.attention + dense * perLayer.dense + (n - dense) * perLayer.shared + ends;
  let common = split / t + router + n * perLayer.norms + (last ? hidden : 0);
  let experts = (n - dense) * expertsEach;
  if (last && mtp > 0) {
    const modules = architecture.mtpLayers;
    const routedExperts = moe === null ? 0 : modules * moe.experts * perLayer.expert;
    common += (mtp - routedExperts) / t;
    experts += modules * expertsEach;
  }
  return { common, experts, ends: ends / t };
}

/** What one pipeline stage holds: parameters, and bytes a token. */
interface Stage {
  parameters: StageParameters;
  layers: number;
  moeLayers: number;
  /** Activations a token of a micro-batch, all layers together. */
  kept: number;
  /** Whether the head is here. */
  head: boolean;
}

/** Bytes a token of one layer of each kind; the same for every rank, so computed once. */
interface LayerKinds {
  dense: TokenBytes;
  moe: TokenBytes;
}

function stageOf(
  architecture: Architecture,
  layout: Layout,
  traits: Traits,
  kinds: LayerKinds,
  rank: number,
): Stage {
  const { moe, layers: allLayers, mtpLayers } = architecture;
  const [from, to] = stageLayers(allLayers, layout.pipeline, rank);
  const layers = to - from;
  const dense = denseIn(from, to, architecture);
  const head = rank === layout.pipeline - 1;
  const mtp = head ? mtpLayers : 0;
  const moeLayers = layers - dense + (moe === null ? 0 : mtp);
  // What is kept is a sum over layers, whose busiest experts lie on different ranks: their excess
  // averages out as noise does.
  const routingImbalance = 1 + (traits.routingImbalance - 1) / Math.sqrt(Math.max(1, moeLayers));
  const kept =
    (layers + mtp - moeLayers) * kinds.dense.kept +
    moeLayers *
      (moeLayers > 0
        ? layerBytes(architecture, layout, { ...traits, routingImbalance }, true).kept
        : 0);
  return { parameters: stageParameters(architecture, layout, rank), layers, moeLayers, kept, head };
}

function memoryOfRank(
  architecture: Architecture,
  layout: Layout,
  options: MemoryOptions,
  traits: Traits,
  kinds: LayerKinds,
  rank: number,
) {
  const {
    tensor: t,
    pipeline,
    data,
    context,
    expert,
    expertTensor,
    sharding,
    precision,
    schedule,
    recompute,
  } = layout;
  const { microBatches = Number.POSITIVE_INFINITY, optimizerBytes = 12, logitBytes = 12 } = options;
  const { gradientBytes = precision === 'fp16' ? 2 : 4, training = 'full' } = options;
  // DualPipe feeds the pipeline from both ends, so a rank holds two stages (DeepSeek-V3, table 2).
  const held = schedule === 'dualpipe' && pipeline > 1 ? [rank, pipeline - 1 - rank] : [rank];
  const stages = held.map((each) => stageOf(architecture, layout, traits, kinds, each));
  const sum = (of: (stage: Stage) => number): number =>
    stages.reduce((total, stage) => total + of(stage), 0);
  const common = sum((stage) => stage.parameters.common);
  const experts = sum((stage) => stage.parameters.experts);
  const layers = sum((stage) => stage.layers);

  const expertRanks =
    expert > 1 ? Math.max(1, (data * context * t) / (expert * expertTensor)) : data * context;
  /** So many bytes a parameter, shared by the data-parallel ranks or not. */
  const bytes = (each: number, shared: boolean): number =>
    each * (common / (shared ? data * context : 1) + experts / (shared ? expertRanks : 1));
  const wholeWeights = sharding === 'weights';
  const wordBytes = precision === 'fp32' || precision === 'tf32' ? 4 : 2;
  // FSDP keeps the float32 weights, shared, and gathers 16-bit ones as it goes; others keep 16-bit
  // weights beside the master.
  const trained = training === 'full' ? 1 : ADAPTER_SHARE;
  const weights = wholeWeights
    ? bytes(training === 'full' ? 4 : wordBytes, true)
    : bytes(wordBytes, false);
  const gradients =
    trained * (wholeWeights ? bytes(4, true) : bytes(gradientBytes, sharding === 'gradients'));
  // A float32 update of 16-bit gradients makes float32 copies of them, for the shard that the rank
  // updates.
  const update = optimizerBytes + (gradientBytes === 2 ? 4 : 0);
  const kept32 = wholeWeights || wordBytes === 4;
  const optimizer =
    trained * bytes(kept32 ? optimizerBytes - 4 : update, wholeWeights || sharding !== 'none');

  const tokens = (options.sequenceTokens * layout.microBatch) / context;
  const kept = sum((stage) => stage.kept) / stages.length;
  const activations = tokens * kept * microBatchesInFlight(layout, rank, microBatches);

  // The layer under way: what is recomputed of it, and gradients of about its own size.
  const routes = stages.some((stage) => stage.moeLayers > 0);
  const widest = routes && kinds.moe.all > kinds.dense.all ? kinds.moe : kinds.dense;
  const recomputed = recompute === 'none' ? 0 : widest.all - widest.kept;
  // The head's logits and those of multi-token prediction are computed one after the other.
  const logits = stages.some((stage) => stage.head)
    ? ((tokens * architecture.vocab) / t) * logitBytes
    : 0;
  let gathered = 0;
  if (wholeWeights) {
    const ends = sum((stage) => stage.parameters.ends);
    // A pipeline of several micro-batches keeps its weights gathered and its gradients whole until
    // the last of them; without one, two layers are gathered at a time, and the ends.
    gathered =
      pipeline > 1
        ? (2 + 4) * (common + experts)
        : ((2 + 2) * 2 * (common - ends + experts)) / Math.max(2, layers) + 2 * ends;
  }
  const workspace = tokens * (recomputed + widest.all) + logits + gathered;

  const { moe: mixture, hidden } = architecture;
  const travelling =
    mixture === null
      ? 0
      : mixture.topK * traits.routingImbalance * 4 * (mixture.latentDim ?? hidden);
  const moeBuffers = expert > 1 && routes ? (tokens * travelling) / t : 0;

  const allocated = weights + gradients + optimizer + activations + workspace + moeBuffers;
  const framework =
    MEMORY_CALIBRATION.fragmentation * allocated + MEMORY_CALIBRATION.frameworkBytes;
  return {
    weights,
    gradients,
    optimizer,
    activations,
    workspace,
    moeBuffers,
    framework,
    total: allocated + framework,
  };
}

/**
 * Bytes per accelerator on the pipeline rank that needs most.
 * @param options what the layout does not say: sequence length, optimizer, kernels
 */
export function memoryOf(
  architecture: Architecture,
  layout: Layout,
  options: MemoryOptions,
): TrainingMemory {
  const traits = traitsOf(architecture, options);
  const { pipeline } = layout;
  const dense = layerBytes(architecture, layout, traits, false);
  const kinds = {
    dense,
    moe: architecture.moe === null ? dense : layerBytes(architecture, layout, traits, true),
  };
  // Memory falls from the first rank to the last but one; the ends also hold the embedding and the
  // head.
  let worst = memoryOfRank(architecture, layout, options, traits, kinds, 0);
  let pipelineRank = 0;
  for (let rank = 1; rank < pipeline; rank = rank === 1 ? Math.max(2, pipeline - 1) : pipeline) {
    const memory = memoryOfRank(architecture, layout, options, traits, kinds, rank);
    if (memory.total <= worst.total) continue;
    worst = memory;
    pipelineRank = rank;
  }
  const factor90 =
    architecture.moe === null ? MEMORY_CALIBRATION.factor90 : MEMORY_CALIBRATION.moeFactor90;
  const interval = {
    value: worst.total,
    low: worst.total / factor90,
    high: worst.total * factor90,
  };
  return { ...worst, interval, pipelineRank };
}
