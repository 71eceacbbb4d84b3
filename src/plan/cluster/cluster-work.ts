/**
 * @file The work of a recipe in the two forms that the cluster's planner prices: passes over
 * examples, and rollouts with what follows them.
 */
import type { Quantity } from '../../planner/cluster.js';
import { medianOf } from '../../planner/distribution.js';
import type { Recipe } from '../../recipe/index.js';
import type { WorkModels } from '../../stages/totals.js';
import { at, meanOf, type Pass, type Rollout, SCENARIOS, valuesOf } from '../../stages/work.js';
import { recipeWork } from '../recipe-work.js';
import type { PlannableRecipe, StageWork, Trained } from './stage-work.js';

const average = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const trainedBy = (pass: Pass, { adapterParameters = 0 }: WorkModels): Trained =>
  pass.trains === 'all' ? { what: 'all' } : { what: 'adapter', parameters: adapterParameters };

/** Mean over a stage's steps, with the interval in which it is expected. */
function replacedShare({ replaced }: Rollout): Quantity {
  const ends = SCENARIOS.map((scenario) => average(replaced[scenario]));
  return { value: ends[0], low: Math.min(...ends), high: Math.max(...ends) };
}

/** The model and the stages of a recipe, as the planner takes them. @throws UserError (usage) */
export function workOf(recipe: Recipe): PlannableRecipe {
  const { name, architecture, numerics, stages, published } = recipeWork(recipe);
  const works = stages.flatMap(({ id, kind, works, models }) =>
    works.map((work): StageWork => {
      const [rollout] = work.rollouts;
      const [pass] = work.passes;
      const model = models.architectures[(rollout ?? pass).model];
      const own = model === architecture || model === undefined ? {} : { architecture: model };
      const { purpose } = work;
      const head = { id: work.phase === '' ? id : `${id}.${work.phase}`, purpose, ...own };
      if (rollout === undefined) {
        const { promptTokens, completionTokens, sequences } = pass;
        const tokens = medianOf(promptTokens) + meanOf(at(completionTokens.each.expected, 0.5));
        return {
          ...head,
          kind: kind as 'sft',
          steps: work.steps,
          batch: sequences.expected[0],
          sequenceTokens: Math.round(tokens),
          trains: trainedBy(pass, models),
        };
      }
      const { promptTokens, completionTokens, prompts, maxTokens } = rollout;
      return {
        ...head,
        kind: kind as 'grpo',
        rounds: work.steps,
        prompts,
        samples: work.rollouts.reduce((sum, { samples }) => sum + samples, 0),
        minibatches: pass?.updates ?? 0,
        trains: pass === undefined ? null : trainedBy(pass, models),
        trainedShare:
          pass === undefined ? 0 : average(pass.sequences.expected) / (prompts * rollout.samples),
        forwardPasses: work.scores.length,
        resampling: { most: rollout.rounds - 1, replaced: replacedShare(rollout) },
        promptTokens,
        meanTokens: completionTokens.mean,
        shownTokens: completionTokens.each.expected.flatMap((part) => valuesOf(part)),
        maxTokens,
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
