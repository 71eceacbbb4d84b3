/**
 * @file The facts that `work()` needs beside a stage's own fields: lengths of examples and
 * completions, and the share of zero-advantage groups. This file takes them from the `plan` fields
 * of a recipe; `plan/facts.ts` takes them from a survey of its task.
 */
import { UserError } from '../base/errors.js';
import { type Distribution, medianOf, quantileFunction } from '../planner/distribution.js';
import type { SourceSpec } from '../training/sources.js';
import { always, type Course, exactLength, type Lengths, middleOf } from './work.js';

/** Prompts and completions that a stage reads or writes. */
export interface Texts {
  /** Mean tokens of a prompt. */
  promptTokens: Distribution;
  completionTokens: Lengths;
}

export interface SamplingQuestion {
  maxTokens: number;
  /** The longest completion at a share (0 … 1) of the stage's steps, where it changes. */
  limit?: (share: number) => number;
  /** Whether the stage learns from what it samples, so that lengths change on the way. */
  learns: boolean;
  /** So many problems of the evaluation split, or null for the training split. */
  evaluation: number | null;
}

export interface Facts {
  /** Low-rank matrices are trained beside frozen weights. */
  adapter: boolean;
  /** The model has a module of multi-token prediction. */
  predictsFurther: boolean;
  /** What a supervised stage learns from. */
  examples(sources: readonly SourceSpec[]): Texts;
  /** What a model of this stage writes. */
  sampling(question: SamplingQuestion): Texts & {
    /** Share of groups of `samples` completions whose rewards are all equal. */
    zeroAdvantage(samples: number): Course<number>;
  };
}

/** The `plan` fields of a stage. */
export interface PlanHints {
  sequenceTokens?: number;
  promptTokens?: Distribution;
  completionTokens?: Distribution;
  zeroAdvantageShare?: Distribution;
}

/**
 * Standard deviation of the logarithm of completions' lengths where no task says it: chains of
 * thought differ by factors.
 */
const LENGTH_SPREAD = 0.9;
/**
 * Share of groups whose rewards are all equal where no task says it: an assumption. DAPO
 * (arXiv:2503.14476, section 3.2) reports only that it keeps growing while a policy learns.
 */
const ZERO_ADVANTAGE_SHARE: Distribution = { low: 0.2, value: 0.4, high: 0.6 };

/** A distribution as a course: its median, and its 5% and 95% quantiles. */
export function courseOf(distribution: Distribution): Course<number> {
  if (typeof distribution === 'number') return always(distribution);
  const quantile = quantileFunction(distribution);
  return { expected: [quantile(0.5)], short: [quantile(0.05)], long: [quantile(0.95)] };
}

/** Parts of a stage whose limit on completions changes on the way. */
const PARTS = 6;

/** Completions around a mean that is known within an interval: lognormal, as thoughts are. */
export function lengthsAround(
  mean: Distribution,
  { maxTokens, limit }: Pick<SamplingQuestion, 'maxTokens' | 'limit'>,
): Lengths {
  const limits = limit
    ? Array.from({ length: PARTS }, (_, part) => limit(middleOf(part, PARTS)))
    : [maxTokens];
  const lognormal = (value: number): Distribution[] => {
    const median = value * Math.exp(-(LENGTH_SPREAD ** 2) / 2);
    const around = { lognormal: { median, sigma: LENGTH_SPREAD } };
    return limits.map((most) => ({ empirical: cutOff(around, most) }));
  };
  const { expected, short, long } = courseOf(mean);
  const each = {
    expected: expected.flatMap(lognormal),
    short: short.flatMap(lognormal),
    long: long.flatMap(lognormal),
  };
  return { mean, each };
}

const POINTS = 64;

/** Equally likely whole lengths of a distribution, none above the limit. */
function cutOff(distribution: Distribution, maxTokens: number): number[] {
  const quantile = quantileFunction(distribution);
  return Array.from({ length: POINTS }, (_, i) =>
    Math.max(1, Math.min(maxTokens, Math.round(quantile((i + 0.5) / POINTS)))),
  );
}

/**
 * Facts from the `plan` fields of a stage, which go before those of `surveyed`.
 * @param surveyed null for a recipe whose data is not here: then the stage must say what it needs
 * @param where names the stage in a refusal
 */
export function factsOfHints(
  hints: PlanHints,
  given: Pick<Facts, 'adapter' | 'predictsFurther'>,
  surveyed: Facts | null = null,
  where = 'the stage',
): Facts {
  const { sequenceTokens, promptTokens, completionTokens, zeroAdvantageShare } = hints;
  const need = (fields: string): UserError =>
    new UserError(
      'usage',
      `is missing; without one a recipe can only be planned, and then ${where} needs ${fields}`,
      'task',
    );
  return {
    adapter: given.adapter,
    predictsFurther: given.predictsFurther,
    examples: (sources) => {
      if (sequenceTokens === undefined && surveyed !== null) return surveyed.examples(sources);
      const prompt = promptTokens === undefined ? 1 : medianOf(promptTokens);
      const completion = completionTokens === undefined ? undefined : medianOf(completionTokens);
      if (sequenceTokens === undefined && (promptTokens === undefined || completion === undefined))
        throw need('plan.sequenceTokens');
      const tokens = sequenceTokens ?? Math.round(prompt + (completion as number));
      return { promptTokens: prompt, completionTokens: exactLength(tokens - prompt) };
    },
    sampling: (question) => {
      const known = surveyed?.sampling(question);
      const prompt = promptTokens ?? known?.promptTokens;
      const lengths =
        completionTokens === undefined
          ? known?.completionTokens
          : lengthsAround(completionTokens, question);
      if (prompt === undefined || lengths === undefined)
        throw need('plan.promptTokens and plan.completionTokens');
      const said = zeroAdvantageShare ?? (known ? undefined : ZERO_ADVANTAGE_SHARE);
      return {
        promptTokens: prompt,
        completionTokens: lengths,
        zeroAdvantage: (samples) =>
          said === undefined && known ? known.zeroAdvantage(samples) : courseOf(said ?? 0),
      };
    },
  };
}

/** Facts that name no lengths: for counts of steps, passes and completions alone. */
export const COUNTS_ONLY: Facts = {
  adapter: false,
  predictsFurther: false,
  examples: () => ({ promptTokens: 1, completionTokens: exactLength(1) }),
  sampling: () => ({
    promptTokens: 1,
    completionTokens: exactLength(1),
    zeroAdvantage: () => always(0),
  }),
};
