/**
 * @file The statement of runs: usage × prices, in two columns.
 *
 * *headline*: the core-hours of the stages and attempts that produced the final weights, at a
 * rental price: what a press release quotes. *full*: everything that had to be paid for those
 * weights to exist: also evaluation, data generation, overhead, what a kill threw away, stages and
 * runs that led nowhere, and storage.
 *
 * Pure: events and a price book in, a statement out.
 */
import type { RunEvent } from '../../usage/events.js';
import type { Usage } from '../../usage/usage.js';
import type { PriceBook, PriceMode } from '../book/price-book.js';
import { sum } from '../money.js';
import { gainsOf } from './gain.js';
import { keptEvents } from './lineage.js';
import {
  type Column,
  type LineStatus,
  type PricedUsage,
  priceEntries,
  type UsageEntry,
} from './lines.js';
import { type BilledPlan, comparePlan } from './predicted.js';
import {
  type Amount,
  type Category,
  NO_IMPORTS,
  PURPOSES,
  type Sections,
  STATEMENT_SCHEMA_VERSION,
  type Statement,
  type StatementLine,
  type StatementRun,
  totalsOf,
} from './statement.js';
import { workOf } from './work.js';

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

/** A statement with the sections that one of runs has. */
export type RunStatement = Statement & Sections;

/**
 * The statement of one run, or of a run and others that were tried on the way to it.
 * @throws Error when `runs` is empty.
 */
export function computeBill(
  runs: readonly BilledRun[],
  book: PriceBook,
  options: BillOptions = {},
): RunStatement {
  if (runs.length === 0) throw new Error('a bill needs a run');
  const entries = runs.flatMap((run, i) =>
    usageEntries(run, i === 0, options.discardedStages ?? []),
  );
  const described = runs.map(describeRun);
  const [{ name }] = described;
  const lines = priceEntries(entries, book).map((priced) => lineOf(priced, described));
  const { totals, bridge, models } = totalsOf(lines);
  const mode: PriceMode = book.mode === 'rent' ? 'own' : 'rent';
  const inOtherMode = priceEntries(entries, { ...book, mode });
  const first = entries.filter((entry) => entry.run === name);
  const scopes = scopesOf(runs.length > 1);
  const counted = (column: Column) => amountsOf(lines, column);
  const times = runs.flatMap((run) => run.events.map((event) => event.time)).sort();
  return {
    schemaVersion: STATEMENT_SCHEMA_VERSION,
    title: `Bill of ${name}`,
    currency: 'USD',
    runs: described,
    period: { from: times[0] ?? '', to: times[times.length - 1] ?? '' },
    lines,
    totals: {
      headline: { ...totals.headline, ...counted('headline'), scope: scopes.headline },
      full: { ...totals.full, ...counted('full'), scope: scopes.full },
    },
    bridge,
    models,
    rules: [],
    allocationKeys: [allocationKey(lines, book)],
    imports: NO_IMPORTS,
    notes: notesOf(runs, entries, book),
    gains: gainsOf(runs[0].events, (from, to) => {
      const between = priceEntries(
        first.filter((entry) => entry.index > from && entry.index < to),
        book,
      );
      const usdOf = (column: Column) =>
        sum(between.filter(({ columns }) => columns.includes(column)).map(({ amount }) => amount));
      return { headline: usdOf('headline'), full: usdOf('full') };
    }),
    work: workOf(first, book),
    predicted: runs[0].plan ? comparePlan(runs[0].plan, runs[0].events, first, book) : null,
    priceBook: book,
    otherMode: { mode, ...amountsOf(inOtherMode, 'full') },
  };
}

/** The exact sums of a column, and of it with every price at its low or high end. */
function amountsOf(
  lines: readonly (Amount & Pick<StatementLine, 'columns'>)[],
  column: Column,
): Required<Amount> {
  const counted = lines.filter(({ columns }) => columns.includes(column));
  const add = (key: keyof Amount) => sum(counted.map((line) => line[key] ?? line.amount)).toFixed();
  return { amount: add('amount'), low: add('low'), high: add('high') };
}

const STATUSES = { lost: 'lost', discarded: 'discarded', 'other-run': 'failed' } as const;

function categoryOf({ status, item, purpose, columns }: PricedUsage): Category {
  if (status === 'other-run') return 'failed';
  if (item === 'storage') return 'storage';
  if (status !== 'kept') return STATUSES[status];
  const isOwned = item !== 'core time, rented' && !columns.includes('headline');
  return purpose === 'training' && isOwned ? 'owned' : PURPOSES[purpose];
}

/** What a reader calls a line: `grpo, training`, `lost work: base, training`. */
function whatOf({ stage, purpose, status, item, columns }: PricedUsage): string {
  if (item === 'storage') return 'storage';
  // The trainer books the unmeasured second before a kill under the stage `lost`.
  if (stage === 'lost' && status === 'lost') return 'lost work: cut off by a kill';
  const words = [stage, purpose === 'data' ? 'data generation' : purpose];
  if (item === 'electricity') words.push('electricity');
  if (item === 'core time, owned') words.push('machine');
  if (columns.length === 1 && columns[0] === 'headline') words.push('if rented');
  const lost = { lost: 'lost work: ', discarded: 'discarded: ', kept: '', 'other-run': '' };
  return `${lost[status]}${words.join(', ')}`;
}

const KINDS = {
  'core time, rented': 'cpu',
  'core time, owned': 'cpu',
  electricity: 'electricity',
  storage: 'storage',
} as const;

/** Priced usage as a line. @param runs the first has the weights */
function lineOf(priced: PricedUsage, runs: readonly StatementRun[]): StatementLine {
  const { stage, purpose, attempt, status, item, basis, price } = priced;
  const { quantity, unit, amount, low, high, columns } = priced;
  const { from, to } = runs.find((one) => one.name === priced.run) ?? runs[0];
  return {
    model: runs[0].name,
    category: categoryOf(priced),
    source: 'run',
    account: priced.run,
    what: whatOf(priced),
    kind: KINDS[item],
    quantity,
    unit,
    amount,
    low,
    high,
    money: 'price book',
    rule: `${price.amount} ${price.unit}: ${price.source}`,
    columns,
    start: from,
    end: to,
    rows: 1,
    run: { stage, purpose, attempt, status, item, basis },
    price,
  };
}

const scopesOf = (several: boolean): Record<Column, string> => ({
  headline:
    'core time of the training stages and attempts that produced the final weights, at a rental price; nothing else',
  full: `everything that ${several ? 'these runs' : 'this run'} used: training, evaluation, data, overhead, lost and discarded work, storage; no people, and no experiments outside ${several ? 'them' : 'it'}`,
});

function allocationKey(lines: readonly StatementLine[], book: PriceBook): string {
  if (book.mode === 'rent')
    return 'reserved core-seconds (wall seconds x workers), bytes for storage';
  const isMeasured = lines.some(
    ({ run }) => run?.basis === 'measured' && run.item === 'electricity',
  );
  return `reserved core-seconds for the machine, energy of the ${isMeasured ? 'meter' : 'estimate'} for electricity, bytes for storage`;
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

function describeRun(run: BilledRun): StatementRun {
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
