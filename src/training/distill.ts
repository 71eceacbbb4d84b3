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
import type { Mark } from '../tensor/backend.js';
import { createRejectionSample, rejectionSampleSchema } from './rejection-sample.js';
import type { Stage, StageContext } from './stage.js';
import { createSupervised, supervisedSchema } from './supervised.js';

export const distillSchema = supervisedSchema
  .omit({ from: true, data: true, sha256: true, mix: true })
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

/** @param teacher what the options leave open: the id of the last stage that trained */
export function createDistill(
  context: StageContext,
  options: DistillOptions,
  teacher: string,
): Stage {
  const { backend, stage } = context;
  const { sampling, teacher: _, ...imitation } = options;
  const student = createSupervised(context, { ...imitation, from: stage }, true, true);
  let sampler: { stage: Stage; mark: Mark } | null = null;
  return {
    steps: sampling.steps + options.steps,
    purpose: 'data',
    purposeOf: (step) => (step <= sampling.steps ? 'data' : 'training'),
    state: student.state,
    resumableFrom: sampling.steps,
    async step(step) {
      if (step > sampling.steps) return student.step(step - sampling.steps);
      if (sampler === null) {
        const mark = backend.mark();
        const model = await context.loadModel(teacher);
        sampler = { stage: createRejectionSample({ ...context, model }, sampling), mark };
      }
      const result = await sampler.stage.step(step);
      if (step === sampling.steps) {
        await sampler.stage.finish?.();
        backend.release(sampler.mark);
        sampler = null;
      }
      return result;
    },
  };
}
