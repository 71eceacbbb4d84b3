/**
 * @file The table of stage kinds: a schema for the options, and the function that makes the stage.
 */
import { z } from 'zod';
import { evaluateSchema } from '../evaluation/evaluate.js';
import { createEvaluation } from '../evaluation/stage.js';
import { distributionSchema } from '../planner/distribution.js';
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
  plan: planHintsSchema.optional(),
};

const pretrain = supervisedSchema.extend({ ...common, kind: z.literal('pretrain') });
const sft = supervisedSchema.extend({ ...common, kind: z.literal('sft') });
const grpo = grpoSchema.extend({ ...common, kind: z.literal('grpo') });
const rejectionSample = rejectionSampleSchema.extend({ ...common, kind: z.literal('rejection-sample') });
const evaluation = evaluateSchema.extend({ ...common, kind: z.literal('eval') });

export const stageSchema = z.discriminatedUnion('kind', [pretrain, sft, grpo, rejectionSample, evaluation]);

export type StageSpec = z.infer<typeof stageSchema>;

/** Puts the stage's state on the backend's stack. */
export function createStage(context: StageContext, spec: StageSpec): Stage {
  switch (spec.kind) {
    case 'pretrain':
      return createSupervised(context, spec, false);
    case 'sft':
      return createSupervised(context, spec, true);
    case 'grpo':
      return createGrpo(context, spec);
    case 'rejection-sample':
      return createRejectionSample(context, spec);
    case 'eval':
      return createEvaluation(context, spec);
  }
}
