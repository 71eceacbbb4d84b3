/**
 * @file The options of a `grpo` stage, and the presets that they name.
 */
import { z } from 'zod';
import { rowOf } from '../../base/rows.js';
import { advantages } from '../../training/advantages.js';
import { aggregations } from '../../training/aggregations.js';
import { balanceSchema } from '../../training/balance.js';
import { losses, type PolicyLossPreset, RATIOS, surrogates } from '../../training/losses.js';
import { optimizerSchema } from '../../training/optimizer.js';
import { scheduleSchema } from '../../training/schedules.js';
import { lengthScheduleSchema, overlongSchema } from '../../training/shaping.js';

export const grpoSchema = z.strictObject({
  steps: z.number().int().positive(),
  /** Groups a step, over all ranks. */
  prompts: z.number().int().positive(),
  /** Completions in a group. */
  samples: z.number().int().min(2),
  maxTokens: z.number().int().positive(),
  /**
   * Lower limits on completions at first, `[{fromStep, maxTokens}, …]`; before the first of them
   * `maxTokens` holds.
   */
  lengthSchedule: lengthScheduleSchema.optional(),
  temperature: z.number().positive().default(1),
  /**
   * `mtp`: the model's module of multi-token prediction guesses ahead in rollouts, which stay
   * distributed as they are.
   */
  draft: z.literal('mtp').optional(),
  /** A row of the table of losses; the fields below override it one by one. */
  loss: rowOf(losses).default('grpo'),
  advantage: rowOf(advantages).optional(),
  /** Importance ratios by token, or one by sequence. */
  ratio: z.enum(RATIOS).optional(),
  /** What is maximised: PPO's clipped minimum, or REINFORCE with a truncated ratio (CISPO). */
  surrogate: rowOf(surrogates).optional(),
  aggregation: rowOf(aggregations).optional(),
  clipLow: z.number().min(0).max(1).optional(),
  clipHigh: z.number().min(0).optional(),
  klCoefficient: z.number().min(0).optional(),
  /**
   * Steps after which the policy becomes its own reference; without it the reference is the policy
   * of the first step.
   */
  replaceReference: z.number().int().positive().optional(),
  /** A penalty on completions close to the limit (DAPO's soft overlong punishment). */
  overlong: overlongSchema.optional(),
  /**
   * Leaves completions that were cut off out of the loss; they still count in their group's mean.
   */
  maskTruncated: z.boolean().default(false),
  /** Added to the reward of a completion whose thinking ends with its answer. */
  consistency: z.number().min(0).default(0),
  /**
   * Most times that a slot whose group was all alike draws another problem; 0 switches dynamic
   * sampling off.
   */
  resample: z.number().int().min(0).max(16).optional(),
  /**
   * Steps in a row without any signal (no group with an advantage, and no answer right) after which
   * the run is stopped; 0 never stops it.
   */
  patience: z.number().int().min(0).default(30),
  /** Optimizer updates a step, each on its share of the groups; at most `prompts`. */
  minibatches: z.number().int().positive().default(1),
  optimizer: optimizerSchema,
  schedule: scheduleSchema.prefault({ kind: 'constant' }),
  /**
   * Balancing a mixture of experts; biases rest unless told otherwise, as at the end of V3's
   * pretraining.
   */
  balance: balanceSchema(0),
});

/** The fields that a preset fills in. */
interface PresetFields extends Omit<PolicyLossPreset, 'dynamicSampling'> {
  resample: number;
}

export type GrpoOptions = z.infer<typeof grpoSchema> & PresetFields;

/** Rounds that dynamic sampling adds where a preset has it and the stage does not say. */
const RESAMPLE = 3;

/** Fills in what the name of a loss stands for; fields that are given stay as they are. */
export function resolvePreset(options: z.infer<typeof grpoSchema>): GrpoOptions {
  const { dynamicSampling, ...preset } = losses[options.loss];
  const resample = dynamicSampling ? RESAMPLE : 0;
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...preset, resample, ...Object.fromEntries(given) } as GrpoOptions;
}
