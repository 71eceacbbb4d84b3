/**
 * @file Operations of a decoder, by kind: floating-point operations of the forward pass, per token.
 *
 * A multiplication and an addition are two operations. Only matrix products are counted, as in
 * every published utilisation: norms, softmax and rotary positions are bound by memory and appear
 * in `step-time.ts` as bytes. The backward pass of a matrix product costs twice its forward pass.
 *
 * Two conventions for attention stand side by side in the literature: *non-causal* counts each
 * query against all positions (PaLM, arXiv:2204.02311, appendix B; Narayanan et al. 2021), *causal*
 * against those before it, half as many. The larger is what the formula 6N + 12·L·h·s gives; the
 * smaller is what a kernel that skips masked tiles computes.
 */
import {
  type Architecture,
  attentionLayers,
  attentionWidths,
  denseLayers,
  moeLayers,
  type Parameters,
  parametersOf,
} from './architecture.js';

/** Forward FLOPs per token by kind, over all layers. */
export interface ForwardFlops {
  attentionProjections: number;
  /** Scores and their product with the values; under the convention that was asked for. */
  attention: number;
  feedForward: number;
  experts: number;
  router: number;
  mamba: number;
  head: number;
  /** Multi-token prediction: its modules with their attention and their use of the head. */
  mtp: number;
}

const cache = new WeakMap<Architecture, Parameters>();

/** `parametersOf`, computed once for each architecture. */
export function cachedParameters(architecture: Architecture): Parameters {
  let parameters = cache.get(architecture);
  if (parameters === undefined) {
    parameters = parametersOf(architecture);
    cache.set(architecture, parameters);
  }
  return parameters;
}

/**
 * Keys that a query meets on average in a sequence.
 * @param window tokens that a local layer sees, or 0
 */
export function meanContext(sequenceTokens: number, causal: boolean, window = 0): number {
  if (window > 0 && window < sequenceTokens) {
    return causal ? window - (window * window) / (2 * sequenceTokens) : window;
  }
  return causal ? sequenceTokens / 2 : sequenceTokens;
}

/** Forward FLOPs of attention scores and values per token, over all layers. */
export function attentionFlops(
  architecture: Architecture,
  sequenceTokens: number,
  causal: boolean,
): number {
  const { query, output } = attentionWidths(architecture);
  const { attention } = architecture;
  const layers = attentionLayers(architecture);
  const local =
    attention.kind === 'gqa' && attention.window !== null
      ? Math.min(attention.window.layers, layers)
      : 0;
  const window =
    attention.kind === 'gqa' && attention.window !== null ? attention.window.tokens : 0;
  const context =
    (layers - local) * meanContext(sequenceTokens, causal) +
    local * meanContext(sequenceTokens, causal, window);
  return 2 * (query + output) * context;
}

/** @param causal whether attention counts only the positions before each query */
export function forwardFlops(
  architecture: Architecture,
  sequenceTokens: number,
  causal: boolean,
): ForwardFlops {
  const { hidden, vocab, moe, mtpLayers } = architecture;
  const { perLayer } = cachedParameters(architecture);
  const experts =
    moe === null
      ? 0
      : 2 * (perLayer.moe - perLayer.router - (moe.experts - moe.topK) * perLayer.expert);
  const router = moe === null ? 0 : 2 * hidden * moe.experts;
  const attention = attentionFlops(architecture, sequenceTokens, causal);
  const head = 2 * hidden * vocab;
  const module =
    4 * hidden * hidden +
    2 * perLayer.attention +
    attention / Math.max(1, attentionLayers(architecture)) +
    (moe === null ? 2 * perLayer.dense : experts + router) +
    head;
  return {
    attentionProjections: 2 * perLayer.attention * attentionLayers(architecture),
    attention,
    feedForward: 2 * perLayer.dense * denseLayers(architecture),
    experts: experts * moeLayers(architecture),
    router: router * moeLayers(architecture),
    mamba: 2 * perLayer.mamba * (architecture.hybrid?.mambaLayers ?? 0),
    head,
    mtp: mtpLayers * module,
  };
}

export function sumFlops(flops: ForwardFlops): number {
  const { attentionProjections, attention, feedForward, experts, router, mamba, head, mtp } = flops;
  return attentionProjections + attention + feedForward + experts + router + mamba + head + mtp;
}

/**
 * Model FLOPs per trained token: forward and backward, without recomputation. The numerator of
 * model FLOPs utilisation.
 */
export function modelFlopsPerToken(
  architecture: Architecture,
  sequenceTokens: number,
  causal: boolean,
): number {
  return 3 * sumFlops(forwardFlops(architecture, sequenceTokens, causal));
}

/**
 * FLOPs per token of training low-rank adapters on frozen weights: no gradient of the weights, so
 * two thirds of the linear layers (the 4N of parameter-efficient fine-tuning), attention left out
 * as in the published figures.
 */
export function adapterFlopsPerToken(architecture: Architecture): number {
  const flops = forwardFlops(architecture, 1, true);
  return 2 * (sumFlops(flops) - flops.attention);
}

/**
 * Hardware FLOPs per token: with what the backward pass computes again. The numerator of hardware
 * FLOPs utilisation.
 */
export function hardwareFlopsPerToken(
  architecture: Architecture,
  sequenceTokens: number,
  causal: boolean,
  recompute: 'none' | 'selective' | 'full',
): number {
  const flops = forwardFlops(architecture, sequenceTokens, causal);
  const model = 3 * sumFlops(flops);
  if (recompute === 'full') return model + sumFlops(flops) - flops.head - flops.mtp;
  return recompute === 'selective' ? model + flops.attention : model;
}
