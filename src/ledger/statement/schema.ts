/**
 * @file The statement as a document: the schema of `reckoner bill --usage … --json`.
 */
import { z } from 'zod';
import { CATEGORIES, type Importer, KINDS } from '../import/importer.js';
import { IMPORTERS } from '../import/importers.js';
import { gain, predicted, work } from './bill-schema.js';
import { STATEMENT_SCHEMA_VERSION } from './statement.js';

const amount = z
  .string()
  .regex(/^-?\d+(\.\d+)?$/)
  .describe('An exact decimal, in the currency of the document.');
const count = z.int().min(0);
const column = z.enum(['headline', 'full']);
const category = z.enum([
  ...CATEGORIES.filter((one) => one !== 'ignore'),
  ...(['discarded', 'overhead', 'owned', 'staff', 'unassigned', 'unallocated'] as const),
]);
const place = z.object({
  file: z.string(),
  line: count.describe(
    'Line of a text file, record of a JSON file, row of a Parquet file, from 1.',
  ),
  reason: z.string(),
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
    low: amount.optional().describe('90% interval of a predicted amount.'),
    high: amount.optional(),
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
    low: amount.optional().describe('90% interval of a predicted total.'),
    high: amount.optional(),
    scope: z.string(),
  })
  .describe('The exact sum of the lines of the column.');

/** The schema of statements over files of these importers. */
export const statementSchemaOf = (importers: readonly Importer[]) =>
  z
    .object({
      schemaVersion: z
        .literal(STATEMENT_SCHEMA_VERSION)
        .describe('Rises when a field changes its meaning or goes away.'),
      title: z.string(),
      currency: z.string().describe('ISO 4217; of every amount.'),
      runs: z.array(z.string()),
      period: z.object({ from: z.string(), to: z.string() }),
      lines: z.array(lineOf(importers)),
      totals: z.object({ headline: total, full: total }),
      bridge: z
        .array(z.object({ what: z.string(), amount }))
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
    })
    .describe('reckoner bill [runs...] --usage FILE... --json');

export const statementDocument = statementSchemaOf(IMPORTERS);
