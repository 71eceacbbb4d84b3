/**
 * @file What every importer says about a file: which rows it has, in the ledger's one schema, as
 * SQL over the file itself.
 *
 * Quantities (Slurm, OpenCost) and charges (FOCUS) are kept apart because they answer different
 * questions: a charge is the money, a quantity says who used what it paid for.
 */

import type { TextFormat } from './text.js';

/** What the time or the money was for. */
export const KINDS = [
  'gpu',
  'cpu',
  'memory',
  'storage',
  'network',
  'electricity',
  'staff',
  'other',
] as const;
export type Kind = (typeof KINDS)[number];

/**
 * What a rule can say that usage was for; what is ignored is counted, and neither billed nor
 * allocated by.
 */
export const CATEGORIES = [
  'final',
  'failed',
  'ablation',
  'evaluation',
  'data',
  'research',
  'shared',
  'idle',
  'ignore',
] as const;
export type RuleCategory = (typeof CATEGORIES)[number];

/**
 * Units in which quantities of a kind are billed; quantities in SQL are in millionths of
 * unit-seconds (`QUANTA`).
 */
export const UNIT_OF: Record<Kind, string> = {
  gpu: 'gpu-hour',
  cpu: 'core-hour',
  memory: 'GB-hour',
  storage: 'GB-hour',
  network: '',
  electricity: 'kWh',
  staff: '',
  other: '',
};

/** Quanta in one unit-hour. */
export const QUANTA_PER_HOUR = 3_600_000_000n;

export type Format =
  | 'slurm-parsable'
  | 'slurm-json'
  | 'opencost-json'
  | 'opencost-csv'
  | 'focus-csv'
  | 'focus-parquet';
export type Source = 'run' | 'slurm' | 'opencost' | 'focus' | 'stated';

export interface Malformed {
  file: string;
  /**
   * Line of a text file, record of a JSON file, row of a Parquet file; all from 1. 0: the file as a
   * whole.
   */
  line: number;
  reason: string;
}

/** A usage file as SQL. */
export interface UsageFile {
  /** Position in the list of files that are read. */
  index: number;
  /** As it was named. */
  path: string;
  bytes: number;
  format: Format;
  source: 'slurm' | 'opencost' | 'focus';
  /**
   * What stands after FROM: the file, or a flat copy of a JSON file, with its columns as `c0`,
   * `c1`, …
   */
  scan: string;
  /** The same in the order of the file, for finding lines again. */
  orderedScan: string;
  /**
   * Expression that is the row's place in the file; null for delimited text, where the order tells.
   */
  record: string | null;
  /** Delimited text, as it was named; null otherwise. */
  text: TextFormat | null;
  /** Names of the columns, in order. */
  names: readonly string[];
  sql: SourceSql;
  /** Malformed records that were found while flattening. */
  early: Malformed[];
}

/** Lower-case name of a column → its SQL. */
export type Columns = ReadonlyMap<string, string>;

/** How a file's columns become the ledger's. Expressions may use the fields before them by name. */
export interface SourceSql {
  /**
   * True for the columns that the ledger reads; the others stay in the file, and rules may ask for
   * them.
   */
  knows(lowerName: string): boolean;
  /** Canonical field → expression over the scan. */
  fields: Readonly<Record<string, string>>;
  /** The reason why a row is no usage at all (a job step, a job that never ran), or NULL. */
  skip: string;
  /** The reason why a row cannot be billed, or NULL. */
  bad: string;
  /** For rows that hold several resources: a list of structs {kind, quanta, amount}. */
  parts?: string;
  /** For charges: the columns that tell one from another, beside window and amount. */
  identity?: readonly string[];
}
