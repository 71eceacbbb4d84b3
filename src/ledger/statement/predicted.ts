/**
 * @file What was said beforehand, beside what came of it: the stages of `plan.json` and those of
 * the log.
 *
 * Compared are stages that ended, lost work apart: a plan says what the work takes, not how often a
 * run will be killed. Both sides are priced with the bill's own book, in the full column without
 * storage. The residual is measured ÷ predicted − 1.
 */
import { z } from 'zod';
import { UserError } from '../../base/errors.js';
import type { RunEvent } from '../../usage/events.js';
import { usageSchema } from '../../usage/schema.js';
import type { PriceBook } from '../book/price-book.js';
import { sum } from '../money.js';
import { keptEvents } from './lineage.js';
import { priceEntries, type UsageEntry } from './lines.js';

const amount = z.number().min(0);
const quantity = z.object({ value: amount, low: amount, high: amount });

/** What the ledger reads of a plan. */
const planSchema = z.object({
  stages: z.array(
    z.object({
      id: z.string(),
      kind: z.string(),
      seconds: quantity,
      usage: usageSchema,
    }),
  ),
});

export type BilledPlan = z.infer<typeof planSchema>;

/** @throws UserError (data) when it is no plan */
export function parsePlan(content: unknown, where: string): BilledPlan {
  const parsed = planSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new UserError(
    'data',
    `${where}: ${issue.path.join('.') || 'plan'}: ${issue.message}; delete it to bill without a plan`,
  );
}

export interface Used {
  seconds: number;
  tokens: number;
  modelFlops: number;
  energyJoules: number;
  /** Exact. */
  usd: string;
}

export interface PredictedStage {
  stage: string;
  /** `low` and `high` of the seconds: 90%. */
  predicted: Used & { secondsLow: number; secondsHigh: number };
  /** Null for a stage that did not end. */
  measured: Used | null;
  /** Measured ÷ predicted − 1, of the seconds; null where nothing was measured or predicted. */
  residual: number | null;
}

export interface Predicted {
  stages: PredictedStage[];
  /** Of the stages that ended. */
  total: Omit<PredictedStage, 'stage'>;
}

function usedBy(entries: readonly UsageEntry[], book: PriceBook): Used {
  const add = (of: (entry: UsageEntry) => number): number =>
    entries.reduce((total, entry) => total + of(entry), 0);
  const lines = priceEntries(entries, book).filter(
    (line) => line.columns.includes('full') && line.item !== 'storage',
  );
  return {
    seconds: add(({ usage }) => usage.wallSeconds),
    tokens: add(({ usage }) => usage.tokensIn + usage.tokensOut),
    modelFlops: add(({ usage }) => usage.modelFlops),
    energyJoules: add(({ usage }) => usage.energyJoules),
    usd: sum(lines.map(({ amount }) => amount)).toFixed(),
  };
}

const residualOf = (measured: number, predicted: number): number | null =>
  predicted > 0 ? measured / predicted - 1 : null;

/**
 * The stages that ended on the way that was kept; `start` and `finish` have no event of their own.
 */
function endedStages(events: readonly RunEvent[]): Set<string> {
  const kept = keptEvents(events);
  const ended = new Set<string>();
  events.forEach((event, i) => {
    if (!kept[i]) return;
    if (event.type === 'stage-started') ended.add('start');
    if (event.type === 'stage-ended') ended.add(event.stage);
    if (event.type === 'ended' && event.reason === 'completed') ended.add('finish');
  });
  return ended;
}

/** @param entries of the run that was planned */
export function comparePlan(
  plan: BilledPlan,
  events: readonly RunEvent[],
  entries: readonly UsageEntry[],
  book: PriceBook,
): Predicted {
  const ended = endedStages(events);
  const kept = entries.filter(
    ({ status, index }) => index >= 0 && (status === 'kept' || status === 'discarded'),
  );
  const entryOf = ({ usage }: BilledPlan['stages'][number]): UsageEntry => {
    return { run: '', usage, attempt: 0, status: 'kept', billedBytes: 0, index: -1 };
  };
  const measuredOf = (stages: readonly string[]) =>
    kept.filter(({ usage }) => stages.includes(usage.stage));
  const compare = (
    stages: BilledPlan['stages'],
    measured: Used | null,
  ): Omit<PredictedStage, 'stage'> => {
    const predicted = {
      ...usedBy(stages.map(entryOf), book),
      secondsLow: stages.reduce((total, { seconds }) => total + seconds.low, 0),
      secondsHigh: stages.reduce((total, { seconds }) => total + seconds.high, 0),
    };
    return {
      predicted,
      measured,
      residual: measured === null ? null : residualOf(measured.seconds, predicted.seconds),
    };
  };
  const done = plan.stages.filter(({ id }) => ended.has(id));
  return {
    stages: plan.stages.map((stage) => ({
      stage: stage.id,
      ...compare([stage], ended.has(stage.id) ? usedBy(measuredOf([stage.id]), book) : null),
    })),
    total: compare(
      done,
      done.length > 0 ? usedBy(measuredOf(done.map(({ id }) => id)), book) : null,
    ),
  };
}
