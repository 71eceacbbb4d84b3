/**
 * @file A statement as tables of text: what the terminal, Markdown and the page have in common.
 *
 * Lines of runs are merged by stage, over their attempts; lines of plans and usage files by model,
 * purpose and kind, since what a reader wants of ten thousand jobs is what they were for. Amounts of
 * one table have the same number of digits, enough to see the smallest, and are rounded so that
 * what is printed of a column adds up to its printed total (largest remainder).
 */
import {
  formatCount,
  formatQuantity,
  formatRatio,
  formatShare,
  type Table,
} from '../../base/text/index.js';
import { apportion, Decimal, decimalsFor, formatUsd, sum } from '../money.js';
import type { Column } from '../statement/lines.js';
import type { Amount, Statement, StatementLine } from '../statement/statement.js';
import { gainTable, planTable, workTable } from './sections.js';

/** `$1,234.50`, or `1,234.50 EUR`. */
export function formatMoney(amount: Decimal | string, decimals: number, currency: string): string {
  const usd = formatUsd(amount, decimals);
  return currency === 'USD' ? usd : `${usd.replace('$', '')} ${currency}`;
}

/** An amount with its low and high end, where it has them. */
function withEnds({ amount, low, high }: Amount, decimals: number, currency: string): string {
  const form = (one: string): string => formatMoney(one, decimals, currency);
  const ends = low === undefined || high === undefined ? '' : ` (${form(low)} to ${form(high)})`;
  return `${form(amount)}${ends}`;
}

/** At most so many malformed and refused rows are shown to people; the JSON document lists more. */
const SHOWN = 20;

/** `2026-01-02 03:04 UTC`. */
const minute = (time: string): string =>
  time === '' ? 'unknown' : `${time.slice(0, 10)} ${time.slice(11, 16)} UTC`;

/** `max-usd` is the flag that stopped the run. */
const outcomeText = (outcome: string): string =>
  outcome.startsWith('max-') ? `stopped by --${outcome}` : outcome;

/** Both totals, how far apart they are, and what is in brackets; then what was counted. */
export function factsOf(statement: Statement): string[] {
  const { totals, currency, period, runs, imports } = statement;
  const { headline, full } = totals;
  const decimals = decimalsFor(
    [headline, full].flatMap(({ amount, low = amount }) => [new Decimal(amount), new Decimal(low)]),
  );
  const times =
    Number(headline.amount) > 0
      ? `, ${formatRatio(Number(full.amount) / Number(headline.amount))} times that`
      : '';
  const brackets =
    headline.low === undefined
      ? ''
      : ` In brackets: ${runs.length > 0 ? 'every price at its low or high end' : 'the 90% interval'}.`;
  return [
    `Headline ${withEnds(headline, decimals, currency)}; full ${withEnds(full, decimals, currency)}${times}.${brackets}`,
    ...runsFact(statement),
    ...(period.from === '' && runs.length === 0 && imports.files.length === 0
      ? []
      : [`Period: ${minute(period.from)} to ${minute(period.to)}`]),
    `Headline: ${headline.scope}`,
    `Full: ${full.scope}`,
    ...statement.allocationKeys.map((key) => `Allocated by: ${key}`),
  ];
}

function runsFact({ runs }: Statement): string[] {
  if (runs.length === 0) return [];
  const [{ recipe, steps, attempts, outcome }, ...others] = runs;
  const tries = attempts === 1 ? '' : `, ${attempts} attempts`;
  const more =
    others.length === 0
      ? ''
      : `; with ${others.length} other run${others.length > 1 ? 's' : ''} billed to full`;
  return [
    `Run: ${recipe || 'unknown recipe'}, ${steps} steps${tries}, ${outcomeText(outcome)}${more}`,
  ];
}

/** Notes of the statement after those of its prices. */
export const notesOf = (statement: Statement): string[] => [
  ...priceNotes(statement),
  ...otherModeNote(statement),
  ...statement.notes,
];

/** Each price used, once, with where it comes from. */
function priceNotes({ lines }: Statement): string[] {
  const used = new Map<string, string>();
  for (const { run, price, unit } of lines) {
    if (run === undefined || price === undefined) continue;
    const { amount, basis, source, region, date } = price;
    used.set(
      run.item,
      `${run.item}: $${formatQuantity(Number(amount), 4)} per ${unit}, ${basis}; ${source} (${region}, ${date}).`,
    );
  }
  return [...used.values()];
}

function otherModeNote({ otherMode }: Statement): string[] {
  if (otherMode === undefined) return [];
  const { mode, amount, low = amount } = otherMode;
  const decimals = decimalsFor([new Decimal(amount), new Decimal(low)]);
  const machine =
    mode === 'own' ? 'an owned machine (depreciation and electricity)' : 'a rented machine';
  return [
    `The same runs in full on ${machine}: ${withEnds(otherMode, decimals, 'USD')}; --prices ${mode} shows it.`,
  ];
}

export const costTables = (statement: Statement): Table[] => filled([costTable(statement)]);
export const gainTables = ({ gains = [] }: Statement): Table[] => filled([gainTable({ gains })]);

export function tablesOf(statement: Statement): Table[] {
  const { work = [], predicted = null, imports } = statement;
  return filled([
    costTable(statement),
    bridgeTable(statement),
    modelTable(statement),
    ruleTable(statement),
    ...gainTables(statement),
    workTable({ work }),
    planTable({ predicted }),
    fileTable(statement),
    listTable('Malformed rows, not billed', imports.malformed),
    listTable('Refused charges, not billed', imports.refused),
    listTable('Repeated rows, billed once', imports.repeated),
  ]);
}

const filled = (tables: Table[]): Table[] => tables.filter(({ rows }) => rows.length > 0);

/** How lines are merged and named in the table of costs. */
interface Grouping {
  /** Heads of the columns of text before the amounts, and of the one after them. */
  head: readonly string[];
  last: string;
  /** Digits of a quantity, at most. */
  digits: number;
  cells: (line: StatementLine) => string[];
  lastCell: (line: StatementLine) => string;
}

const BY_STAGE: Grouping = {
  head: ['Run', 'Stage', 'What'],
  cells: ({ account, run, what }) =>
    run?.item === 'storage'
      ? [account, '', what]
      : [account, run?.stage ?? '', what.replace(`${run?.stage}, `, '')],
  last: 'Basis',
  digits: 4,
  lastCell: ({ run }) => run?.basis ?? '',
};

const BY_PURPOSE: Grouping = {
  head: ['Model', 'Purpose', 'Source', 'Kind'],
  cells: ({ model, category, source, kind }) => [model || '-', category, source, kind],
  last: 'Money',
  digits: 6,
  lastCell: ({ money }) => money,
};

function costTable({ lines, totals, currency }: Statement): Table {
  const ofRuns = lines.length > 0 && lines.every(({ run }) => run !== undefined);
  const { head, cells, last, lastCell, digits } = ofRuns ? BY_STAGE : BY_PURPOSE;
  const merged = new Map<string, StatementLine[]>();
  for (const line of lines) {
    // Of a run, what was measured and what was estimated is one row; money of two sources is two.
    const own = [...cells(line), line.columns, ofRuns ? '' : [line.kind, line.unit, line.money]];
    const key = JSON.stringify(own);
    merged.set(key, [...(merged.get(key) ?? []), line]);
  }
  // Storage is of the whole run: last, whichever stage wrote first.
  const groups = [...merged.values()].sort(
    ([a], [b]) => Number(a.run?.item === 'storage') - Number(b.run?.item === 'storage'),
  );
  const amounts = groups.map((group) => sum(group.map(({ amount }) => amount)));
  const decimals = decimalsFor(amounts);
  const shown = shownAmounts(groups, amounts, decimals);
  const cell = (column: Column, i: number): string => {
    const amount = shown[column].get(i);
    return amount === undefined ? '-' : formatMoney(amount, decimals, currency);
  };
  // One run is named by the title.
  const from = ofRuns && new Set(lines.map(({ account }) => account)).size === 1 ? 1 : 0;
  const names = head.slice(from);
  return {
    title: 'What it cost',
    head: [...names, 'Quantity', 'Headline', 'Full', last],
    right: [...names.map(() => false), true, true, true, false],
    rows: groups.map((group, i) => [
      ...cells(group[0]).slice(from),
      quantityOf(group, digits),
      cell('headline', i),
      cell('full', i),
      [...new Set(group.map(lastCell))].join(', '),
    ]),
    footer: [
      [
        ...names.map((_, i) => (i === 0 ? 'Total' : '')),
        '',
        ...[totals.headline, totals.full].map(({ amount }) =>
          formatMoney(amount, decimals, currency),
        ),
        '',
      ],
    ],
  };
}

/** Amounts of each column as they are printed, by the index of their group. */
function shownAmounts(
  groups: readonly (readonly StatementLine[])[],
  amounts: readonly Decimal[],
  decimals: number,
): Record<Column, Map<number, Decimal>> {
  const shown = { headline: new Map<number, Decimal>(), full: new Map<number, Decimal>() };
  for (const column of ['headline', 'full'] as const) {
    const counted = [...groups.keys()].filter((i) => groups[i][0].columns.includes(column));
    // What costs the same in both columns must not look different for the sake of a sum.
    const free = counted.filter((i) => column === 'headline' || !shown.headline.has(i));
    for (const i of counted) {
      const same = shown.headline.get(i);
      if (column === 'full' && same !== undefined) shown.full.set(i, same);
    }
    const total = sum(counted.map((i) => amounts[i])).toDecimalPlaces(decimals);
    const parts = apportion(
      free.map((i) => amounts[i]),
      decimals,
      total.minus(sum(shown[column].values())),
    );
    free.forEach((i, n) => {
      shown[column].set(i, parts[n]);
    });
  }
  return shown;
}

function quantityOf(group: readonly StatementLine[], digits: number): string {
  const held = group.flatMap(({ quantity }) => quantity ?? []);
  if (held.length === 0) return '';
  const { unit } = group[0];
  const units = unit.endsWith('hour') ? `${unit}s` : unit;
  return `${formatQuantity(sum(held).toNumber(), digits)} ${units}`;
}

function bridgeTable({ bridge, totals, currency }: Statement): Table {
  const amounts = [totals.headline.amount, ...bridge.map(({ amount }) => amount)].map(
    (amount) => new Decimal(amount),
  );
  const full = new Decimal(totals.full.amount);
  const decimals = decimalsFor(amounts);
  const parts = apportion(amounts, decimals, full.toDecimalPlaces(decimals));
  const row = (what: string, shown: Decimal, amount: Decimal): string[] => [
    what,
    formatMoney(shown, decimals, currency),
    full.isZero() ? '' : formatShare(amount.div(full).toNumber()),
  ];
  return {
    title: 'From headline to full',
    head: ['Scope', 'Amount', 'Share'],
    right: [false, true, true],
    rows:
      bridge.length === 0
        ? []
        : [
            row('headline', parts[0], amounts[0]),
            ...bridge.map(({ what }, i) => row(`+ ${what}`, parts[i + 1], amounts[i + 1])),
          ],
    footer: [row('full', full, full)],
  };
}

function modelTable({ models, currency }: Statement): Table {
  const decimals = decimalsFor(models.map(({ full }) => new Decimal(full)));
  return {
    title: 'By model',
    head: ['Model', 'Headline', 'Full'],
    right: [false, true, true],
    rows:
      models.length < 2
        ? []
        : models.map(({ model, headline, full }) => [
            model || '(no model)',
            formatMoney(headline, decimals, currency),
            formatMoney(full, decimals, currency),
          ]),
    footer: [],
  };
}

function ruleTable({ rules }: Statement): Table {
  return {
    title: 'Rules that decided',
    head: ['Rule', 'Rows'],
    right: [false, true],
    rows: rules.map(({ rule, rows }) => [rule, formatCount(rows)]),
    footer: [],
  };
}

function fileTable({ imports }: Statement): Table {
  return {
    title: 'Files',
    head: ['File', 'Format', 'Rows', 'Malformed', 'Skipped', 'Repeated', 'Refused'],
    right: [false, false, true, true, true, true, true],
    rows: imports.files.map((one) => [
      one.path,
      one.format,
      formatCount(one.rows),
      formatCount(one.malformed),
      Object.entries(one.skipped)
        .map(([why, n]) => `${formatCount(n)} ${why}`)
        .join('; ') || '0',
      formatCount(one.duplicates + one.split),
      formatCount(one.refused),
    ]),
    footer: [],
  };
}

function listTable(title: string, rows: Statement['imports']['malformed']): Table {
  const more = rows.length - SHOWN;
  return {
    title,
    head: ['File', 'Line', 'Why'],
    right: [false, true, false],
    rows: rows.slice(0, SHOWN).map(({ file, line, reason }) => [file, String(line), reason]),
    footer: more > 0 ? [[`and ${more} more; --json lists them`, '', '']] : [],
  };
}
