/**
 * @file What `reckoner claim --json` prints.
 */
import { z } from 'zod';
import { claimBasisSchema, periodSchema } from '../../catalog/claim.js';

export const CLAIM_SCHEMA_VERSION = 1;

const text = z.string().min(1);
const dollars = {
  usd: z.number().describe('Dollars, rounded to cents.'),
  usdExact: z
    .string()
    .regex(/^-?\d+(\.\d+)?$/)
    .describe('The same, exact.'),
  low: z.number().describe('Lower end of the 90% interval, dollars.'),
  high: z.number().describe('Upper end of the 90% interval, dollars.'),
};
const basis = claimBasisSchema.describe(
  'published: a source states it; derived: arithmetic on published figures; predicted: by the planner; assumed.',
);
const source = text.describe('Never empty.');

export const claimDocument = z
  .object({
    schemaVersion: z
      .literal(CLAIM_SCHEMA_VERSION)
      .describe('Rises when a field changes its meaning or goes away.'),
    claim: text.describe('Its id.'),
    title: text,
    said: z.array(z.object({ what: text, who: text, when: text, source })),
    definitions: z.record(z.string(), text),
    figures: z.array(
      z.object({
        id: text,
        what: text,
        ...dollars,
        basis,
        scope: text.describe('What is in it, and what is not.'),
        period: periodSchema.describe(
          'A stock at a date, or a flow over a period; years: of a recurring flow.',
        ),
        source,
        formula: z.string().nullable().describe('null for a figure that is given as it was said.'),
        drivers: z
          .array(z.object({ input: text, share: z.number().min(0).max(1) }))
          .describe(
            'The assumptions that make the interval wide, with their share of its variance.',
          ),
      }),
    ),
    steps: z.array(
      z.object({
        from: text,
        to: text,
        what: text,
        ...dollars,
        why: text,
        converts: text
          .optional()
          .describe('How a stock becomes a flow, or a flow of one length one of another.'),
        basis,
        source,
      }),
    ),
    checks: z.array(
      z.object({
        id: text,
        what: text,
        computed: z.number(),
        published: z.number(),
        relativeError: z.number().describe('computed / published − 1'),
        unit: z.string(),
        source,
        note: z.string().optional(),
      }),
    ),
    ratios: z.array(
      z.object({
        id: text,
        what: text,
        value: z.number(),
        low: z.number(),
        high: z.number(),
        unit: z.string(),
        source,
      }),
    ),
    corrections: z
      .array(z.object({ told: text, kind: text, instead: text }))
      .describe('Where the usual retelling goes wrong.'),
    assumptions: z.array(
      z.object({
        id: text,
        what: text,
        value: z.number(),
        low: z.number(),
        high: z.number(),
        unit: z.string(),
        basis,
        source,
        date: text,
        note: z.string(),
      }),
    ),
    path: z
      .array(z.object({ title: text, figures: z.array(text), detail: z.boolean().optional() }))
      .describe('The order in which the steps are printed.'),
    leftOut: z
      .array(z.object({ id: text, why: text }))
      .describe('Figures that could not be computed here.'),
  })
  .describe('reckoner claim [id] --json');

export type ClaimDocument = z.infer<typeof claimDocument>;

export const claimListDocument = z
  .object({
    schemaVersion: z.literal(CLAIM_SCHEMA_VERSION),
    claims: z.array(
      z.object({ id: text, title: text, who: text, when: text, figures: z.int().min(1) }),
    ),
  })
  .describe('reckoner claim --list --json');
