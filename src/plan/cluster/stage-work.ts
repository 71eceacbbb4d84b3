/**
 * @file The stages of a recipe as `plan` takes them: plain data, so that a browser can be handed it
 * and plan there.
 */
import type { Quantity } from '../../planner/cluster.js';
import type { Distribution } from '../../planner/distribution.js';
import type { Architecture } from '../../planner/index.js';
import type { Precision } from '../../planner/layout.js';
import type { Purpose } from '../../usage/usage.js';

/** Passes over examples: `pretrain`, `sft`, and the student of `distill`. */
export interface SupervisedWork {
  id: string;
  kind: 'pretrain' | 'sft' | 'distill';
  purpose: Purpose;
  /** Of the model, where it is another than the recipe's. */
  architecture?: Architecture;
  steps: number;
  /** Sequences a step. */
  batch: number;
  sequenceTokens: number;
  trains: Trained;
}

/** What has gradients: all weights, or low-rank adapters of so many parameters beside them. */
export type Trained = { what: 'all' } | { what: 'adapter'; parameters: number };

/**
 * Sampling, and for `grpo` training on the samples. That of a teacher has the id of its `distill`
 * stage and `.sampling`.
 */
export interface SamplingWork {
  id: string;
  kind: 'grpo' | 'rejection-sample' | 'eval' | 'distill';
  purpose: Purpose;
  /** Of the model, where it is another than the recipe's. */
  architecture?: Architecture;
  /** Rounds of sampling. */
  rounds: number;
  /** Problems a round, and completions of each. */
  prompts: number;
  samples: number;
  /** Optimizer steps a round; 0 where nothing is trained. */
  minibatches: number;
  /** Null where nothing is trained. */
  trains: Trained | null;
  /** Share of the samples that are trained on. */
  trainedShare: number;
  /** Forward passes over those before training: of a reference policy. */
  forwardPasses: number;
  /** Times that groups without signal are sampled anew, and the share of groups that are. */
  resampling: { most: number; replaced: Quantity };
  promptTokens: Distribution;
  /** Mean of a completion: how far it is known. */
  meanTokens: Distribution;
  /**
   * Lengths of demonstrations, tokens: the form of the distribution. Null where no task says it.
   */
  shownTokens: readonly number[] | null;
  maxTokens: number;
}

export type StageWork = SupervisedWork | SamplingWork;

/** How a recipe's model is trained: its numerics. */
export interface Numerics {
  precision: Precision;
  optimizerBytes: number;
  fp8Activations: boolean;
}

/** A recipe, as far as `plan` reads it. */
export interface PlannableRecipe {
  name: string;
  architecture: Architecture;
  numerics: Numerics;
  stages: StageWork[];
  published: readonly { what: string; stages: string[]; gpuHours: number; source: string }[];
}

/**
 * Standard deviation of the logarithm of completions' lengths where no task says it: chains of
 * thought differ by factors.
 */
const LENGTH_SPREAD = 0.9;

/**
 * Lengths of completions around a mean: as the demonstrations', or lognormal, whose median lies
 * below its mean.
 */
export function lengthsAround(
  { shownTokens }: Pick<SamplingWork, 'shownTokens'>,
  mean: number,
): Distribution {
  if (shownTokens === null)
    return {
      lognormal: { median: mean * Math.exp(-(LENGTH_SPREAD ** 2) / 2), sigma: LENGTH_SPREAD },
    };
  const shownMean = shownTokens.reduce((sum, length) => sum + length, 0) / shownTokens.length;
  return { empirical: shownTokens.map((length) => (length * mean) / shownMean) };
}
