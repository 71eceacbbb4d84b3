/**
 * @file What a claim is: something said about a cost, and how to get from that figure to another
 * that was also said.
 *
 * Two figures that seem to contradict each other are mostly both right about different things. A
 * claim writes down what each one is (its scope; whether it is a stock, at a date, or a flow, over
 * a period), what it is computed from, and the step from one to the next, with the reason for it.
 * Nothing is a bare number: a quantity has a unit, an interval and a source, or a formula of
 * others. This schema refuses what lacks one of these; what needs arithmetic to find out (units,
 * circles, stocks mixed with flows) is refused by `src/ledger/claims`.
 */
import { z } from 'zod';

export const CLAIM_ID = /^[a-z][a-z0-9]*([.-][a-z0-9]+)*$/;

const id = z
  .string()
  .regex(CLAIM_ID, 'use lower-case words joined by dots or hyphens, a letter first');
const text = z.string({ error: 'say something here' }).trim().min(1, 'must not be empty');
const date = z.string().regex(/^\d{4}(-\d{2}(-\d{2})?)?$/, 'use YYYY, YYYY-MM or YYYY-MM-DD');
const amount = z.union(
  [z.number(), z.string().regex(/^-?\d+(\.\d+)?$/, 'must be a number, or a decimal in quotes')],
  {
    error: 'must be a number, or a decimal in quotes',
  },
);
const years = z.number().positive();
const kind = z.enum(['stock', 'flow'], { error: 'must be stock or flow' });

export const claimBasisSchema = z.enum(['published', 'derived', 'predicted', 'assumed'], {
  error: 'must be published, derived, predicted or assumed',
});

/**
 * When money was, or is: a stock at a date (start and end are the same), or a flow over a period.
 */
export const periodSchema = z
  .strictObject({
    kind,
    start: date,
    end: date,
    /**
     * A recurring flow: of how many years it is. A flow that happened once, such as a training run,
     * has none.
     */
    years: years.optional(),
    note: text.optional(),
  })
  .refine(({ start, end }) => start.slice(0, end.length) <= end.slice(0, start.length), {
    message: 'ends before it starts',
    path: ['end'],
  })
  .refine(({ kind, years }) => kind === 'flow' || years === undefined, {
    message: 'a stock has no years',
    path: ['years'],
  });

export type Period = z.infer<typeof periodSchema>;

const moneyKind = {
  /** Of a sum of dollars alone: whether it is a stock or a flow, and of how many years. */
  kind: kind.optional(),
  years: years.optional(),
};

const given = z
  .strictObject({
    what: text,
    value: amount,
    low: amount.optional(),
    high: amount.optional(),
    unit: z.string(),
    basis: claimBasisSchema,
    source: text,
    date,
    note: text.optional(),
    ...moneyKind,
  })
  .superRefine(({ value, low, high }, context) => {
    if (Number(low ?? value) > Number(value))
      context.addIssue({ code: 'custom', message: 'must be at most value', path: ['low'] });
    if (Number(high ?? value) < Number(value))
      context.addIssue({ code: 'custom', message: 'must be at least value', path: ['high'] });
  });
/** A fact of the catalog, by its id; `what` says it in the claim's own words. */
const catalogued = z.strictObject({ catalog: text, what: text.optional(), ...moneyKind });
const computed = z.strictObject({
  what: text,
  formula: text,
  unit: z.string(),
  note: text.optional(),
});
/**
 * What the planner predicts for a recipe on a cluster, in accelerator-hours. Without a planner,
 * what needs it is left out.
 */
const planned = z.strictObject({
  what: text,
  planned: z.strictObject({
    recipe: text,
    on: text,
    /** Parts of the layout that are given; the rest is searched for. */
    layout: text.optional(),
    /** Stages of the recipe that are counted. */
    stages: z.array(text).min(1),
  }),
  unit: z.string(),
  source: text,
});

const quantity = z.unknown().transform((value, context): z.infer<typeof anyQuantity> => {
  // Not a plain union: its errors would not say which field was wrong.
  const has = (key: string): boolean => typeof value === 'object' && value !== null && key in value;
  const schema = has('catalog')
    ? catalogued
    : has('formula')
      ? computed
      : has('planned')
        ? planned
        : given;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues)
    context.addIssue({ ...issue, code: 'custom', message: messageOf(issue) });
  return z.NEVER;
});
const anyQuantity = z.union([given, catalogued, computed, planned]);
export type ClaimQuantity = z.infer<typeof anyQuantity>;

/** What an issue says, where zod's own words help nobody. */
function messageOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') return `has no field ${issue.keys.join(', ')}`;
  return issue.message.startsWith('Invalid input')
    ? issue.message.replace('Invalid input: ', '')
    : issue.message;
}

const figure = z
  .strictObject({
    id,
    what: text,
    /** Dollars by a formula of quantities and other figures, or as they were said. */
    formula: text.optional(),
    usd: amount.optional(),
    low: amount.optional(),
    high: amount.optional(),
    basis: claimBasisSchema,
    /** What is in it, and what is not. */
    scope: text,
    period: periodSchema,
    source: text,
  })
  .superRefine(({ formula, usd, low, high }, context) => {
    const issue = (message: string, path: string) =>
      context.addIssue({ code: 'custom', message, path: [path] });
    if ((formula === undefined) === (usd === undefined)) issue('give either usd or formula', 'usd');
    if (formula !== undefined && (low ?? high) !== undefined)
      issue('comes from the formula; leave it out', 'low');
    if (usd !== undefined && Number(low ?? usd) > Number(usd)) issue('must be at most usd', 'low');
    if (usd !== undefined && Number(high ?? usd) < Number(usd))
      issue('must be at least usd', 'high');
  });

const step = z.strictObject({
  from: id,
  to: id,
  /** A few words for tables. */
  what: text,
  why: text,
  /**
   * How a stock becomes a flow, or a flow of one length one of another. Compulsory where that
   * happens.
   */
  converts: text.optional(),
  basis: claimBasisSchema,
  source: text,
});

const check = z.strictObject({
  id,
  what: text,
  formula: text,
  unit: z.string(),
  published: amount,
  source: text,
  note: text.optional(),
});

const ratio = z.strictObject({ id, what: text, formula: text, unit: z.string(), source: text });

export const claimSchema = z.strictObject({
  id,
  title: text,
  /** What was said: words or a summary of them, by whom, when, where it can be read. */
  said: z
    .array(z.strictObject({ what: text, who: text, when: date, source: text }))
    .min(1, 'say what was said'),
  definitions: z.record(z.string(), text).default({}),
  quantities: z.record(id, quantity).default({}),
  figures: z.array(figure).min(1, 'a claim has at least one figure'),
  steps: z.array(step).default([]),
  checks: z.array(check).default([]),
  ratios: z.array(ratio).default([]),
  /**
   * Where the usual retelling goes wrong. Texts may hold `{id}` of a figure, ratio or quantity: its
   * value is put there.
   */
  corrections: z.array(z.strictObject({ told: text, kind: text, instead: text })).default([]),
  /** How it is printed: legs of figures, each joined to the next by a step. */
  path: z
    .array(
      z.strictObject({
        title: text,
        figures: z.array(id).min(2),
        /** Printed with --all only. */ detail: z.boolean().optional(),
      }),
    )
    .default([]),
});

/** As it is written. */
export type ClaimFile = Omit<z.input<typeof claimSchema>, 'quantities'> & {
  quantities?: Record<string, ClaimQuantity>;
};
export type Claim = z.infer<typeof claimSchema>;
export { messageOf as claimIssueMessage };
