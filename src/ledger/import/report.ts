/**
 * @file What is known of each imported file: rows read, malformed, repeated and refused, with their
 * places; and errors that name the file.
 */
import { UserError } from '../../base/errors.js';
import type { Rule } from '../book/allocation-rules.js';
import { QueryError } from './duckdb.js';
import type { Malformed, UsageFile } from './importer.js';

/** Malformed and refused rows are all counted; so many of each file are listed. */
export const LISTED = 1000;

export interface FileReport {
  path: string;
  sha256: string;
  bytes: number;
  format: string;
  /** The importer that read it. */
  source: string;
  /** Rows read, the malformed ones among them. */
  rows: number;
  malformed: number;
  /** Rows that are no usage, by reason. */
  skipped: Record<string, number>;
  /** Rows that were billed already, by another row. */
  duplicates: number;
  /** Quantities whose window overlaps an earlier one of the same id, cut to what is new. */
  split: number;
  /** Charges that overlap another file's of the same description; not billed. */
  refused: number;
  /** Columns that the ledger does not read. They stay in the file; rules may ask for them. */
  unknownColumns: string[];
}

export interface Imported {
  reports: FileReport[];
  /** At most `LISTED` a file; the reports have the counts. */
  malformed: Malformed[];
  refused: Malformed[];
  /** Rows that were billed already, with what each repeats. */
  repeated: Malformed[];
  /** Charges: to be summed where they lie. */
  charges: UsageFile[];
  /** The rules that rows were matched with. */
  rules: Rule[];
  notes: string[];
  /**
   * Each fills in a report's `sha256` when the file has been hashed, beside the work on its rows.
   */
  hashing: Promise<void>[];
}

export function emptyReport(file: UsageFile): FileReport {
  const { path, bytes, format, importer } = file;
  const unknownColumns = file.names.filter((one) => !file.sql.knows(one.toLowerCase()));
  return {
    path,
    sha256: '',
    bytes,
    format,
    source: importer.name,
    rows: 0,
    malformed: 0,
    skipped: {},
    duplicates: 0,
    split: 0,
    refused: 0,
    unknownColumns,
  };
}

/** @throws UserError (data) where a file has no row that could be read */
export function demandRows({ reports, malformed }: Imported, { index, path }: UsageFile): void {
  const report = reports[index];
  if (report.rows > report.malformed) return;
  if (report.rows === 0)
    throw new UserError('data', `${path}: no rows in it; check the period of the export`, path);
  const first = malformed.find(({ file }) => file === path);
  const why = first === undefined ? '' : `: line ${first.line}: ${first.reason}`;
  throw new UserError(
    'data',
    `${path}: none of its ${report.rows} rows can be read as ${report.format}${why}`,
    path,
  );
}

/** Turns DuckDB's words into an error that names the file. */
export async function inFile<T>(file: UsageFile, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof QueryError)) throw error;
    throw new UserError(
      'data',
      `${file.path}: cannot be read as ${file.format}: ${named(error.message, file)}`,
      file.path,
    );
  }
}

/** Puts the columns' own names for `c0`, `c1`, … */
export const named = (message: string, file: UsageFile): string =>
  message.replace(/\bc(\d+)\b/g, (whole, at) => file.names[Number(at)] ?? whole);
