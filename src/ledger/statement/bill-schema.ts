/**
 * @file The bill as a document: the schema of `bill.json` and of `reckoner bill --json`.
 */
import { z } from 'zod';
import { BILL_SCHEMA_VERSION } from './bill.js';

const usd = z
  .string()
  .regex(/^-?\d+(\.\d{1,12})?$/)
  .describe('Dollars, an exact decimal.');
const decimal = z
  .string()
  .regex(/^\d+(\.\d+)?$/)
  .describe('An exact decimal.');
const interval = {
  usd,
  usdLow: usd.describe('Every price at its low end.'),
  usdHigh: usd.describe('Every price at its high end.'),
};
const basis = z.enum(['measured', 'estimated', 'predicted', 'published', 'assumed']);
const priceBasis = z.enum(['published', 'derived', 'assumed']);
const purpose = z.enum(['training', 'evaluation', 'inference', 'data', 'overhead']);
const amount = z.number().min(0);
const count = z.int().min(0);

const bookPrice = z.object({
  value: amount,
  low: amount,
  high: amount,
  unit: z.string(),
  basis: priceBasis,
  source: z.string(),
  date: z.string(),
  region: z.string(),
  note: z.string(),
});

export const priceBookSchema = z.object({
  name: z.string(),
  mode: z
    .enum(['rent', 'own'])
    .describe('How the full column is priced; the headline is always at the rental price.'),
  rentUsdPerCoreHour: bookPrice,
  electricityUsdPerKwh: bookPrice,
  machineUsd: bookPrice,
  machineCores: bookPrice,
  lifeYears: bookPrice,
  utilisation: bookPrice.describe(
    'Share of its life for which an owned machine does paid-for work.',
  ),
  pue: bookPrice,
  wattsPerBusyCore: bookPrice,
  storageUsdPerGbMonth: bookPrice,
  storageMonths: bookPrice,
});

const column = z.enum(['headline', 'full']);

const line = z.object({
  run: z.string(),
  stage: z.string(),
  purpose,
  attempt: count.describe('0, and one more with each resume.'),
  status: z
    .enum(['kept', 'lost', 'discarded', 'other-run'])
    .describe(
      'kept: led to the final weights. lost: superseded by a resume, or cut off by a kill. discarded: a stage not used.',
    ),
  item: z.enum(['core time, rented', 'core time, owned', 'electricity', 'storage']),
  quantity: decimal,
  unit: z.enum(['core-hour', 'kWh', 'GB']),
  unitPrice: z.object({
    usd: decimal,
    unit: z.string(),
    basis: priceBasis,
    source: z.string(),
    date: z.string(),
    region: z.string(),
  }),
  ...interval,
  basis: basis.describe('Of the quantity.'),
  columns: z.array(column).min(1).describe('The columns that the line counts in.'),
});

const total = z
  .object({
    ...interval,
    coreHours: decimal,
    scope: z.string(),
    period: z.object({ from: z.string(), to: z.string() }),
    allocationKey: z.string(),
  })
  .describe('The exact sum of the lines of the column.');

const point = z.object({
  stage: z.string(),
  label: z.string(),
  step: count,
  accuracy: z.number().min(0).max(1),
});
const both = z.object({ headline: usd, full: usd });

export const gain = z.object({
  task: z.string(),
  metric: z.enum(['pass1', 'accuracy', 'greedy']),
  from: point,
  to: point,
  gain: z.number().min(-1).max(1),
  gain95: z
    .object({ low: z.number(), high: z.number() })
    .nullable()
    .describe('The 95% interval of the gain; null where the number of problems is not known.'),
  usd: both.describe('Cost between the two evaluations.'),
  usdPerCorrectAnswerGained: both
    .nullable()
    .describe(
      'Cost / (gain x 1000): dollars for each further correct answer per 1,000 problems; null without a gain.',
    ),
  overall: z.boolean(),
});

export const work = z.object({
  stage: z.string(),
  purpose,
  wallSeconds: amount,
  coreSeconds: amount,
  tokensIn: amount,
  tokensOut: amount,
  modelFlops: amount.describe('By formula, forward and backward, without recomputation.'),
  modelFlopsPerSecond: amount.nullable(),
  energyJoules: amount,
  energyBasis: basis,
  peakMemoryBytes: amount,
  storedBytes: amount,
});

const used = {
  seconds: amount.describe('Wall seconds.'),
  tokens: amount,
  modelFlops: amount,
  energyJoules: amount,
  usd: usd.describe('The full column without storage, at the prices of this bill.'),
};
const comparison = {
  predicted: z
    .object({ ...used, secondsLow: amount, secondsHigh: amount })
    .describe('Seconds with their 90% interval.'),
  measured: z
    .object(used)
    .nullable()
    .describe('Lost work apart; null for a stage that did not end.'),
  residual: z.number().nullable().describe('Measured / predicted - 1, of the seconds.'),
};

export const predicted = z.object({
  stages: z.array(z.object({ stage: z.string(), ...comparison })),
  total: z.object(comparison).describe('Of the stages that ended.'),
});

export const billDocument = z
  .object({
    schemaVersion: z
      .literal(BILL_SCHEMA_VERSION)
      .describe('Rises when a field changes its meaning or goes away.'),
    currency: z.literal('USD'),
    runs: z
      .array(
        z.object({
          name: z.string(),
          recipe: z.string(),
          attempts: count,
          steps: count,
          outcome: z.enum([
            'completed',
            'interrupted',
            'max-usd',
            'max-minutes',
            'diverged',
            'failed',
            'unfinished',
          ]),
          from: z.string(),
          to: z.string(),
        }),
      )
      .min(1)
      .describe('The first is the one whose weights are billed.'),
    priceBook: priceBookSchema,
    lines: z.array(line),
    totals: z.object({ headline: total, full: total }),
    bridge: z
      .array(z.object({ what: z.string(), usd }))
      .describe('What to add to the headline to get the full total.'),
    otherMode: z
      .object({ mode: z.enum(['rent', 'own']), ...interval })
      .describe('The full total, had the machine been owned instead of rented, or the reverse.'),
    gains: z.array(gain),
    work: z.array(work),
    predicted: predicted
      .nullable()
      .describe('The first run as it was planned (plan.json); null when there was no plan.'),
    notes: z.array(z.string()),
  })
  .describe('reckoner bill [runs...] --json, and bill.json in a run folder');
