/**
 * @file Learning-rate schedules: a step in, a multiplier of the peak rate out.
 *
 * Steps count from 1, as an optimizer's do: with a warm-up of 10, step 1 runs at a tenth of the
 * rate and step 10 at all of it; the last step of `cosine` and `wsd` runs at `final`. A schedule is
 * a pure function of the step, so a resumed run continues on the same curve.
 *
 * `cosine`: Loshchilov and Hutter 2017. `wsd` (warm-up, stable, decay): Hu et al. 2024 (MiniCPM,
 * arXiv:2404.06395), with the linear decay of Hägele et al. 2024 (arXiv:2405.18392).
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';

const warmup = z.int().min(0).default(0).describe('Steps of linear warm-up.');
const final = z.number().min(0).max(1).default(0).describe('Multiplier at the last step.');

export const scheduleSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('constant'), warmup }),
  z.strictObject({ kind: z.literal('cosine'), warmup, final }),
  z.strictObject({
    kind: z.literal('wsd'),
    warmup,
    final,
    decay: z.int().min(1).describe('Steps of linear decay at the end.'),
  }),
]);

export type ScheduleSpec = z.infer<typeof scheduleSchema>;

/** The multiplier of the peak learning rate at `step`, 1 … steps. */
export type Schedule = (step: number) => number;

/**
 * @param steps how many steps the stage runs
 * @throws UserError (usage) when warm-up and decay do not fit into the steps
 */
export function createSchedule(spec: ScheduleSpec, steps: number): Schedule {
  const decay = spec.kind === 'wsd' ? spec.decay : 0;
  if (spec.warmup + decay > steps) {
    throw new UserError(
      'usage',
      `schedule: warm-up (${spec.warmup})${decay > 0 ? ` and decay (${decay})` : ''} need more than the stage's ${steps} steps; shorten them`,
      'schedule',
    );
  }
  const afterWarmup = afterWarmupOf(spec, steps);
  return (step) => (step < spec.warmup ? step / spec.warmup : afterWarmup(Math.min(step, steps)));
}

function afterWarmupOf(spec: ScheduleSpec, steps: number): Schedule {
  switch (spec.kind) {
    case 'constant':
      return () => 1;
    case 'cosine': {
      const length = steps - spec.warmup;
      return (step) => {
        const progress = length === 0 ? 1 : (step - spec.warmup) / length;
        return spec.final + (1 - spec.final) * 0.5 * (1 + Math.cos(Math.PI * progress));
      };
    }
    case 'wsd':
      return (step) => 1 - (1 - spec.final) * Math.max(0, 1 - (steps - step) / spec.decay);
  }
}
