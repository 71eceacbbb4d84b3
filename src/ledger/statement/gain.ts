/**
 * @file What quality cost: dollars for one more correct answer.
 *
 * Definition. Take two evaluations of one task in one run, `from` before `to`, both on the way to
 * the final weights. The cost is what the bill's column counts between the two in the log (in
 * *full* that includes lost work, data, overhead, and the second evaluation itself). The gain is
 * the rise in pass@1: the chance that one sampled answer is correct. Then
 *
 *     usdPerCorrectAnswerGained = cost / (gain × 1000)
 *
 * is what was paid for each further problem that the model answers correctly out of every 1,000. It
 * is a price of training, paid once; what an answer costs to generate is another matter. Without a
 * gain it does not exist (null).
 */
import { accuracyInterval, differenceInterval } from '../../base/intervals.js';
import type { RunEvent } from '../../usage/events.js';
import { Decimal, toUsd } from '../money.js';
import { keptEvents } from './lineage.js';

export const PROBLEMS = 1000;

export interface Gain {
  task: string;
  /** Sampled accuracy; `greedy` and `accuracy` stand in where an evaluation has no pass@1. */
  metric: 'pass1' | 'accuracy' | 'greedy';
  from: { stage: string; label: string; step: number; accuracy: number };
  to: { stage: string; label: string; step: number; accuracy: number };
  /** Difference of the accuracies, as a share. */
  gain: number;
  /**
   * The 95% interval of the gain: Newcombe's, from Wilson's of both accuracies over their problems
   * (taken as independent: not too small). Null where the number of problems is not known.
   */
  gain95: { low: number; high: number } | null;
  usd: { headline: string; full: string };
  /** Dollars for each further correct answer per 1,000 problems. */
  usdPerCorrectAnswerGained: { headline: string; full: string } | null;
  /** True from the first to the last evaluation, where there are others between. */
  overall: boolean;
}

type Evaluation = Extract<RunEvent, { type: 'evaluation' }> & { index: number };

/** @param costBetween dollars of the usage that lies between two indices of the log. */
export function gainsOf(
  events: readonly RunEvent[],
  costBetween: (from: number, to: number) => { headline: Decimal; full: Decimal },
): Gain[] {
  const kept = keptEvents(events);
  const byTask = new Map<string, Evaluation[]>();
  events.forEach((event, index) => {
    if (event.type !== 'evaluation' || !kept[index]) return;
    byTask.set(event.task, [...(byTask.get(event.task) ?? []), { ...event, index }]);
  });
  const gains: Gain[] = [];
  for (const [task, evaluations] of byTask) {
    const pairs = evaluations.slice(1).map((to, i) => [evaluations[i], to, false] as const);
    const overall =
      pairs.length > 1
        ? [[evaluations[0], evaluations[evaluations.length - 1], true] as const]
        : [];
    for (const [from, to, isOverall] of [...pairs, ...overall]) {
      const metric = (['pass1', 'accuracy', 'greedy'] as const).find(
        (name) => isShare(from.results[name]) && isShare(to.results[name]),
      );
      if (metric === undefined) continue;
      const cost = costBetween(from.index, to.index);
      const gain = new Decimal(to.results[metric]).minus(from.results[metric]);
      const per = (usd: Decimal): string => toUsd(usd.div(gain.times(PROBLEMS))).toFixed();
      const [a, b] = [from.results, to.results].map((one) => accuracyInterval(one, metric));
      const interval = a === null || b === null ? null : differenceInterval(a, b);
      gains.push({
        task,
        metric,
        from: point(from, metric),
        to: point(to, metric),
        gain: gain.toNumber(),
        gain95: interval === null ? null : { low: interval.low, high: interval.high },
        usd: { headline: cost.headline.toFixed(), full: cost.full.toFixed() },
        usdPerCorrectAnswerGained: gain.gt(0)
          ? { headline: per(cost.headline), full: per(cost.full) }
          : null,
        overall: isOverall,
      });
    }
  }
  return gains;
}

function isShare(value: number | undefined): value is number {
  return typeof value === 'number' && value >= 0 && value <= 1;
}

function point({ stage, label, step, results }: Evaluation, metric: string): Gain['from'] {
  return { stage, label, step, accuracy: results[metric] };
}
