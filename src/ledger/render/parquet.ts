/**
 * @file A statement's lines as Parquet: the columns of the CSV with types, amounts as DECIMAL(38,
 * 18).
 */
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileLiteral, name, openDatabase, text } from '../import/duckdb.js';
import type { Statement } from '../statement/statement.js';
import { LINE_COLUMNS } from './csv.js';

const TYPES: Record<string, string> = {
  quantity: 'DECIMAL(38, 9)',
  amount: 'DECIMAL(38, 18)',
  headline: 'BOOLEAN',
  full: 'BOOLEAN',
  start: 'TIMESTAMPTZ',
  end: 'TIMESTAMPTZ',
  rows: 'BIGINT',
  low: 'DECIMAL(38, 18)',
  high: 'DECIMAL(38, 18)',
  attempt: 'BIGINT',
};

/** @throws UserError when DuckDB is missing; errors of the file system as they are */
export async function writeStatementParquet(statement: Statement, path: string): Promise<void> {
  const db = await openDatabase({ threads: 1 });
  try {
    const lines = join(db.folder, 'lines.ndjson');
    const records = statement.lines.map((line) =>
      Object.fromEntries(
        LINE_COLUMNS.map(([column, of]) => [column, of(line, statement)?.toString() ?? null]),
      ),
    );
    writeFileSync(lines, records.map((one) => `${JSON.stringify(one)}\n`).join(''));
    const columns = LINE_COLUMNS.map(([column]) => `${text(column)}: 'VARCHAR'`).join(', ');
    const typed = LINE_COLUMNS.map(
      ([column]) =>
        `CAST(nullif(${name(column)}, '') AS ${TYPES[column] ?? 'VARCHAR'}) AS ${name(column)}`,
    );
    // Written beside the database first: a full disk leaves no half file at `path`, and errors of
    // `path` are the system's own.
    const finished = join(db.folder, 'lines.parquet');
    await db.run('SET preserve_insertion_order = true');
    await db.run(
      `COPY (SELECT ${typed.join(', ')} FROM read_json(${fileLiteral(lines)}, format = 'newline_delimited', columns = {${columns}})) TO ${text(finished)} (FORMAT parquet)`,
    );
    copyFileSync(finished, path);
  } finally {
    db.close();
  }
}
