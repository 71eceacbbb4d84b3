/**
 * @file What a stage is to the run loop: a policy, and a step to repeat.
 *
 * Every rank of the data-parallel group runs the same stage; a stage splits its work by rank and
 * adds up what it reports. The run loop owns the rest: metrics, checkpoints, limits, divergence.
 */
import type { Needs, Policy } from '../policy/policy.js';
import type { Task } from '../tasks/task.js';
import type { Ranks } from '../tensor/backend.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import type { SampleRecord } from '../training/stage.js';
import type { Purpose } from '../usage/usage.js';

export interface StageContext {
  ranks: Pick<Ranks, 'rank' | 'worldSize' | 'sum' | 'barrier'>;
  tokenizer: Tokenizer;
  task: Task;
  /** The stage's id in the recipe; part of every random key. */
  stage: string;
  /** The recipe's seed. */
  seed: number;
  /** Folder `data/` of the run: what stages write for later stages. */
  dataFolder: string;
  /** The recipe's task with other options, as in a stage's `task`. @throws UserError (usage) */
  taskOf(options: Record<string, unknown>): Task;
  /** Whose samples are imitated, for kinds that imitate another model. */
  teacher?: string | null;
  /**
   * The run's policy, with room for what the stage needs; with `from` another model: that of an
   * earlier stage (by its id), of a run or of a folder. All ranks call it together.
   * @throws UserError when there is none, or it cannot do what is needed
   */
  open(needs: Needs, from?: string): Promise<Policy>;
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
  /** What a snapshot within the stage saves; null where a resume begins the stage again. */
  readonly policy: Policy | null;
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
