/**
 * @file What the stages of a recipe have to do, in tokens: what `plan` prices.
 *
 * A stage says it (`plan: {sequenceTokens …}`), or its task is asked: a few hundred problems are
 * drawn, with their demonstrations. A policy is taken to write about as long as it was shown.
 */
import { join } from 'node:path';
import { readJson } from '../../base/files.js';
import { demandGrant } from '../../base/grants.js';
import { Random } from '../../base/random.js';
import { resolveModel } from '../../checkpoints/run-folder.js';
import type { Distribution } from '../../planner/distribution.js';
import { medianOf } from '../../planner/distribution.js';
import { type Architecture, architectureOf } from '../../planner/index.js';
import { type Recipe, resolveRecipe } from '../../recipe/schema.js';
import { samplingOf, teacherOf } from '../../stages/index.js';
import { problemAt, type Task } from '../../tasks/task.js';
import type { Tokenizer } from '../../tokenizers/tokenizer.js';
import { losses } from '../../training/losses.js';
import type { PlannableRecipe, StageWork } from './stage-work.js';

/** Problems that are drawn of a task. */
const DRAWN = 256;
/**
 * How far the mean length of a policy is from that of what it was shown: a 90% interval, as a
 * factor.
 */
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
      (problem, i) =>
        tokenizer.encode(task.demonstrate(problem, new Random(seed, 'plan', i))).length + 1,
    ),
  };
}

const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** The model and the stages of a recipe, as the planner takes them. @throws UserError (usage) */
export function workOf(recipe: Recipe): PlannableRecipe {
  const resolved = recipe.task === undefined ? null : resolveRecipe(recipe);
  const architecture = architectureOf(resolved?.recipe.model ?? recipe.model, recipe.name);
  /** Of the model in force at a stage, where it is another than the recipe's. */
  const others: (Architecture | undefined)[] = [];
  recipe.stages.forEach(({ id, model }, i) => {
    const name = `${recipe.name} ${id}`;
    others.push(
      model === undefined ? others[i - 1] : architectureOf(resolved?.models[i] ?? model, name),
    );
  });
  const modelOf = (architecture: Architecture | undefined) =>
    architecture === undefined ? {} : { architecture };
  const teacher = (i: number): Architecture | undefined => {
    const from = teacherOf(recipe.stages, i) ?? '';
    const at = recipe.stages.findIndex(({ id }) => id === from);
    if (at >= 0) return others[at];
    demandGrant(from, 'teacher');
    return architectureOf(
      readJson(join(resolveModel(from).folder, 'config.json'), 'configuration') as object,
      from,
    );
  };
  const stages = recipe.stages.flatMap((stage, i): StageWork[] => {
    const { id, kind, plan: hints = {} } = stage;
    const own = modelOf(others[i]);
    let asked: Survey | null = null;
    const ask = (): Survey => {
      if (resolved === null)
        throw new Error(`${recipe.name}: stage ${id} has neither hints nor a task`);
      asked ??= survey(resolved.tasks[i], resolved.tokenizer, recipe.seed);
      return asked;
    };
    if (kind === 'pretrain' || kind === 'sft') {
      const { steps, batch } = stage;
      const sequenceTokens =
        hints.sequenceTokens ?? Math.round(ask().promptTokens + meanOf(ask().completionTokens));
      return [{ id, kind, ...own, steps, batch, sequenceTokens }];
    }
    const promptTokens = hints.promptTokens ?? ask().promptTokens;
    const maxTokens = samplingOf(stage)?.maxTokens ?? 0;
    let meanTokens: Distribution;
    let shownTokens: number[] | null = null;
    if (hints.completionTokens !== undefined) meanTokens = hints.completionTokens;
    else {
      const shown = ask().completionTokens.map((length) => Math.min(maxTokens, length));
      const mean = meanOf(shown);
      meanTokens = {
        low: mean / LENGTH_FACTOR,
        value: mean,
        high: Math.min(maxTokens, mean * LENGTH_FACTOR),
      };
      shownTokens = shown;
    }
    const lengths = { promptTokens, meanTokens, shownTokens, maxTokens };
    const sampled = { minibatches: 0, forwardPasses: 0, ...lengths };
    switch (stage.kind) {
      case 'grpo': {
        const { steps: rounds, prompts, samples, minibatches, klCoefficient } = stage;
        const reference = (klCoefficient ?? losses[stage.loss].klCoefficient) > 0;
        const forwardPasses = reference ? 2 : 1;
        return [
          {
            id,
            kind: 'grpo',
            ...own,
            rounds,
            prompts,
            samples,
            ...lengths,
            minibatches,
            forwardPasses,
          },
        ];
      }
      case 'rejection-sample': {
        const { steps: rounds, prompts, samples } = stage;
        return [{ id, kind: 'rejection-sample', ...own, rounds, prompts, samples, ...sampled }];
      }
      case 'eval': {
        const { problems, samples, greedy } = stage;
        return [
          {
            id,
            kind: 'eval',
            ...own,
            rounds: 1,
            prompts: problems,
            samples: samples + (greedy ? 1 : 0),
            ...sampled,
          },
        ];
      }
      case 'distill': {
        // Two models: the teacher samples, and the student imitates.
        const { steps: rounds, prompts, samples } = stage.sampling;
        const { steps, batch } = stage;
        const sequenceTokens =
          hints.sequenceTokens ?? Math.round(medianOf(promptTokens) + medianOf(meanTokens));
        return [
          {
            id: `${id}.sampling`,
            kind: 'distill',
            ...modelOf(teacher(i)),
            rounds,
            prompts,
            samples,
            ...sampled,
          },
          { id, kind: 'distill', ...own, steps, batch, sequenceTokens },
        ];
      }
      default:
        throw new Error(`no stage kind ${kind}`);
    }
  });
  const {
    precision = 'bf16',
    optimizerBytesPerParameter = 12,
    activationsInFp8 = false,
  } = recipe.plan ?? {};
  const numerics = {
    precision,
    optimizerBytes: optimizerBytesPerParameter,
    fp8Activations: activationsInFp8,
  };
  // What is published of a distillation is of both its parts.
  const parts = (id: string): string[] =>
    stages.flatMap((work) => (work.id === id || work.id === `${id}.sampling` ? [work.id] : []));
  const published = (recipe.published ?? []).map((group) => ({
    ...group,
    stages: group.stages.flatMap(parts),
  }));
  return { name: recipe.name, architecture, numerics, stages, published };
}
