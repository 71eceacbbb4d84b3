/**
 * @file The policy losses by name, and both kinds of loss written out in float64.
 *
 * A variant of GRPO is a choice of advantage, importance ratio, surrogate, aggregation, clip
 * bounds, KL weight and sampling. A name picks them all at once; a recipe may then override any of
 * them. A new variant is a new row here, and at most a new small function in
 * `surrogates`, `advantages.ts` or `aggregations.ts`.
 *
 * The loss is composed of ratio and surrogate by `policyLossOf`, in float64 on the host: it is some
 * thousand numbers a micro-batch, whose log-probabilities are read and whose derivatives are
 * written back (docs/decisions/0034). The one that most recipes use, PPO's by token, has a kernel
 * on the device (`Backend.policyLoss`), and `policyLossReference` is what tests judge it by.
 */
import { POLICY_METRICS, type PolicyLossOptions } from '../tensor/operations/losses.js';

/**
 * What the new policy is compared with the old one by: each token, or the completion as a whole.
 */
export const RATIOS = ['token', 'sequence'] as const;
export type Ratio = (typeof RATIOS)[number];

/** One token's part of the objective (to be maximised) before it is weighted. */
interface SurrogateValue {
  objective: number;
  /** Its derivative with respect to the log-probability. */
  slope: number;
  clipped: boolean;
}

/** @param bounded the ratio, held between the clip bounds */
export type Surrogate = (
  ratio: number,
  bounded: number,
  advantage: number,
  logProbability: number,
) => SurrogateValue;

/** What is maximised, by name. */
export const surrogates: Record<string, Surrogate> = {
  /**
   * PPO's pessimistic minimum (Schulman et al. 2017, eq. 7): where the clipped branch is the
   * smaller, the token has no derivative.
   */
  clip(ratio, bounded, advantage) {
    const [unclipped, held] = [ratio * advantage, bounded * advantage];
    const clipped = held < unclipped;
    return { objective: clipped ? held : unclipped, slope: clipped ? 0 : unclipped, clipped };
  },
  /**
   * CISPO's truncated importance sampling (MiniMax-M1, arXiv:2506.13585, equations 4 and 5):
   * REINFORCE with the bounded ratio as a constant weight, so every token keeps a derivative.
   */
  truncate(ratio, bounded, advantage, logProbability) {
    const slope = bounded * advantage;
    return { objective: slope * logProbability, slope, clipped: bounded !== ratio };
  },
};

/** How ratio and surrogate make a loss. */
export interface PolicyLossForm extends PolicyLossOptions {
  ratio: Ratio;
  /** A row of `surrogates`. */
  surrogate: string;
}

/** The form that `Backend.policyLoss` has a kernel for. */
export const isFused = ({ ratio, surrogate }: PolicyLossForm): boolean =>
  ratio === 'token' && surrogate === 'clip';

export interface PolicyLossPreset extends PolicyLossForm {
  /** A row of `advantages`. */
  advantage: string;
  /** A row of `aggregations`. */
  aggregation: string;
  /** Drop groups whose rewards are all equal and sample others in their place (DAPO). */
  dynamicSampling: boolean;
}

export const losses: Record<string, PolicyLossPreset> = {
  /** Shao et al. 2024; the KL weight is DeepSeek-R1-Zero's (Nature 2025), the clip bound PPO's. */
  grpo: {
    advantage: 'group-std',
    ratio: 'token',
    surrogate: 'clip',
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
    surrogate: 'clip',
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
    surrogate: 'clip',
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
    surrogate: 'clip',
    aggregation: 'grpo',
    clipLow: 3e-4,
    clipHigh: 4e-4,
    klCoefficient: 0,
    dynamicSampling: false,
  },
  /**
   * MiniMax 2025 (arXiv:2506.13585, section 3.1): no token is dropped, the ratio has no lower bound,
   * every token of a group weighs alike, dynamic sampling, no KL. The paper tunes the upper bound
   * and does not print it; 1 + 4 is ours.
   */
  cispo: {
    advantage: 'group-std',
    ratio: 'token',
    surrogate: 'truncate',
    aggregation: 'dapo',
    clipLow: 1,
    clipHigh: 4,
    klCoefficient: 0,
    dynamicSampling: true,
  },
};

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
 * PPO's loss by token, what `Backend.policyLoss` computes. With ρ = exp(new − old): loss = Σ w ·
 * (−min(ρA, clip(ρ, 1 − low, 1 + high)A) + β·k3), k3 = exp(ref − new) − (ref − new) − 1. Where the
 * clipped branch is the smaller, the ratio has no derivative; k3's is 1 − exp(ref − new)
 * everywhere.
 */
export const policyLossReference = (
  inputs: PolicyLossInputs,
  options: PolicyLossOptions,
): PolicyLossResult => policyLossOf(inputs, [], { ...options, ratio: 'token', surrogate: 'clip' });

/**
 * A policy loss and its derivative with respect to the log-probabilities, in float64. With one
 * ratio a sequence, GSPO's (Zheng et al. 2025, eq. 7), s = exp(mean over its tokens of (new −
 * old)), each token's derivative is the sequence's, divided by its length. A sequence of one token
 * is the loss by token.
 *
 * @param starts where each sequence begins, and after the last its end: ascending, from 0 to the
 * number of tokens; of no effect with a ratio by token
 */
export function policyLossOf(
  inputs: PolicyLossInputs,
  starts: readonly number[],
  form: PolicyLossForm,
): PolicyLossResult {
  const { logProbabilities, old, reference, advantages, weights } = inputs;
  const { clipLow, clipHigh, klCoefficient } = form;
  const surrogate = surrogates[form.surrogate];
  const metrics = noMetrics();
  const count = logProbabilities.length;
  const dLogProbabilities = new Array<number>(count).fill(0);
  const bounds =
    form.ratio === 'sequence' ? starts : Array.from({ length: count + 1 }, (_, n) => n);
  for (let s = 0; s + 1 < bounds.length; s++) {
    const [from, to] = [bounds[s], bounds[s + 1]];
    let logRatio = 0;
    let logProbability = 0;
    for (let n = from; n < to; n++) {
      logRatio += (logProbabilities[n] - old[n]) / (to - from);
      logProbability += logProbabilities[n] / (to - from);
    }
    const ratio = Math.exp(logRatio);
    const bounded = Math.min(Math.max(ratio, 1 - clipLow), 1 + clipHigh);
    let derivative = 0;
    for (let n = from; n < to; n++) {
      const part = surrogate(ratio, bounded, advantages[n], logProbability);
      metrics.loss -= weights[n] * part.objective;
      derivative -= weights[n] * part.slope;
      metrics.clippedTokens += part.clipped ? 1 : 0;
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
