/**
 * @file The time of one training step, from a roofline for each kind of operation.
 *
 * A matrix product takes its operations at an achievable rate plus the share of its memory traffic
 * that is not hidden; this is what makes small products slow, since traffic per operation grows as
 * 1/m + 1/n + 1/k. Norms, activations and routing take their bytes at memory bandwidth; every
 * kernel leaves a short gap. Communication takes its bytes at the link's rate, and the exposed
 * share of it is added. A pipeline adds its bubble, the optimizer its pass over the state, size its
 * stragglers.
 *
 * No allocation beyond the result and no loop over layers: a layout search calls this a hundred
 * thousand times.
 */
import {
  type Architecture,
  attentionFlopsPerToken,
  attentionLayers,
  attentionWidths,
  countParameters,
  denseLayers,
  moeLayers,
} from '../architecture/index.js';
import { CALIBRATION, type Calibration } from './calibration.js';
import type { Accelerator } from './cluster.js';
import { allToAllSeconds, collectiveBandwidth, ringShare } from './communication.js';
import { accelerators, type Layout, type Precision } from './layout.js';
import { bubble } from './schedule.js';

export interface TrainingWork {
  architecture: Architecture;
  sequenceTokens: number;
  /** Sequences a step, over all data-parallel ranks. */
  globalBatch: number;
  /**
   * `adapters`: weights are frozen, so their gradients, their reduction and their optimizer are not
   * computed.
   */
  training: 'full' | 'adapters';
  /** Attention that writes its scores to memory, as before FlashAttention. */
  unfusedAttention: boolean;
  /**
   * Routing by the model's own router rather than balanced by force; slower (section "Traps of
   * definition" of the guide).
   */
  naturalRouting: boolean;
}

/** Seconds of a step by where they go; `step` is their total. */
export interface StepTime {
  step: number;
  matmul: number;
  attention: number;
  memory: number;
  launch: number;
  tensor: number;
  context: number;
  expert: number;
  data: number;
  optimizer: number;
  bubble: number;
  stragglers: number;
  microBatches: number;
}

/** Bytes of an element as matrix products read it. */
const WIDTH: Record<Precision, number> = {
  fp32: 4,
  tf32: 4,
  fp16: 2,
  bf16: 2,
  fp8: 1,
  mxfp8: 1,
  int8: 1,
  nvfp4: 0.5625,
  int4: 0.5,
};

/**
 * Kernels of one layer, forward and backward: a fused implementation of attention and feed-forward
 * network.
 */
const KERNELS = 32;
const KERNELS_MOE = 40;

/** FLOP/s of large matrix products in a training step. */
export function matmulRate(
  accelerator: Accelerator,
  precision: Precision,
  calibration: Calibration = CALIBRATION,
): number {
  const { peakFlops, achievableFraction } = accelerator;
  const wide = peakFlops.bf16 ?? peakFlops.fp16 ?? peakFlops.fp32 ?? 0;
  const width = WIDTH[precision];
  if (width < 1) {
    const peak = peakFlops[precision] ?? peakFlops.nvfp4;
    if (peak !== undefined) return peak * achievableFraction * calibration.matmul4;
  }
  if (width <= 1) {
    const peak = peakFlops[precision] ?? peakFlops.fp8 ?? peakFlops.int8;
    if (peak !== undefined) return peak * achievableFraction * calibration.matmul8;
  }
  return (peakFlops[precision] ?? wide) * achievableFraction * calibration.matmul16;
}

/** @returns seconds, each kind as it adds to the step */
export function stepTime(
  work: TrainingWork,
  accelerator: Accelerator,
  layout: Layout,
  calibration: Calibration = CALIBRATION,
): StepTime {
  const { architecture, sequenceTokens, globalBatch } = work;
  const { tensor, pipeline, data, expert, context, microBatch, precision, recompute } = layout;
  const { hidden, vocab, gated, moe, intermediate } = architecture;
  const parameters = countParameters(architecture);
  const { perLayer } = parameters;
  const { memoryBandwidth } = accelerator;
  const count = accelerators(layout);
  const microBatches = Math.max(1, globalBatch / (data * microBatch));
  const tokens = (microBatch * sequenceTokens) / context;
  const width = WIDTH[precision];
  const rate = matmulRate(accelerator, precision, calibration);
  const rate16 = matmulRate(accelerator, 'bf16', calibration);
  const operand = calibration.operands / memoryBandwidth;
  const mtp = architecture.mtpLayers;

  // Layers by kind; a multi-token-prediction module is one more of the model's last kind, with its
  // projection and its head.
  const attending = attentionLayers(architecture) + mtp;
  const sparse = moeLayers(architecture) + (moe === null ? 0 : mtp);
  const dense = denseLayers(architecture) + (moe === null ? mtp : 0);
  const recurrent = architecture.hybrid?.recurrentLayers ?? 0;
  const heads = 1 + mtp;
  const layers = architecture.layers + mtp;

  // Passes of a linear layer: forward, gradient of the input, gradient of the weights; and the
  // forward pass again.
  const again = recompute === 'full' ? 1 : 0;
  const passes = (work.training === 'full' ? 3 : 2) + again;
  const headPasses = work.training === 'full' ? 3 : 2;

  // Linear layers of one micro-batch, on this accelerator's share of each layer.
  const { query, key, value, output } = attentionWidths(architecture);
  const projected =
    attending * perLayer.attention +
    dense * perLayer.dense +
    recurrent * perLayer.recurrent +
    mtp * 2 * hidden * hidden;
  let flops = (2 * tokens * projected) / tensor;
  const attentionActivations = attending * (2 * hidden + query + key + value + output);
  const denseActivations = dense * (2 * hidden + (gated ? 3 : 2) * intermediate);
  const inner =
    (architecture.hybrid?.recurrent.heads ?? 0) * (architecture.hybrid?.recurrent.headDim ?? 0);
  const recurrentActivations =
    recurrent *
    (2 * hidden +
      3 *
        (architecture.hybrid?.recurrent.heads ?? 0) *
        (architecture.hybrid?.recurrent.headDim ?? 0));
  let traffic =
    (width * projected) / tensor +
    (width + 2) *
      0.5 *
      tokens *
      ((attentionActivations + denseActivations + recurrentActivations) / tensor);
  let grouped = 0;
  let groupedTraffic = 0;
  let routed = 0;
  if (moe !== null && sparse > 0) {
    // With expert parallelism the experts are whole and tokens are split; without it tensor
    // parallelism splits the experts.
    const split = tensor;
    const resident = (moe.experts * perLayer.expert) / Math.max(expert, expert > 1 ? 1 : tensor);
    routed = (tokens * moe.topK) / split;
    grouped = sparse * 2 * routed * perLayer.expert;
    const expertWidth = (moe.latentDim ?? hidden) + (gated ? 3 : 2) * moe.expertIntermediate;
    groupedTraffic =
      sparse *
      (width * resident + (width + 2) * 0.5 * routed * (expertWidth + (moe.latentDim ?? hidden)));
    const always = perLayer.moe - moe.experts * perLayer.expert;
    flops += (sparse * 2 * tokens * always) / tensor;
    traffic += (sparse * width * always) / tensor;
  }
  const headFlops = (heads * 2 * tokens * hidden * vocab) / tensor;
  const headTraffic = (heads * 2 * (hidden * vocab + tokens * vocab)) / tensor;
  const imbalance = work.naturalRouting ? calibration.imbalance : 1;
  let matmul =
    passes *
    (flops / rate +
      traffic * operand +
      imbalance * (grouped / (rate * calibration.grouped) + groupedTraffic * operand));
  // The head stays in 16 bits in every FP8 recipe.
  const headSeconds = headPasses * (headFlops / rate16 + headTraffic * operand);
  matmul += headSeconds;

  // Attention: 3.5 forward passes with a kernel that recomputes scores, which spares both memory
  // and, causally, half the work.
  const scores =
    tokens *
    attentionFlopsPerToken(
      architecture,
      sequenceTokens,
      work.unfusedAttention ? 'full' : 'causal',
    ) *
    (attending / attentionLayers(architecture));
  const attentionPasses =
    (work.unfusedAttention ? 3 : 3.5) +
    (again || (recompute === 'selective' && work.unfusedAttention) ? 1 : 0);
  const attentionRate = work.unfusedAttention
    ? rate16
    : (rate16 *
        (accelerator.peakFlops.fp8 === undefined
          ? calibration.attentionAmpere
          : calibration.attention * (accelerator.attentionFactor ?? 1))) /
      calibration.matmul16;
  // Kernels are tuned for heads of 128; narrower ones leave units idle.
  const headDim = architecture.attention.kind === 'mla' ? 128 : architecture.attention.headDim;
  const headShare = Math.min(1, (1.5 * headDim) / (headDim + 64));
  let attention = (attentionPasses * scores) / tensor / attentionRate / headShare;
  if (architecture.hybrid !== undefined) {
    // The scan of Mamba-2 within chunks and between them: about six operations for each element of
    // the state.
    attention +=
      (attentionPasses * tokens * recurrent * 6 * inner * architecture.hybrid.recurrent.state) /
      tensor /
      (0.5 * attentionRate);
  }
  if (work.unfusedAttention && architecture.attention.heads > 0) {
    // Scores, softmax and dropout, two bytes each: about eight passes forward and backward.
    const elements = (tokens * sequenceTokens * architecture.attention.heads * attending) / tensor;
    attention += (calibration.unfused * 8 * (attentionPasses / 3) * 2 * elements) / memoryBandwidth;
  }

  // Memory-bound work in bytes a token: norms and residuals (5 passes over `hidden` forward),
  // activation, rotary positions, conversion to narrow formats, routing; twice that backward.
  const shared = layout.sequenceParallel || tensor === 1 ? tensor : 1;
  const normsBytes = (layers * 10 * 2 * hidden * (architecture.residualStreams ?? 1)) / shared;
  const activationBytes =
    (2 *
      (dense * (gated ? 3 : 2) * intermediate +
        recurrent * 12 * inner +
        attending * 2 * (query + key))) /
    tensor;
  const castBytes = width < 2 ? (4 * (attentionActivations + denseActivations)) / tensor : 0;
  const expertBytes =
    moe === null
      ? 0
      : (sparse *
          moe.topK *
          (12 * (moe.latentDim ?? hidden) +
            (gated ? 6 : 4) * moe.expertIntermediate +
            (width < 2 ? 4 * hidden : 0))) /
        tensor;
  const headBytes = (heads * 8 * vocab) / tensor / (3 + again);
  const memory =
    (calibration.elementwise *
      tokens *
      ((3 + again) * (normsBytes + activationBytes + castBytes + expertBytes + headBytes))) /
    memoryBandwidth;
  const launch =
    calibration.launch *
    (1 + again / 3) *
    (KERNELS * (attending + dense + recurrent) * 0.5 +
      KERNELS_MOE * sparse +
      (tensor > 1 ? 8 * layers : 0));

  // Communication of one micro-batch.
  let tensorSeconds = 0;
  if (tensor > 1) {
    const bandwidth = collectiveBandwidth(
      accelerator,
      tensor,
      1,
      calibration.link,
      calibration.network,
    );
    const collectives = attending + dense + recurrent + (expert > 1 ? 0 : sparse);
    const bytes = collectives * 2 * tokens * hidden * 2 * ringShare(tensor);
    // Without sequence parallelism the all-reduces wait for the layer before them: twice as much is
    // exposed.
    const exposed = layout.sequenceParallel
      ? calibration.exposedTensor
      : Math.min(1, 2 * calibration.exposedTensor);
    tensorSeconds =
      (exposed * bytes * (2 + (layout.sequenceParallel ? 0.5 : 0) + again)) / bandwidth;
  }
  let contextSeconds = 0;
  if (context > 1) {
    const bandwidth = collectiveBandwidth(
      accelerator,
      context,
      tensor,
      calibration.link,
      calibration.network,
    );
    const stored = architecture.attention.kind === 'mla' ? query + value : key + value;
    contextSeconds =
      (calibration.exposedTensor * attending * 3 * 2 * tokens * (context - 1) * stored) /
      tensor /
      bandwidth;
  }
  let expertSeconds = 0;
  if (moe !== null && expert > 1) {
    const routing = { topK: moe.topK, topGroups: moe.topGroups, groups: moe.groups };
    const bytes = (moe.latentDim ?? hidden) * 2;
    const once = allToAllSeconds(
      accelerator,
      layout,
      tokens / tensor,
      bytes,
      routing,
      calibration.link,
      calibration.network,
    );
    // Dispatch and combine, forward and backward; DualPipe runs them under the other direction's
    // computation.
    const hidden2 = layout.schedule === 'dualpipe' ? 0.25 : 1;
    expertSeconds =
      calibration.exposedExpert * hidden2 * imbalance * sparse * (4 + 2 * again) * once;
  }
  let pipelineSeconds = 0;
  if (pipeline > 1) {
    const bytes = 2 * 2 * tokens * hidden * layout.chunks;
    pipelineSeconds =
      ((calibration.exposedTensor * bytes) /
        (layout.sequenceParallel ? tensor : 1) /
        (accelerator.scaleOutBandwidth * calibration.network)) *
      pipeline;
  }

  // Weights here, and what data-parallel ranks exchange: with FSDP each micro-batch, otherwise once
  // a step.
  const routedWeights = moe === null ? 0 : moeLayers(architecture) * moe.experts * perLayer.expert;
  const local = (parameters.total + parameters.mtp - routedWeights) / tensor / pipeline;
  const localExperts = routedWeights / pipeline / (expert > 1 ? expert : tensor);
  const reduced = work.training === 'adapters' ? 0 : 1;
  const sharded = layout.sharding === 'weights';
  const ranks = data * context;
  const bandwidth = collectiveBandwidth(
    accelerator,
    ranks,
    tensor,
    calibration.link,
    calibration.network,
  );
  const expertBandwidth = collectiveBandwidth(
    accelerator,
    ranks / Math.max(1, expert / tensor),
    Math.max(tensor, expert),
    calibration.link,
    calibration.network,
  );
  const once =
    (2 * (local * ringShare(ranks))) / bandwidth +
    (2 * localExperts * ringShare(Math.max(1, (ranks * tensor) / expert))) / expertBandwidth;

  // The host launches kernels ahead of the accelerator; where that takes longer, it sets the pace.
  const host = calibration.hostDense * (layers - sparse) + calibration.hostExperts * sparse;
  const device = matmul + attention + memory + launch + expertSeconds;
  const waiting = (device ** 4 + host ** 4) ** 0.25 - device;
  const perMicro =
    (matmul + attention + memory + launch + waiting) / pipeline +
    (tensorSeconds + contextSeconds + expertSeconds + pipelineSeconds) / pipeline;
  let dataSeconds: number;
  let micro = perMicro;
  if (sharded && ranks > 1) {
    // Gather forward and backward, scatter the gradients, for each micro-batch; whichever of it and
    // computation is longer.
    const exchange = once * (2 + reduced);
    micro = (perMicro ** 4 + exchange ** 4) ** 0.25;
    dataSeconds = microBatches * (micro - perMicro + calibration.exposedData * exchange);
  } else {
    const exchange = once * 2 * reduced;
    dataSeconds = exchange * Math.min(1, calibration.exposedData * 2);
  }
  const stateShards = layout.sharding === 'none' ? 1 : ranks;
  const state =
    reduced *
    (local / stateShards +
      localExperts / Math.max(1, (stateShards * tensor) / Math.max(tensor, expert)));
  const optimizer = (30 * state) / memoryBandwidth;

  const stages = stageImbalance(architecture, layout, perMicro * pipeline, headSeconds);
  const idle = bubble(layout.schedule, pipeline, layout.chunks) * perMicro * stages;
  const busy = microBatches * perMicro * stages + idle + dataSeconds + optimizer;
  const stragglers = busy * calibration.straggler * Math.max(0, Math.log2(count / 8));
  const share = (microBatches * stages) / pipeline;
  return {
    step: busy + stragglers,
    matmul: matmul * share,
    attention: attention * share,
    memory: memory * share,
    launch: (launch + waiting) * share,
    tensor: tensorSeconds * share,
    context: (contextSeconds + pipelineSeconds) * share,
    expert: expertSeconds * share,
    data: dataSeconds,
    optimizer,
    bubble: idle,
    stragglers,
    microBatches,
  };
}

/**
 * The fullest stage over the mean. The last stage also has the head, which with a large vocabulary
 * is worth more than a layer; a model of one or two layers less than the slots has given it their
 * place (126 + 2 of 128, 70 + 2 of 72). Modules of multi-token prediction are placed by hand, so
 * that a stage is not fuller than another.
 */
function stageImbalance(
  { layers, mtpLayers }: Architecture,
  { pipeline, chunks }: Layout,
  all: number,
  head: number,
): number {
  if (pipeline <= 1) return 1;
  const slots = pipeline * chunks;
  const layer = (all - head) / layers;
  const left = (slots - (layers % slots)) % slots;
  const full = (Math.ceil(layers / slots) * slots) / pipeline;
  const last = mtpLayers > 0 ? 0 : (full - Math.min(left, 2)) * layer + head;
  const fullest = left > 2 ? Math.min(full, (1.25 * layers) / pipeline) : full;
  return Math.max(1, (Math.max(fullest * layer, last) * pipeline) / all);
}
