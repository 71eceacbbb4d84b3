/**
 * @file The statement: the one document of what something cost, in one currency. Its sources are
 * runs (`runs.ts`), a plan (`plan.ts`), and usage files of Slurm, OpenCost and FOCUS (`usage.ts`).
 *
 * It has two columns (*headline*: the compute that made the final weights; *full*: all that was
 * paid), is the exact sum of its lines, and itemises the difference. A line has who used what
 * (`model`, `category`, the rule that decided) and where the money comes from: a charge, OpenCost's
 * price, a price list, a price book, or a statement in the rules. Every output (`render/`) prints
 * this. Pure.
 */

import type { PriceBook, PriceMode } from '../book/price-book.js';
import type { Kind, Malformed, RuleCategory } from '../import/importer.js';
import type { FileReport } from '../import/report.js';
import { Decimal, sum } from '../money.js';
import type { Gain } from './gain.js';
import type { Column, PricedUsage } from './lines.js';
import type { Predicted } from './predicted.js';
import type { StageWork } from './work.js';

export const STATEMENT_SCHEMA_VERSION = 3;

export type Category =
  | Exclude<RuleCategory, 'ignore'>
  | 'inference'
  | 'overhead'
  | 'storage'
  | 'discarded'
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
  /** Service, or stage and purpose, or what the line is. */
  what: string;
  kind: Kind;
  /** Exact decimals; null where the line has no quantity. */
  quantity: string | null;
  unit: string;
  amount: string;
  /** Of a plan the 90% interval; of a run every price at its low or high end. */
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
  /** Of a run's line: its part of the run, and its price. */
  run?: Pick<PricedUsage, 'stage' | 'purpose' | 'attempt' | 'status' | 'item' | 'basis'>;
  price?: PricedUsage['price'];
}

/** An amount; of a plan with its 90% interval, of runs with every price at its low or high end. */
export interface Amount {
  amount: string;
  low?: string;
  high?: string;
}

export interface StatementTotal extends Amount {
  scope: string;
}

export interface StatementRun {
  name: string;
  recipe: string;
  attempts: number;
  steps: number;
  outcome: string;
  from: string;
  to: string;
}

/** Sections that a statement has where runs of ours are in it. */
export interface Sections {
  /** Dollars for each further correct answer, of the first run. */
  gains: Gain[];
  /** What each stage of the first run did, lost work apart. */
  work: StageWork[];
  /** The first run as it was planned, beside what came of it; null without a plan. */
  predicted: Predicted | null;
  priceBook: PriceBook;
  /** The full column of the runs, had the machine been owned instead of rented, or the reverse. */
  otherMode: Amount & { mode: PriceMode };
}

export interface Statement extends Partial<Sections> {
  schemaVersion: typeof STATEMENT_SCHEMA_VERSION;
  title: string;
  currency: string;
  /** The first is the one whose weights are billed. */
  runs: StatementRun[];
  period: { from: string; to: string };
  lines: StatementLine[];
  totals: Record<Column, StatementTotal>;
  /** What to add to the headline to get the full total. */
  bridge: { category: Category; what: string; amount: string }[];
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
  inference: 'inference',
  ablation: 'ablations',
  research: 'research',
  overhead: 'overhead',
  storage: 'storage',
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
        : [{ category, what: WORDS[category], amount: amount.toFixed() }];
    }),
    models: named.map((model) => {
      const own = lines.filter((line) => line.model === model);
      return { model, headline: total('headline', own), full: total('full', own) };
    }),
  };
}

/** The category of what was used for a purpose. */
export const PURPOSES = {
  training: 'final',
  evaluation: 'evaluation',
  inference: 'inference',
  data: 'data',
  overhead: 'overhead',
} as const;

/** Of a statement without usage files. */
export const NO_IMPORTS: Statement['imports'] = {
  files: [],
  malformed: [],
  refused: [],
  repeated: [],
};
