/**
 * @file What the stages of a recipe have to do, in tokens: what `plan` prices.
 *
 * A stage says it (`plan: {sequenceTokens …}`), or its task is asked: a few hundred problems are drawn, with their demonstrations.
 * A policy is taken to write about as long as it was shown.
 */
import { UserError } from '../base/errors.js';
import { Random } from '../base/random.js';
import type { Distribution } from '../planner/distribution.js';
import { architectureOf } from '../planner/index.js';
import { problemAt, type Task } from '../tasks/task.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import { losses } from '../training/losses.js';
import { type Recipe, resolveRecipe } from './schema.js';
import type { PlannableRecipe, StageWork } from './stage-work.js';

/** Problems that are drawn of a task. */
const DRAWN = 256;
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

/** The model and the stages of a recipe, as the planner takes them. @throws UserError (usage) */
export function workOf(recipe: Recipe): PlannableRecipe {
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
    if (stage.kind === 'distill' || stage.model !== undefined) {
      const message = `${recipe.name}: a plan on a cluster is of one model, and stage ${id} brings its own; see "reckoner plan ${recipe.name} --on local"`;
      throw new UserError('usage', message, 'recipe');
    }
    const promptTokens = hints.promptTokens ?? ask().promptTokens;
    const { maxTokens } = stage;
    let meanTokens: Distribution;
    let shownTokens: number[] | null = null;
    if (hints.completionTokens !== undefined) meanTokens = hints.completionTokens;
    else {
      const shown = ask().completionTokens.map((length) => Math.min(maxTokens, length));
      const mean = meanOf(shown);
      meanTokens = { low: mean / LENGTH_FACTOR, value: mean, high: Math.min(maxTokens, mean * LENGTH_FACTOR) };
      shownTokens = shown;
    }
    const lengths = { promptTokens, meanTokens, shownTokens, maxTokens };
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
  const { precision = 'bf16', optimizerBytesPerParameter = 12, activationsInFp8 = false } = recipe.plan ?? {};
  const numerics = { precision, optimizerBytes: optimizerBytesPerParameter, fp8Activations: activationsInFp8 };
  return { name: recipe.name, architecture, numerics, stages, published: recipe.published ?? [] };
}
