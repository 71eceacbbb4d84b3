/**
 * @file The local machine: how long a run will take here, from what its stages do and how fast the
 * machine was seen to do it.
 *
 * Small models on a CPU are not bound by peak rates: a decoding step of a few sequences is mostly
 * overhead, and a batch that shrinks as completions end runs ever less efficiently. So the rates
 * are not taken from a data sheet but measured, for a fraction of a second, on the recipe's own
 * shapes (`LocalRates`), and this file does the arithmetic from there: training passes, optimizer
 * updates, and decoding as the sampler does it, slot by slot (continuous batching, Yu et al. 2022),
 * with lengths drawn from an expected distribution.
 *
 * Pure: numbers in, numbers out. Where the numbers come from is `plan/local/local-plan.ts`.
 */
import type { Quantity } from './cluster.js';

/** One decoding step of so many sequences on one rank, all ranks at work. */
export interface DecodeRate {
  sequences: number;
  seconds: number;
}

/** What one rank was seen to take for a stage's work, all ranks at work at once. */
export interface LocalRates {
  /** Forward and backward, per token of a full micro-batch (or of as much of one as was timed). */
  trainingSecondsPerToken?: number;
  /** Reducing gradients and one optimizer update. */
  secondsPerUpdate?: number;
  generation?: {
    /** Computing a prompt and drawing the first token of each of its samples. */
    prefillSecondsPerPrompt: number;
    /** At `context` tokens, by number of sequences, ascending. */
    decode: DecodeRate[];
    context: number;
    /** For each sequence and each token of context beyond `context`. */
    secondsPerContextToken: number;
  };
  /**
   * JavaScript of the task: drawing a problem and writing its demonstration, once; grading a
   * completion, once.
   */
  secondsPerProblem: number;
  secondsPerGrade: number;
}

/** Prompts that one rank completes in one call of the sampler. */
export interface Rollout {
  promptTokens: number;
  /** Tokens of each sample of each prompt. */
  lengths: readonly (readonly number[])[];
  /** Sequences decoded at once at most. */
  capacity: number;
  /** Calls like this one that it stands for, where there are too many completions to draw each. */
  times?: number;
}

/** One way in which a stage may go; times are of one step. */
export interface LocalScenario {
  /** Tokens through forward and backward on one rank. */
  trainedTokens: number;
  /**
   * Of each of them, how many more forward passes without derivatives (a reference policy): 0 or 1.
   */
  scoredTokens: number;
  /**
   * For each rank, what it generates in a row; several of them stand for steps that differ, and the
   * mean is taken.
   */
  rollouts: readonly (readonly Rollout[])[];
}

/** A stage of a recipe as numbers. */
export interface LocalStage {
  steps: number;
  /** Optimizer updates a step. */
  updates: number;
  /** Problems drawn and completions graded on one rank, a step. */
  problems: number;
  grades: number;
  /** Checkpoints written in the stage, and how long each takes. */
  checkpoints: number;
  secondsPerCheckpoint: number;
  expected: LocalScenario;
  /** The same with the shortest and the longest completions that are likely. */
  short: LocalScenario;
  long: LocalScenario;
}

/**
 * How much a machine's speed may differ over a run from what it was for a moment: 90%. Others may
 * come to use it.
 */
export const SPEED_RANGE = { low: 0.87, high: 1.25 } as const;
/** A forward pass is one of the three products of forward and backward. */
export const SCORING_SHARE = 1 / 3;
/** The sampler fills freed slots when this share of them is free. */
const REFILL_SHARE = 1 / 4;

/** Seconds of one decoding step; linear between the numbers of sequences that were timed. */
export function decodeSeconds(
  rates: NonNullable<LocalRates['generation']>,
  sequences: number,
  contextTokens: number,
): number {
  const { decode, context, secondsPerContextToken } = rates;
  const attention = secondsPerContextToken * (contextTokens - context * sequences);
  const above = decode.findIndex((rate) => rate.sequences >= sequences);
  let seconds: number;
  if (above === 0) seconds = decode[0].seconds;
  else {
    // Beyond the last one, the slope of the last two goes on.
    const j = above < 0 ? decode.length - 1 : above;
    const b = decode[j];
    const a = decode[j - 1] ?? { sequences: 0, seconds: 0 };
    seconds =
      a.seconds +
      ((b.seconds - a.seconds) * (sequences - a.sequences)) / (b.sequences - a.sequences);
  }
  return Math.max(seconds / 2, seconds + attention);
}

/** Seconds of one call of the sampler: it is played through with the lengths given. */
export function rolloutSeconds(
  rates: NonNullable<LocalRates['generation']>,
  rollout: Rollout,
): number {
  const { promptTokens, lengths, capacity, times = 1 } = rollout;
  let seconds = rates.prefillSecondsPerPrompt * lengths.length;
  const waiting = lengths.flat();
  let next = 0;
  /** Tokens that each active sequence still has to draw, and those that it has. */
  let active: { left: number; own: number }[] = [];
  while (next < waiting.length || active.length > 0) {
    const free = capacity - active.length;
    if (next < waiting.length && (active.length === 0 || free >= capacity * REFILL_SHARE)) {
      for (const length of waiting.slice(next, next + free)) {
        // The first token comes with the prompt.
        if (length > 1) active.push({ left: length - 1, own: 1 });
      }
      next += Math.min(free, waiting.length - next);
    }
    if (active.length === 0) continue;
    const context = active.reduce((sum, { own }) => sum + promptTokens + own, 0);
    seconds += decodeSeconds(rates, active.length, context);
    for (const sequence of active) {
      sequence.left--;
      sequence.own++;
    }
    active = active.filter(({ left }) => left > 0);
  }
  return times * seconds;
}

function scenarioSeconds(
  stage: LocalStage,
  scenario: LocalScenario,
  rates: LocalRates,
  slowdown: number,
): number {
  const { trainedTokens, scoredTokens, rollouts } = scenario;
  const training =
    (trainedTokens + SCORING_SHARE * scoredTokens) * (rates.trainingSecondsPerToken ?? 0);
  const updates = stage.updates * (rates.secondsPerUpdate ?? 0);
  const task = stage.problems * rates.secondsPerProblem + stage.grades * rates.secondsPerGrade;
  let generation = 0;
  const { generation: decoding } = rates;
  if (decoding && rollouts.length > 0) {
    const all = rollouts.map((calls) =>
      calls.reduce((sum, call) => sum + rolloutSeconds(decoding, call), 0),
    );
    generation = all.reduce((sum, x) => sum + x, 0) / all.length;
  }
  return (
    slowdown * stage.steps * (training + updates + task + generation) +
    stage.checkpoints * stage.secondsPerCheckpoint
  );
}

/**
 * Wall seconds of a stage, checkpoints included, with their 90% interval: of lengths and of the
 * machine's speed.
 * @param slowdown wall seconds a second of work, because others use the machine; they may leave,
 * and more may come
 */
export function predictStage(stage: LocalStage, rates: LocalRates, slowdown = 1): Quantity {
  const [value, short, long] = [stage.expected, stage.short, stage.long].map((scenario) =>
    scenarioSeconds(stage, scenario, rates, slowdown),
  );
  return {
    value,
    low: (SPEED_RANGE.low * Math.min(value, short)) / slowdown,
    high: SPEED_RANGE.high * Math.sqrt(slowdown) * Math.max(value, long),
  };
}
