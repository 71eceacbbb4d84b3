/**
 * @file Model FLOPs by formula: what the arithmetic of the model itself takes, whatever a program
 * spends on it.
 *
 * Definition used everywhere in this project unless a name says otherwise:
 *
 * - A multiplication and the addition that follows are 2 FLOPs.
 * - Matrix products count: the projections of each layer and the head (also where the head shares
 *   the embedding's weights). The embedding itself is a look-up and counts nothing. Norms,
 *   activations, rotary embedding and softmax count nothing. Forward, per token: 2 × (parameters in
 *   matrix products). Kaplan et al. 2020 (arXiv:2001.08361), §2.1 and table 1, who leave the head
 *   out; with it, Chowdhery et al. 2022 (arXiv:2204.02311), appendix B.
 * - Attention is causal: the token at position p (from 0) has p + 1 keys, or those of its window.
 *   Scores and weighted values take 2 × 2 × heads × head_dim FLOPs a key and layer, forward.
 *   Chowdhery et al. and Narayanan et al. 2021 count all keys of the sequence, causal or not;
 *   `attention: 'full'` gives their number, that of 6N + 12·L·h·s.
 * - A mixture of experts counts what a token is sent to. Latent attention counts its training form,
 *   keys and values expanded, also where a program decodes on the latents; a prediction module
 *   (MTP) counts where it is trained.
 * - Training is three times forward: the derivative has two products for each one. Recomputation is
 *   not counted; with these FLOPs, achieved ÷ peak is MFU (Chowdhery et al. 2022, §4.1), not HFU.
 */
import { type Architecture, attentionLayers, denseLayers, moeLayers } from './architecture.js';
import { indexerFlops, type Seen, type Span, seenBy, seenCausally, spansOf } from './context.js';
import { countParameters } from './parameters.js';
import { attentionWidths } from './shapes.js';

/** Which keys a query counts: those before it, or all of the sequence. */
export type AttentionConvention = 'causal' | 'full';

/** A part of one sequence that is computed. Sum FLOPs over the sequences of a batch. */
export interface SequencePart {
  /** Tokens that are computed. */
  tokens: number;
  /** Tokens before them whose keys are there already (a cache). Default 0. */
  past?: number;
  /** Tokens for which logits are computed. Default: all. */
  headTokens?: number;
  /** Default `causal`. */
  attention?: AttentionConvention;
  /**
   * Tokens for which each prediction module (MTP) gives logits; it is computed for all. Default: no
   * module is computed.
   */
  furtherTokens?: number;
}

/** Forward FLOPs by kind, over all layers. */
export interface ForwardFlops {
  attentionProjections: number;
  /** Scores and their product with the values; the scores of an indexer. */
  attention: number;
  /** Maps that mix residual streams. */
  residual: number;
  feedForward: number;
  /** Routed experts of a token, and shared ones. */
  experts: number;
  router: number;
  /** Projections of recurrent layers (Mamba-2, gated delta rule). */
  recurrent: number;
  head: number;
  /** Multi-token prediction: its modules with their attention and their use of the head. */
  mtp: number;
}

/** Forward FLOPs of scores and weighted values of one layer, for each key. */
function flopsPerKey(architecture: Architecture): number {
  const { query, output } = attentionWidths(architecture);
  return 2 * (query + output);
}

/** What the queries of a part see together in one layer of a span. */
function seenIn(span: Span, { tokens, past = 0, attention = 'causal' }: SequencePart): Seen {
  if (attention === 'causal') return seenCausally(span, past, tokens);
  const last = seenBy(span, past + tokens);
  return { keys: tokens * last.keys, entries: tokens * last.entries };
}

/**
 * FLOPs of attention scores and values of a forward pass, over all layers of the model, and of the
 * indexers that choose keys.
 */
export function attentionFlops(architecture: Architecture, part: SequencePart): number {
  const each = flopsPerKey(architecture);
  const index = indexerFlops(architecture);
  return spansOf(architecture).reduce((sum, span) => {
    const { keys, entries } = seenIn(span, part);
    return sum + span.layers * each * keys + (span.indexer?.layers ?? 0) * index * entries;
  }, 0);
}

/** Per token, averaged over a whole sequence. */
export const attentionFlopsPerToken = (
  architecture: Architecture,
  sequenceTokens: number,
  attention: AttentionConvention,
): number => attentionFlops(architecture, { tokens: sequenceTokens, attention }) / sequenceTokens;

/** Those of the prediction modules, where the part computes them; they attend as the first layers do. */
const furtherAttentionFlops = (architecture: Architecture, part: SequencePart): number =>
  part.furtherTokens === undefined
    ? 0
    : architecture.mtpLayers *
      flopsPerKey(architecture) *
      seenIn(spansOf(architecture)[0], part).keys;

/** FLOPs of a forward pass over a part of a sequence, by kind. */
export function forwardFlopsByKind(architecture: Architecture, part: SequencePart): ForwardFlops {
  const { tokens, headTokens = tokens, furtherTokens } = part;
  const { hidden, vocab, moe, mtpLayers, hybrid } = architecture;
  const { matrices } = countParameters(architecture);
  const mixture = matrices.experts + matrices.router;
  const module =
    tokens *
    (2 * hidden * hidden +
      matrices.moduleAttention +
      matrices.residual +
      (moe === null ? matrices.dense : mixture));
  return {
    attentionProjections: 2 * tokens * attentionLayers(architecture) * matrices.attention,
    residual: 2 * tokens * architecture.layers * matrices.residual,
    attention: attentionFlops(architecture, part),
    feedForward: 2 * tokens * denseLayers(architecture) * matrices.dense,
    experts: 2 * tokens * moeLayers(architecture) * matrices.experts,
    router: 2 * tokens * moeLayers(architecture) * matrices.router,
    recurrent: 2 * tokens * (hybrid?.recurrentLayers ?? 0) * matrices.recurrent,
    head: 2 * headTokens * vocab * hidden,
    mtp:
      furtherTokens === undefined
        ? 0
        : 2 * mtpLayers * (module + furtherTokens * vocab * hidden) +
          furtherAttentionFlops(architecture, part),
  };
}

export const sumFlops = (flops: ForwardFlops): number =>
  Object.values(flops).reduce((sum, kind) => sum + kind, 0);

/** FLOPs of a forward pass over (a part of) one sequence. */
export const forwardFlops = (architecture: Architecture, part: SequencePart): number =>
  sumFlops(forwardFlopsByKind(architecture, part));

/**
 * FLOPs of a forward and backward pass over one sequence: three times forward.
 * @param adapterParameters where they alone are trained: frozen matrices then have no derivative of
 * their own, so each is multiplied by twice (4 FLOPs a parameter and token instead of 6)
 */
export function trainingFlops(
  architecture: Architecture,
  part: SequencePart,
  adapterParameters?: number,
): number {
  const forward = forwardFlops(architecture, part);
  if (adapterParameters === undefined) return 3 * forward;
  return (
    2 * forward +
    attentionFlops(architecture, part) +
    furtherAttentionFlops(architecture, part) +
    6 * adapterParameters * part.tokens
  );
}

/** A whole sequence with its prediction modules, as pretraining computes it. */
const wholeSequence = (tokens: number, attention: AttentionConvention): SequencePart => ({
  tokens,
  attention,
  furtherTokens: tokens,
});

/**
 * Model FLOPs per trained token, averaged over a sequence: forward and backward, prediction modules
 * included, without recomputation. The numerator of model FLOPs utilisation.
 */
export function modelFlopsPerToken(
  architecture: Architecture,
  sequenceTokens: number,
  attention: AttentionConvention,
): number {
  const part = wholeSequence(sequenceTokens, attention);
  return (3 * forwardFlops(architecture, part)) / sequenceTokens;
}

/**
 * FLOPs per token of training low-rank adapters on frozen weights: no gradient of the weights, so
 * two thirds of the linear layers (the 4N of parameter-efficient fine-tuning), attention and the
 * adapters themselves left out as in the published figures.
 */
export function adapterFlopsPerToken(architecture: Architecture): number {
  const flops = forwardFlopsByKind(architecture, wholeSequence(1, 'causal'));
  return 2 * (sumFlops(flops) - flops.attention);
}

/**
 * Hardware FLOPs per token: with what the backward pass computes again. The numerator of hardware
 * FLOPs utilisation.
 */
export function hardwareFlopsPerToken(
  architecture: Architecture,
  sequenceTokens: number,
  attention: AttentionConvention,
  recompute: 'none' | 'selective' | 'full',
): number {
  const flops = forwardFlopsByKind(architecture, wholeSequence(sequenceTokens, attention));
  const again =
    recompute === 'full'
      ? sumFlops(flops) - flops.head - flops.mtp
      : recompute === 'selective'
        ? flops.attention
        : 0;
  return (3 * sumFlops(flops) + again) / sequenceTokens;
}

/** Achieved model FLOP/s ÷ peak FLOP/s of the machine in the precision used. */
export function mfu(modelFlops: number, seconds: number, peakFlopsPerSecond: number): number {
  return modelFlops / seconds / peakFlopsPerSecond;
}
