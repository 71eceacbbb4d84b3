/**
 * @file What a task is: problems that can be checked.
 *
 * A task generates problems, says what a good answer looks like, and grades a completion with a
 * reason. Training and evaluation problems are disjoint by construction: a problem belongs to the
 * split that the hash of its `key` says, whatever seed drew it (`problemAt`). The evaluation split
 * is one key in `EVALUATION_SHARE`.
 *
 * A task reads and writes completions of the form `<think>…</think><answer>…</answer>`; where a
 * recipe sets another `format`, formats.ts translates.
 */
import { UserError } from '../base/errors.js';
import { hashString, Random } from '../base/random.js';
import type { Prompting } from '../tokenizers/prompting.js';

/** The parts of a completion, or why it has not the form. */
export type Read =
  | { readonly wellFormed: true; readonly thinking: string; readonly answer: string }
  | { readonly wellFormed: false; readonly reason: string };

export interface Format {
  readonly name: string;
  /** What a model is told that was not trained on the form. */
  readonly instruction: string;
  /** The parts of a completion, or why it has not the form. Never throws. */
  read(text: string): Read | Promise<Read>;
  /** A completion in the form. */
  write(thinking: string, answer: string): string;
}

export interface Problem<Data = unknown> {
  /**
   * What identifies the problem whatever its wording: two problems with one key are the same
   * problem.
   */
  readonly key: string;
  /** The text that the model sees. It ends where the completion starts. */
  readonly prompt: string;
  readonly data: Data;
  /** Which of the task's `parts` it belongs to, for a task that has some. */
  readonly part?: string;
  /** The words around it; none where it is not set. */
  readonly prompting?: Prompting;
}

/**
 * The outcome of grading one completion. `reason` says in a few words why, for people who read
 * samples.
 */
export interface Verdict {
  readonly reward: number;
  readonly correct: boolean;
  /** The completion had the form that the task asks for (`formats.ts`). */
  readonly wellFormed: boolean;
  readonly reason: string;
  /** The reward could not be computed; `reason` tells why. */
  readonly failed?: true;
}

/** What a reward is given. */
export interface Sample<Data = unknown> {
  readonly problem: Problem<Data>;
  /** The whole completion. */
  readonly completion: string;
  /** What stands between the tags; null where the completion has not the form. */
  readonly thinking: string | null;
  readonly answer: string | null;
}

export type Score = number | boolean;

export interface Reward<Data = unknown> {
  readonly name: string;
  /** Beside the other rewards; 1 unless given. */
  readonly weight?: number;
  score(sample: Sample<Data>): Score | Promise<Score>;
}

export interface Task<Data = unknown> {
  readonly name: string;
  /**
   * Every character that prompts, demonstrations and gold answers may use, without special tokens.
   */
  readonly alphabet: string;
  /**
   * Characters in the longest prompt that `generate` may draw; samplers size their caches by it.
   */
  readonly maxPromptLength: number;
  /** True where verdicts come from other threads: they run code or a user's rewards. */
  readonly pooled?: boolean;
  /**
   * Names of what it is made of (the tasks of a `mix`, the levels of a `curriculum`): metrics are
   * also kept for each.
   */
  readonly parts?: readonly string[];
  /**
   * Draws a problem; everything random comes from `random`.
   * @param progress how much of a training stage is done, from 0 to 1; not given for evaluation.
   * Most tasks do not look.
   */
  generate(random: Random, progress?: number): Problem<Data>;
  /**
   * Grades any text at all; never throws, never evaluates text as code in this process. Pure tasks
   * answer at once; those that run code or a user's rewards answer later, from a pool of threads.
   */
  verify(problem: Problem<Data>, completion: string): Verdict | Promise<Verdict>;
  /** What `verify` adds up, for a task of a user's own; each is then asked by itself. */
  readonly rewards?: readonly Reward<Data>[];
  /**
   * Whether a completion is right, for a task with `rewards`; without it, where its answer is that
   * of `gold`.
   */
  correct?(sample: Sample<Data>): boolean | Promise<boolean>;
  /** Seconds that a verdict or one reward may take, for a task of a user's own. */
  readonly rewardSeconds?: number;
  /**
   * A completion to imitate in supervised stages; demonstrations may be wrong on purpose, as the
   * task's options say.
   */
  demonstrate(problem: Problem<Data>, random: Random): string;
  /**
   * The same text for answers that are the same, where a majority is counted; without it, answers
   * are compared as they are.
   */
  voteOf?(answer: string): string;
  /** Every problem of a split, for a task whose problems are a list. */
  listed?(split: Split): readonly Problem<Data>[];
  /** The form of a problem's completions; `<think>…</think><answer>…</answer>` where it is not set. */
  format?(problem: Problem<Data>): Format;
  /** What was left out of a task's files, one line each. */
  readonly notes?: readonly string[];
  /** A completion that scores 1, or null where the problem has none. */
  gold(problem: Problem<Data>): string | null;
}

/** A task whose verdicts come at once. */
export interface PureTask<Data = unknown> extends Task<Data> {
  verify(problem: Problem<Data>, completion: string): Verdict;
}

export type Split = 'train' | 'evaluation';

/** One problem key in this many belongs to evaluation. */
export const EVALUATION_SHARE = 5;

export function splitOf(key: string): Split {
  return hashString(`split:${key}`) % EVALUATION_SHARE === 0 ? 'evaluation' : 'train';
}

/**
 * Problem number `index` of a split; depends on (task, seed, split, index, progress) alone.
 * @param progress of a training stage, for tasks that change with it (`curriculum`)
 * @throws UserError (usage) when the task's problems are so few that the split has none.
 */
export function problemAt<Data>(
  task: Task<Data>,
  seed: number,
  split: Split,
  index: number,
  progress?: number,
): Problem<Data> {
  const random = new Random(seed, 'problem', split, index);
  for (let attempt = 0; attempt < 10_000; attempt++) {
    const problem = task.generate(random, progress);
    if (splitOf(problem.key) === split) return problem;
  }
  throw new UserError(
    'usage',
    `task ${task.name}: no ${split} problem in 10,000 draws; widen the task's options`,
  );
}
