/**
 * @file Distillation into a smaller model: a teacher samples, the verifier keeps what is right, and
 * the stage's own model, the student, imitates that.
 *
 * DeepSeek-R1's distilled models are made so (Nature 2025, "Distillation"; arXiv:2501.12948v1,
 * section 2.4): plain SFT on the teacher's samples, no reinforcement learning and no logits. The
 * teacher is an earlier stage's model, a run's, or a folder's; it is in memory while it samples and
 * no longer.
 *
 * The first steps sample, the others train. What was sampled is in `data/<stage>.jsonl` before the
 * first of the latter, so a run that is stopped goes on from any of those.
 */
import { z } from 'zod';
import { createSchedule } from '../../training/schedules.js';
import type { Facts } from '../facts.js';
import { defineStage, needPositions, refuseWhere, type Spec } from '../kind.js';
import {
  createRejectionSample,
  rejectionSampleSchema,
  samplingWork,
} from '../rejection-sample/index.js';
import type { Stage, StageContext } from '../stage.js';
import { createSupervised, supervisedSchema, supervisedWork } from '../supervised.js';
import type { Work } from '../work.js';

export const distillSchema = supervisedSchema
  .omit({ from: true, data: true, columns: true, sha256: true, mix: true })
  .extend({
    /**
     * Who is imitated: the id of an earlier stage, a run or a model folder; by default the last model
     * that was trained.
     */
    teacher: z.strictObject({ from: z.string().min(1) }).optional(),
    /** How the teacher samples: as a `rejection-sample` stage does. */
    sampling: rejectionSampleSchema,
  });

export type DistillOptions = z.infer<typeof distillSchema>;

/** Teacher's steps come first, then the student's. */
function work({ sampling, ...student }: Spec<DistillOptions>, facts: Facts): Work[] {
  const accepted = [{ from: student.id, weight: 1 }];
  return [
    { ...samplingWork(sampling, facts, 'teacher'), phase: 'sampling' },
    supervisedWork(student, facts, 'completion', accepted),
  ];
}

export const distill = defineStage<DistillOptions>({
  kind: 'distill',
  schema: distillSchema,
  trains: true,
  purpose: 'training',
  keepsSamples: true,
  steps: ({ sampling, steps }) => sampling.steps + steps,
  teacher: ({ teacher }, lastTrained) => teacher?.from ?? lastTrained,
  check(spec, around) {
    const { before, refuse } = around;
    if (spec.model === undefined) refuse(['model'], 'is missing: the configuration of the student');
    if (!spec.teacher && !before.some(({ kind }) => kind.trains))
      refuse(['teacher'], 'is missing, and no stage before this one trains a model');
    refuseWhere(around, () => createSchedule(spec.schedule, spec.steps));
  },
  fits: ({ sampling }, made) => needPositions(made, sampling.maxTokens, 'sampling.maxTokens'),
  work,
  create: createDistill,
});

async function createDistill(context: StageContext, options: Spec<DistillOptions>): Promise<Stage> {
  const { stage } = context;
  const { sampling, teacher: _, ...imitation } = options;
  const student = await createSupervised(context, { ...imitation, from: stage }, true, true);
  let sampler: Stage | null = null;
  return {
    steps: sampling.steps + options.steps,
    purpose: 'data',
    purposeOf: (step) => (step <= sampling.steps ? 'data' : 'training'),
    policy: student.policy,
    resumableFrom: sampling.steps,
    async step(step) {
      if (step > sampling.steps) return student.step(step - sampling.steps);
      sampler ??= await createRejectionSample(context, sampling, context.teacher ?? undefined);
      const result = await sampler.step(step);
      if (step === sampling.steps) {
        await sampler.finish?.();
        sampler = null;
      }
      return result;
    },
  };
}
