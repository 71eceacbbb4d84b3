/**
 * @file A statement's lines as CSV (RFC 4180): the ledger's own columns, or those of FOCUS 1.2, so
 * that whatever reads cloud bills reads this one too.
 *
 * FOCUS knows no *headline* and no *purpose*: they travel as `x_` columns, which the specification
 * leaves to the provider.
 */
import { csvCell } from '../../base/text/index.js';
import { UNIT_OF } from '../import/importer.js';
import type { Statement, StatementLine } from '../statement/statement.js';

function record(fields: readonly (string | number | null)[]): string {
  return `${fields.map((field) => csvCell(field === null ? '' : String(field))).join(',')}\r\n`;
}

/** Columns of the ledger's own CSV and Parquet. */
export const LINE_COLUMNS: readonly (readonly [
  name: string,
  of: (line: StatementLine, statement: Statement) => string | number | null,
])[] = [
  ['model', (line) => line.model],
  ['category', (line) => line.category],
  ['source', (line) => line.source],
  ['account', (line) => line.account],
  ['what', (line) => line.what],
  ['kind', (line) => line.kind],
  ['quantity', (line) => line.quantity],
  ['unit', (line) => line.unit],
  ['amount', (line) => line.amount],
  ['currency', (_, statement) => statement.currency],
  ['money', (line) => line.money],
  ['headline', (line) => String(line.columns.includes('headline'))],
  ['full', (line) => String(line.columns.includes('full'))],
  ['rule', (line) => line.rule],
  ['start', (line) => line.start],
  ['end', (line) => line.end],
  ['rows', (line) => line.rows],
  ['low', (line) => line.low ?? null],
  ['high', (line) => line.high ?? null],
  ['stage', (line) => line.run?.stage ?? null],
  ['attempt', (line) => line.run?.attempt ?? null],
  ['basis', (line) => line.run?.basis ?? null],
];

export function statementCsv(statement: Statement): string {
  const head = record(LINE_COLUMNS.map(([column]) => column));
  return (
    head +
    statement.lines
      .map((line) => record(LINE_COLUMNS.map(([, of]) => of(line, statement))))
      .join('')
  );
}

const CATEGORIES: Record<StatementLine['kind'], string> = {
  gpu: 'Compute',
  cpu: 'Compute',
  memory: 'Compute',
  storage: 'Storage',
  network: 'Networking',
  electricity: 'Other',
  staff: 'Other',
  other: 'Other',
  unknown: 'Compute',
};

/** The lines of the full column as FOCUS charges. */
export function statementFocusCsv(statement: Statement): string {
  const { period, currency } = statement;
  const columns: [string, (line: StatementLine) => string | number | null][] = [
    ['BilledCost', (line) => line.amount],
    ['BillingAccountId', () => 'reckoner'],
    ['BillingAccountName', () => statement.title],
    ['BillingCurrency', () => currency],
    ['BillingPeriodStart', () => period.from],
    ['BillingPeriodEnd', () => period.to],
    ['ChargeCategory', () => 'Usage'],
    ['ChargeClass', () => null],
    [
      'ChargeDescription',
      (line) => [line.category, line.what, line.rule].filter((one) => one !== '').join('; '),
    ],
    ['ChargeFrequency', () => 'Usage-Based'],
    ['ChargePeriodStart', (line) => line.start || period.from],
    ['ChargePeriodEnd', (line) => line.end || period.to],
    ['ConsumedQuantity', (line) => line.quantity],
    ['ConsumedUnit', (line) => (line.quantity === null ? null : (UNITS[line.unit] ?? line.unit))],
    ['ContractedCost', (line) => line.amount],
    ['EffectiveCost', (line) => line.amount],
    ['InvoiceIssuerName', () => 'reckoner'],
    ['ListCost', (line) => line.amount],
    ['PricingQuantity', (line) => line.quantity],
    ['PricingUnit', (line) => (line.quantity === null ? null : (UNITS[line.unit] ?? line.unit))],
    ['ProviderName', (line) => line.source],
    ['PublisherName', (line) => line.source],
    ['ResourceId', () => null],
    ['ServiceCategory', (line) => CATEGORIES[line.kind]],
    ['ServiceName', (line) => line.what || line.kind],
    ['SubAccountId', (line) => line.account || null],
    ['SubAccountName', (line) => line.account || null],
    ['Tags', (line) => JSON.stringify({ model: line.model, category: line.category })],
    ['x_Headline', (line) => String(line.columns.includes('headline'))],
    ['x_Money', (line) => line.money],
  ];
  const lines = statement.lines.filter((line) => line.columns.includes('full'));
  return (
    record(columns.map(([name]) => name)) +
    lines.map((line) => record(columns.map(([, of]) => of(line)))).join('')
  );
}

/** FOCUS writes units capitalised and in the plural. */
const UNITS: Record<string, string> = {
  [UNIT_OF.gpu]: 'GPU-Hours',
  [UNIT_OF.cpu]: 'Core-Hours',
  [UNIT_OF.memory]: 'GB-Hours',
  [UNIT_OF.electricity]: 'kWh',
};
