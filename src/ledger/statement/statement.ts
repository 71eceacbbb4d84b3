/**
 * @file The statement: a bill in one currency over everything that was named: runs here, Slurm,
 * OpenCost, FOCUS, staff.
 *
 * Like the bill of a run it has two columns (*headline*: the compute that made the final weights;
 * *full*: all that was paid), is the exact sum of its lines, and itemises the difference. It adds
 * who used what (`model`, `category`, the rule that decided) and where the money comes from: a
 * charge, OpenCost's price, a price list, or a statement in the rules. What every output prints
 * (`outputs/`) is this. Pure.
 */

import type { FileReport } from '../import/import.js';
import type { Kind, Malformed, RuleCategory } from '../import/importer.js';
import { Decimal, sum } from '../money.js';
import type { Bill } from './bill.js';
import type { Gain } from './gain.js';
import type { BillLine, Column } from './lines.js';
import type { Predicted } from './predicted.js';
import type { StageWork } from './work.js';

export const STATEMENT_SCHEMA_VERSION = 2;

export type Category =
  | Exclude<RuleCategory, 'ignore'>
  | 'discarded'
  | 'overhead'
  | 'owned'
  | 'staff'
  | 'unassigned'
  | 'unallocated';

/** Where a line's money comes from. */
export type Money = 'charge' | 'own price' | 'price list' | 'price book' | 'stated' | 'unpriced';

export interface StatementLine {
  /** Whose weights it was for; empty where no rule says. */
  model: string;
  category: Category;
  /** `run`, `plan`, an importer's name, or `stated` (in the rules). */
  source: string;
  /** Account, namespace, sub-account or run. */
  account: string;
  /** Service or stage, or what the line is. */
  what: string;
  kind: Kind;
  /** Exact decimals; null where the line has no quantity. */
  quantity: string | null;
  unit: string;
  amount: string;
  /** 90% interval of a predicted amount. */
  low?: string;
  high?: string;
  money: Money;
  /** Why it is here: the rule, the key or the price. */
  rule: string;
  columns: Column[];
  /** ISO 8601, UTC; empty where the line has no time. */
  start: string;
  end: string;
  /** Usage rows or charges in it. */
  rows: number;
}

export interface StatementTotal {
  amount: string;
  /** 90% interval of a predicted total. */
  low?: string;
  high?: string;
  scope: string;
}

/** Sections that a statement has where runs of ours are in it. */
export interface Sections {
  /** Dollars for each further correct answer, of the first run. */
  gains: Gain[];
  /** What each stage of the first run did, lost work apart. */
  work: StageWork[];
  /** The first run as it was planned, beside what came of it; null without a plan. */
  predicted: Predicted | null;
}

export interface Statement extends Partial<Sections> {
  schemaVersion: typeof STATEMENT_SCHEMA_VERSION;
  title: string;
  currency: string;
  runs: string[];
  period: { from: string; to: string };
  lines: StatementLine[];
  totals: Record<Column, StatementTotal>;
  /** What to add to the headline to get the full total. */
  bridge: { what: string; amount: string }[];
  models: { model: string; headline: string; full: string }[];
  /** Every rule that decided something, with what it decided. */
  rules: { rule: string; rows: number }[];
  allocationKeys: string[];
  imports: {
    files: FileReport[];
    malformed: Malformed[];
    refused: Malformed[];
    repeated: Malformed[];
  };
  notes: string[];
}

const WORDS: Record<Category, string> = {
  final: 'final run, beyond compute at the headline',
  owned: 'training, owned instead of rented',
  data: 'data',
  evaluation: 'evaluation',
  ablation: 'ablations',
  research: 'research',
  overhead: 'overhead',
  failed: 'failed and aborted runs',
  lost: 'lost work',
  discarded: 'discarded stages',
  shared: 'shared services',
  idle: 'idle capacity',
  staff: 'staff',
  unassigned: 'used, but no rule says for what',
  unallocated: 'charged, but no usage explains it',
};

const ORDER = Object.keys(WORDS) as Category[];

/** Lines as a reader wants them: by purpose, then model; otherwise as they come. */
export function inOrder(lines: readonly StatementLine[]): StatementLine[] {
  const place = (line: StatementLine): number => ORDER.indexOf(line.category);
  return [...lines].sort(
    (a, b) => place(a) - place(b) || (a.model < b.model ? -1 : a.model > b.model ? 1 : 0),
  );
}

/** Totals, bridge and models from lines: every total is the exact sum of its lines. */
export function totalsOf(
  lines: readonly StatementLine[],
): Pick<Statement, 'totals' | 'bridge' | 'models'> {
  const total = (column: Column, of: readonly StatementLine[] = lines): string =>
    sum(of.filter((line) => line.columns.includes(column)).map((line) => line.amount)).toFixed();
  const steps = new Map<Category, Decimal>();
  for (const line of lines) {
    if (line.columns.length !== 1) continue;
    const amount = new Decimal(line.amount);
    const category = line.columns[0] === 'headline' ? 'owned' : line.category;
    steps.set(
      category,
      (steps.get(category) ?? new Decimal(0)).plus(
        line.columns[0] === 'headline' ? amount.neg() : amount,
      ),
    );
  }
  const named = [...new Set(lines.map((line) => line.model))].sort();
  return {
    totals: {
      headline: { amount: total('headline'), scope: 'compute of the final run; nothing else' },
      full: {
        amount: total('full'),
        scope: 'everything in the files and runs that were named, and what the rules state',
      },
    },
    bridge: ORDER.flatMap((category) => {
      const amount = steps.get(category);
      return amount === undefined || amount.isZero()
        ? []
        : [{ what: WORDS[category], amount: amount.toFixed() }];
    }),
    models: named.map((model) => {
      const own = lines.filter((line) => line.model === model);
      return { model, headline: total('headline', own), full: total('full', own) };
    }),
  };
}

const PURPOSES = {
  training: 'final',
  evaluation: 'evaluation',
  inference: 'overhead',
  data: 'data',
  overhead: 'overhead',
} as const;
const STATUSES = { lost: 'lost', discarded: 'discarded', 'other-run': 'failed' } as const;

/** A line of a run's bill as a statement's. */
export function lineOfRun(line: BillLine, bill: Bill): StatementLine {
  const owned = line.item !== 'core time, rented' && !line.columns.includes('headline');
  const category = line.status !== 'kept' ? STATUSES[line.status] : PURPOSES[line.purpose];
  const run = bill.runs.find((one) => one.name === line.run) ?? bill.runs[0];
  return {
    model: bill.runs[0].name,
    category:
      line.item === 'storage' ? 'overhead' : category === 'final' && owned ? 'owned' : category,
    source: 'run',
    account: line.run,
    what: `${line.stage}, ${line.item}`,
    kind: line.item === 'storage' ? 'storage' : line.item === 'electricity' ? 'electricity' : 'cpu',
    quantity: line.quantity,
    unit: line.unit,
    amount: line.usd,
    money: 'price book',
    rule: `${line.unitPrice.usd} ${line.unitPrice.unit}: ${line.unitPrice.source}`,
    columns: line.columns,
    start: run.from,
    end: run.to,
    rows: 1,
  };
}

/** The bill of runs alone, for the outputs that print statements. */
export function statementOfBill(bill: Bill): Statement {
  const lines = bill.lines.map((line) => lineOfRun(line, bill));
  return {
    schemaVersion: STATEMENT_SCHEMA_VERSION,
    title: `Bill of ${bill.runs[0].name}`,
    currency: bill.currency,
    runs: bill.runs.map((run) => run.name),
    period: bill.totals.full.period,
    lines,
    ...totalsOf(lines),
    totals: {
      headline: { amount: bill.totals.headline.usd, scope: bill.totals.headline.scope },
      full: { amount: bill.totals.full.usd, scope: bill.totals.full.scope },
    },
    bridge: bill.bridge.map(({ what, usd }) => ({ what, amount: usd })),
    rules: [],
    allocationKeys: [bill.totals.full.allocationKey],
    imports: { files: [], malformed: [], refused: [], repeated: [] },
    notes: bill.notes,
    ...sectionsOf(bill),
  };
}

/** The optional sections, from the bill of runs. */
export const sectionsOf = ({ gains, work, predicted }: Bill): Sections => ({
  gains,
  work,
  predicted,
});
