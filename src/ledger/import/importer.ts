/**
 * @file What an importer of usage files is: how it recognises a file, and the SQL that turns the
 * file's rows into the ledger's one schema. One row of `importers.ts` is one importer; enums of
 * documents, rules, notes and SQL types are derived from that table.
 *
 * Quantities (Slurm, OpenCost) and charges (FOCUS) are kept apart because they answer different
 * questions: a charge is the money, a quantity says who used what it paid for.
 */
import type { z } from 'zod';
import type { TextFormat } from './text.js';

/** What the time or the money was for. `unknown`: compute whose kind nothing in the file states. */
export const KINDS = [
  'gpu',
  'cpu',
  'memory',
  'storage',
  'network',
  'electricity',
  'staff',
  'other',
  'unknown',
] as const;
export type Kind = (typeof KINDS)[number];

/** Purposes that a rule can give to usage; ignored usage is counted and not billed. */
export const CATEGORIES = [
  'final',
  'failed',
  'lost',
  'ablation',
  'evaluation',
  'data',
  'research',
  'shared',
  'idle',
  'ignore',
] as const;
export type RuleCategory = (typeof CATEGORIES)[number];

/** Units in which quantities of a kind are billed. SQL counts in quanta. */
export const UNIT_OF: Record<Kind, string> = {
  gpu: 'gpu-hour',
  cpu: 'core-hour',
  memory: 'GB-hour',
  storage: 'GB-hour',
  network: '',
  electricity: 'kWh',
  staff: '',
  other: '',
  unknown: '',
};

/** Quanta in one unit-hour: millionths of a unit-second. */
export const QUANTA_PER_HOUR = 3_600_000_000n;

export interface Malformed {
  file: string;
  /**
   * Line of a text file, record of a JSON file, row of a Parquet file; all from 1. 0: the file as a
   * whole.
   */
  line: number;
  reason: string;
}

/** Scalars of a JSON record by dotted name. */
export type Fields = Record<string, string | null>;

/** Lower-case name of a column → its SQL. */
export type Columns = ReadonlyMap<string, string>;

/** The beginning of a file: what tells importers apart. */
export type Head =
  | { form: 'text'; names: readonly string[] }
  | { form: 'parquet'; names: readonly string[] }
  | { form: 'json'; content: unknown };

/** A record of a JSON file, or the reason why it is none. */
export type Entry = Fields | { refused: string };

/** When a rule applies: conditions on fields, each one pattern or several. */
export type When = Record<string, string | string[]>;

/** A rule that holds for every file of an importer, after the user's rules. */
export interface DefaultRule {
  when: When;
  is: RuleCategory;
}

export interface SqlContext<Options> {
  columns: Columns;
  /** Types of the columns where the file has some (Parquet), by lower-case name; null for text. */
  types: ReadonlyMap<string, string> | null;
  options: Options;
  /** True where further files are billed: rows must be told apart across them. */
  several: boolean;
}

/** How a file's columns become the ledger's. Expressions may use the fields before them by name. */
export interface SourceSql {
  /** True for columns that the ledger reads; rules may ask for the others. */
  knows(lowerName: string): boolean;
  /** Canonical field → expression over the scan. */
  fields: Readonly<Record<string, string>>;
  /** The reason why a row is no usage at all (a job step, a job that never ran), or NULL. */
  skip: string;
  /** The reason why a row cannot be billed, or NULL. */
  bad: string;
  /**
   * For rows that hold several resources: a list of structs {part, kind, detail, quanta, amount};
   * `part` tells the resources of a row apart.
   */
  parts?: string;
  /** A condition on rows that `parts` are for; without it, all. */
  partsWhere?: string;
  /** For charges: the columns that tell one from another, beside window and amount. */
  identity?: readonly string[];
  /** For charges: columns of which an export has few distinct values, in lower case. */
  few?: readonly string[];
}

export interface Importer<Options = unknown> {
  /** The source in rules, on lines and in documents. */
  name: string;
  /** Ways in which such a file is written, as reports name them. */
  formats: readonly string[];
  /** What the files are called in messages. */
  expects: string;
  /** Columns of such exports that rules may ask for, beside those of the file at hand. */
  columns?: readonly string[];
  /** The format of a file that is this importer's; null for others. */
  detect(head: Head): string | null;
  /** JSON: the records. */
  entries?(content: unknown): Entry[];
  /** Text: the SQL types of columns that are not text, by name. */
  columnTypes?(names: readonly string[], options: Options): Readonly<Record<string, string>>;
  /** A column that is missing, as a phrase that ends a sentence; null where none is. */
  missing(columns: Columns, options: Options): string | null;
  toSql(context: SqlContext<Options>): SourceSql;
  defaultRules: readonly DefaultRule[];
  /** Notes on the bill for files that were read. @param files how the rows ended */
  notes(options: Options, files: readonly ImportedFile[]): string[];
  /**
   * Where the money comes from: `charge` (rows are money, and say nothing of use), `own` (rows have
   * a price of their own) or `none` (rows are priced by charges or a price list).
   */
  money: 'charge' | 'own' | 'none';
  /** Currency of own prices. */
  currency?(options: Options): string;
  /** The importer's section in the rules, with defaults. */
  options: z.ZodType<Options>;
}

/** What notes may depend on. */
export interface ImportedFile {
  format: string;
  columns: readonly string[];
  rows: number;
  /** Rows of jobs or allocations that another row of the file shares its id with. */
  repeatedIds: boolean;
}

/** A usage file as SQL. */
export interface UsageFile {
  /** Position in the list of files that are read. */
  index: number;
  /** As it was named. */
  path: string;
  bytes: number;
  format: string;
  importer: Importer;
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

/** The first of the columns that the file has and that is not empty, as SQL. */
export function columnOf(columns: Columns, ...names: string[]): string {
  const found = names
    .flatMap((one) => columns.get(one.toLowerCase()) ?? [])
    .map((one) => `nullif(${one}, '')`);
  if (found.length === 0) return 'NULL::VARCHAR';
  return found.length === 1 ? found[0] : `coalesce(${found.join(', ')})`;
}

/**
 * A time as a TIMESTAMP in UTC. Read are ISO 8601 with or without seconds, with `Z`, `UTC` or an
 * offset, or a date; a time without a zone is UTC.
 */
export function isoTime(value: string): string {
  const minutes = `regexp_extract(${value}, '^(\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d)(Z| ?UTC|[+-]\\d\\d:?\\d\\d)$', ['a', 'b'])`;
  // Without seconds, and as Go prints times: rare, so tried last.
  const rare =
    `coalesce(TRY_CAST(${minutes}.a || ':00' || ${minutes}.b AS TIMESTAMPTZ), ` +
    `TRY_CAST(regexp_extract(${value}, '^(\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?) [+-]0000 UTC$', 1) AS TIMESTAMPTZ), ` +
    `TRY_CAST(upper(${value}) AS TIMESTAMPTZ), TRY_CAST(regexp_replace(${value}, '^(\\d{4})(\\d\\d)(\\d\\d)T(\\d\\d)(\\d\\d)(\\d\\d)Z$', '\\1-\\2-\\3T\\4:\\5:\\6Z') AS TIMESTAMPTZ))`;
  return (
    `CASE WHEN ends_with(${value}, 'Z') OR strlen(${value}) <= 19 ` +
    `THEN coalesce(TRY_CAST(${value} AS TIMESTAMP), ${rare} AT TIME ZONE 'UTC') ` +
    `ELSE (coalesce(TRY_CAST(${value} AS TIMESTAMPTZ), ${rare}) AT TIME ZONE 'UTC') END`
  );
}
