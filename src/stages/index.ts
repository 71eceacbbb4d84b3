/**
 * @file The table of stage kinds: a schema for the options, and the function that makes the stage.
 */
import { z } from 'zod';
import { evaluateSchema } from '../evaluation/evaluate.js';
import { createEvaluation } from '../evaluation/stage.js';
import { distributionSchema } from '../planner/distribution.js';
import { createDistill, distillSchema } from '../training/distill.js';
import { createGrpo, grpoSchema } from '../training/grpo.js';
import { createRejectionSample, rejectionSampleSchema } from '../training/rejection-sample.js';
import type { Stage, StageContext } from '../training/stage.js';
import { createSupervised, supervisedSchema } from '../training/supervised.js';

/** What `plan` is told where it cannot ask a task; `train` does not read it. */
const planHintsSchema = z.strictObject({
  /** Of one example of `pretrain` and `sft`. */
  sequenceTokens: z.number().int().positive().optional(),
  /** Mean of a prompt, where a stage samples. */
  promptTokens: distributionSchema.optional(),
  /** Mean of a completion, where a stage samples. */
  completionTokens: distributionSchema.optional(),
});

const common = {
  /** Name of the stage, unique in the recipe; results and costs are reported under it. */
  id: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]*$/, 'must be lower-case letters, digits and dashes')
    .max(40)
    // The bill has lines of these names for the time before, after and lost between the stages.
    .refine((id) => !['start', 'finish', 'lost'].includes(id), 'must not be start, finish or lost'),
  /** Overrides fields of the recipe's task for this stage. */
  task: z.record(z.string(), z.unknown()).optional(),
  /**
   * A model of its own for this stage and the later ones: it starts from `init`, or from random
   * weights.
   */
  model: z.record(z.string(), z.unknown()).optional(),
  /**
   * Start the stage from the weights of an earlier stage (by its id), of a run or of a model
   * folder.
   */
  init: z.strictObject({ from: z.string().min(1) }).optional(),
  plan: planHintsSchema.optional(),
};

const pretrain = supervisedSchema.extend({ ...common, kind: z.literal('pretrain') });
const sft = supervisedSchema.extend({ ...common, kind: z.literal('sft') });
const grpo = grpoSchema.extend({ ...common, kind: z.literal('grpo') });
const rejectionSample = rejectionSampleSchema.extend({
  ...common,
  kind: z.literal('rejection-sample'),
});
const distill = distillSchema.extend({ ...common, kind: z.literal('distill') });
const evaluation = evaluateSchema.extend({ ...common, kind: z.literal('eval') });

export const stageSchema = z.discriminatedUnion('kind', [
  pretrain,
  sft,
  grpo,
  rejectionSample,
  distill,
  evaluation,
]);

export type StageSpec = z.infer<typeof stageSchema>;

/** True for a stage that changes weights; its model is kept in the run. */
export const trains = ({ kind }: Pick<StageSpec, 'kind'>): boolean =>
  kind !== 'eval' && kind !== 'rejection-sample';

/** Steps of a stage, as `Stage.steps` will say. */
export function stepsOf(spec: StageSpec): number {
  if (spec.kind === 'eval') return 1;
  return spec.kind === 'distill' ? spec.sampling.steps + spec.steps : spec.steps;
}

/**
 * Whose samples a `distill` stage takes when it does not say: the last stage's before it that
 * trained; null where there is none.
 */
export function teacherOf(stages: readonly StageSpec[], i: number): string | null {
  const spec = stages[i];
  if (spec.kind === 'distill' && spec.teacher) return spec.teacher.from;
  return stages.slice(0, i).findLast(trains)?.id ?? null;
}

/** How a stage samples, where it does. */
export function samplingOf(
  spec: StageSpec,
): { prompts: number; samples: number; maxTokens: number } | null {
  if (spec.kind === 'distill') return spec.sampling;
  if (spec.kind === 'eval')
    return { prompts: spec.problems, samples: spec.samples, maxTokens: spec.maxTokens };
  return 'maxTokens' in spec ? spec : null;
}

/** Puts the stage's state on the backend's stack. `stages` are the recipe's, `i` which of them. */
export function createStage(context: StageContext, stages: readonly StageSpec[], i: number): Stage {
  const spec = stages[i];
  switch (spec.kind) {
    case 'pretrain':
      return createSupervised(context, spec, false);
    case 'sft':
      return createSupervised(context, spec, true);
    case 'grpo':
      return createGrpo(context, spec);
    case 'rejection-sample':
      return createRejectionSample(context, spec);
    case 'distill':
      return createDistill(context, spec, teacherOf(stages, i) as string);
    case 'eval':
      return createEvaluation(context, spec);
  }
}
