/**
 * @file The statement as a document: the schema of `reckoner bill --json`, and of `bill.json` in a
 * run's folder.
 */
import { z } from 'zod';
import { priceBookSchema } from '../book/price-book.js';
import { CATEGORIES, type Importer, KINDS } from '../import/importer.js';
import { IMPORTERS } from '../import/importers.js';
import { STATEMENT_SCHEMA_VERSION } from './statement.js';

const amount = z
  .string()
  .regex(/^-?\d+(\.\d+)?$/)
  .describe('An exact decimal, in the currency of the document.');
const count = z.int().min(0);
const size = z.number().min(0);
const column = z.enum(['headline', 'full']);
const purpose = z.enum(['training', 'evaluation', 'inference', 'data', 'overhead']);
const basis = z.enum(['measured', 'estimated', 'predicted', 'published', 'assumed']);
/** Ends of an amount. */
const ends = {
  low: amount
    .optional()
    .describe('Of a plan the 90% interval; of runs every price at its low or high end.'),
  high: amount.optional(),
};
const category = z.enum([
  ...CATEGORIES.filter((one) => one !== 'ignore'),
  ...([
    'inference',
    'overhead',
    'storage',
    'discarded',
    'owned',
    'staff',
    'unassigned',
    'unallocated',
  ] as const),
]);
const place = z.object({
  file: z.string(),
  line: count.describe(
    'Line of a text file, record of a JSON file, row of a Parquet file, from 1.',
  ),
  reason: z.string(),
});

const partOfRun = z.object({
  stage: z.string(),
  purpose,
  attempt: count.describe('0, and one more with each resume.'),
  status: z
    .enum(['kept', 'lost', 'discarded', 'other-run'])
    .describe(
      'kept: led to the final weights. lost: superseded by a resume, or cut off by a kill. discarded: a stage not used.',
    ),
  item: z.enum(['core time, rented', 'core time, owned', 'electricity', 'storage']),
  basis: basis.describe('Of the quantity.'),
});

const lineOf = (importers: readonly Importer[]) =>
  z.object({
    model: z.string().describe('Whose weights it was for; empty where no rule says.'),
    category: category.describe(
      'unassigned: used, but no rule says for what. unallocated: charged, but no usage explains it.',
    ),
    source: z.enum(['run', 'plan', ...importers.map(({ name }) => name), 'stated']),
    account: z.string(),
    what: z.string(),
    kind: z.enum(KINDS),
    quantity: amount.nullable(),
    unit: z.string(),
    amount,
    ...ends,
    money: z
      .enum(['charge', 'own price', 'price list', 'price book', 'stated', 'unpriced'])
      .describe(
        'Where the amount comes from; own prices count only where no charge covers the time.',
      ),
    rule: z.string().describe('The rule, the key or the price that put it here.'),
    columns: z.array(column).min(1),
    start: z.string(),
    end: z.string(),
    rows: count,
    run: partOfRun.optional().describe("Of a run's line: its part of the run."),
    price: z
      .object({
        amount,
        unit: z.string(),
        basis: z.enum(['published', 'derived', 'assumed']),
        source: z.string(),
        date: z.string(),
        region: z.string(),
      })
      .optional()
      .describe("Of a run's line: the amount is quantity x price."),
  });

const fileOf = (importers: readonly Importer[]) =>
  z.object({
    path: z.string(),
    sha256: z.string(),
    bytes: count,
    format: z.enum(importers.flatMap(({ formats }) => formats)),
    source: z.enum(importers.map(({ name }) => name)),
    rows: count,
    malformed: count,
    skipped: z.record(z.string(), count).describe('Rows that are no usage, by reason.'),
    duplicates: count.describe('Rows that were billed already.'),
    split: count.describe('Rows of which a part was billed already.'),
    refused: count.describe("Charges that overlap another file's and are not billed."),
    unknownColumns: z.array(z.string()),
  });

const total = z
  .object({
    amount,
    ...ends,
    scope: z.string(),
  })
  .describe('The exact sum of the lines of the column.');

const point = z.object({
  stage: z.string(),
  label: z.string(),
  step: count,
  accuracy: z.number().min(0).max(1),
});
const both = z.object({ headline: amount, full: amount });

const gain = z.object({
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

const work = z.object({
  stage: z.string(),
  purpose,
  wallSeconds: size,
  coreSeconds: size,
  tokensIn: size,
  tokensOut: size,
  modelFlops: size.describe('By formula, forward and backward, without recomputation.'),
  modelFlopsPerSecond: size.nullable(),
  energyJoules: size,
  energyBasis: basis,
  peakMemoryBytes: size,
  storedBytes: size,
});

const used = {
  seconds: size.describe('Wall seconds.'),
  tokens: size,
  modelFlops: size,
  energyJoules: size,
  usd: amount.describe('The full column without storage, at the prices of this bill.'),
};
const comparison = {
  predicted: z
    .object({ ...used, secondsLow: size, secondsHigh: size })
    .describe('Seconds with their 90% interval.'),
  measured: z
    .object(used)
    .nullable()
    .describe('Lost work apart; null for a stage that did not end.'),
  residual: z.number().nullable().describe('Measured / predicted - 1, of the seconds.'),
};

const predicted = z.object({
  stages: z.array(z.object({ stage: z.string(), ...comparison })),
  total: z.object(comparison).describe('Of the stages that ended.'),
});

/** The schema of statements over files of these importers. */
export const statementSchemaOf = (importers: readonly Importer[]) =>
  z
    .object({
      schemaVersion: z
        .literal(STATEMENT_SCHEMA_VERSION)
        .describe('Rises when a field changes its meaning or goes away.'),
      title: z.string(),
      currency: z.string().describe('ISO 4217; of every amount.'),
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
        .describe('The first is the one whose weights are billed.'),
      period: z.object({ from: z.string(), to: z.string() }),
      lines: z.array(lineOf(importers)),
      totals: z.object({ headline: total, full: total }),
      bridge: z
        .array(z.object({ category, what: z.string(), amount }))
        .describe('What to add to the headline to get the full total.'),
      models: z.array(z.object({ model: z.string(), headline: amount, full: amount })),
      rules: z
        .array(z.object({ rule: z.string(), rows: count }))
        .describe('Every rule that decided something.'),
      allocationKeys: z.array(z.string()),
      imports: z.object({
        files: z.array(fileOf(importers)),
        malformed: z
          .array(place)
          .describe('At most 1,000 of each file; the files have the counts.'),
        refused: z.array(place),
        repeated: z.array(place).describe('Rows that were billed already, with what each repeats.'),
      }),
      notes: z.array(z.string()),
      gains: z.array(gain).optional().describe('Of the first run; without runs there are none.'),
      work: z.array(work).optional().describe('Of the first run.'),
      predicted: predicted.nullable().optional().describe('Of the first run; null without a plan.'),
      priceBook: priceBookSchema.optional().describe('What the runs are priced with.'),
      otherMode: z
        .object({ mode: z.enum(['rent', 'own']), amount, ...ends })
        .optional()
        .describe(
          'The full column of the runs, had the machine been owned instead of rented, or the reverse.',
        ),
    })
    .describe(
      'reckoner bill [runs or a plan...] --json, with --usage or without, and bill.json in a run folder',
    );

export const statementDocument = statementSchemaOf(IMPORTERS);
