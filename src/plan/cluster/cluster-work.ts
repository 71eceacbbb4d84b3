/**
 * @file The work of a recipe as the cluster's planner prices it: means over a stage's steps of what
 * its `work()` gives step by step.
 */
import { medianOf } from '../../planner/distribution.js';
import type { Recipe } from '../../recipe/index.js';
import type { WorkModels } from '../../stages/totals.js';
import { at, meanOf, type Pass, SCENARIOS, valuesOf, type Work } from '../../stages/work.js';
import { recipeWork } from '../recipe-work.js';
import type { PlannableRecipe, RolloutWork, StageWork, TrainingPasses } from './stage-work.js';

const average = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** The first pass; those of other rollouts of a stage are over the same sequences. */
function trainingOf([pass]: readonly Pass[], models: WorkModels): TrainingPasses | null {
  if (pass === undefined) return null;
  const { promptTokens, completionTokens, sequences, updates, trains } = pass;
  const { adapterParameters = 0 } = models;
  const tokens = medianOf(promptTokens) + meanOf(at(completionTokens.each.expected, 0.5));
  return {
    sequences: average(sequences.expected),
    sequenceTokens: Math.round(tokens),
    updates,
    trains: trains === 'all' ? { what: 'all' } : { what: 'adapter', parameters: adapterParameters },
  };
}

/** Rollouts of one step are of the same problems: their samples add up. */
function rolloutOf({ rollouts, scores }: Work): RolloutWork | null {
  const [rollout] = rollouts;
  if (rollout === undefined) return null;
  const { prompts, promptTokens, completionTokens, maxTokens, rounds, replaced } = rollout;
  const ends = SCENARIOS.map((scenario) => average(replaced[scenario]));
  return {
    prompts,
    samples: rollouts.reduce((sum, { samples }) => sum + samples, 0),
    resampling: {
      most: rounds - 1,
      replaced: { value: ends[0], low: Math.min(...ends), high: Math.max(...ends) },
    },
    promptTokens,
    meanTokens: completionTokens.mean,
    shownTokens: completionTokens.each.expected.flatMap((part) => valuesOf(part)),
    maxTokens,
    forwardPasses: scores.length,
  };
}

/** The model and the stages of a recipe, as the planner takes them. @throws UserError (usage) */
export function workOf(recipe: Recipe): PlannableRecipe {
  const { name, architecture, numerics, stages, published } = recipeWork(recipe);
  const works = stages.flatMap(({ id, kind, works, models }) =>
    works.map((work): StageWork => {
      const { phase, purpose, steps, rollouts, passes } = work;
      const model = models.architectures[(rollouts[0] ?? passes[0]).model];
      return {
        id: phase === '' ? id : `${id}.${phase}`,
        kind,
        purpose,
        ...(model === architecture || model === undefined ? {} : { architecture: model }),
        steps,
        rollout: rolloutOf(work),
        training: trainingOf(passes, models),
      };
    }),
  );
  const {
    precision = 'bf16',
    optimizerBytesPerParameter = 12,
    activationsInFp8 = false,
  } = numerics ?? {};
  // What is published of a distillation is of both its phases.
  const parts = (id: string): string[] =>
    works.flatMap((work) => (work.id === id || work.id.startsWith(`${id}.`) ? [work.id] : []));
  return {
    name,
    architecture,
    numerics: {
      precision,
      optimizerBytes: optimizerBytesPerParameter,
      fp8Activations: activationsInFp8,
    },
    stages: works,
    published: published.map((group) => ({ ...group, stages: group.stages.flatMap(parts) })),
  };
}
