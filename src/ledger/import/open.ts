/**
 * @file Which kind of usage file a path holds, told by its content and not by its name; a file that
 * is none is refused with the message that is in it.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../base/errors.js';
import { type Database, fileLiteral, name, QueryError } from './duckdb.js';
import type { Columns, Fields, Head, Importer, Malformed, UsageFile } from './importer.js';
import { FLAT, RECORD, readExactJson, writeFlat } from './json.js';
import { describeBinary, describeText, errorInJson, otherJson } from './problem.js';
import {
  checkExpansion,
  csvScan,
  headerOf,
  readHead,
  type TextFormat,
  uniqueNames,
} from './text.js';

/** More columns than any export has; each costs the database time. */
const MAX_COLUMNS = 2000;

export function sha256Of(path: string): Promise<string> {
  return new Promise((done, fail) => {
    const hash = createHash('sha256');
    createReadStream(path, { highWaterMark: 1 << 20 })
      .on('error', fail)
      .on('data', (chunk) => hash.update(chunk))
      .on('end', () => done(hash.digest('hex')));
  });
}

/** What it takes to open a file. */
export interface Opening {
  db: Database;
  path: string;
  index: number;
  importers: readonly Importer[];
  /** The section of an importer in the rules. */
  optionsOf(importer: Importer): unknown;
  /** True where further files are billed. */
  several: boolean;
}

/**
 * @throws UserError (data, with the file as its field) when there is no such file or it is of no
 * known kind.
 */
export async function openUsageFile(open: Opening): Promise<UsageFile> {
  const { path } = open;
  const { bytes, gzip } = headOf(path);
  if (bytes.subarray(0, 4).toString('latin1') === 'PAR1') return openParquet(open);
  const head = textOf(bytes, path);
  const first = head.trimStart()[0];
  if (first === '{' || first === '[') return openJson(open);
  const opened = openText(open, head, gzip);
  if (gzip) {
    try {
      await checkExpansion(path);
    } catch (error) {
      throw refusal(path, `${(error as Error).message}; export it again`);
    }
  }
  return opened;
}

export function demandFile(path: string): void {
  if (!existsSync(path)) throw refusal(path, 'no such file; check the path');
  if (!statSync(path).isFile()) throw refusal(path, 'not a file; name the files in it');
}

const refusal = (path: string, why: string): UserError =>
  new UserError('data', `${path}: ${why}`, path);

function headOf(path: string): ReturnType<typeof readHead> {
  try {
    return readHead(path);
  } catch (error) {
    throw refusal(path, `cannot be read: ${(error as Error).message}`);
  }
}

/** The head as text. The database reads UTF-8 alone. */
function textOf(bytes: Buffer, path: string): string {
  const binary = describeBinary(bytes);
  if (binary !== null) throw refusal(path, binary);
  const [a, b] = bytes;
  if ((a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff) || bytes.subarray(0, 64).includes(0))
    throw refusal(
      path,
      a === 0xff || a === 0xfe ? 'text in UTF-16; save it as UTF-8' : 'not a usage file (binary)',
    );
  return bytes.toString('utf8').replace(/^\ufeff/, '');
}

const expected = (importers: readonly Importer[]): string =>
  `expected ${importers.map(({ expects }) => expects).join('; ')}`;

const columnsOf = (names: readonly string[]): Columns =>
  new Map(names.map((one, i) => [one.toLowerCase(), `c${i}`]));

/** The importer that knows a file, with the format; null where none does. */
function detect(
  importers: readonly Importer[],
  head: Head,
): { importer: Importer; format: string } | null {
  for (const importer of importers) {
    const format = importer.detect(head);
    if (format !== null) return { importer, format };
  }
  return null;
}

/** The parts of a file that all forms have in common. */
function fileOf(
  { path, index, optionsOf, several }: Opening,
  { importer, format }: { importer: Importer; format: string },
  names: readonly string[],
  types: ReadonlyMap<string, string> | null,
  rest: Pick<UsageFile, 'scan' | 'orderedScan' | 'record' | 'text'> & { early?: Malformed[] },
): UsageFile {
  const columns = columnsOf(names);
  const options = optionsOf(importer);
  const missing = importer.missing(columns, options);
  if (missing !== null) throw refusal(path, missing);
  const bytes = statSync(path).size;
  const sql = importer.toSql({ columns, types, options, several });
  return { index, path, bytes, importer, format, names, sql, early: [], ...rest };
}

// ── text ─────────────────────────────────────────────────────────────────────────────────────────

function openText(open: Opening, head: string, gzip: boolean): UsageFile {
  const { path, index, importers, optionsOf } = open;
  const formats: TextFormat[] = [
    ...['|', '^'].map((delimiter) => ({ delimiter, quote: '', gzip })),
    ...[',', ';', '\t'].map((delimiter) => ({ delimiter, quote: '"', gzip })),
  ];
  for (const text of formats) {
    const header = headerOf(head, text);
    if (header === null || header.length < 2) continue;
    if (header.length > MAX_COLUMNS) throw refusal(path, `more than ${MAX_COLUMNS} columns`);
    const names = uniqueNames(header);
    const found = detect(importers, { form: 'text', names });
    if (found === null) continue;
    const given = found.importer.columnTypes?.(names, optionsOf(found.importer)) ?? {};
    const types = Object.fromEntries(names.map((one, i) => [`c${i}`, given[one] ?? 'VARCHAR']));
    const columns = names.map((_, i) => `c${i}`);
    return fileOf(open, found, names, null, {
      scan: csvScan(path, text, columns, types, String(index)),
      orderedScan: csvScan(path, text, columns, types, `${index}_ordered`, true),
      record: null,
      text,
    });
  }
  throw refusal(path, `${describeText(head)}; ${expected(importers)}`);
}

// ── JSON ─────────────────────────────────────────────────────────────────────────────────────────

function openJson(open: Opening): UsageFile {
  const { db, path, index, importers } = open;
  const content = readExactJson(path);
  const error = errorInJson(content);
  if (error !== null) throw refusal(path, `the answer is an error: "${error}"; export it again`);
  const other = otherJson(content);
  if (other !== null) throw refusal(path, other);
  const found = detect(importers, { form: 'json', content });
  if (found === null || found.importer.entries === undefined)
    throw refusal(path, `JSON of another kind; ${expected(importers)}`);
  const early: Malformed[] = [];
  const entries: { record: number; fields: Fields }[] = [];
  found.importer.entries(content).forEach((entry, i) => {
    if (typeof entry.refused === 'string' && Object.keys(entry).length === 1)
      early.push({ file: path, line: i + 1, reason: entry.refused });
    else entries.push({ record: i + 1, fields: entry as Fields });
  });
  if (entries.length === 0) {
    if (early.length > 0) throw refusal(path, `no row can be read: ${early[0].reason}`);
    throw refusal(path, 'no rows in it; check the period that was asked for');
  }
  const copy = join(db.folder, `flat-${index}.csv`);
  const names = uniqueNames(writeFlat(copy, entries));
  const columns = names.map((_, i) => `c${i}`);
  return fileOf(open, found, names, null, {
    scan: csvScan(copy, FLAT, columns, {}, String(index)),
    orderedScan: csvScan(copy, FLAT, columns, {}, `${index}_ordered`, true),
    record: `TRY_CAST(c${names.indexOf(RECORD)} AS BIGINT)`,
    text: null,
    early,
  });
}

// ── Parquet ──────────────────────────────────────────────────────────────────────────────────────

/** A row of an export takes more than this of a Parquet file, whatever compresses it. */
const ROWS_PER_BYTE = 4;

/** What a Parquet file states of itself, from its footer. */
interface Footer {
  /** Rows by the file, and by its row groups, which is what a reader produces. */
  stated: number | null;
  rows: number | null;
  /** True where each column of a row group has as many values as the group has rows. */
  agree: boolean | null;
}

/**
 * The size of a Parquet file is what its row groups state, since readers go by these; a footer in
 * which the numbers of rows differ would have rows lost without a word.
 */
async function checkFooter({ db, path }: Opening, file: string): Promise<void> {
  const [{ stated, rows, agree }] = (await db.rows(`
    WITH columns AS (SELECT row_group_id, row_group_num_rows AS rows, path_in_schema AS path, num_values
      FROM parquet_metadata(${file})),
    groups AS (SELECT max(rows) AS rows,
        bool_and(num_values = rows OR contains(path, ', ')) AND min(rows) = max(rows) AS agree
      FROM columns GROUP BY row_group_id)
    SELECT sum(rows)::DOUBLE AS rows, bool_and(agree) AS agree,
      (SELECT sum(num_rows)::DOUBLE FROM parquet_file_metadata(${file})) AS stated
    FROM groups`)) as unknown as [Footer];
  if (Math.max(rows ?? 0, stated ?? 0) > Math.max(1e6, ROWS_PER_BYTE * statSync(path).size))
    throw refusal(path, `Parquet that expands to ${rows} rows; export it again`);
  if ((stated ?? 0) !== (rows ?? 0) || agree === false)
    throw refusal(
      path,
      `Parquet whose footer contradicts itself: ${stated} rows, ${rows} in its row groups${
        agree === false ? ', with columns of other lengths' : ''
      }; export it again`,
    );
}

async function openParquet(open: Opening): Promise<UsageFile> {
  const { db, path, importers } = open;
  const file = fileLiteral(path);
  let described: { column_name: string; column_type: string }[];
  try {
    await checkFooter(open, file);
    described = (await db.rows(`DESCRIBE SELECT * FROM read_parquet(${file})`)) as typeof described;
  } catch (error) {
    if (error instanceof QueryError)
      throw refusal(path, `not a Parquet file that can be read: ${error.message}`);
    throw error;
  }
  const names = described.map((one) => one.column_name);
  if (names.length > MAX_COLUMNS) throw refusal(path, `more than ${MAX_COLUMNS} columns`);
  const found = detect(importers, { form: 'parquet', names });
  if (found === null) throw refusal(path, `Parquet with other columns; ${expected(importers)}`);
  const types = new Map(described.map((one) => [one.column_name.toLowerCase(), one.column_type]));
  // Charges are read with the file's own types, which is faster; all else is text.
  const typed = found.importer.money === 'charge';
  const columns = described
    .map(({ column_name, column_type }, i) => {
      if (typed || column_type === 'VARCHAR') return `${name(column_name)} AS c${i}`;
      const nested = /^(MAP|STRUCT)|\[\]$/.test(column_type);
      return `${nested ? `to_json(${name(column_name)})` : name(column_name)}::VARCHAR AS c${i}`;
    })
    .join(', ');
  return fileOf(open, found, names, typed ? types : null, {
    scan: `(SELECT ${columns} FROM read_parquet(${file}))`,
    orderedScan: `(SELECT ${columns}, file_row_number AS __row FROM read_parquet(${file}, file_row_number = true))`,
    record: '(__row + 1)',
    text: null,
  });
}
