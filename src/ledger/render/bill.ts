/**
 * @file The bill for people: a table for the terminal (at most 100 columns, fewer where it is
 * narrower; ASCII only) and one in Markdown.
 *
 * Amounts of one table have the same number of digits, enough to see the smallest, and are rounded
 * so that what is printed adds up to the printed total (largest remainder).
 */

import {
  ascii,
  formatSignificant,
  markdown,
  markdownTable,
  PLAIN_STYLE,
  type Table,
  type TextStyle,
  tableText,
  textWidth,
  wrap,
} from '../../base/text/index.js';
import { apportion, Decimal, decimalsFor, formatUsd, sum } from '../money.js';
import type { Bill } from '../statement/bill.js';
import type { BillLine, Column } from '../statement/lines.js';
import { gainTable, planTable, workTable } from './sections.js';

interface Document {
  title: string;
  facts: string[];
  tables: Table[];
  notes: string[];
  /** The first so many facts and these tables are the short form. */
  brief: { facts: number; tables: Table[] };
}

export interface BillTextOptions {
  style?: TextStyle;
  /** Columns of the terminal; at most 100 are used. */
  width?: number;
  /** Only both totals, what it cost and what was gained. */
  brief?: boolean;
}

export function billText(bill: Bill, options: BillTextOptions = {}): string {
  const { title, facts, tables, notes, brief } = documentOf(bill);
  const style = options.style ?? PLAIN_STYLE;
  const width = textWidth(options.width, 40);
  const lines = (texts: string[], first: string, rest: string) =>
    texts.flatMap((text) => wrap(ascii(text), { first, rest, width })).join('\n');
  const parts = [
    `${style.bold(ascii(title))}\n${style.dim('='.repeat(Math.min(title.length, width)))}\n` +
      lines(options.brief ? facts.slice(0, brief.facts) : facts, '', '  '),
    ...(options.brief ? brief.tables : tables).map((table) => tableText(table, { style, width })),
  ];
  if (!options.brief && notes.length > 0)
    parts.push(`${style.bold('Notes')}\n${style.dim(lines(notes, '  - ', '    '))}`);
  return parts.join('\n\n');
}

export function billMarkdown(bill: Bill): string {
  const { title, facts, tables, notes } = documentOf(bill);
  const list = (texts: readonly string[]) => texts.map((text) => `- ${markdown(text)}`).join('\n');
  const parts = [`## ${markdown(title)}`, list(facts)];
  for (const table of tables) parts.push(`### ${table.title}`, markdownTable(table));
  if (notes.length > 0) parts.push('### Notes', list(notes));
  return parts.join('\n\n');
}

// ── content ──────────────────────────────────────────────────────────────────────────────────────

function documentOf(bill: Bill): Document {
  const [run, ...others] = bill.runs;
  const attempts = run.attempts === 1 ? '' : `, ${run.attempts} attempts`;
  const filled = (tables: Table[]) => tables.filter((table) => table.rows.length > 0);
  const tables = {
    cost: costTable(bill),
    bridge: bridgeTable(bill),
    gain: gainTable(bill),
    work: workTable(bill),
    plan: planTable(bill),
  };
  return {
    title: `Bill of ${run.name}`,
    facts: [
      summary(bill),
      `Run: ${run.recipe || 'unknown recipe'}, ${run.steps} steps${attempts}, ${outcomeText(run.outcome)}${others.length > 0 ? `; with ${others.length} other run${others.length > 1 ? 's' : ''} billed to full` : ''}`,
      `Period: ${minute(bill.totals.full.period.from)} to ${minute(bill.totals.full.period.to)}`,
      `Headline: ${bill.totals.headline.scope}`,
      `Full: ${bill.totals.full.scope}`,
      `Allocated by: ${bill.totals.full.allocationKey}`,
    ],
    tables: filled([tables.cost, tables.bridge, tables.gain, tables.work, tables.plan]),
    notes: [...priceNotes(bill), otherModeNote(bill), ...bill.notes],
    brief: { facts: 1, tables: filled([tables.cost, tables.gain]) },
  };
}

/** `max-usd` is the flag that stopped the run. */
const outcomeText = (outcome: string): string =>
  outcome.startsWith('max-') ? `stopped by --${outcome}` : outcome;

/** Both totals, how far apart they are, and what the prices leave open. */
function summary({ totals: { headline, full } }: Bill): string {
  const decimals = decimalsFor(
    [headline.usd, full.usd, headline.usdLow, full.usdLow].map((usd) => new Decimal(usd)),
  );
  const of = ({ usd, usdLow, usdHigh }: typeof full) =>
    `${formatUsd(usd, decimals)} (${formatUsd(usdLow, decimals)} .. ${formatUsd(usdHigh, decimals)})`;
  const times =
    Number(headline.usd) > 0
      ? `, ${new Decimal(full.usd).div(headline.usd).toFixed(2)} times that`
      : '';
  return `Headline ${of(headline)}; full ${of(full)}${times}. In brackets: every price at its low or high end.`;
}

interface Row {
  label: string[];
  quantity: Decimal;
  unit: string;
  basis: Set<string>;
  amounts: Record<Column, Decimal | null>;
}

/** Lines merged over attempts: what a reader wants to see of a run that was resumed forty times. */
function rowsOf(lines: readonly BillLine[], severalRuns: boolean): Row[] {
  const rows = new Map<string, Row>();
  for (const line of lines) {
    const label = [
      ...(severalRuns ? [line.run] : []),
      line.item === 'storage' ? '' : line.stage,
      describeLine(line),
    ];
    const key = JSON.stringify([label, line.columns]);
    const row = rows.get(key) ?? {
      label,
      quantity: new Decimal(0),
      unit: line.unit,
      basis: new Set(),
      amounts: { headline: null, full: null },
    };
    row.quantity = row.quantity.plus(line.quantity);
    row.basis.add(line.basis);
    for (const column of line.columns)
      row.amounts[column] = (row.amounts[column] ?? new Decimal(0)).plus(line.usd);
    rows.set(key, row);
  }
  // Storage is of the whole run: last, whichever stage wrote first.
  return [...rows.values()].sort((a, b) => Number(a.unit === 'GB') - Number(b.unit === 'GB'));
}

function describeLine(line: BillLine): string {
  if (line.item === 'storage') return 'storage';
  const what =
    line.item === 'electricity'
      ? ', electricity'
      : line.item === 'core time, owned'
        ? ', machine'
        : '';
  const rented = line.columns.length === 1 && line.columns[0] === 'headline' ? ', if rented' : '';
  // The trainer books the unmeasured second before a kill under the stage `lost`.
  const cutOff = line.stage === 'lost' && line.status === 'lost';
  const purpose = cutOff
    ? 'cut off by a kill'
    : line.purpose === 'data'
      ? 'data generation'
      : line.purpose;
  const lost =
    line.status === 'lost' ? 'lost work: ' : line.status === 'discarded' ? 'discarded: ' : '';
  return `${lost}${purpose}${what}${rented}`;
}

function costTable(bill: Bill): Table {
  const severalRuns = bill.runs.length > 1;
  const rows = rowsOf(bill.lines, severalRuns);
  const decimals = decimalsFor(
    rows.flatMap((row) => Object.values(row.amounts).filter((amount) => amount !== null)),
  );
  const shown = { headline: new Map<Row, Decimal>(), full: new Map<Row, Decimal>() };
  for (const column of ['headline', 'full'] as const) {
    const counted = rows.flatMap((row) =>
      row.amounts[column] === null ? [] : [{ row, amount: row.amounts[column] }],
    );
    // What costs the same in both columns must not look different for the sake of a sum.
    const fixed = counted.filter(
      ({ row, amount }) => column === 'full' && row.amounts.headline?.equals(amount),
    );
    const free = counted.filter((item) => !fixed.includes(item));
    for (const { row } of fixed) shown.full.set(row, shown.headline.get(row) as Decimal);
    const total = sum(counted.map(({ amount }) => amount)).toDecimalPlaces(decimals);
    const parts = apportion(
      free.map(({ amount }) => amount),
      decimals,
      total.minus(sum(shown[column].values())),
    );
    free.forEach(({ row }, i) => {
      shown[column].set(row, parts[i]);
    });
  }
  const cell = (row: Row, column: Column): string => {
    const amount = shown[column].get(row);
    return amount === undefined ? '-' : formatUsd(amount, decimals);
  };
  const { headline, full } = bill.totals;
  const blank = severalRuns ? [''] : [];
  return {
    title: 'What it cost',
    head: [
      ...(severalRuns ? ['Run'] : []),
      'Stage',
      'What',
      'Quantity',
      'Headline',
      'Full',
      'Basis',
    ],
    right: [...(severalRuns ? [false] : []), false, false, true, true, true, false],
    rows: rows.map((row) => [
      ...row.label,
      `${formatSignificant(row.quantity.toNumber(), 4)} ${row.unit === 'core-hour' ? 'core-h' : row.unit}`,
      cell(row, 'headline'),
      cell(row, 'full'),
      [...row.basis].join(', '),
    ]),
    footer: [
      [
        'Total',
        ...blank,
        '',
        '',
        formatUsd(headline.usd, decimals),
        formatUsd(full.usd, decimals),
        '',
      ],
    ],
  };
}

function bridgeTable(bill: Bill): Table {
  const amounts = [bill.totals.headline.usd, ...bill.bridge.map((step) => step.usd)].map(
    (usd) => new Decimal(usd),
  );
  const decimals = decimalsFor(amounts);
  const parts = apportion(amounts, decimals);
  const total = sum(amounts);
  const share = (amount: Decimal) =>
    total.isZero() ? '' : `${amount.div(total).times(100).toFixed(1)}%`;
  return {
    title: 'From headline to full',
    head: ['Scope', 'USD', 'Share'],
    right: [false, true, true],
    rows:
      bill.bridge.length === 0
        ? []
        : [
            ['headline', formatUsd(parts[0], decimals), share(amounts[0])],
            ...bill.bridge.map((step, i) => [
              `+ ${step.what}`,
              formatUsd(parts[i + 1], decimals),
              share(amounts[i + 1]),
            ]),
          ],
    footer: [['full', formatUsd(total, decimals), share(total)]],
  };
}

/** Each price used, once, with where it comes from. */
function priceNotes(bill: Bill): string[] {
  const used = new Map<string, string>();
  for (const { item, unitPrice, unit } of bill.lines) {
    const price = formatSignificant(Number(unitPrice.usd), 4)
      .replace(/(\.\d*?)0+$/, '$1')
      .replace(/\.$/, '');
    used.set(
      item,
      `${item}: $${price} per ${unit}, ${unitPrice.basis}; ${unitPrice.source} (${unitPrice.region}, ${unitPrice.date}).`,
    );
  }
  return [...used.values()];
}

function otherModeNote(bill: Bill): string {
  const { mode, usd, usdLow, usdHigh } = bill.otherMode;
  const decimals = decimalsFor([new Decimal(usd), new Decimal(usdLow)]);
  const [a, b, c] = [usd, usdLow, usdHigh].map((amount) => formatUsd(amount, decimals));
  return `The same in full on ${mode === 'own' ? 'an owned machine (depreciation and electricity)' : 'a rented machine'}: ${a} (${b} .. ${c}); --prices ${mode} shows it.`;
}

/** `2026-01-02 03:04 UTC`. */
function minute(time: string): string {
  return time === '' ? 'unknown' : `${time.slice(0, 10)} ${time.slice(11, 16)} UTC`;
}
