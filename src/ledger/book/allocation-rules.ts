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
 * The first rule that matches decides; the rules of the importers (failed states of Slurm,
 * OpenCost's idle rows) come last. Each importer has a section of its own, such as
 * `"slurm": {"timezone": "Europe/Berlin"}`.
 */
import { z } from 'zod';
import { UserError } from '../../base/errors.js';
import { issueError } from '../../base/issues.js';
import { didYouMean } from '../../base/text/index.js';
import { text } from '../import/duckdb.js';
import {
  CATEGORIES,
  type Importer,
  KINDS,
  type RuleCategory,
  UNIT_OF,
  type UsageFile,
  type When,
} from '../import/importer.js';
import { IMPORTERS } from '../import/importers.js';
import { FAILED_STATES, LOST_STATES } from '../import/slurm.js';
import { Decimal } from '../money.js';

/** An exact decimal within bounds; numbers are taken at their shortest decimal. */
const decimal = (least: 'above 0' | '0', most = '1e15') =>
  z
    .union([
      z.string().regex(/^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$/, 'expected a decimal such as "2.50"'),
      z.number().transform((n) => String(n)),
    ])
    .refine((value) => isDecimal(value), {
      error: 'expected a decimal such as "2.50"',
      abort: true,
    })
    .refine(
      (value) => {
        const number = new Decimal(value);
        return (least === '0' ? number.gte(0) : number.gt(0)) && number.lte(most);
      },
      `expected a number ${least === '0' ? 'of at least 0' : 'above 0'}, at most ${most}`,
    )
    .transform((value) => new Decimal(value).toFixed())
    .describe('An exact decimal, best as a string.');

function isDecimal(value: string): boolean {
  try {
    return new Decimal(value).isFinite();
  } catch {
    return false;
  }
}

const currency = z.string().regex(/^[A-Z]{3}$/, 'expected a code of ISO 4217 such as USD');
const when = z.record(
  z.string().min(1),
  z.union([z.string(), z.array(z.string()).min(1)], {
    error: 'expected a pattern such as "run-*", or a list of them',
  }),
);
const shares = z.record(z.string().min(1), decimal('0', '1'));
const key = z.union([z.literal('separate'), z.literal('usage'), shares], {
  error: 'expected "separate", "usage", or a share from 0 to 1 for each model',
});
const words = z.string().min(1);

const baseShape = {
  model: words.optional().describe('The model of rules that name none.'),
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
        amount: decimal('0'),
        currency: currency.default('USD'),
        key,
        source: words,
      }),
    )
    .default([]),
  rates: z
    .record(currency, z.strictObject({ rate: decimal('above 0'), date: words, source: words }))
    .default({}),
  prices: z
    .record(
      words,
      z.strictObject({
        price: decimal('0', '1e9'),
        currency: currency.default('USD'),
        source: words,
        date: words.optional(),
      }),
    )
    .default({}),
};

/** The schema of a rules file: the base, and a section for each importer. */
function schemaOf(importers: readonly Importer[]) {
  const sections = Object.fromEntries(
    importers.map(({ name, options }) => [name, z.preprocess((given) => given ?? {}, options)]),
  );
  return z.strictObject({ ...baseShape, ...sections });
}

type Base = z.output<z.ZodObject<typeof baseShape>>;
/** `options`: the sections of the importers, by name. */
export type Rules = Base & { options: Readonly<Record<string, unknown>> };
export type Key = Rules['idle']['key'];

/** Canonical fields that conditions may use, of any importer. */
const FIELDS = [
  ...['source', 'file', 'name', 'account', 'cluster', 'user', 'state', 'partition', 'project'],
  ...['service', 'region', 'resource', 'tags', 'charge', 'unused', 'kind', 'currency', 'category'],
];

/** @param where the file, for messages. @throws UserError (usage) that names the field */
export function parseRules(
  content: unknown,
  where: string,
  importers: readonly Importer[] = IMPORTERS,
): Rules {
  const what = `allocation rules ${where}`;
  const refuse = (field: string, why: string) =>
    new UserError('usage', `${what}: ${field}: ${why}`, field);
  const schema = schemaOf(importers);
  const parsed = schema.safeParse(content, { reportInput: true });
  if (!parsed.success) throw issueError(schema, parsed.error, what);
  const data = parsed.data as Base & Record<string, unknown>;
  const options = Object.fromEntries(importers.map(({ name }) => [name, data[name]]));
  const rules = { ...data, options };
  for (const [field, { key }] of [
    ['idle', rules.idle],
    ['shared', rules.shared],
    ...rules.staff.map((one, i) => [`staff.${i}`, one] as const),
  ] as const) {
    if (typeof key === 'string') continue;
    const total = Object.values(key).reduce((sum, share) => sum.plus(share), new Decimal(0));
    if (!total.equals(1))
      throw refuse(`${field}.key`, `shares add up to ${total.toFixed()}, not to 1`);
  }
  const units = [...new Set(Object.values(UNIT_OF))].filter((unit) => unit !== '');
  for (const priced of Object.keys(rules.prices)) {
    const [unit] = priced.split(':');
    if (!units.includes(unit))
      throw refuse(
        `prices.${priced}`,
        `no such unit${didYouMean(unit, units) || `; there are ${units.join(', ')}`}, each alone or as "gpu-hour:h100"`,
      );
  }
  return rules;
}

export const NO_RULES: Rules = parseRules({}, 'none');

/** The conditions of a rules file, with the field that each stands in. */
function conditionsOf(rules: Rules): [field: string, when: When][] {
  return [
    ...rules.rules.map(({ when }, i) => [`rules.${i}.when`, when] as [string, When]),
    ...rules.kinds.map(({ when }, i) => [`kinds.${i}.when`, when] as [string, When]),
    ...rules.pools.flatMap(({ charges, usage }, i): [string, When][] => [
      [`pools.${i}.charges`, charges],
      [`pools.${i}.usage`, usage],
    ]),
  ];
}

/**
 * Refuses conditions on fields that neither the ledger nor any of the files has: such a rule never
 * matches, and what it was for would be billed as something else.
 * @throws UserError (usage)
 */
export function checkConditions(
  rules: Rules,
  files: readonly UsageFile[],
  importers: readonly Importer[],
): void {
  const columns = files.flatMap(({ names }) => names);
  const known = new Set(
    [
      ...FIELDS,
      ...columns,
      ...files.flatMap(({ sql }) => Object.keys(sql.fields)),
      ...importers.flatMap((importer) => importer.columns ?? []),
    ].map((one) => one.toLowerCase()),
  );
  for (const [place, when] of conditionsOf(rules)) {
    for (const field of Object.keys(when)) {
      if (field.startsWith('tag:') || known.has(field.toLowerCase())) continue;
      if (files.some(({ sql }) => sql.knows(field.toLowerCase()))) continue;
      const guess = didYouMean(field, [...FIELDS, ...columns]);
      throw new UserError(
        'usage',
        `allocation rules: ${place}.${field}: no such field or column in the files${guess || `; there are ${FIELDS.join(', ')}, tag:NAME, and the files' columns`}`,
        `${place}.${field}`,
      );
    }
  }
}

export interface Rule {
  when: When;
  is: RuleCategory;
  model: string;
  /** For the bill. */
  text: string;
}

/** The rules of the file, then those of the importers. */
export function allRules(rules: Rules, importers: readonly Importer[] = IMPORTERS): Rule[] {
  const own = importers.flatMap(({ name, defaultRules }) =>
    defaultRules.map(({ when, is }) => ({ when: { source: name, ...when }, is })),
  );
  return [
    ...rules.rules.map((rule) => ({
      when: rule.when,
      is: rule.is,
      model: rule.model ?? rules.model ?? '',
      text: describe(rule),
    })),
    ...own.map((rule) => ({
      ...rule,
      model: rule.is === 'failed' || rule.is === 'lost' ? (rules.model ?? '') : '',
      text: `${describe(rule)} (built in)`,
    })),
  ];
}

/** States that are not the state of work that was finished. */
const UNFINISHED = [...FAILED_STATES, ...LOST_STATES];

function describe(rule: { when: When; is: string; model?: string; note?: string }): string {
  const conditions = Object.entries(rule.when).map(([field, pattern]) => {
    const patterns = [pattern].flat();
    const more = patterns.length > 6 ? [`${patterns.length - 5} more`] : [];
    return `${field} ${[...patterns.slice(0, more.length > 0 ? 5 : 6), ...more].join(' or ')}`;
  });
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
      rule.is === 'final' && !('state' in rule.when) && 'state' in file.sql.fields
        ? ` AND NOT coalesce(${matches('state', UNFINISHED)}, false)`
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
    const condition = whenSql(file.importer.money === 'charge' ? pool.charges : pool.usage, file);
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
      const value = field === 'source' ? file.importer.name : file.path;
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
  // Nearly all jobs are completed: those need not be compared with every state that failed.
  const first =
    expression === 'state' && patterns.length > 8 ? `${expression} <> 'COMPLETED' AND ` : '';
  return `(${first}(${tests.join(' OR ')}))`;
}

function globToRegExp(pattern: string): RegExp {
  const escaped = pattern
    .replace(/[.+^${}()|\\[\]]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${escaped}$`, 's');
}
