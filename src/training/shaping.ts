/**
 * @file What is added to a task's reward in reinforcement learning: a penalty for overlong
 * completions, and a reward for thinking that agrees with its answer.
 *
 * Soft overlong punishment is DAPO's (Yu et al. 2025, arXiv:2503.14476, eq. 13): the last
 * `cacheTokens` before the limit cost linearly more, and being cut off costs the whole. Masking
 * cut-off completions out of the loss (their section 3.4) is the other answer to the same noise: a
 * completion that was cut off may have been on a right way.
 *
 * Consistency stands where DeepSeek-R1 has its language-consistency reward (Nature 2025, "Training
 * details of DeepSeek-R1"): a rule on the thinking, for readers, added to the accuracy whether or
 * not the answer is right. Our problems have one language, but a small model learns to reach one
 * result and to answer another.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { parseCompletion } from '../tasks/completion.js';
import { evaluateExpression, fractionText } from '../tasks/expression.js';

export const overlongSchema = z.strictObject({
  /** Length of the zone before the limit in which the penalty grows. */
  cacheTokens: z.number().int().positive(),
  /** The penalty of a completion that was cut off; rewards are of the order of 1. */
  weight: z.number().positive().default(1),
});

export type OverlongSpec = z.infer<typeof overlongSchema>;

/** Penalty ≥ 0 of a completion of `length` tokens where `maxTokens` are allowed. */
export function overlongPenalty(
  { cacheTokens, weight }: OverlongSpec,
  length: number,
  cutOff: boolean,
  maxTokens: number,
): number {
  if (cutOff) return weight;
  return weight * Math.min(1, Math.max(0, (length - (maxTokens - cacheTokens)) / cacheTokens));
}

const isWord = (character: string | undefined): boolean =>
  character !== undefined && /[\p{L}\p{N}]/u.test(character);

/** True when `text` holds `answer`, and not as a part of a longer number or word. */
function says(text: string, answer: string): boolean {
  for (let at = text.indexOf(answer); at >= 0; at = text.indexOf(answer, at + 1)) {
    const [before, after] = [text[at - 1], text[at + answer.length]];
    if (!isWord(before) && before !== '-' && before !== '.' && !isWord(after)) return true;
  }
  return false;
}

/**
 * True when the last line of the thinking says the answer, or its value where it is an expression:
 * `13-8=5` agrees with 5, and not with 8 or 3; `5*3=15,15+7=22:22!` agrees with `(5*3)+7`. False
 * for a completion that is not well-formed or has no thinking.
 */
export function isConsistent(completion: string): boolean {
  const parsed = parseCompletion(completion);
  if (!parsed.wellFormed) return false;
  const answer = parsed.answer.trim();
  if (answer === '') return false;
  const last = parsed.thinking.trimEnd().split('\n').at(-1) ?? '';
  // The result stands last where there is one: what comes before the sign is only mentioned.
  const said = last.slice(last.lastIndexOf('=') + 1);
  if (says(said, answer)) return true;
  const evaluation = evaluateExpression(answer, () => null);
  return 'value' in evaluation && says(said, fractionText(evaluation.value));
}

/** The limit on completions from a step on. */
export const lengthScheduleSchema = z
  .array(
    z.strictObject({
      fromStep: z.number().int().positive(),
      maxTokens: z.number().int().positive(),
    }),
  )
  .min(1);

export type LengthSchedule = z.infer<typeof lengthScheduleSchema>;

/**
 * The longest completion at each step: a pure function of the step, as learning rates are.
 * @throws UserError (usage) for steps out of order, or a limit above the stage's own
 */
export function createLengthLimit(
  schedule: LengthSchedule | undefined,
  maxTokens: number,
): (step: number) => number {
  const entries = schedule ?? [];
  entries.forEach((entry, i) => {
    const before = i === 0 ? 0 : entries[i - 1].fromStep;
    if (entry.fromStep <= before) {
      throw new UserError(
        'usage',
        `fromStep ${entry.fromStep} must be above ${before}, the one before it`,
        `lengthSchedule.${i}.fromStep`,
      );
    }
    if (entry.maxTokens > maxTokens) {
      throw new UserError(
        'usage',
        `maxTokens ${entry.maxTokens} must be at most the stage's maxTokens, ${maxTokens}`,
        `lengthSchedule.${i}.maxTokens`,
      );
    }
  });
  return (step) => entries.findLast((entry) => step >= entry.fromStep)?.maxTokens ?? maxTokens;
}
