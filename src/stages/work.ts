/**
 * @file What a stage does, in tokens: the plain data that `work()` of a stage kind returns and that
 * planners price.
 *
 * Nothing here imports the engine, so a browser and a cluster's planner can read it. Counts are
 * those of all ranks together. `totals.ts` adds them up to tokens and model FLOPs.
 */

import { type Distribution, quantileFunction } from '../planner/distribution.js';
import type { Purpose } from '../usage/usage.js';

/**
 * A quantity over the steps of a stage, as it is expected and at the ends of its 90% interval: one
 * value for each of equally many steps, in order. A list of one holds for all steps.
 */
export interface Course<T> {
  expected: readonly T[];
  short: readonly T[];
  long: readonly T[];
}

export const SCENARIOS = ['expected', 'short', 'long'] as const;
export type Scenario = (typeof SCENARIOS)[number];

/** How long completions are, tokens, the end of a completion included. */
export interface Lengths {
  /** Mean over the whole stage, with the interval in which it is expected. */
  mean: Distribution;
  /** Single completions. */
  each: Course<Distribution>;
}

/** Which of a stage's models computes: the one in force, or the one that is imitated. */
export type ModelRole = 'stage' | 'teacher';

/** Sequences that a model reads: a prompt and a completion of it. */
export interface Sequences {
  model: ModelRole;
  /** Mean number of sequences a step. */
  sequences: Course<number>;
  /** Mean tokens of a prompt, the beginning of the sequence included. */
  promptTokens: Distribution;
  completionTokens: Lengths;
}

/** Forward and backward passes over sequences, and the optimizer updates that follow them. */
export interface Pass extends Sequences {
  loss: 'cross-entropy' | 'policy';
  /** Where the sequences come from. */
  source: 'task' | 'stage' | 'file' | 'rollout';
  /** Predicted tokens: the completion's, or all but the first. */
  predicts: 'completion' | 'all';
  /** Multi-token prediction: the module is trained, too. */
  further: boolean;
  /** What has gradients: all weights, or the adapter beside them. */
  trains: 'all' | 'adapter';
  /** A row of the table of optimizers. */
  optimizer: { matrices: string };
  /** Optimizer updates a step: one for each minibatch. */
  updates: number;
}

/** Completions that a model samples and the task grades. */
export interface Rollout {
  model: ModelRole;
  /** Problems of the first round. */
  prompts: number;
  /** Completions of each problem. */
  samples: number;
  /** At most so many rounds a step; later ones replace groups without signal (DAPO). */
  rounds: number;
  /** Share of a round's groups that the next round replaces. */
  replaced: Course<number>;
  promptTokens: Distribution;
  completionTokens: Lengths;
  maxTokens: number;
  /** Speculative decoding by the model's own module of multi-token prediction. */
  draft: 'mtp' | null;
  /** Sequences that one rank decodes at once at most. */
  capacity: number;
}

/** Forward passes without derivatives, for log-probabilities. */
export interface Score extends Sequences {
  by: 'reference' | 'judge' | 'teacher';
}

/** Steps of a stage that are alike: all of them, or a phase. */
export interface Work {
  /** Part of the stage's name in plans; empty where the stage has one phase, and for its last. */
  phase: string;
  steps: number;
  purpose: Purpose;
  /** What happens in one step, in this order. */
  rollouts: readonly Rollout[];
  scores: readonly Score[];
  passes: readonly Pass[];
}

/** The same in every scenario and at every step. */
export const always = <T>(value: T): Course<T> => ({
  expected: [value],
  short: [value],
  long: [value],
});

/** Completions of exactly `tokens`. */
export const exactLength = (tokens: number): Lengths => ({ mean: tokens, each: always(tokens) });

/** A course from another, each value with where in the stage it holds. */
export function eachPart<T, U>(
  { expected, short, long }: Course<T>,
  make: (value: T, share: number) => U,
): Course<U> {
  const all = (values: readonly T[]): U[] =>
    values.map((value, i) => make(value, middleOf(i, values.length)));
  return { expected: all(expected), short: all(short), long: all(long) };
}

export const mapCourse = <T, U>(course: Course<T>, make: (value: T) => U): Course<U> =>
  eachPart(course, (value) => make(value));

/** Where the i-th of `parts` equal parts of a stage's steps has its middle. */
export const middleOf = (part: number, parts: number): number => (part + 0.5) / parts;

/** The value at `share` (0 … 1) of a stage's steps. */
export const at = <T>(values: readonly T[], share: number): T =>
  values[Math.min(values.length - 1, Math.floor(share * values.length))];

/** Problems that a rollout samples a step, with those of later rounds. */
export function promptsOf({ prompts, rounds }: Rollout, replaced: number): number {
  let all = 0;
  for (let round = 0, open = prompts; round < rounds; round++, open *= replaced) all += open;
  return all;
}

/** Quantiles that stand for a distribution which is no list. */
const QUANTILES = 64;

/** Equally likely values of a distribution: its own where it is a list, else quantiles. */
export function valuesOf(distribution: Distribution): readonly number[] {
  if (typeof distribution === 'number') return [distribution];
  if ('empirical' in distribution) return distribution.empirical;
  const quantile = quantileFunction(distribution);
  return Array.from({ length: QUANTILES }, (_, i) => quantile((i + 0.5) / QUANTILES));
}

/** The mean of a function of a distribution's values; by default the mean itself. */
export function meanOf(
  distribution: Distribution,
  of: (value: number) => number = (value) => value,
): number {
  const values = valuesOf(distribution);
  return values.reduce((sum, value) => sum + of(value), 0) / values.length;
}
