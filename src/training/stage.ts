/**
 * @file What a stage is to the interpreter of recipes: some state, and a step to repeat.
 *
 * A stage kind (`stages/kind.ts`) makes one from its options. Every rank of the data-parallel group runs the same stage; a stage splits its work by
 * rank and adds up what it reports. The interpreter owns the loop: metrics, checkpoints, limits,
 * divergence.
 */
import type { Model } from '../models/index.js';
import type { Problem, Task } from '../tasks/task.js';
import type { Backend, Tensor } from '../tensor/backend.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import type { Purpose } from '../usage/usage.js';

export interface StageContext {
  backend: Backend;
  model: Model;
  tokenizer: Tokenizer;
  task: Task;
  /** The stage's id in the recipe; part of every random key. */
  stage: string;
  /** The recipe's seed. */
  seed: number;
  /**
   * Most tokens in one forward and backward pass; longer batches are cut and their gradients added.
   */
  microBatchTokens: number;
  /** Keep one hidden state a layer and compute the rest again for the derivative. */
  recompute?: boolean;
  /** Folder `data/` of the run: what stages write for later stages. */
  dataFolder: string;
  /** The recipe's task with other options, as in a stage's `task`. @throws UserError (usage) */
  taskOf(options: Record<string, unknown>): Task;
  /** Whose samples are imitated, for kinds that imitate another model. */
  teacher?: string | null;
  /**
   * Another model with its weights, on top of the backend's stack: that of an earlier stage (by its
   * id), of a run or of a folder. All ranks call it together. @throws UserError when there is none,
   * or it has another vocabulary
   */
  loadModel(from: string): Promise<Model>;
}

/** One graded completion, for `samples.jsonl`. */
export interface SampleRecord {
  prompt: string;
  completion: string;
  reward: number;
  correct: boolean;
  reason: string;
  tokens: number;
}

export interface StepResult {
  /** Named numbers for the log; equal on every rank. */
  values: Record<string, number>;
  /** Summed over ranks: tokens read (training and prefill) and tokens generated. */
  tokensIn: number;
  tokensOut: number;
  /** Summed over ranks, by formula. */
  modelFlops: number;
  /** For people to read; rank 0's are kept. */
  samples?: SampleRecord[];
  /** Why this step had nothing to learn from, where that is so. */
  noSignal?: string;
  /** The outcome of an evaluation stage. */
  evaluation?: { task: string; results: Record<string, number> };
}

export interface Stage {
  readonly steps: number;
  readonly purpose: Purpose;
  /** Where a stage does two kinds of work, what a step is for. */
  purposeOf?(step: number): Purpose;
  /** Steps in a row without a signal after which the run is stopped; 0 or nothing: never. */
  readonly patience?: number;
  /** Tensors to save with the weights, so that a resumed stage goes on as if never stopped. */
  readonly state: { name: string; tensor: Tensor }[];
  /**
   * It can be resumed after this step and any later one; before, a resume starts it again. 0:
   * anywhere; Infinity: nowhere.
   */
  readonly resumableFrom: number;
  /** @param step 1 … steps */
  step(step: number): Promise<StepResult>;
  /** After the last step. */
  finish?(): Promise<void>;
}

/** Token ids of a prompt, up to where the completion starts. */
export function encodePrompt(tokenizer: Tokenizer, problem: Problem): number[] {
  return tokenizer.prompt(problem.prompt);
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
export function slotsOf(backend: Backend, count: number): number[] {
  const { rank, worldSize } = backend.ranks;
  const out: number[] = [];
  for (let slot = rank; slot < count; slot += worldSize) out.push(slot);
  return out;
}
