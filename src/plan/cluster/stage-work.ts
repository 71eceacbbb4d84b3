/**
 * @file The stages of a recipe as `plan` takes them: plain data, so that a browser can be handed it
 * and plan there.
 */
import type { Quantity } from '../../planner/cluster.js';
import type { Distribution } from '../../planner/distribution.js';
import type { Architecture } from '../../planner/index.js';
import type { Precision } from '../../planner/layout.js';
import type { StageSpec } from '../../stages/index.js';
import type { Purpose } from '../../usage/usage.js';

/** What has gradients: all weights, or low-rank adapters of so many parameters beside them. */
export type Trained = { what: 'all' } | { what: 'adapter'; parameters: number };

/** Forward and backward passes of one step, over examples or over what the rollout sampled. */
export interface TrainingPasses {
  /** Mean number of sequences a step, all optimizer updates together. */
  sequences: number;
  /** Tokens of a typical sequence, prompt and completion. */
  sequenceTokens: number;
  /** Optimizer updates a step. */
  updates: number;
  trains: Trained;
}

/** Sampling of one step. */
export interface RolloutWork {
  /** Problems, and completions of each. */
  prompts: number;
  samples: number;
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
  /** Forward passes over what is trained on: log-probabilities of a reference policy. */
  forwardPasses: number;
}

/** A stage, or one phase of it: a teacher's sampling has its stage's id and `.sampling`. */
export interface StageWork {
  id: string;
  kind: StageSpec['kind'];
  purpose: Purpose;
  /** Of the model, where it is another than the recipe's. */
  architecture?: Architecture;
  steps: number;
  /** Null where nothing is sampled. */
  rollout: RolloutWork | null;
  /** Null where nothing is trained. */
  training: TrainingPasses | null;
}

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
  { shownTokens }: Pick<RolloutWork, 'shownTokens'>,
  mean: number,
): Distribution {
  if (shownTokens === null)
    return {
      lognormal: { median: mean * Math.exp(-(LENGTH_SPREAD ** 2) / 2), sigma: LENGTH_SPREAD },
    };
  const shownMean = shownTokens.reduce((sum, length) => sum + length, 0) / shownTokens.length;
  return { empirical: shownTokens.map((length) => (length * mean) / shownMean) };
}
