/**
 * @file The policy losses by name, and the token loss written out in float64.
 *
 * A variant of GRPO is a choice of advantage, aggregation, clip bounds, KL weight and sampling. A name picks them all at once;
 * a recipe may then override any of them. A new variant is a new row here, and at most a new small function in
 * `advantages.ts` or `aggregations.ts`.
 *
 * The elementwise part runs on the device (`Backend.policyLoss`); `policyLossReference` says the same in plain TypeScript and
 * is what tests judge by.
 */
import { POLICY_METRICS, type PolicyLossOptions } from '../tensor/backend.js';
import type { AdvantageName } from './advantages.js';
import type { AggregationName } from './aggregations.js';

export interface PolicyLossPreset extends PolicyLossOptions {
  advantage: AdvantageName;
  aggregation: AggregationName;
  /** Drop groups whose rewards are all equal and sample others in their place (DAPO). */
  dynamicSampling: boolean;
}

export const losses = {
  /** Shao et al. 2024; the KL weight is DeepSeek-R1-Zero's (Nature 2025), the clip bound PPO's. */
  grpo: {
    advantage: 'group-std',
    aggregation: 'grpo',
    clipLow: 0.2,
    clipHigh: 0.2,
    klCoefficient: 0.001,
    dynamicSampling: false,
  },
  /** Yu et al. 2025: the upper bound is raised so that unlikely tokens can grow; no KL. */
  dapo: {
    advantage: 'group-std',
    aggregation: 'dapo',
    clipLow: 0.2,
    clipHigh: 0.28,
    klCoefficient: 0,
    dynamicSampling: true,
  },
  /** Liu et al. 2025: neither the group's spread nor a completion's length scales the gradient; no KL. */
  dr_grpo: {
    advantage: 'group-mean',
    aggregation: 'dr_grpo',
    clipLow: 0.2,
    clipHigh: 0.2,
    klCoefficient: 0,
    dynamicSampling: false,
  },
} as const satisfies Record<string, PolicyLossPreset>;

export type LossName = keyof typeof losses;

/** What `Backend.policyLoss` takes, in plain numbers; every list has one entry a token. */
export interface PolicyLossInputs {
  logProbabilities: readonly number[];
  /** Of the policy that sampled the tokens. */
  old: readonly number[];
  /** Of the reference policy; `null` when the KL weight is 0. */
  reference: readonly number[] | null;
  advantages: readonly number[];
  weights: readonly number[];
}

export interface PolicyLossResult {
  dLogProbabilities: number[];
  metrics: Record<(typeof POLICY_METRICS)[number], number>;
}

/**
 * The clipped policy-gradient loss and its derivative with respect to the log-probabilities, in float64.
 * With ρ = exp(new − old): loss = Σ w · (−min(ρA, clip(ρ, 1 − low, 1 + high)A) + β·k3), k3 = exp(ref − new) − (ref − new) − 1.
 * Where the clipped branch is the smaller, the ratio has no derivative; k3's is 1 − exp(ref − new) everywhere.
 */
export function policyLossReference(inputs: PolicyLossInputs, options: PolicyLossOptions): PolicyLossResult {
  const { logProbabilities, old, reference, advantages, weights } = inputs;
  const metrics = Object.fromEntries(POLICY_METRICS.map((name) => [name, 0])) as PolicyLossResult['metrics'];
  const dLogProbabilities = logProbabilities.map((logProbability, n) => {
    const logRatio = logProbability - old[n];
    const ratio = Math.exp(logRatio);
    const unclipped = ratio * advantages[n];
    const clipped = Math.min(Math.max(ratio, 1 - options.clipLow), 1 + options.clipHigh) * advantages[n];
    const isClipped = clipped < unclipped;
    let loss = -(isClipped ? clipped : unclipped);
    let derivative = isClipped ? 0 : -unclipped;
    if (options.klCoefficient !== 0 && reference !== null) {
      const difference = reference[n] - logProbability;
      const k3 = Math.exp(difference) - difference - 1;
      loss += options.klCoefficient * k3;
      derivative += options.klCoefficient * (1 - Math.exp(difference));
      metrics.klWeighted += weights[n] * k3;
    }
    metrics.loss += weights[n] * loss;
    metrics.clippedTokens += isClipped ? 1 : 0;
    metrics.tokens += 1;
    metrics.absoluteLogRatio += Math.abs(logRatio);
    return weights[n] * derivative;
  });
  return { dLogProbabilities, metrics };
}
