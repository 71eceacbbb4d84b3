/**
 * @file The statement of a plan: the predicted usage of its stages at the price of their device,
 * headline and full, with what a final run leaves out: lost work, experiments, idle hours, staff.
 *
 * The headline is the accelerator time that makes progress on the final weights, rented: what a
 * press release quotes. The full column adds the time that is lost to failures and waiting, data
 * and evaluation, the experiments on the way, the idle hours of machines of one's own, and people.
 * Amounts are exact products of hours and a price; every line also has its 90% interval, in which
 * the errors of stages move together and those of other costs are independent. Pure.
 */
import { z } from 'zod';
import { UserError } from '../../base/errors.js';
import { exactly, productOf, type Quantity, sumOf } from '../../base/quantity.js';
import { formatUsd } from '../../base/text/index.js';
import { costOf } from '../../catalog/costs.js';
import { usageSchema } from '../../usage/schema.js';
import { deviceHours } from '../book/device-price.js';
import { Decimal, toUsd, ZERO } from '../money.js';
import {
  type Category,
  NO_IMPORTS,
  PURPOSES,
  STATEMENT_SCHEMA_VERSION,
  type Statement,
  type StatementLine,
  totalsOf,
} from './statement.js';

const quantity = z.object({ value: z.number(), low: z.number(), high: z.number() });
const atLeast0 = quantity.refine(({ low, high }) => low >= 0 && Number.isFinite(high), {
  error: 'must be 0 or more',
});
const share = quantity.refine(({ value }) => value > 0 && value <= 1, {
  error: 'must be above 0 and at most 1',
});

/** What the ledger reads of a plan: `reckoner plan … --json`. */
const planSchema = z.object({
  recipe: z.string(),
  cluster: z.object({
    name: z.string(),
    accelerator: z.string(),
    count: z.number(),
    usdPerHour: atLeast0.and(z.object({ source: z.string(), date: z.string() })),
    goodput: share,
  }),
  stages: z
    .array(z.object({ id: z.string(), usage: usageSchema, usd: atLeast0 }))
    .min(1, { error: 'has no stage' }),
});

export type PricedPlan = z.infer<typeof planSchema>;

/** True for a document that looks like a plan, whatever else is wrong with it. */
export const isPlan = (content: unknown): boolean =>
  typeof content === 'object' && content !== null && 'recipe' in content && 'stages' in content;

/** The newest version of plans that is read; 1 has the same fields here. */
const NEWEST = 2;

/** @throws UserError (data) with the first field that is wrong */
export function parsePricedPlan(content: unknown, where: string): PricedPlan {
  const { schemaVersion } = content as { schemaVersion?: unknown };
  if (typeof schemaVersion === 'number' && schemaVersion > NEWEST) {
    const message = `${where}: schemaVersion ${schemaVersion} is of a newer reckoner, and this one reads up to ${NEWEST}; update it`;
    throw new UserError('data', message);
  }
  const parsed = planSchema.safeParse(content);
  if (parsed.success) return parsed.data;
  const [{ path, message }] = parsed.error.issues;
  throw new UserError(
    'data',
    `${where}: ${path.join('.') || 'plan'}: ${message}; write it with reckoner plan <recipe> --on <cluster> --json`,
  );
}

/** What a final run leaves out. */
export interface OtherCosts {
  /** People, and for how many months. */
  people: number;
  months: number;
  /** All compute over that of the final run; null: the catalog's, with its interval. */
  experiments: number | null;
  /** Share of the hours of machines of one's own that are used; null: rented by the hour. */
  utilization: number | null;
}

/** @throws UserError (usage) for a number out of its range */
export function checkOtherCosts(costs: OtherCosts): OtherCosts {
  const { people, months, experiments, utilization } = costs;
  const refuse = (field: string, range: string, value: number): never => {
    throw new UserError('usage', `${field}: must be ${range}, is ${value}`, `--${field}`);
  };
  for (const [name, value] of Object.entries({ people, months }))
    if (!(value >= 0 && value <= 1e6)) refuse(name, 'from 0 to 1,000,000', value);
  if (experiments !== null && !(experiments >= 1 && experiments <= 1000))
    refuse('experiments', 'from 1 to 1,000', experiments);
  if (utilization !== null && !(utilization > 0 && utilization <= 1))
    refuse('utilization', 'above 0 and at most 1', utilization);
  return costs;
}

/** The statement of a plan. @throws UserError (usage) for other costs out of their range */
export function statementOfPlan(plan: PricedPlan, costs: OtherCosts): Statement {
  const { recipe, cluster } = plan;
  const others = checkOtherCosts(costs);
  const lines = plan.stages.flatMap((stage) => stageLines(stage, plan));
  const compute = intervalOf(lines);
  const [device, kind] = isOfCores(plan)
    ? (['core', 'cpu'] as const)
    : (['accelerator', 'gpu'] as const);
  lines.push(...otherLines(recipe, kind, compute, others));
  const { totals, bridge, models } = totalsOf(lines);
  const headline = lines.filter(({ columns }) => columns.includes('headline'));
  return {
    schemaVersion: STATEMENT_SCHEMA_VERSION,
    title: `Plan of ${recipe} on ${cluster.name}`,
    currency: 'USD',
    runs: [],
    period: { from: '', to: '' },
    lines,
    totals: {
      headline: {
        amount: totals.headline.amount,
        ...ends(intervalOf(headline)),
        scope: `predicted ${device} time that makes progress on the final weights, rented`,
      },
      full: {
        amount: totals.full.amount,
        ...ends(fullInterval(lines, compute)),
        scope: 'the same with lost time, data, evaluation, experiments, idle hours and people',
      },
    },
    bridge,
    models,
    rules: [],
    allocationKeys: [`reserved ${device}-seconds`],
    imports: NO_IMPORTS,
    notes: notesOf(plan, others),
  };
}

type PlannedStage = PricedPlan['stages'][number];

const isOfCores = ({ stages }: PricedPlan): boolean =>
  stages.every(({ usage }) => usage.acceleratorSeconds === undefined);

/** What makes progress, and what is lost to failures and waiting. */
function stageLines({ id, usage, usd }: PlannedStage, plan: PricedPlan): StatementLine[] {
  const { usdPerHour, goodput, accelerator } = plan.cluster;
  const hours = new Decimal(deviceHours(usage));
  const progress = hours.times(goodput.value);
  const parts: [Category, string, Decimal][] = [
    [PURPOSES[usage.purpose], id, progress],
    ['lost', `${id}, lost to failures and waiting`, hours.minus(progress)],
  ];
  const isGpu = usage.acceleratorSeconds !== undefined;
  const unit = isGpu ? 'gpu-hour' : 'core-hour';
  return parts.flatMap(([category, what, quantity]): StatementLine[] => {
    if (quantity.isZero()) return [];
    const amount = toUsd(quantity.times(usdPerHour.value));
    const spread = (end: number): string =>
      usd.value > 0
        ? amount
            .times(end / usd.value)
            .toDecimalPlaces(12)
            .toFixed()
        : amount.toFixed();
    return [
      {
        ...lineOf(plan.recipe, category, what),
        account: plan.cluster.name,
        kind: isGpu ? 'gpu' : 'cpu',
        quantity: quantity.toDecimalPlaces(15).toFixed(),
        unit,
        amount: amount.toFixed(),
        low: spread(usd.low),
        high: spread(usd.high),
        money: 'price book',
        rule: `${usdPerHour.value} USD/${unit}, ${accelerator}: ${usdPerHour.source}`,
        columns: category === 'final' ? ['headline', 'full'] : ['full'],
      },
    ];
  });
}

/** A line of a plan without its numbers. */
const lineOf = (model: string, category: Category, what: string) =>
  ({ model, category, what, source: 'plan', start: '', end: '', rows: 1 }) as const;

/** Experiments, idle hours and people, where there are some. */
function otherLines(
  recipe: string,
  device: 'cpu' | 'gpu',
  compute: Quantity,
  others: OtherCosts,
): StatementLine[] {
  const { people, months, experiments, utilization } = others;
  const known = costOf('programme.total-over-final');
  const factor: Quantity = experiments === null ? known : exactly(experiments);
  const over = { value: factor.value - 1, low: Math.max(0, factor.low - 1), high: factor.high - 1 };
  const research = over.value > 0 ? productOf(compute, over) : exactly(0);
  const idle =
    utilization === null || utilization === 1
      ? exactly(0)
      : productOf(sumOf([compute, research]), exactly(1 / utilization - 1));
  const pay = costOf('staff.pay');
  const staff = productOf(exactly((people * months) / 12), pay, costOf('staff.overhead'));
  const made: [Category, StatementLine['kind'], string, Quantity, string][] = [
    [
      'research',
      device,
      'experiments and failed runs on the way',
      research,
      `all compute is ${factor.value} times that of the final run: ${experiments === null ? known.source : 'as given'}`,
    ],
    [
      'idle',
      device,
      'hours of own machines without work',
      idle,
      `${utilization === null ? '' : `${100 * utilization}% of the hours are used: as given`}`,
    ],
    [
      'staff',
      'staff',
      `${people} people for ${months} months`,
      staff,
      `${pay.value} USD a year, and overhead: ${pay.source}`,
    ],
  ];
  return made.flatMap(([category, kind, what, usd, rule]): StatementLine[] =>
    usd.value === 0
      ? []
      : [
          {
            ...lineOf(recipe, category, what),
            account: '',
            kind,
            quantity: null,
            unit: '',
            amount: toUsd(new Decimal(usd.value)).toFixed(),
            ...ends(usd),
            money: 'price book',
            rule,
            columns: ['full'],
          },
        ],
  );
}

const ends = ({ low, high }: Quantity): { low: string; high: string } => ({
  low: toUsd(new Decimal(low)).toFixed(),
  high: toUsd(new Decimal(high)).toFixed(),
});

/** The sum of lines whose errors move together. */
export function intervalOf(lines: readonly StatementLine[]): Quantity {
  const total = (of: (line: StatementLine) => string): number =>
    lines.reduce((sum, line) => sum.plus(of(line)), ZERO).toNumber();
  return {
    value: total(({ amount }) => amount),
    low: total(({ amount, low = amount }) => low),
    high: total(({ amount, high = amount }) => high),
  };
}

/** Compute and each other cost are independent of each other. */
function fullInterval(lines: readonly StatementLine[], compute: Quantity): Quantity {
  const others = lines.filter(({ category }) => ['research', 'idle', 'staff'].includes(category));
  return sumOf([compute, ...others.map((line) => intervalOf([line]))]);
}

function notesOf({ cluster }: PricedPlan, { people, utilization }: OtherCosts): string[] {
  const { usdPerHour } = cluster;
  return [
    `Predicted, not measured: intervals are 90%. ${cluster.count} x ${cluster.accelerator} at ${formatUsd(usdPerHour.value)} an hour (${formatUsd(usdPerHour.low)} to ${formatUsd(usdPerHour.high)}: ${usdPerHour.source}).`,
    ...(people === 0 ? ['No people are counted; give --people and --months.'] : []),
    ...(utilization === null
      ? ['Machines are rented by the hour; for machines of your own give --utilization.']
      : []),
  ];
}
