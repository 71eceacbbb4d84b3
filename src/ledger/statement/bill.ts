/**
 * @file The bill: usage × prices, in two columns.
 *
 * *headline*: the core-hours of the stages and attempts that produced the final weights, at a
 * rental price: what a press release quotes. *full*: everything that had to be paid for those
 * weights to exist: also evaluation, data generation, overhead, what a kill threw away, stages and
 * runs that led nowhere, and storage. A line is in one column or in both; a total is the exact sum
 * of its lines. The difference between the columns is itemised (`bridge`), because it is the point.
 *
 * Pure: events and a price book in, a document out.
 */
import type { RunEvent } from '../../usage/events.js';
import type { Usage } from '../../usage/usage.js';
import type { PriceBook, PriceMode } from '../book/price-book.js';
import { Decimal, sum, ZERO } from '../money.js';
import { type Gain, gainsOf } from './gain.js';
import { keptEvents } from './lineage.js';
import {
  type BillLine,
  type Column,
  type LineItem,
  type LineStatus,
  priceEntries,
  type UsageEntry,
} from './lines.js';
import { type BilledPlan, comparePlan, type Predicted } from './predicted.js';
import { type StageWork, workOf } from './work.js';

export const BILL_SCHEMA_VERSION = 2;

export type { BillLine, Column } from './lines.js';

/**
 * One run's log. The first of several is the one whose weights are billed; the others were tried on
 * the way to them.
 */
export interface BilledRun {
  name: string;
  events: readonly RunEvent[];
  /**
   * Bytes in the run's folder, which are billed as stored. Without it, every byte that was ever
   * written is, also of checkpoints that were deleted since.
   */
  keptBytes?: number;
  /** Lines of the log that could not be read. */
  unreadableLines?: number;
  /** What was planned before it started. */
  plan?: BilledPlan;
}

export interface BillOptions {
  /** Stages of the first run whose result is not in the final weights. */
  discardedStages?: readonly string[];
}

export interface BillTotal {
  usd: string;
  usdLow: string;
  usdHigh: string;
  /** Core-hours in this column. */
  coreHours: string;
  scope: string;
  period: { from: string; to: string };
  allocationKey: string;
}

/** One step on the way from the headline to the full total; the steps add up. */
export interface BridgeStep {
  what: string;
  usd: string;
}

export interface Bill {
  schemaVersion: typeof BILL_SCHEMA_VERSION;
  currency: 'USD';
  runs: {
    name: string;
    recipe: string;
    attempts: number;
    steps: number;
    outcome: string;
    from: string;
    to: string;
  }[];
  priceBook: PriceBook;
  lines: BillLine[];
  totals: Record<Column, BillTotal>;
  bridge: BridgeStep[];
  /** The full column, had the machine been owned instead of rented, or the reverse. */
  otherMode: { mode: PriceMode; usd: string; usdLow: string; usdHigh: string };
  /** Quality bought, from evaluations before and after. */
  gains: Gain[];
  /** What each stage of the first run did, lost work apart. */
  work: StageWork[];
  /** What the planner said beforehand, beside what came of it; null when there was no plan. */
  predicted: Predicted | null;
  notes: string[];
}

/**
 * The bill of one run, or of a run and others that were tried on the way to it.
 * @throws Error when `runs` is empty.
 */
export function computeBill(
  runs: readonly BilledRun[],
  book: PriceBook,
  options: BillOptions = {},
): Bill {
  if (runs.length === 0) throw new Error('a bill needs a run');
  const entries = runs.flatMap((run, i) =>
    usageEntries(run, i === 0, options.discardedStages ?? []),
  );
  const lines = priceEntries(entries, book);
  const other: PriceMode = book.mode === 'rent' ? 'own' : 'rent';
  const otherLines = priceEntries(entries, { ...book, mode: other });
  const first = entries.filter((entry) => entry.run === runs[0].name);
  return {
    schemaVersion: BILL_SCHEMA_VERSION,
    currency: 'USD',
    runs: runs.map(describeRun),
    priceBook: book,
    lines,
    totals: {
      headline: total('headline', lines, runs, book),
      full: total('full', lines, runs, book),
    },
    bridge: bridgeOf(lines),
    otherMode: {
      mode: other,
      ...amounts(otherLines.filter((line) => line.columns.includes('full'))),
    },
    gains: gainsOf(runs[0].events, (from, to) => {
      const between = priceEntries(
        first.filter((entry) => entry.index > from && entry.index < to),
        book,
      );
      const usdOf = (column: Column) =>
        sum(between.filter((line) => line.columns.includes(column)).map((line) => line.usd));
      return { headline: usdOf('headline'), full: usdOf('full') };
    }),
    work: workOf(first, book),
    predicted: runs[0].plan ? comparePlan(runs[0].plan, runs[0].events, first, book) : null,
    notes: notesOf(runs, entries, book),
  };
}

function usageEntries(
  run: BilledRun,
  isFirst: boolean,
  discarded: readonly string[],
): UsageEntry[] {
  const kept = keptEvents(run.events);
  const entries = run.events.flatMap((event, index): UsageEntry[] => {
    if (event.type !== 'usage') return [];
    // An estimate in a run's log is the work that was under way at a kill: nobody measured it, and
    // it is gone.
    let status: LineStatus = kept[index] && event.usage.basis !== 'estimated' ? 'kept' : 'lost';
    if (!isFirst) status = 'other-run';
    else if (status === 'kept' && discarded.includes(event.usage.stage)) status = 'discarded';
    const billedBytes = run.keptBytes === undefined ? event.usage.storedBytes : 0;
    return [
      { run: run.name, usage: event.usage, attempt: event.attempt, status, billedBytes, index },
    ];
  });
  if (run.keptBytes !== undefined) {
    const attempt = run.events.reduce((last, event) => Math.max(last, event.attempt), 0);
    const status = isFirst ? 'kept' : 'other-run';
    entries.push({
      run: run.name,
      usage: FOLDER,
      attempt,
      status,
      billedBytes: run.keptBytes,
      index: -1,
    });
  }
  return entries;
}

/** Stands for a run's folder on the disk. */
const FOLDER: Usage = {
  stage: 'folder',
  purpose: 'overhead',
  wallSeconds: 0,
  workerSeconds: 0,
  tokensIn: 0,
  tokensOut: 0,
  modelFlops: 0,
  energyJoules: 0,
  energyBasis: 'measured',
  peakMemoryBytes: 0,
  storedBytes: 0,
  basis: 'measured',
};

function amounts(lines: readonly BillLine[]): { usd: string; usdLow: string; usdHigh: string } {
  const add = (key: 'usd' | 'usdLow' | 'usdHigh') => sum(lines.map((line) => line[key])).toFixed();
  return { usd: add('usd'), usdLow: add('usdLow'), usdHigh: add('usdHigh') };
}

function total(
  column: Column,
  all: readonly BillLine[],
  runs: readonly BilledRun[],
  book: PriceBook,
): BillTotal {
  const lines = all.filter((line) => line.columns.includes(column));
  const timeItem: LineItem =
    column === 'headline' || book.mode === 'rent' ? 'core time, rented' : 'core time, owned';
  const hours = sum(lines.filter((line) => line.item === timeItem).map((line) => line.quantity));
  const times = (column === 'headline' ? runs.slice(0, 1) : runs)
    .flatMap((run) => run.events.map((event) => event.time))
    .sort();
  const owned = `reserved core-seconds for the machine, energy of the ${lines.some((line) => line.basis === 'measured' && line.item === 'electricity') ? 'meter' : 'estimate'} for electricity, bytes for storage`;
  return {
    ...amounts(lines),
    coreHours: hours.toDecimalPlaces(9).toFixed(),
    scope:
      column === 'headline'
        ? 'core time of the training stages and attempts that produced the final weights, at a rental price; nothing else'
        : `everything that ${runs.length === 1 ? 'this run' : `these ${runs.length} runs`} used: training, evaluation, data, overhead, lost and discarded work, storage; no people, and no experiments outside ${runs.length === 1 ? 'it' : 'them'}`,
    period: { from: times[0] ?? '', to: times[times.length - 1] ?? '' },
    allocationKey:
      column === 'headline' || book.mode === 'rent'
        ? `reserved core-seconds (wall seconds x workers)${column === 'full' ? ', bytes for storage' : ''}`
        : owned,
  };
}

/** What the headline leaves out; the steps sum to full − headline. */
function bridgeOf(lines: readonly BillLine[]): BridgeStep[] {
  const steps = new Map<(typeof SCOPES)[number], Decimal>();
  for (const line of lines) {
    const usd = new Decimal(line.usd);
    if (line.columns.length === 2) continue;
    const [what, signed] =
      line.columns[0] === 'headline'
        ? ([OWNED, usd.neg()] as const)
        : ([scopeOf(line), usd] as const);
    steps.set(what, (steps.get(what) ?? ZERO).plus(signed));
  }
  return SCOPES.flatMap((what) => {
    const usd = steps.get(what);
    return usd === undefined ? [] : [{ what, usd: usd.toFixed() }];
  });
}

const OWNED = 'training, owned instead of rented';
const SCOPES = [
  OWNED,
  'data generation',
  'evaluation',
  'inference',
  'overhead',
  'storage',
  'lost work',
  'discarded stages',
  'other runs, failed and aborted',
] as const;

function scopeOf(line: BillLine): (typeof SCOPES)[number] {
  if (line.status === 'other-run') return 'other runs, failed and aborted';
  if (line.item === 'storage') return 'storage';
  if (line.status === 'lost') return 'lost work';
  if (line.status === 'discarded') return 'discarded stages';
  return (
    {
      training: OWNED,
      evaluation: 'evaluation',
      inference: 'inference',
      data: 'data generation',
      overhead: 'overhead',
    } as const
  )[line.purpose];
}

function describeRun(run: BilledRun): Bill['runs'][number] {
  const times = run.events.map((event) => event.time).sort();
  const ended = run.events.findLast((event) => event.type === 'ended' || event.type === 'resumed');
  return {
    name: run.name,
    recipe: run.events.find((event) => event.type === 'started')?.recipe ?? '',
    attempts: new Set(run.events.map((event) => event.attempt)).size,
    steps: run.events.reduce((most, event) => Math.max(most, event.step), 0),
    outcome: ended?.type === 'ended' ? ended.reason : 'unfinished',
    from: times[0] ?? '',
    to: times[times.length - 1] ?? '',
  };
}

function notesOf(
  runs: readonly BilledRun[],
  entries: readonly UsageEntry[],
  book: PriceBook,
): string[] {
  const notes: string[] = [];
  const [first, ...others] = runs.map(describeRun);
  if (first.outcome !== 'completed')
    notes.push(`Run ${first.name} has not been completed: this is the bill so far.`);
  for (const other of others) {
    if (other.recipe !== first.recipe)
      notes.push(`Run ${other.name} is of another recipe (${other.recipe || 'unknown'}).`);
    if (other.outcome === 'completed')
      notes.push(`Run ${other.name} was completed; it is billed as one that was not used.`);
  }
  const estimated = sum(
    entries
      .filter(({ usage }) => usage.basis === 'estimated')
      .map(({ usage }) => usage.workerSeconds),
  );
  if (!estimated.isZero()) {
    notes.push(
      `${estimated.toDecimalPlaces(1).toFixed()} core-seconds are estimated: what was under way when the run was killed.`,
    );
  }
  for (const run of runs) {
    if (run.unreadableLines)
      notes.push(
        `${run.unreadableLines} unreadable lines of the log of ${run.name} are not billed.`,
      );
  }
  const months = book.storageMonths.value;
  const bytes = runs.every((run) => run.keptBytes !== undefined)
    ? 'What is in the run folder now'
    : 'Every byte that was written';
  notes.push(
    `${bytes} is billed as stored for ${months} ${months === 1 ? 'month' : 'months'} (${book.storageMonths.basis}).`,
  );
  if (book.mode === 'rent') notes.push('Electricity and memory are part of the rental price.');
  if (entries.some(({ usage }) => usage.energyBasis === 'estimated')) {
    notes.push(
      `Energy is estimated at ${book.wattsPerBusyCore.value} W a busy core (${book.wattsPerBusyCore.basis}: ${book.wattsPerBusyCore.source}).`,
    );
  }
  return notes;
}
