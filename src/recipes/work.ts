/**
 * @file What the stages of a recipe have to do, in tokens: what `plan` prices.
 *
 * A stage says it (`plan: {sequenceTokens …}`), or its task is asked: a few hundred problems are drawn, with their demonstrations.
 * A policy is taken to write about as long as it was shown.
 */
import { Random } from '../base/random.js';
import { type Distribution, medianOf } from '../planner/distribution.js';
import { type Architecture, architectureOf } from '../planner/index.js';
import { problemAt, type Task } from '../tasks/task.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import { losses } from '../training/losses.js';
import { type Recipe, resolveRecipe } from './schema.js';

/** Passes over examples: `pretrain`, `sft`. */
export interface SupervisedWork {
  id: string;
  kind: 'pretrain' | 'sft';
  steps: number;
  /** Sequences a step. */
  batch: number;
  sequenceTokens: number;
}

/** Sampling, and for `grpo` training on the samples. */
export interface SamplingWork {
  id: string;
  kind: 'grpo' | 'rejection-sample' | 'eval';
  /** Rounds of sampling. */
  rounds: number;
  /** Problems a round, and completions of each. */
  prompts: number;
  samples: number;
  /** Optimizer steps a round; 0 where nothing is trained. */
  minibatches: number;
  /** Forward passes over the samples before training: of the policy, and of a reference policy. */
  forwardPasses: number;
  promptTokens: Distribution;
  /** Mean of a completion: how far it is known. */
  meanTokens: Distribution;
  /** Lengths of completions around a mean. */
  lengthsAround: (mean: number) => Distribution;
  maxTokens: number;
}

export type StageWork = SupervisedWork | SamplingWork;

/** Problems that are drawn of a task. */
const DRAWN = 256;
/** Standard deviation of the logarithm of completions' lengths where no task says it: chains of thought differ by factors. */
const LENGTH_SPREAD = 0.9;
/** How far the mean length of a policy is from that of what it was shown: a 90% interval, as a factor. */
const LENGTH_FACTOR = 1.5;

interface Survey {
  promptTokens: number;
  completionTokens: number[];
}

function survey(task: Task, tokenizer: Tokenizer, seed: number): Survey {
  const problems = Array.from({ length: DRAWN }, (_, i) => problemAt(task, seed, 'train', i));
  // The beginning-of-sequence token, and the end of a completion.
  const lengths = problems.map((problem) => tokenizer.encode(problem.prompt).length + 1);
  return {
    promptTokens: lengths.reduce((sum, length) => sum + length, 0) / DRAWN,
    completionTokens: problems.map(
      (problem, i) => tokenizer.encode(task.demonstrate(problem, new Random(seed, 'plan', i))).length + 1,
    ),
  };
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Lengths with this mean, cut by nothing: lognormal, whose median lies below its mean. */
const lognormalAround = (mean: number): Distribution => ({
  lognormal: { median: mean * Math.exp(-(LENGTH_SPREAD ** 2) / 2), sigma: LENGTH_SPREAD },
});

/** The model and the stages of a recipe, as the planner takes them. @throws UserError (usage) */
export function workOf(recipe: Recipe): { architecture: Architecture; stages: StageWork[] } {
  const resolved = recipe.task === undefined ? null : resolveRecipe(recipe);
  const architecture = architectureOf(resolved?.recipe.model ?? recipe.model, recipe.name);
  const stages = recipe.stages.map((stage, i): StageWork => {
    const { id, kind, plan: hints = {} } = stage;
    let asked: Survey | null = null;
    const ask = (): Survey => {
      if (resolved === null) throw new Error(`${recipe.name}: stage ${id} has neither hints nor a task`);
      asked ??= survey(resolved.tasks[i], resolved.tokenizer, recipe.seed);
      return asked;
    };
    if (kind === 'pretrain' || kind === 'sft') {
      const { steps, batch } = stage;
      const sequenceTokens = hints.sequenceTokens ?? Math.round(ask().promptTokens + meanOf(ask().completionTokens));
      return { id, kind, steps, batch, sequenceTokens };
    }
    const promptTokens = hints.promptTokens ?? ask().promptTokens;
    const { maxTokens } = stage;
    let meanTokens: Distribution;
    let lengthsAround = lognormalAround;
    if (hints.completionTokens !== undefined) meanTokens = hints.completionTokens;
    else {
      const shown = ask().completionTokens.map((length) => Math.min(maxTokens, length));
      const mean = meanOf(shown);
      meanTokens = { low: mean / LENGTH_FACTOR, value: mean, high: Math.min(maxTokens, mean * LENGTH_FACTOR) };
      lengthsAround = (wanted) => ({ empirical: shown.map((length) => (length * wanted) / mean) });
    }
    const lengths = { promptTokens, meanTokens, lengthsAround, maxTokens };
    switch (stage.kind) {
      case 'grpo': {
        const { steps: rounds, prompts, samples, minibatches, klCoefficient } = stage;
        const reference = (klCoefficient ?? losses[stage.loss].klCoefficient) > 0;
        return { id, kind: 'grpo', rounds, prompts, samples, minibatches, forwardPasses: reference ? 2 : 1, ...lengths };
      }
      case 'rejection-sample': {
        const { steps: rounds, prompts, samples } = stage;
        return { id, kind: 'rejection-sample', rounds, prompts, samples, minibatches: 0, forwardPasses: 0, ...lengths };
      }
      case 'eval': {
        const { problems, samples, greedy } = stage;
        const each = samples + (greedy ? 1 : 0);
        return { id, kind: 'eval', rounds: 1, prompts: problems, samples: each, minibatches: 0, forwardPasses: 0, ...lengths };
      }
      default:
        throw new Error(`no stage kind ${kind}`);
    }
  });
  return { architecture, stages };
}

/** Tokens of a supervised stage. */
export const supervisedTokens = ({ steps, batch, sequenceTokens }: SupervisedWork): number => steps * batch * sequenceTokens;

/** Tokens of prompts and completions of a stage that samples, at the median of their lengths. */
export const sampledTokens = ({ rounds, prompts, samples, promptTokens, meanTokens }: SamplingWork): number =>
  rounds * prompts * samples * (medianOf(promptTokens) + medianOf(meanTokens));
