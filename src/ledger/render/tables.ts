/**
 * @file A statement as tables of text: what the terminal, Markdown and the page have in common.
 *
 * Lines are merged by model, purpose and kind, since what a reader wants of ten thousand jobs is
 * what they were for. Printed amounts of a column add up to its printed total (largest remainder).
 */
import { formatCount, type Table } from '../../base/text/index.js';
import { apportion, Decimal, decimalsFor, formatUsd, sum } from '../money.js';
import type { Statement, StatementLine, StatementTotal } from '../statement/statement.js';
import { gainTable, planTable, workTable } from './sections.js';

/** `$1,234.50`, or `1,234.50 EUR`. */
export function formatMoney(amount: Decimal | string, decimals: number, currency: string): string {
  const usd = formatUsd(amount, decimals);
  return currency === 'USD' ? usd : `${usd.replace('$', '')} ${currency}`;
}

/** An amount, and the 90% interval of a predicted one. */
function withInterval(
  { amount, low, high }: StatementTotal,
  decimals: number,
  currency: string,
): string {
  const form = (one: string): string => formatMoney(one, decimals, currency);
  const interval =
    low === undefined || high === undefined ? '' : ` (${form(low)} to ${form(high)})`;
  return `${form(amount)}${interval}`;
}

/** At most so many malformed and refused rows are shown to people; the JSON document lists more. */
export const SHOWN = 20;

export function factsOf(statement: Statement): string[] {
  const { totals, currency, period } = statement;
  const decimals = decimalsFor([
    new Decimal(totals.headline.amount),
    new Decimal(totals.full.amount),
  ]);
  return [
    `Headline ${withInterval(totals.headline, decimals, currency)}; full ${withInterval(totals.full, decimals, currency)}`,
    ...(period.from === '' && period.to === '' && statement.imports.files.length === 0
      ? []
      : [`Period: ${period.from || 'unknown'} to ${period.to || 'unknown'}`]),
    `Headline: ${totals.headline.scope}`,
    `Full: ${totals.full.scope}`,
    ...statement.allocationKeys.map((key) => `Allocated by: ${key}`),
  ];
}

export function tablesOf(statement: Statement): Table[] {
  return [
    costTable(statement),
    bridgeTable(statement),
    modelTable(statement),
    ruleTable(statement),
    ...sectionTables(statement),
    fileTable(statement),
  ]
    .concat(listTable('Malformed rows, not billed', statement.imports.malformed))
    .concat(listTable('Refused charges, not billed', statement.imports.refused))
    .concat(listTable('Repeated rows, billed once', statement.imports.repeated))
    .filter((table) => table.rows.length > 0);
}

function sectionTables({ gains = [], work = [], predicted = null }: Statement): Table[] {
  return [gainTable({ gains }), workTable({ work }), planTable({ predicted })];
}

function costTable({ lines, totals, currency }: Statement): Table {
  const rows = new Map<string, StatementLine[]>();
  for (const line of lines) {
    const key = JSON.stringify([
      line.model,
      line.category,
      line.source,
      line.kind,
      line.money,
      line.columns,
    ]);
    rows.set(key, [...(rows.get(key) ?? []), line]);
  }
  const groups = [...rows.values()];
  const amounts = groups.map((group) => sum(group.map((line) => line.amount)));
  const decimals = decimalsFor([...amounts, new Decimal(totals.full.amount)]);
  const shown = { headline: [] as string[], full: [] as string[] };
  for (const column of ['headline', 'full'] as const) {
    const counted = groups.flatMap((group, i) => (group[0].columns.includes(column) ? [i] : []));
    const parts = apportion(
      counted.map((i) => amounts[i]),
      decimals,
    );
    counted.forEach((i, n) => {
      shown[column][i] = formatMoney(parts[n], decimals, currency);
    });
  }
  const quantityOf = (group: StatementLine[]): string => {
    const held = group.flatMap((line) => line.quantity ?? []);
    return held.length === 0 ? '' : `${round(sum(held))} ${group[0].unit}s`;
  };
  return {
    title: 'What it cost',
    head: ['Model', 'Purpose', 'Source', 'Kind', 'Quantity', 'Headline', 'Full', 'Money'],
    right: [false, false, false, false, true, true, true, false],
    rows: groups.map((group, i) => [
      group[0].model || '-',
      group[0].category,
      group[0].source,
      group[0].kind,
      quantityOf(group),
      shown.headline[i] ?? '-',
      shown.full[i] ?? '-',
      group[0].money,
    ]),
    footer: [
      [
        'Total',
        '',
        '',
        '',
        '',
        ...[totals.headline, totals.full].map((one) => formatMoney(one.amount, decimals, currency)),
        '',
      ],
    ],
  };
}

/** Six digits at most, for people. */
function round(quantity: Decimal): string {
  const places = Math.max(
    0,
    5 - Math.max(0, quantity.abs().lt(1) ? 0 : quantity.abs().log(10).floor().toNumber()),
  );
  return quantity
    .toDecimalPlaces(places)
    .toFixed()
    .replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, ',');
}

function bridgeTable({ bridge, totals, currency }: Statement): Table {
  const amounts = [totals.headline.amount, ...bridge.map((step) => step.amount)].map(
    (amount) => new Decimal(amount),
  );
  const decimals = decimalsFor(amounts);
  const parts = apportion(
    amounts,
    decimals,
    new Decimal(totals.full.amount).toDecimalPlaces(decimals),
  );
  return {
    title: 'From headline to full',
    head: ['Scope', 'Amount'],
    right: [false, true],
    rows:
      bridge.length === 0
        ? []
        : [
            ['headline', formatMoney(parts[0], decimals, currency)],
            ...bridge.map(({ what }, i) => [
              `+ ${what}`,
              formatMoney(parts[i + 1], decimals, currency),
            ]),
          ],
    footer: [['full', formatMoney(totals.full.amount, decimals, currency)]],
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
