/**
 * @file Usage files, imported: every row is billed once, or counted with the reason why not.
 *
 * - A row that cannot be read is *malformed*: counted, and listed with its file, line and reason.
 * - A row that is no usage (a job step, a job that never ran) is *skipped*, and counted by reason.
 * - The same file again is a *duplicate*, by its hash. A quantity is known by (source, native id,
 *   window): the same one again is a duplicate too, and of two windows of one id that overlap, the
 *   later is *split*: only the part that was not seen counts.
 * - A charge has no id in FOCUS; in one file each line counts. In two files, the same charge (every
 *   describing column, window and amount) is a duplicate, and one that overlaps another of the same
 *   description is *refused* and listed: it may be a restated estimate, and money is not split.
 *
 * Quantities go to a temporary table, about 100 bytes a row; charges are summed where they lie.
 */
import { statSync } from 'node:fs';
import { UserError } from '../../base/errors.js';
import {
  allRules,
  kindSql,
  poolSql,
  type Rule,
  type Rules,
  ruleSql,
} from '../book/allocation-rules.js';
import { type Database, QueryError, type Row, text } from './duckdb.js';
import { demandFile, openUsageFile, sha256Of } from './open.js';
import { type Format, KINDS, type Malformed, type UsageFile } from './source.js';
import { linesOfRecords } from './text.js';

/** Malformed and refused rows are all counted; so many of each file are listed. */
export const LISTED = 1000;

export interface FileReport {
  path: string;
  sha256: string;
  bytes: number;
  format: Format;
  /** Rows read, the malformed ones among them. */
  rows: number;
  malformed: number;
  /** Rows that are no usage, by reason. */
  skipped: Record<string, number>;
  /** Rows that were billed already, by another row, or as this whole file. */
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

/** Infinities are times to SQL, and nothing here is older than Unix. */
const OUT_OF_TIME = `CASE WHEN window_start < TIMESTAMP '1970-01-01' OR window_end > TIMESTAMP '2200-01-01' THEN 'bad:time out of range' END`;

/** Why a row is no usage. */
const SKIPS = [
  'job step, part of its job',
  'job that never ran',
  'allocation without usage',
  'left out by rule',
];

/**
 * The table of quantities, about 100 bytes a row. `status` is NULL for rows that count. A temporary
 * table: it spills to the disk when it must, and nobody compresses or logs it.
 */
const TABLES = [
  `CREATE TYPE usage_source AS ENUM ('run', 'slurm', 'opencost')`,
  `CREATE TYPE usage_kind AS ENUM (${KINDS.map(text).join(', ')})`,
  `CREATE TYPE usage_status AS ENUM ('bad', ${SKIPS.map((skip) => text(`skip:${skip}`)).join(', ')})`,
  `CREATE TEMP TABLE usage_rows (file SMALLINT, source usage_source, native_id VARCHAR, cluster VARCHAR, account VARCHAR,
    rule SMALLINT, pool SMALLINT, kind usage_kind, detail VARCHAR, quanta BIGINT, amount DECIMAL(38, 18),
    window_start TIMESTAMP, window_end TIMESTAMP, status usage_status)`,
];

/**
 * Imports usage files.
 * @throws UserError (data) when a file as a whole cannot be read: a bill without it would be wrong
 */
export async function importUsage(
  db: Database,
  paths: readonly string[],
  rules: Rules,
): Promise<Imported> {
  for (const sql of TABLES) await db.run(sql);
  const imported: Imported = {
    reports: [],
    malformed: [],
    refused: [],
    charges: [],
    rules: allRules(rules),
    notes: [],
    hashing: [],
  };
  for (const path of paths) demandFile(path);
  const sizes = paths.map((path) => statSync(path).size);
  const seen = new Map<string, string>();
  const files: UsageFile[] = [];
  for (const [i, path] of paths.entries()) {
    const hash = sha256Of(path);
    hash.catch(() => {}); // Whoever awaits it hears of it.
    // A file of another size than all others is no copy of one; it is hashed while DuckDB reads it.
    const first =
      sizes.indexOf(sizes[i]) === sizes.lastIndexOf(sizes[i]) ? undefined : seen.get(await hash);
    if (first !== undefined) {
      imported.notes.push(`${path} is the same file as ${first}; it is billed once.`);
      continue;
    }
    const file = await openUsageFile(db, path, files.length, rules);
    files.push(file);
    imported.reports.push(emptyReport(file));
    imported.hashing.push(
      hash.then((sha256) => {
        seen.set(sha256, path);
        imported.reports[file.index].sha256 = sha256;
      }),
    );
    imported.hashing[file.index].catch(() => {});
    imported.malformed.push(...file.early.slice(0, LISTED));
    const report = imported.reports[file.index];
    report.malformed = file.early.length;
    report.rows = file.early.length;
    if (file.source === 'focus') imported.charges.push(file);
    else await inFile(file, () => loadQuantities(db, file, rules, imported));
  }
  await dropRepeated(db, imported);
  const sources = new Set(files.map((file) => file.source));
  if (sources.has('slurm') && sources.has('opencost')) await dropTwoSources(db, imported);
  return imported;
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
const named = (message: string, file: UsageFile): string =>
  message.replace(/\bc(\d+)\b/g, (whole, at) => file.names[Number(at)] ?? whole);

function emptyReport(file: UsageFile): FileReport {
  const { path, bytes, format } = file;
  const unknownColumns = file.names.filter((one) => !file.sql.knows(one.toLowerCase()));
  return {
    path,
    sha256: '',
    bytes,
    format,
    rows: 0,
    malformed: 0,
    skipped: {},
    duplicates: 0,
    split: 0,
    refused: 0,
    unknownColumns,
  };
}

/**
 * `SELECT` of all fields of a file, with `final_kind`, `rule`, `pool` and `status`.
 *
 * In layers: a field that uses another stands in a query around it, so that no expression is
 * computed twice. (In one `SELECT`, an alias is put in place as text, and what stands inside of a
 * CASE is not shared.)
 */
export function fieldsSql(
  file: UsageFile,
  rules: Rules,
  matched: readonly Rule[],
  ordered = false,
): string {
  const ignored = matched.flatMap((rule, i) => (rule.is === 'ignore' ? [i] : []));
  const leftOut =
    ignored.length === 0
      ? ''
      : `, CASE WHEN rule IN (${ignored.join(', ')}) THEN 'skip:left out by rule' END`;
  const fields: [string, string][] = [
    ...Object.entries(file.sql.fields),
    ...(ordered ? [['record', file.record ?? 'row_number() OVER ()'] as [string, string]] : []),
    ['rule', ruleSql(matched, file)],
    ['pool', poolSql(rules, file)],
    ['final_kind', 'kind' in file.sql.fields ? kindSql(rules, file) : 'NULL::VARCHAR'],
    [
      'status',
      `coalesce('skip:' || (${file.sql.skip}), 'bad:' || (${file.sql.bad}), ${OUT_OF_TIME}${leftOut})`,
    ],
  ];
  let query = ordered ? file.orderedScan : file.scan;
  let layer = new Map<string, string>();
  const close = (): void => {
    query = `(SELECT *, ${[...layer].map(([field, expression]) => `${expression} AS ${field}`).join(', ')} FROM ${query})`;
    layer = new Map();
  };
  for (const [field, expression] of fields) {
    if ([...layer.keys()].some((earlier) => new RegExp(`\\b${earlier}\\b`).test(expression)))
      close();
    layer.set(field, expression);
  }
  close();
  return `SELECT * FROM ${query}`;
}

const statusOf = (status: string): string =>
  `CASE WHEN starts_with(${status}, 'bad:') THEN 'bad' ELSE ${status} END`;

async function loadQuantities(
  db: Database,
  file: UsageFile,
  rules: Rules,
  imported: Imported,
): Promise<void> {
  const source = text(file.source);
  const head = `${file.index}, ${source}, native_id, coalesce(cluster, ''), coalesce(account, ''), rule, pool`;
  const rows = fieldsSql(file, rules, imported.rules);
  if (file.sql.parts === undefined) {
    await db.run(
      `INSERT INTO usage_rows SELECT ${head}, final_kind, coalesce(detail, ''), quanta, NULL, window_start, window_end, ${statusOf('status')} FROM (${rows})`,
    );
  } else {
    const held = `SELECT *, CASE WHEN status IS NULL THEN list_filter(${file.sql.parts}, lambda part: part.quanta <> 0 OR part.amount <> 0) ELSE [] END AS held FROM (${rows})`;
    const none = "[{kind: 'other', quanta: 0::BIGINT, amount: 0::DECIMAL(38, 18)}]";
    const each = `SELECT *, CASE WHEN status IS NULL AND len(held) = 0 THEN 'skip:allocation without usage' ELSE status END AS fate, unnest(CASE WHEN len(held) = 0 THEN ${none} ELSE held END) AS part FROM (${held})`;
    await db.run(
      `INSERT INTO usage_rows SELECT ${head}, part.kind, '', part.quanta, part.amount, window_start, window_end, ${statusOf('fate')} FROM (${each})`,
    );
    if (rules.opencost === undefined && !imported.notes.includes(ASSUMED_USD))
      imported.notes.push(ASSUMED_USD);
  }
  const report = imported.reports[file.index];
  // Rows of several resources are counted once: by what the table has of them, or by the file where
  // that was counted.
  const counted = await db.rows(
    `SELECT status, ${file.sql.parts === undefined ? 'count(*)' : 'CASE WHEN status IS NULL THEN count(DISTINCT (native_id, window_start, window_end)) ELSE count(*) END'} AS n FROM usage_rows WHERE file = ${file.index} GROUP BY status`,
  );
  let bad = 0;
  for (const { status, n } of counted) {
    report.rows += Number(n);
    if (typeof status !== 'string') continue;
    if (status.startsWith('skip:')) report.skipped[status.slice(5)] = Number(n);
    else bad += Number(n);
  }
  await listMalformed(db, file, rules, imported, bad);
  if (counted.some(({ status }) => status !== null))
    await db.run(`DELETE FROM usage_rows WHERE file = ${file.index} AND status IS NOT NULL`);
}

const ASSUMED_USD =
  'OpenCost does not say its currency: USD is assumed; "opencost": {"currency": …} in the rules states it.';

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

// ── the same hours twice ─────────────────────────────────────────────────────────────────────────

const ID = 'source, cluster, native_id, kind';

/** Drops repeated rows of one id and window, and cuts windows of one id that overlap. */
async function dropRepeated(db: Database, imported: Imported): Promise<void> {
  // Almost always every id occurs once; then nothing can overlap. Distinct hashes are distinct ids.
  const [{ n: all, ids }] = await db.rows(
    `SELECT count(*) AS n, count(DISTINCT hash(${ID})) AS ids FROM usage_rows`,
  );
  if (all === ids) return;
  await db.run(`CREATE TEMP TABLE again AS
    WITH several AS (SELECT hash(${ID}) AS id FROM usage_rows GROUP BY 1 HAVING count(*) > 1),
    repeated AS (SELECT rowid AS place, file, ${ID}, quanta, amount, window_start, window_end FROM usage_rows WHERE hash(${ID}) IN (SELECT id FROM several)),
    numbered AS (SELECT *,
      row_number() OVER (PARTITION BY ${ID}, window_start, window_end ORDER BY file, place) AS nth,
      max(window_end) OVER (PARTITION BY ${ID} ORDER BY window_start, window_end, file, place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS until
      FROM repeated)
    SELECT place, file, native_id, quanta, amount, window_start, window_end, until,
      CASE WHEN nth > 1 THEN 'duplicate' WHEN until >= window_end THEN 'covered' ELSE 'cut' END AS fate
    FROM numbered WHERE nth > 1 OR until > window_start`);
  for (const { file, fate, n } of await db.rows(
    'SELECT file, fate, count(DISTINCT (native_id, window_start, window_end)) AS n FROM again GROUP BY file, fate',
  )) {
    const report = imported.reports[Number(file)];
    if (fate === 'duplicate') report.duplicates += Number(n);
    else report.split += Number(n);
  }
  await db.run(
    `DELETE FROM usage_rows WHERE rowid IN (SELECT place FROM again WHERE fate <> 'cut')`,
  );
  const left = "date_diff('microsecond', again.until, again.window_end)::HUGEINT";
  const whole = "date_diff('microsecond', again.window_start, again.window_end)::HUGEINT";
  await db.run(`UPDATE usage_rows SET
      quanta = ((again.quanta::HUGEINT * ${left}) // ${whole})::BIGINT,
      amount = (((again.amount * 1000000000)::HUGEINT * ${left}) // ${whole})::DECIMAL(28, 0)
        * 0.000000001,
      window_start = again.until
    FROM again WHERE again.fate = 'cut' AND usage_rows.rowid = again.place`);
  await db.run('DROP TABLE again');
}

/**
 * Slurm and OpenCost on one cluster see the same hours. Where charges pay for them, Slurm's rows
 * allocate, being finer; where none do, OpenCost's rows count, having a price of their own.
 */
async function dropTwoSources(db: Database, imported: Imported): Promise<void> {
  const both =
    await db.rows(`SELECT cluster, kind, min(window_start) FILTER (source = 'slurm')::VARCHAR AS s0, max(window_end) FILTER (source = 'slurm')::VARCHAR AS s1,
      min(window_start) FILTER (source = 'opencost')::VARCHAR AS o0, max(window_end) FILTER (source = 'opencost')::VARCHAR AS o1
    FROM usage_rows WHERE kind IN ('gpu', 'cpu') GROUP BY cluster, kind HAVING count(DISTINCT source) FILTER (source IN ('slurm', 'opencost')) = 2`);
  const hasCharges = imported.charges.length > 0;
  const dropped = hasCharges ? 'opencost' : 'slurm';
  for (const { cluster, kind, s0, s1, o0, o1 } of both) {
    const [from, to] = (hasCharges ? [s0, s1] : [o0, o1]).map(String);
    const where = `source = '${dropped}' AND cluster = ${text(String(cluster))} AND kind = ${text(String(kind))} AND window_start >= ${text(from)}::TIMESTAMP AND window_end <= ${text(to)}::TIMESTAMP`;
    const [{ n }] = await db.rows(`SELECT count(*) AS n FROM usage_rows WHERE ${where}`);
    if (Number(n) === 0) continue;
    await db.run(`DELETE FROM usage_rows WHERE ${where}`);
    imported.notes.push(
      `${n} ${kind} rows of ${dropped === 'slurm' ? 'Slurm' : 'OpenCost'} on cluster ${String(cluster) || '(unnamed)'} are hours that ${hasCharges ? 'Slurm' : 'OpenCost'} counts as well; they are billed once.`,
    );
  }
}
