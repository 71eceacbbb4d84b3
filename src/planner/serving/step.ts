/**
 * @file The time of one forward pass of a served model, on the accelerator that it keeps busiest.
 *
 * A roofline for each kind of work (Williams, Waterman & Patterson 2009; for transformers Pope et
 * al., arXiv:2211.05102): a product takes the longer of reading its weights and multiplying;
 * attention the longer of reading the cache and multiplying; and kinds follow one another. To that
 * come what no peak rate shows: activations that travel through memory, pauses of a layer and of a
 * step, and collectives. Decoding is bound by memory until the batch is large; a prompt is bound by
 * compute.
 *
 * Mixtures: `tokens` tokens that choose `topK` of `experts` at random hit experts·(1 − (1 −
 * topK/experts)^tokens) of them, and only those are read. Latent attention caches one latent a
 * token, the same on every tensor rank, and decodes in the absorbed form (DeepSeek-V2, section
 * 2.1.2), whose scores and sums are over the latent.
 */
import {
  type Architecture,
  attentionLayers,
  attentionWidths,
  cacheElements,
  countParameters,
  denseLayers,
  entriesOfQuery,
  indexerFlops,
  keysOfQuery,
  moeLayers,
  type Parameters,
  readElements,
  stateElements,
} from '../../architecture/index.js';
import type { Accelerator } from '../cluster.js';
import type { Precision } from '../layout.js';
import type { ServingCalibration } from './calibration.js';
import { replicaSize, type ServingLayout } from './layout.js';
import { peakFlops, type ServingPrecision } from './precision.js';

/** A model in a precision, laid on accelerators of one kind. */
export interface Deployment {
  architecture: Architecture;
  /** `countParameters(architecture)`: counted once. */
  parameters: Parameters;
  accelerator: Accelerator;
  precision: ServingPrecision;
  layout: ServingLayout;
}

export function deployment(
  architecture: Architecture,
  accelerator: Accelerator,
  precision: ServingPrecision,
  layout: ServingLayout,
): Deployment {
  return {
    architecture,
    parameters: countParameters(architecture),
    accelerator,
    precision,
    layout,
  };
}

/** What a pass computes, over the whole replica. */
export interface Pass {
  /** Tokens that go through the layers. */
  tokens: number;
  /** Sequences that get a token out of the pass. */
  sequences: number;
  /** Tokens already cached that each token attends to, on average, besides those of `prompt`. */
  context: number;
  /**
   * Length of the prompts that are processed (causal attention among themselves); 0 when decoding.
   */
  prompt: number;
}

/** Seconds by kind, on the mean rank; `waiting` is for the busiest one, and `total` is the sum. */
export interface PassSeconds {
  linear: number;
  experts: number;
  attention: number;
  activations: number;
  waiting: number;
  communication: number;
  overhead: number;
  total: number;
}

/**
 * Bytes of cache that a token of a sequence of `context` tokens takes in all layers, on one copy:
 * the mean, as windows end and compressed entries stand for several tokens.
 */
export function cacheBytesPerToken(
  { architecture, precision }: Deployment,
  context: number,
): number {
  const tokens = Math.max(1, context);
  return (cacheElements(architecture, tokens) / tokens) * precision.kvBytes;
}

/** Bytes of recurrent state that a sequence holds; states are kept in 32 bits. */
export const stateBytes = ({ architecture }: Deployment): number => 4 * stateElements(architecture);

/** Tensor ranks that share one copy of the cache; the rest hold it again. */
export function cacheShards({ architecture, layout }: Deployment): number {
  return architecture.attention.kind === 'gqa'
    ? Math.min(layout.tensor, architecture.attention.kvHeads)
    : 1;
}

/** Distinct experts, of all in a layer, that a batch of tokens hits. */
export function expertsHit(experts: number, topK: number, tokens: number): number {
  return experts * (1 - (1 - topK / experts) ** tokens);
}

/**
 * Seconds of a pass. With pipeline stages the pass is cut into as many micro-batches, all in
 * flight: a token's time through every stage, in which the replica finishes all micro-batches.
 *
 * Expert ranks beyond one scale-up domain may run two micro-batches, one computing while the other
 * exchanges (DeepSeek's open-infra-index, day 6). Each then reads the weights for itself, so a
 * small batch is better exchanged than cut: the faster of the two is taken.
 */
export function passSeconds(
  served: Deployment,
  pass: Pass,
  calibration: ServingCalibration,
): PassSeconds {
  const { architecture, accelerator, layout } = served;
  const { pipeline, dataAttention } = layout;
  const copyTokens = pass.tokens / pipeline / dataAttention;
  const work = workSeconds(served, pass, calibration);
  const compute = sumOf(work);
  const exchange = communicationSeconds(served, copyTokens, calibration);
  const divisible = layout.expert > accelerator.scaleUpSize && dataAttention > 1 && copyTokens >= 2;
  const half = { ...pass, tokens: pass.tokens / 2, sequences: pass.sequences / 2 };
  const inHalves = (): number =>
    2 *
    Math.max(
      sumOf(workSeconds(served, half, calibration)),
      communicationSeconds(served, copyTokens / 2, calibration),
    );
  const communication = divisible ? Math.min(exchange, inHalves() - compute) : exchange;
  const overhead =
    calibration.stepSeconds +
    architecture.layers * calibration.layerSeconds +
    moeLayers(architecture) * calibration.expertLayerSeconds +
    (pass.sequences / dataAttention) * calibration.sequenceSeconds;
  return { ...work, communication, overhead, total: compute + communication + overhead };
}

type Work = Omit<PassSeconds, 'communication' | 'overhead' | 'total'>;

const sumOf = ({ linear, experts, attention, activations, waiting }: Work): number =>
  linear + experts + attention + activations + waiting;

/** What a pass computes and reads, without exchanges and pauses. */
function workSeconds(served: Deployment, pass: Pass, calibration: ServingCalibration): Work {
  const { architecture, parameters, accelerator, precision, layout } = served;
  const { hidden, moe, vocab, gated } = architecture;
  const { perLayer } = parameters;
  const { tensor, pipeline, dataAttention } = layout;
  const bandwidth = accelerator.memoryBandwidth * calibration.bandwidthFraction;
  const stageTokens = pass.tokens / pipeline;
  const copyTokens = stageTokens / dataAttention;
  const product = (
    weights: number,
    bytesPerWeight: number,
    flops: number,
    multiplied: Precision,
    slowdown = 1,
  ) =>
    Math.max(
      (weights * bytesPerWeight) / bandwidth,
      (flops * slowdown) / matrixRate(accelerator, multiplied, calibration),
    );
  const { wideningFraction } = calibration;

  // What every token passes: attention's projections, dense and shared networks, routers, mixers,
  // the head.
  const nMoe = moeLayers(architecture);
  const nAttention = attentionLayers(architecture);
  const common =
    nAttention * perLayer.attention +
    denseLayers(architecture) * perLayer.dense +
    nMoe * (perLayer.moe - (moe?.experts ?? 0) * perLayer.expert) +
    (architecture.hybrid?.recurrentLayers ?? 0) * perLayer.recurrent;
  const headTokens = pass.sequences / pipeline / dataAttention;
  const head = (vocab * hidden) / tensor;
  const linear =
    product(
      common / tensor,
      precision.otherBytes,
      (2 * common * copyTokens) / tensor,
      precision.otherCompute,
      precision.otherWidened ? 1 / wideningFraction : 1,
    ) + product(head, 2, 2 * head * headTokens, 'bf16');

  let experts = 0;
  if (moe !== null && nMoe > 0) {
    const ranks = replicaSize(layout) / pipeline;
    const hit = expertsHit(moe.experts, moe.topK, stageTokens) / ranks;
    const flops = (2 * perLayer.expert * moe.topK * stageTokens) / ranks;
    const width = (moe.expertIntermediate * layout.expert) / ranks;
    const grouped = product(
      perLayer.expert * hit,
      precision.expertBytes,
      flops,
      precision.expertCompute,
      1 + calibration.expertHalfWidth / width,
    );
    // Grouped products widen weights tile by tile, which slows reading them as much as multiplying.
    experts = (nMoe * grouped) / (precision.expertWidened ? wideningFraction : 1);
  }

  const attention = attentionSeconds(served, pass, copyTokens, bandwidth, calibration);

  // Norms, residuals, rotations, quantising, gates: each reads and writes its operands once.
  const { query, key } = attentionWidths(architecture);
  const wide = gated ? 3 : 2;
  const attentionTraffic = (6 * hidden + (3 * (query + 2 * key)) / tensor) * nAttention;
  const denseTraffic =
    (4 * hidden + (wide * architecture.intermediate) / tensor) * denseLayers(architecture);
  const expertShare =
    moe === null ? 0 : (moe.topK * dataAttention) / (replicaSize(layout) / pipeline);
  const expertTraffic =
    moe === null
      ? 0
      : nMoe *
        (4 * hidden + expertShare * (4 * hidden + wide * moe.expertIntermediate) + moe.experts);
  const activations =
    (2 *
      calibration.activationPasses *
      copyTokens *
      (attentionTraffic + denseTraffic + expertTraffic)) /
    bandwidth;

  const work = linear + experts + attention + activations;
  const waiting =
    (pass.prompt > 0 ? 0 : work) * calibration.copyImbalance * Math.sqrt(Math.log(dataAttention));
  return { linear, experts, attention, activations, waiting };
}

/**
 * FLOP/s of large products: the peak, what the best products were measured to reach of it, and what
 * serving's reach of those.
 */
function matrixRate(
  accelerator: Accelerator,
  precision: Precision,
  calibration: ServingCalibration,
): number {
  const share = precision === 'nvfp4' ? calibration.fourBitFraction : calibration.computeFraction;
  return peakFlops(accelerator, precision) * accelerator.achievableFraction * share;
}

function attentionSeconds(
  served: Deployment,
  pass: Pass,
  copyTokens: number,
  bandwidth: number,
  calibration: ServingCalibration,
): number {
  const { architecture, accelerator, precision, layout } = served;
  const { attention } = architecture;
  const rate =
    peakFlops(accelerator, precision.attentionCompute) *
    accelerator.achievableFraction *
    calibration.attentionFraction;
  // A prompt's tokens attend to half of the prompt on average, and read its cache once rather than
  // once a token.
  const seen = pass.context + pass.prompt / 2;
  const decoding = pass.prompt === 0;
  const { query, output } = attentionWidths(architecture);
  const flopsPerPair =
    attention.kind === 'mla' && decoding
      ? 2 * attention.heads * (2 * attention.kvLoraRank + attention.qkRopeHeadDim)
      : 2 * (query + output);
  const flops =
    (copyTokens *
      (flopsPerPair * keysOfQuery(architecture, seen) +
        indexerFlops(architecture) * entriesOfQuery(architecture, seen))) /
    layout.tensor;
  const { kvBytes } = precision;
  const cache = decoding
    ? copyTokens * readElements(architecture, seen) * kvBytes
    : (copyTokens / pass.prompt) * (pass.context + pass.prompt) * cacheBytesPerToken(served, seen);
  // Recurrent states are read and written once a token, or once a prompt.
  const states =
    (2 * (decoding ? copyTokens : copyTokens / pass.prompt) * stateBytes(served)) / layout.tensor;
  return Math.max(flops / rate, (cache / cacheShards(served) + states) / bandwidth);
}

/**
 * Tensor ranks all-reduce twice a layer; expert ranks whose attention is copied exchange tokens
 * before and after the experts (FP8 out where the experts multiply in 8 bits or fewer, 16 bits
 * back), once for each distinct rank that a token's experts lie on.
 */
function communicationSeconds(
  served: Deployment,
  copyTokens: number,
  calibration: ServingCalibration,
): number {
  const { architecture, accelerator, layout, precision } = served;
  const { hidden, moe, layers } = architecture;
  const { tensor, pipeline, dataAttention, expert } = layout;
  const { scaleUpSize } = accelerator;
  const { collectiveSeconds, networkSeconds } = calibration;
  const scaleUp = accelerator.scaleUpBandwidth * calibration.linkFraction;
  const scaleOut = accelerator.scaleOutBandwidth * calibration.linkFraction;
  let seconds = 0;
  if (tensor > 1) {
    const bytes = 2 * hidden * copyTokens;
    const inside = Math.min(tensor, scaleUpSize);
    const nodes = Math.ceil(tensor / scaleUpSize);
    let each = collectiveSeconds + (2 * bytes * (inside - 1)) / inside / scaleUp;
    if (nodes > 1) each += networkSeconds + (2 * bytes * (nodes - 1)) / nodes / inside / scaleOut;
    seconds += 2 * layers * each;
  }
  if (moe !== null && dataAttention > 1 && expert > 1) {
    const copies = expert * (1 - (1 - 1 / expert) ** moe.topK) * ((expert - 1) / expert);
    const outBytes = precision.expertCompute === 'bf16' ? 2 : 1;
    const bytes = ((outBytes + 2) * hidden * copies * copyTokens) / tensor;
    const outside = expert > scaleUpSize ? 1 - scaleUpSize / expert : 0;
    seconds +=
      moeLayers(architecture) *
      (2 * collectiveSeconds +
        (bytes * (1 - outside)) / scaleUp +
        (outside > 0 ? networkSeconds + (bytes * outside) / scaleOut : 0));
  }
  if (pipeline > 1) {
    const across = tensor * dataAttention * pipeline > scaleUpSize;
    const link = across ? scaleOut : scaleUp;
    seconds +=
      (pipeline - 1) *
      (collectiveSeconds +
        (across ? networkSeconds : 0) +
        (2 * hidden * copyTokens) / tensor / link);
  }
  return seconds;
}
