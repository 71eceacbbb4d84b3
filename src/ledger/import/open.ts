/**
 * @file Which kind of usage file a path holds, told by its content and not by its name.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../../base/errors.js';
import type { Rules } from '../book/allocation-rules.js';
import { type Database, fileLiteral, name, QueryError } from './duckdb.js';
import { focusSql, focusTypes, isFocusHeader, missingInFocus } from './focus.js';
import { type Fields, FLAT, isObject, RECORD, readExactJson, writeFlat } from './json.js';
import {
  allocationsIn,
  isOpenCostAnswer,
  isOpenCostHeader,
  openCostFields,
  openCostSql,
} from './opencost.js';
import { isSlurmHeader, missingInSlurm, slurmFields, slurmSql } from './slurm.js';
import type { Columns, Format, Malformed, SourceSql, UsageFile } from './source.js';
import { csvScan, headerOf, readHead, type TextFormat, uniqueNames } from './text.js';

const EXPECTED =
  'sacct --parsable2, sacct --json, OpenCost allocations (JSON, CSV) or a FOCUS export (CSV, Parquet)';

export function sha256Of(path: string): Promise<string> {
  return new Promise((done, fail) => {
    const hash = createHash('sha256');
    createReadStream(path, { highWaterMark: 1 << 20 })
      .on('error', fail)
      .on('data', (chunk) => hash.update(chunk))
      .on('end', () => done(hash.digest('hex')));
  });
}

/**
 * @throws UserError (data, with the file as its field) when there is no such file or it is of no
 * known kind.
 */
export async function openUsageFile(
  db: Database,
  path: string,
  index: number,
  rules: Rules,
): Promise<UsageFile> {
  const open: Opening = {
    db,
    path,
    index,
    rules,
    base: { index, path, bytes: statSync(path).size },
  };
  const { bytes, gzip } = headOf(path);
  if (bytes.subarray(0, 4).toString('latin1') === 'PAR1') return openParquet(open);
  const head = bytes.toString('utf8');
  const first = head.replace(/^\ufeff/, '').trimStart()[0];
  if ((first === '{' || first === '[') && !gzip) return openJson(open);
  return openText(open, head, gzip);
}

interface Opening {
  db: Database;
  path: string;
  index: number;
  rules: Rules;
  base: Pick<UsageFile, 'index' | 'path' | 'bytes'>;
}

export function demandFile(path: string): void {
  if (!existsSync(path)) throw new UserError('data', `${path}: no such file; check the path`, path);
  if (!statSync(path).isFile())
    throw new UserError('data', `${path}: not a file; name the files in it`, path);
}

function headOf(path: string): ReturnType<typeof readHead> {
  try {
    return readHead(path);
  } catch (error) {
    throw new UserError('data', `${path}: cannot be read: ${(error as Error).message}`, path);
  }
}

function unknownKind(path: string, what: string): UserError {
  return new UserError('data', `${path}: ${what}; expected ${EXPECTED}`, path);
}

const columnsOf = (names: readonly string[]): Columns =>
  new Map(names.map((one, i) => [one.toLowerCase(), `c${i}`]));

// ── text ─────────────────────────────────────────────────────────────────────────────────────────

function openText(open: Opening, head: string, gzip: boolean): UsageFile {
  const formats: TextFormat[] = [
    { delimiter: '|', quote: '', gzip },
    ...[',', ';', '\t'].map((delimiter) => ({ delimiter, quote: '"', gzip })),
  ];
  for (const text of formats) {
    const header = headerOf(head, text);
    if (header === null || header.length < 2) continue;
    const names = uniqueNames(header);
    if (isFocusHeader(names)) return textFile(open, text, names, 'focus-csv');
    if (isSlurmHeader(names)) return textFile(open, text, names, 'slurm-parsable');
    if (isOpenCostHeader(names)) return textFile(open, text, names, 'opencost-csv');
  }
  throw unknownKind(open.path, 'not a usage file that is known here (by its first line)');
}

function textFile(open: Opening, text: TextFormat, names: string[], format: Format): UsageFile {
  const { path, index, rules } = open;
  const given = format === 'focus-csv' ? focusTypes(names, rules.focus.cost) : {};
  const types = Object.fromEntries(names.map((one, i) => [`c${i}`, given[one] ?? 'VARCHAR']));
  const columns = names.map((_, i) => `c${i}`);
  return {
    ...open.base,
    format,
    source: sourceOf(format),
    scan: csvScan(path, text, columns, types, String(index)),
    orderedScan: csvScan(path, text, columns, types, `${index}_ordered`, true),
    record: null,
    text,
    names,
    sql: sqlOf(open, format, columnsOf(names), null),
    early: [],
  };
}

function sourceOf(format: Format): UsageFile['source'] {
  return format.startsWith('slurm')
    ? 'slurm'
    : format.startsWith('opencost')
      ? 'opencost'
      : 'focus';
}

function sqlOf(
  open: Opening,
  format: Format,
  columns: Columns,
  types: ReadonlyMap<string, string> | null,
): SourceSql {
  const { path, rules } = open;
  const source = sourceOf(format);
  const missing =
    source === 'slurm'
      ? missingInSlurm(columns)
      : source === 'focus'
        ? missingInFocus(columns, rules.focus.cost)
        : null;
  if (missing !== null) {
    const how = source === 'slurm' ? 'add it to sacct --format' : 'export it again';
    throw new UserError('data', `${path}: no column ${missing}; ${how}`, path);
  }
  if (source === 'slurm') return slurmSql(columns, rules.slurm.timezone);
  return source === 'focus' ? focusSql(columns, rules.focus.cost, types) : openCostSql(columns);
}

// ── JSON ─────────────────────────────────────────────────────────────────────────────────────────

function openJson(open: Opening): UsageFile {
  const { db, path, index } = open;
  const content = readExactJson(path);
  const early: Malformed[] = [];
  const entries: { record: number; fields: Fields }[] = [];
  const refuse = (record: number, reason: string) =>
    early.push({ file: path, line: record, reason });
  let format: Format;
  if (isObject(content) && Array.isArray(content.jobs)) {
    format = 'slurm-json';
    content.jobs.forEach((job, i) => {
      if (isObject(job)) entries.push({ record: i + 1, fields: slurmFields(job) });
      else refuse(i + 1, 'not a job');
    });
  } else if (isOpenCostAnswer(content)) {
    format = 'opencost-json';
    allocationsIn(content).forEach(({ key, allocation }, i) => {
      if (isObject(allocation))
        entries.push({ record: i + 1, fields: openCostFields(key, allocation) });
      else refuse(i + 1, 'not an allocation');
    });
  } else throw unknownKind(path, 'JSON of another kind');
  const copy = join(db.folder, `flat-${index}.csv`);
  const names = uniqueNames(writeFlat(copy, entries));
  const columns = names.map((_, i) => `c${i}`);
  const scan = csvScan(copy, FLAT, columns, {}, String(index));
  const all = columnsOf(names);
  // An empty answer is an answer: there was no usage. It has no columns to ask for.
  const complete =
    entries.length > 0
      ? all
      : new Map([
          ...['jobidraw', 'start', 'elapsedraw', 'alloctres'].map(
            (one) => [one, 'NULL::VARCHAR'] as const,
          ),
          ...all,
        ]);
  return {
    ...open.base,
    format,
    source: sourceOf(format),
    scan,
    orderedScan: csvScan(copy, FLAT, columns, {}, `${index}_ordered`, true),
    record: `TRY_CAST(c${names.indexOf(RECORD)} AS BIGINT)`,
    text: null,
    names,
    sql: sqlOf(open, format, complete, null),
    early,
  };
}

// ── Parquet ──────────────────────────────────────────────────────────────────────────────────────

async function openParquet(open: Opening): Promise<UsageFile> {
  const { db, path } = open;
  const file = fileLiteral(path);
  let described: { column_name: string; column_type: string }[];
  try {
    described = (await db.rows(`DESCRIBE SELECT * FROM read_parquet(${file})`)) as typeof described;
  } catch (error) {
    if (error instanceof QueryError)
      throw new UserError(
        'data',
        `${path}: not a Parquet file that can be read: ${error.message}`,
        path,
      );
    throw error;
  }
  const names = described.map((one) => one.column_name);
  if (!isFocusHeader(names)) throw unknownKind(path, 'Parquet without the columns of FOCUS');
  const types = new Map(described.map((one) => [one.column_name.toLowerCase(), one.column_type]));
  const columns = names.map((one, i) => `${name(one)} AS c${i}`).join(', ');
  const scan = `(SELECT ${columns}, file_row_number AS __row FROM read_parquet(${file}, file_row_number = true))`;
  return {
    ...open.base,
    format: 'focus-parquet',
    source: 'focus',
    scan: `(SELECT ${columns} FROM read_parquet(${file}))`,
    orderedScan: scan,
    record: '(__row + 1)',
    text: null,
    names,
    sql: sqlOf(open, 'focus-parquet', columnsOf(names), types),
    early: [],
  };
}
