/**
 * @file The policy losses by name, and both kinds of loss written out in float64.
 *
 * A variant of GRPO is a choice of advantage, importance ratio, aggregation, clip bounds, KL weight
 * and sampling. A name picks them all at once; a recipe may then override any of them. A new
 * variant is a new row here, and at most a new small function in `advantages.ts` or
 * `aggregations.ts`.
 *
 * The loss by token is elementwise and runs on the device (`Backend.policyLoss`);
 * `policyLossReference` says the same in plain TypeScript and is what tests judge by. The loss by
 * sequence (GSPO) runs here, on the host: it is some thousand numbers a micro-batch, whose
 * log-probabilities are read and whose derivatives are written back (docs/decisions/0034).
 */
import { POLICY_METRICS, type PolicyLossOptions } from '../tensor/operations/losses.js';
import type { AdvantageName } from './advantages.js';
import type { AggregationName } from './aggregations.js';

/**
 * What the new policy is compared with the old one by: each token, or the completion as a whole.
 */
export const RATIOS = ['token', 'sequence'] as const;
export type Ratio = (typeof RATIOS)[number];

export interface PolicyLossPreset extends PolicyLossOptions {
  advantage: AdvantageName;
  ratio: Ratio;
  aggregation: AggregationName;
  /** Drop groups whose rewards are all equal and sample others in their place (DAPO). */
  dynamicSampling: boolean;
}

export const losses = {
  /** Shao et al. 2024; the KL weight is DeepSeek-R1-Zero's (Nature 2025), the clip bound PPO's. */
  grpo: {
    advantage: 'group-std',
    ratio: 'token',
    aggregation: 'grpo',
    clipLow: 0.2,
    clipHigh: 0.2,
    klCoefficient: 0.001,
    dynamicSampling: false,
  },
  /** Yu et al. 2025: the upper bound is raised so that unlikely tokens can grow; no KL. */
  dapo: {
    advantage: 'group-std',
    ratio: 'token',
    aggregation: 'dapo',
    clipLow: 0.2,
    clipHigh: 0.28,
    klCoefficient: 0,
    dynamicSampling: true,
  },
  /**
   * Liu et al. 2025: neither the group's spread nor a completion's length scales the gradient; no
   * KL.
   */
  dr_grpo: {
    advantage: 'group-mean',
    ratio: 'token',
    aggregation: 'dr_grpo',
    clipLow: 0.2,
    clipHigh: 0.2,
    klCoefficient: 0,
    dynamicSampling: false,
  },
  /**
   * Zheng et al. 2025 (arXiv:2507.18071): one ratio a sequence, the geometric mean of its tokens',
   * so the clip bounds are those of the paper (section 5.1) and far narrower than a token's. Its
   * mean over sequences is `grpo`'s aggregation. No KL.
   */
  gspo: {
    advantage: 'group-std',
    ratio: 'sequence',
    aggregation: 'grpo',
    clipLow: 3e-4,
    clipHigh: 4e-4,
    klCoefficient: 0,
    dynamicSampling: false,
  },
} as const satisfies Record<string, PolicyLossPreset>;

export type LossName = keyof typeof losses;

/** What `Backend.policyLoss` takes, in plain numbers; every list has one entry a token. */
export interface PolicyLossInputs {
  logProbabilities: ArrayLike<number>;
  /** Of the policy that sampled the tokens. */
  old: ArrayLike<number>;
  /** Of the reference policy; `null` when the KL weight is 0. */
  reference: ArrayLike<number> | null;
  advantages: ArrayLike<number>;
  weights: ArrayLike<number>;
}

export interface PolicyLossResult {
  dLogProbabilities: number[];
  metrics: Record<(typeof POLICY_METRICS)[number], number>;
}

/**
 * The k3 estimate of the divergence from the reference policy at one token (Schulman 2020; Shao et
 * al. 2024, eq. 4), and its derivative with respect to the log-probability.
 */
function divergenceAt(
  logProbability: number,
  reference: number,
): { k3: number; derivative: number } {
  const difference = reference - logProbability;
  const ratio = Math.exp(difference);
  return { k3: ratio - difference - 1, derivative: 1 - ratio };
}

const noMetrics = () =>
  Object.fromEntries(POLICY_METRICS.map((name) => [name, 0])) as PolicyLossResult['metrics'];

/**
 * The clipped policy-gradient loss and its derivative with respect to the log-probabilities, in
 * float64. With ρ = exp(new − old): loss = Σ w · (−min(ρA, clip(ρ, 1 − low, 1 + high)A) + β·k3), k3
 * = exp(ref − new) − (ref − new) − 1. Where the clipped branch is the smaller, the ratio has no
 * derivative; k3's is 1 − exp(ref − new) everywhere.
 */
export function policyLossReference(
  inputs: PolicyLossInputs,
  options: PolicyLossOptions,
): PolicyLossResult {
  const each = Array.from({ length: inputs.logProbabilities.length + 1 }, (_, n) => n);
  return sequencePolicyLoss(inputs, each, options);
}

/**
 * The same with one ratio a sequence, GSPO's (Zheng et al. 2025, eq. 7): s = exp(mean over its
 * tokens of (new − old)), so each token's derivative is the sequence's, divided by its length. A
 * sequence of one token is the loss by token.
 *
 * @param starts where each sequence begins, and after the last its end: ascending, from 0 to the
 * number of tokens
 */
export function sequencePolicyLoss(
  inputs: PolicyLossInputs,
  starts: readonly number[],
  options: PolicyLossOptions,
): PolicyLossResult {
  const { logProbabilities, old, reference, advantages, weights } = inputs;
  const { clipLow, clipHigh, klCoefficient } = options;
  const metrics = noMetrics();
  const dLogProbabilities = new Array<number>(logProbabilities.length).fill(0);
  for (let s = 0; s + 1 < starts.length; s++) {
    const [from, to] = [starts[s], starts[s + 1]];
    let logRatio = 0;
    for (let n = from; n < to; n++) logRatio += (logProbabilities[n] - old[n]) / (to - from);
    const ratio = Math.exp(logRatio);
    const bounded = Math.min(Math.max(ratio, 1 - clipLow), 1 + clipHigh);
    let derivative = 0;
    for (let n = from; n < to; n++) {
      const unclipped = ratio * advantages[n];
      const clipped = bounded * advantages[n];
      const isClipped = clipped < unclipped;
      metrics.loss -= weights[n] * (isClipped ? clipped : unclipped);
      derivative -= isClipped ? 0 : weights[n] * unclipped;
      metrics.clippedTokens += isClipped ? 1 : 0;
      metrics.tokens += 1;
      metrics.absoluteLogRatio += Math.abs(logProbabilities[n] - old[n]);
    }
    for (let n = from; n < to; n++) {
      dLogProbabilities[n] = derivative / (to - from);
      if (klCoefficient === 0 || reference === null) continue;
      const kl = divergenceAt(logProbabilities[n], reference[n]);
      metrics.loss += weights[n] * klCoefficient * kl.k3;
      metrics.klWeighted += weights[n] * kl.k3;
      dLogProbabilities[n] += weights[n] * klCoefficient * kl.derivative;
    }
  }
  return { dLogProbabilities, metrics };
}
