/**
 * @file The work of a recipe in the two forms that the cluster's planner prices: passes over
 * examples, and rollouts with what follows them.
 */
import { medianOf } from '../../planner/distribution.js';
import type { Recipe } from '../../recipe/index.js';
import { at, meanOf, valuesOf } from '../../stages/work.js';
import { recipeWork } from '../recipe-work.js';
import type { PlannableRecipe, StageWork } from './stage-work.js';

/** The model and the stages of a recipe, as the planner takes them. @throws UserError (usage) */
export function workOf(recipe: Recipe): PlannableRecipe {
  const { name, architecture, numerics, stages, published } = recipeWork(recipe);
  const works = stages.flatMap(({ id, kind, works, models }) =>
    works.map((work): StageWork => {
      const [rollout] = work.rollouts;
      const [pass] = work.passes;
      const model = models.architectures[(rollout ?? pass).model];
      const own = model === architecture || model === undefined ? {} : { architecture: model };
      const head = { id: work.phase === '' ? id : `${id}.${work.phase}`, ...own };
      if (rollout === undefined) {
        const { promptTokens, completionTokens, sequences } = pass;
        const tokens = medianOf(promptTokens) + meanOf(at(completionTokens.each.expected, 0.5));
        return {
          ...head,
          kind: kind as 'sft',
          steps: work.steps,
          batch: sequences.expected[0],
          sequenceTokens: Math.round(tokens),
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
        forwardPasses: work.scores.length,
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
