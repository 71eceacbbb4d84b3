/**
 * @file DuckDB, opened when a question needs it: usage files are read where they lie, checked and
 * summed in SQL, and only the groups come back (docs/decisions/0012).
 *
 * The database lives in a folder of its own under the system's temporary one. What does not fit
 * under the memory limit is written there, and the folder is deleted at the end. Nothing is
 * downloaded: extensions are neither installed nor loaded.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../../base/errors.js';

/**
 * A cell as it comes back: decimals, 64-bit integers and times as text, so that nothing is rounded
 * on the way.
 */
export type Cell = string | number | boolean | null;
export type Row = Record<string, Cell>;

export interface Database {
  /** A folder for files of this session; deleted with it. */
  readonly folder: string;
  /** @throws QueryError */
  run(sql: string): Promise<void>;
  /** All rows of a query. @throws QueryError */
  rows(sql: string): Promise<Row[]>;
  close(): void;
}

export interface DatabaseOptions {
  /** What DuckDB may use; the rest spills to the disk. */
  memoryBytes?: number;
  threads?: number;
}

/**
 * What DuckDB said, in one line. Callers know the file and turn it into an error for the person who
 * named it.
 */
export class QueryError extends Error {}

const DEFAULT_MEMORY_BYTES = 1.2e9;

/**
 * @throws UserError when DuckDB is not installed for this platform (state) or there is no room for
 * its file (disk).
 */
export async function openDatabase(options: DatabaseOptions = {}): Promise<Database> {
  let api: typeof import('@duckdb/node-api');
  try {
    api = await import('@duckdb/node-api');
  } catch {
    const platform = `${process.platform}-${process.arch}`;
    throw new UserError(
      'state',
      `usage files need DuckDB, which is not installed for ${platform}; run npm ci again`,
      '--usage',
    );
  }
  const folder = mkdtempSync(join(tmpdir(), 'reckoner-ledger-'));
  const drop = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const instance = await api.DuckDBInstance.create(join(folder, 'ledger.duckdb'), {
      threads: String(options.threads ?? availableParallelism()),
      memory_limit: `${Math.round((options.memoryBytes ?? DEFAULT_MEMORY_BYTES) / 1e6)}MB`,
      temp_directory: join(folder, 'spill'),
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
    });
    const connection = await instance.connect();
    const guarded = async <T>(work: () => Promise<T>): Promise<T> => {
      try {
        return await work();
      } catch (error) {
        throw new QueryError(firstLine((error as Error).message));
      }
    };
    await connection.run("SET TimeZone = 'UTC'; SET preserve_insertion_order = false");
    return {
      folder,
      run: (sql) => guarded(async () => void (await connection.run(sql))),
      rows: (sql) =>
        guarded(async () => (await connection.runAndReadAll(sql)).getRowObjectsJson() as Row[]),
      close: () => {
        connection.closeSync();
        instance.closeSync();
        drop();
      },
    };
  } catch (error) {
    drop();
    const why = firstLine((error as Error).message);
    throw new UserError(
      'disk',
      `cannot open DuckDB in ${folder}: ${why}; free some space or set TMPDIR`,
      'TMPDIR',
    );
  }
}

function firstLine(message: string): string {
  return message.split('\n')[0].trim();
}

/** A string literal. */
export function text(value: string): string {
  return `'${value.replaceAll("'", "''").replaceAll('\0', '')}'`;
}

/** A quoted identifier. */
export function name(value: string): string {
  return `"${value.replaceAll('"', '""')}"`;
}

/**
 * A path as a literal that means that one file: the characters of a pattern are taken literally.
 */
export function fileLiteral(path: string): string {
  return text(path.replace(/[*?[]/g, (character) => `[${character}]`));
}
