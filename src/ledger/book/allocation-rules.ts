/**
 * @file Allocation rules: which usage belongs to which model, and what for. A rules file is data;
 * every rule is printed on the bill with what it matched.
 *
 *     {
 *       "model": "mini-1",
 *       "rules": [
 *         { "when": { "name": "mini-1-final-*" }, "is": "final" },
 *         { "when": { "name": "abl-*", "account": ["nlp", "nlp-*"] }, "is": "ablation" },
 *         { "when": { "tag:team": "infra" }, "is": "shared" }
 *       ],
 *       "idle": { "key": "usage" },
 *       "prices": { "gpu-hour:h100": { "price": "2.20", "source": "contract 2026-04" } },
 *       "rates": { "EUR": { "rate": "1.08", "date": "2026-09-30", "source": "ECB reference rate" } }
 *     }
 *
 * The first rule that matches decides; the ledger's own rules (a state that says "failed",
 * OpenCost's idle rows) come last.
 */
import { z } from 'zod';
import { UserError } from '../../base/errors.js';
import { text } from '../import/duckdb.js';
import { CATEGORIES, KINDS, type RuleCategory, type UsageFile } from '../import/source.js';
import { Decimal } from '../money.js';

const decimal = z
  .union([
    z.string().regex(/^-?\d+(\.\d+)?$/, 'expected a decimal such as "2.50"'),
    z.number().transform((n) => String(n)),
  ])
  .describe('An exact decimal, best as a string.');
const currency = z.string().regex(/^[A-Z]{3}$/, 'expected a code of ISO 4217 such as USD');
const when = z.record(z.string(), z.union([z.string(), z.array(z.string()).min(1)]));
const key = z.union([
  z.literal('separate'),
  z.literal('usage'),
  z.record(z.string().min(1), decimal),
]);
const words = z.string().min(1);

export const rulesSchema = z.strictObject({
  model: words.optional().describe('Whom rules without a model of their own mean.'),
  currency: currency
    .optional()
    .describe('Of the bill; default: the only one that occurs, else USD.'),
  rules: z
    .array(
      z.strictObject({
        when,
        is: z.enum(CATEGORIES),
        model: words.optional(),
        note: words.optional(),
      }),
    )
    .default([]),
  kinds: z.array(z.strictObject({ when, kind: z.enum(KINDS) })).default([]),
  pools: z.array(z.strictObject({ name: words, charges: when, usage: when })).default([]),
  idle: z.strictObject({ key }).default({ key: 'separate' }),
  shared: z.strictObject({ key }).default({ key: 'separate' }),
  staff: z
    .array(
      z.strictObject({
        what: words,
        amount: decimal,
        currency: currency.default('USD'),
        key,
        source: words,
      }),
    )
    .default([]),
  rates: z
    .record(currency, z.strictObject({ rate: decimal, date: words, source: words }))
    .default({}),
  prices: z
    .record(
      z.string(),
      z.strictObject({
        price: decimal,
        currency: currency.default('USD'),
        source: words,
        date: words.optional(),
      }),
    )
    .default({}),
  slurm: z.strictObject({ timezone: words }).default({ timezone: 'UTC' }),
  opencost: z.strictObject({ currency }).optional(),
  focus: z
    .strictObject({
      cost: z.enum(['BilledCost', 'EffectiveCost']).default('BilledCost'),
      overlaps: z.enum(['refuse', 'bill']).default('refuse'),
    })
    .default({ cost: 'BilledCost', overlaps: 'refuse' }),
});

export type Rules = z.output<typeof rulesSchema>;
export type Key = Rules['idle']['key'];
type When = z.output<typeof when>;

export const NO_RULES: Rules = rulesSchema.parse({});

/** @param where the file, for messages. @throws UserError (usage) that names the field */
export function parseRules(content: unknown, where: string): Rules {
  const parsed = rulesSchema.safeParse(content);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
    const field = [...issue.path.map(String), ...(unknown === undefined ? [] : [unknown])].join(
      '.',
    );
    const why =
      unknown === undefined ? issue.message : 'no such field; docs/guides/bill.md lists them';
    throw new UserError(
      'usage',
      `allocation rules ${where}: ${field || 'it'}: ${why}`,
      field || undefined,
    );
  }
  for (const [field, { key }] of [
    ['idle', parsed.data.idle],
    ['shared', parsed.data.shared],
    ...parsed.data.staff.map((one, i) => [`staff.${i}`, one] as const),
  ] as const) {
    if (typeof key === 'string') continue;
    const total = Object.values(key).reduce((sum, share) => sum.plus(share), new Decimal(0));
    if (!total.equals(1) || Object.values(key).some((share) => new Decimal(share).isNegative())) {
      throw new UserError(
        'usage',
        `allocation rules ${where}: ${field}.key: shares add up to ${total.toFixed()}, not to 1`,
        field,
      );
    }
  }
  try {
    new Intl.DateTimeFormat('en', { timeZone: parsed.data.slurm.timezone });
  } catch {
    throw new UserError(
      'usage',
      `allocation rules ${where}: slurm.timezone: no such time zone; give one such as Europe/Berlin`,
      'slurm.timezone',
    );
  }
  return parsed.data;
}

const FAILED = [
  'FAILED*',
  'CANCELLED*',
  'TIMEOUT*',
  'NODE_FAIL*',
  'OUT_OF_ME*',
  'PREEMPTED*',
  'BOOT_FAIL*',
  'DEADLINE*',
  'REVOKED*',
];

export interface Rule {
  when: When;
  is: RuleCategory;
  model: string;
  /** For the bill. */
  text: string;
}

/** The rules of the file, then the ledger's own. */
export function allRules(rules: Rules): Rule[] {
  const own: Omit<Rule, 'text' | 'model'>[] = [
    { when: { source: 'slurm', state: FAILED }, is: 'failed' },
    { when: { source: 'opencost', name: ['__idle__', '*/__idle__', '__idle__/*'] }, is: 'idle' },
    { when: { source: 'opencost', name: ['__unmounted__*', '__unallocated__*'] }, is: 'shared' },
    { when: { source: 'opencost', project: 'kube-system' }, is: 'shared' },
    { when: { source: 'focus', unused: 'true' }, is: 'idle' },
    { when: { source: 'focus', charge: ['Tax', 'Credit', 'Adjustment'] }, is: 'shared' },
  ];
  return [
    ...rules.rules.map((rule) => ({
      when: rule.when,
      is: rule.is,
      model: rule.model ?? rules.model ?? '',
      text: describe(rule),
    })),
    ...own.map((rule) => ({
      ...rule,
      model: rule.is === 'failed' ? (rules.model ?? '') : '',
      text: `${describe(rule)} (built in)`,
    })),
  ];
}

function describe(rule: { when: When; is: string; model?: string; note?: string }): string {
  const conditions = Object.entries(rule.when).map(
    ([field, pattern]) => `${field} ${[pattern].flat().join(' or ')}`,
  );
  const unfinished = rule.is === 'final' && !('state' in rule.when) ? ', and not failed' : '';
  const whom = rule.model === undefined ? '' : ` of ${rule.model}`;
  return `${conditions.join(', ') || 'everything'}${unfinished} -> ${rule.is}${whom}${rule.note ? ` (${rule.note})` : ''}`;
}

/** Index of the first rule that matches a row of `file`, as SQL; -1 where none does. */
export function ruleSql(rules: readonly Rule[], file: UsageFile): string {
  const cases = rules.flatMap((rule, i) => {
    const condition = whenSql(rule.when, file);
    if (condition === null) return [];
    const finished =
      rule.is === 'final' && !('state' in rule.when) && file.source === 'slurm'
        ? ` AND NOT ${matches('state', FAILED)}`
        : '';
    return [`WHEN ${condition}${finished} THEN ${i}`];
  });
  return cases.length === 0 ? '(-1)::SMALLINT' : `(CASE ${cases.join(' ')} ELSE -1 END)::SMALLINT`;
}

/** The kind of a row: that of the first matching entry of `kinds`, else the importer's. */
export function kindSql(rules: Rules, file: UsageFile): string {
  const cases = rules.kinds.flatMap(({ when, kind }) => {
    const condition = whenSql(when, file);
    return condition === null ? [] : [`WHEN ${condition} THEN ${text(kind)}`];
  });
  return cases.length === 0 ? 'kind' : `CASE ${cases.join(' ')} ELSE kind END`;
}

/**
 * The pool of a row, as SQL: charges of a pool are allocated by the usage of the same pool; -1 is
 * everything else.
 */
export function poolSql(rules: Rules, file: UsageFile): string {
  const cases = rules.pools.flatMap((pool, i) => {
    const condition = whenSql(file.source === 'focus' ? pool.charges : pool.usage, file);
    return condition === null ? [] : [`WHEN ${condition} THEN ${i}`];
  });
  return cases.length === 0 ? '(-1)::SMALLINT' : `(CASE ${cases.join(' ')} ELSE -1 END)::SMALLINT`;
}

/**
 * All conditions of `when`; null where a row of this file can never match, TRUE where it always
 * does.
 */
function whenSql(when: When, file: UsageFile): string | null {
  const parts: string[] = [];
  for (const [field, pattern] of Object.entries(when)) {
    const patterns = typeof pattern === 'string' ? [pattern] : pattern;
    if (field === 'source' || field === 'file') {
      const value = field === 'source' ? file.source : file.path;
      if (!patterns.some((one) => globToRegExp(one).test(value))) return null;
      continue;
    }
    const expression = fieldSql(field, file);
    if (expression === null) return null;
    parts.push(matches(expression, patterns));
  }
  return parts.length === 0 ? 'TRUE' : `(${parts.join(' AND ')})`;
}

function fieldSql(field: string, file: UsageFile): string | null {
  if (field.startsWith('tag:')) {
    if (!('tags' in file.sql.fields)) return null;
    const path = `$.${JSON.stringify(field.slice(4))}`;
    return `CASE WHEN json_valid(tags) THEN json_extract_string(tags, ${text(path)}) END`;
  }
  if (Object.hasOwn(file.sql.fields, field)) return field === 'unused' ? 'unused::VARCHAR' : field;
  const at = file.names.findIndex((one) => one.toLowerCase() === field.toLowerCase());
  return at < 0 ? null : `c${at}::VARCHAR`;
}

function matches(expression: string, patterns: readonly string[]): string {
  const tests = patterns.map((pattern) =>
    /[*?[]/.test(pattern)
      ? `${expression} GLOB ${text(pattern)}`
      : `${expression} = ${text(pattern)}`,
  );
  // Nearly all jobs are completed: those need not be compared with nine words each.
  const first = patterns === FAILED ? `${expression} <> 'COMPLETED' AND ` : '';
  return `coalesce(${first}(${tests.join(' OR ')}), false)`;
}

function globToRegExp(pattern: string): RegExp {
  const escaped = pattern
    .replace(/[.+^${}()|\\[\]]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${escaped}$`, 's');
}
