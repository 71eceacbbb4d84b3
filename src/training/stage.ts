/**
 * @file What stages have in common: prompts, slots of a batch, and the records of samples.
 */
import type { Problem, Task } from '../tasks/task.js';
import type { Ranks } from '../tensor/backend.js';
import { promptTokens } from '../tokenizers/prompting.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';

/** One graded completion, for `samples.jsonl`. */
export interface SampleRecord {
  prompt: string;
  completion: string;
  reward: number;
  correct: boolean;
  reason: string;
  tokens: number;
}

/** Token ids of a prompt, up to where the completion starts. */
export function encodePrompt(
  tokenizer: Tokenizer,
  problem: Pick<Problem, 'prompt' | 'prompting'>,
): number[] {
  return promptTokens(tokenizer, problem.prompt, problem.prompting);
}

/**
 * Most tokens of a prompt, with what stands around it: as many as its characters would be one by
 * one, for what a tokenizer makes of a whole text is no longer.
 */
export function longestPrompt(tokenizer: Tokenizer, task: Task): number {
  const each = Math.max(
    1,
    ...[...task.alphabet].map((character) => tokenizer.encode(character).length),
  );
  return tokenizer.prompt('').length + each * task.maxPromptLength;
}

/** How much of a stage is done when `step` (from 1) begins: 0 at the first step, 1 at the last. */
export const progressAt = (step: number, steps: number): number =>
  steps > 1 ? (step - 1) / (steps - 1) : 0;

/** The share of `count` slots that belongs to this rank: rank, rank + worldSize, … */
export function slotsOf(
  { rank, worldSize }: Pick<Ranks, 'rank' | 'worldSize'>,
  count: number,
): number[] {
  const out: number[] = [];
  for (let slot = rank; slot < count; slot += worldSize) out.push(slot);
  return out;
}
