/**
 * @file Quantities: rows of jobs and allocations go to a temporary table, about 100 bytes a row;
 * rows that cannot be read are counted and listed with their place.
 */
import type { Rules } from '../book/allocation-rules.js';
import { type Database, type Row, text } from './duckdb.js';
import { fieldsSql, statusOf } from './fields.js';
import { type Importer, KINDS, type Malformed, type UsageFile } from './importer.js';
import { type Imported, LISTED, named } from './report.js';
import { linesOfRecords } from './text.js';

/** Why a row is no usage. */
const SKIPS = [
  'job step, part of its job',
  'job that never ran',
  'allocation without usage',
  'left out by rule',
];

/** The status of rows that wait for their parts. */
const SEVERAL = 'several';

/**
 * The table of quantities, about 100 bytes a row. `status` is NULL for rows that count. A temporary
 * table: it spills to the disk when it must, without compression or a log.
 */
export const tablesOf = (importers: readonly Importer[]): string[] => [
  `CREATE TYPE usage_source AS ENUM (${['run', ...importers.map(({ name }) => name)].map(text).join(', ')})`,
  `CREATE TYPE usage_kind AS ENUM (${KINDS.map(text).join(', ')})`,
  `CREATE TYPE usage_status AS ENUM ('bad', ${text(SEVERAL)}, ${SKIPS.map((skip) => text(`skip:${skip}`)).join(', ')})`,
  `CREATE TEMP TABLE usage_rows (file SMALLINT, source usage_source, native_id VARCHAR, cluster VARCHAR, account VARCHAR,
    rule SMALLINT, pool SMALLINT, kind usage_kind, detail VARCHAR, quanta BIGINT, amount DECIMAL(38, 18),
    window_start TIMESTAMP, window_end TIMESTAMP, status usage_status)`,
];

export async function loadQuantities(
  db: Database,
  file: UsageFile,
  rules: Rules,
  imported: Imported,
): Promise<void> {
  const { index, sql } = file;
  const rows = fieldsSql(file, rules, imported.rules);
  const whole = sql.parts === undefined || sql.partsWhere !== undefined;
  if (whole) await insertWhole(db, file, rows);
  const counted = await db.rows(
    `SELECT status, count(*) AS n FROM usage_rows WHERE file = ${index} GROUP BY ALL`,
  );
  const report = imported.reports[index];
  let bad = 0;
  const count = (status: unknown, n: number): void => {
    report.rows += n;
    if (typeof status !== 'string') return;
    if (status.startsWith('skip:'))
      report.skipped[status.slice(5)] = (report.skipped[status.slice(5)] ?? 0) + n;
    else if (status !== SEVERAL) bad += n;
  };
  for (const { status, n } of counted) count(status, Number(n));
  if (!whole) {
    const read = await db.rows(
      `SELECT ${statusOf('status')} AS status, count(*) AS n FROM (${rows}) GROUP BY ALL`,
    );
    for (const { status, n } of read) count(status, Number(n));
  }
  const several = !whole || counted.some(({ status }) => status === SEVERAL);
  if (several) {
    await insertParts(db, file, rows);
    const [{ n }] = await db.rows(
      `SELECT count(*) AS n FROM usage_rows WHERE file = ${index} AND status = 'skip:allocation without usage'`,
    );
    if (Number(n) > 0) report.skipped['allocation without usage'] = Number(n);
  }
  await listMalformed(db, file, rules, imported, bad);
  if (several || counted.some(({ status }) => status !== null))
    await db.run(`DELETE FROM usage_rows WHERE file = ${index} AND status IS NOT NULL`);
}

const headOf = ({ index, importer }: UsageFile): string => `${index}, ${text(importer.name)}`;
const ROW_DIMS = "coalesce(cluster, ''), coalesce(account, ''), rule, pool";

/** Inserts rows of one resource; those of several are marked, and put in place by a second scan. */
export async function insertWhole(db: Database, file: UsageFile, rows: string): Promise<void> {
  const { partsWhere } = file.sql;
  const status = `CASE WHEN starts_with(status, 'bad:') THEN 'bad'${
    partsWhere === undefined ? '' : ` WHEN status IS NULL AND ${partsWhere} THEN ${text(SEVERAL)}`
  } ELSE status END`;
  await db.run(`INSERT INTO usage_rows
    SELECT ${headOf(file)}, native_id, ${ROW_DIMS}, final_kind,
      coalesce(detail, ''), quanta, NULL, window_start, window_end, ${status}
    FROM (${rows})`);
}

/** Inserts the resources of rows that hold several. */
export async function insertParts(db: Database, file: UsageFile, rows: string): Promise<void> {
  const { parts, partsWhere, fields } = file.sql;
  const some = `status IS NULL${partsWhere === undefined ? '' : ` AND ${partsWhere}`}`;
  const held = `list_filter(${parts}, lambda part: part.quanta <> 0 OR part.amount <> 0)`;
  const none = `[{part: '', kind: 'other', detail: '', quanta: 0::BIGINT, amount: 0::DECIMAL(38, 18)}]`;
  const kind =
    'kind' in fields
      ? 'CASE WHEN final_kind = kind THEN part.kind ELSE final_kind END'
      : 'coalesce(final_kind, part.kind)';
  await db.run(`INSERT INTO usage_rows
    SELECT ${headOf(file)}, native_id || chr(31) || part.part, ${ROW_DIMS}, ${kind}, part.detail,
      part.quanta, part.amount, window_start, window_end, fate
    FROM (SELECT *,
        CASE WHEN len(resources) = 0 THEN 'skip:allocation without usage' END AS fate,
        unnest(CASE WHEN len(resources) = 0 THEN ${none} ELSE resources END) AS part
      FROM (SELECT *, ${held} AS resources FROM (${rows}) WHERE ${some}))`);
}

/**
 * Counts and lists what the scan rejected and what the fields refused. @param bad how many rows the
 * fields refused
 */
export async function listMalformed(
  db: Database,
  file: UsageFile,
  rules: Rules,
  imported: Imported,
  bad: number,
): Promise<void> {
  const report = imported.reports[file.index];
  const rejected = await rejectsOf(db, String(file.index));
  report.malformed += rejected.length + bad;
  report.rows += rejected.length;
  if (rejected.length + bad === 0) return;
  const found: Malformed[] = rejected.map(({ line, reason }) => ({
    file: file.path,
    line,
    reason: named(reason, file),
  }));
  if (bad > 0) {
    await db.run('SET preserve_insertion_order = true');
    const listed = await db.rows(
      `SELECT record, status FROM (${fieldsSql(file, rules, imported.rules, true)}) WHERE status LIKE 'bad:%' ORDER BY record LIMIT ${LISTED}`,
    );
    await db.run('SET preserve_insertion_order = false');
    // A text file's records are counted without the rejected ones; put those back, and the header.
    const lines = rejected.map(({ line }) => line).sort((a, b) => a - b);
    for (const { record, status } of listed) {
      let line = Number(record);
      if (file.text !== null) {
        line++;
        for (const gone of lines) if (gone <= line) line++;
      }
      found.push({ file: file.path, line, reason: String(status).slice(4) });
    }
  }
  found.sort((a, b) => a.line - b.line);
  const listed = found.slice(0, LISTED);
  if (file.text !== null) {
    const physical =
      file.bytes < 200e6
        ? linesOfRecords(
            file.path,
            file.text,
            listed.map(({ line }) => line),
          )
        : null;
    for (const one of listed) one.line = physical?.get(one.line) ?? one.line;
  }
  imported.malformed.push(...listed);
}

/** Lines that a CSV scan could not read, each once. */
async function rejectsOf(db: Database, tag: string): Promise<{ line: number; reason: string }[]> {
  let rows: Row[];
  try {
    rows = await db.rows(
      `SELECT line, min(error_message) AS reason FROM rejects_${tag} GROUP BY line ORDER BY line`,
    );
  } catch {
    return []; // Not a CSV file: there is no such table.
  }
  return rows.map(({ line, reason }) => ({
    line: Number(line),
    reason: String(reason)
      .replace(/^Error when converting column /, '')
      .split('\n')[0],
  }));
}
