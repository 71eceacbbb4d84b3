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
  checkConditions,
  kindSql,
  poolSql,
  type Rule,
  type Rules,
  ruleSql,
} from '../book/allocation-rules.js';
import { type Database, QueryError, type Row, text } from './duckdb.js';
import { type Importer, KINDS, type Malformed, type UsageFile } from './importer.js';
import { IMPORTERS } from './importers.js';
import { demandFile, openUsageFile, sha256Of } from './open.js';
import { linesOfRecords } from './text.js';

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
const tablesOf = (importers: readonly Importer[]): string[] => [
  `CREATE TYPE usage_source AS ENUM (${['run', ...importers.map(({ name }) => name)].map(text).join(', ')})`,
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
  importers: readonly Importer[] = IMPORTERS,
): Promise<Imported> {
  for (const sql of tablesOf(importers)) await db.run(sql);
  const imported: Imported = {
    reports: [],
    malformed: [],
    refused: [],
    repeated: [],
    charges: [],
    rules: allRules(rules, importers),
    notes: [],
    hashing: [],
  };
  for (const path of paths) demandFile(path);
  const sizes = paths.map((path) => statSync(path).size);
  const seen = new Map<string, string>();
  const files: UsageFile[] = [];
  for (const [i, path] of paths.entries()) {
    const hash = sha256Of(path);
    hash.catch(() => {}); // A failure surfaces where `hashing` is awaited.
    // A file of another size than all others is no copy of one; it is hashed while DuckDB reads it.
    const first =
      sizes.indexOf(sizes[i]) === sizes.lastIndexOf(sizes[i]) ? undefined : seen.get(await hash);
    if (first !== undefined) {
      imported.notes.push(`${path} is the same file as ${first}; it is billed once.`);
      continue;
    }
    const file = await openUsageFile({
      db,
      path,
      index: files.length,
      importers,
      optionsOf: ({ name }) => rules.options[name],
      several: paths.length > 1,
    });
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
  }
  checkConditions(rules, files, importers);
  for (const file of files) {
    if (file.importer.money === 'charge') imported.charges.push(file);
    else {
      await inFile(file, () => loadQuantities(db, file, rules, imported));
      demandRows(imported, file);
    }
  }
  const repeatedIds = await dropRepeated(db, imported, files, rules);
  await dropTwoSources(db, imported, files);
  for (const importer of importers) {
    const own = files.filter((file) => file.importer === importer);
    if (own.length === 0) continue;
    const facts = own.map(({ index, format, names }) => ({
      format,
      columns: names,
      rows: imported.reports[index].rows,
      repeatedIds: repeatedIds.has(index),
    }));
    imported.notes.push(...importer.notes(rules.options[importer.name], facts));
  }
  return imported;
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
const named = (message: string, file: UsageFile): string =>
  message.replace(/\bc(\d+)\b/g, (whole, at) => file.names[Number(at)] ?? whole);

function emptyReport(file: UsageFile): FileReport {
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
  const { index, sql } = file;
  const rows = fieldsSql(file, rules, imported.rules);
  const whole = sql.parts === undefined || sql.partsWhere !== undefined;
  if (whole) await insertWhole(db, file, rows);
  const counted = await db.rows(
    `SELECT status, detail = ${text(SEVERAL)} AS several, count(*) AS n FROM usage_rows WHERE file = ${index} GROUP BY ALL`,
  );
  const report = imported.reports[index];
  let bad = 0;
  const count = (status: unknown, n: number): void => {
    report.rows += n;
    if (typeof status !== 'string') return;
    if (status.startsWith('skip:'))
      report.skipped[status.slice(5)] = (report.skipped[status.slice(5)] ?? 0) + n;
    else bad += n;
  };
  for (const { status, n } of counted) count(status, Number(n));
  if (!whole) {
    const read = await db.rows(
      `SELECT ${statusOf('status')} AS status, count(*) AS n FROM (${rows}) GROUP BY ALL`,
    );
    for (const { status, n } of read) count(status, Number(n));
  }
  if (!whole || counted.some(({ several }) => several === true)) {
    await db.run(`DELETE FROM usage_rows WHERE file = ${index} AND detail = ${text(SEVERAL)}`);
    await insertParts(db, file, rows);
    const [{ n }] = await db.rows(
      `SELECT count(*) AS n FROM usage_rows WHERE file = ${index} AND status = 'skip:allocation without usage'`,
    );
    if (Number(n) > 0) report.skipped['allocation without usage'] = Number(n);
  }
  await listMalformed(db, file, rules, imported, bad);
  await db.run(`DELETE FROM usage_rows WHERE file = ${index} AND status IS NOT NULL`);
}

/** The detail of rows that wait for their parts. */
const SEVERAL = '+';

const headOf = ({ index, importer }: UsageFile): string => `${index}, ${text(importer.name)}`;
const ROW_DIMS = "coalesce(cluster, ''), coalesce(account, ''), rule, pool";

/** Inserts rows of one resource; those of several are marked, and put in place by a second scan. */
async function insertWhole(db: Database, file: UsageFile, rows: string): Promise<void> {
  const { partsWhere } = file.sql;
  const marked = partsWhere === undefined ? 'false' : `(${partsWhere} AND status IS NULL)`;
  await db.run(`INSERT INTO usage_rows
    SELECT ${headOf(file)}, native_id, ${ROW_DIMS}, final_kind,
      CASE WHEN ${marked} THEN ${text(SEVERAL)} ELSE coalesce(detail, '') END,
      quanta, NULL, window_start, window_end, ${statusOf('status')}
    FROM (${rows})`);
}

/** Inserts the resources of rows that hold several. */
async function insertParts(db: Database, file: UsageFile, rows: string): Promise<void> {
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

// ── the same hours twice ─────────────────────────────────────────────────────────────────────────

const ID = 'source, cluster, native_id, kind';
/** A row of a file; the resources of one have a suffix on their id. */
const ROW = 'source, cluster, split_part(native_id, chr(31), 1) AS id, window_start, window_end';

/**
 * Drops repeated rows of one id and window, and cuts windows of one id that overlap.
 * @returns indices of files in which ids occur more than once
 */
async function dropRepeated(
  db: Database,
  imported: Imported,
  files: readonly UsageFile[],
  rules: Rules,
): Promise<Set<number>> {
  // Almost always every id occurs once; then nothing can overlap. Distinct hashes are distinct ids.
  const [{ n: all, ids }] = await db.rows(
    `SELECT count(*) AS n, count(DISTINCT hash(${ID})) AS ids FROM usage_rows`,
  );
  if (all === ids) return new Set();
  const repeatedIds = await db.rows(`
    SELECT DISTINCT unnest(files) AS file FROM (
      SELECT list(DISTINCT file) AS files FROM usage_rows GROUP BY ${ID} HAVING count(*) > 1)`);
  await keepFirst(db, imported, files, rules);
  await cutOverlaps(db, imported);
  return new Set(repeatedIds.map(({ file }) => Number(file)));
}

/**
 * Of rows with one id and window the first counts, by file and by place in it, whatever the others
 * say; they are listed with what they repeat. Places are not in the table, so these files are read
 * again in order.
 */
async function keepFirst(
  db: Database,
  imported: Imported,
  files: readonly UsageFile[],
  rules: Rules,
): Promise<void> {
  await db.run(`CREATE TEMP TABLE twice AS
    SELECT ${ROW}, list(DISTINCT file) AS files FROM usage_rows
    GROUP BY ALL HAVING count(*) > count(DISTINCT (native_id, kind))`);
  const involved = await db.rows('SELECT DISTINCT unnest(files) AS file FROM twice');
  if (involved.length === 0) return void (await db.run('DROP TABLE twice'));
  await db.run('SET preserve_insertion_order = true');
  const inOrder = (file: UsageFile): string => fieldsSql(file, rules, imported.rules, true);
  const places = involved.map(({ file: index }) => {
    const file = files[Number(index)];
    return `SELECT ${index} AS file, ${text(file.importer.name)}::usage_source AS source, coalesce(cluster, '') AS cluster, native_id AS id, window_start, window_end, record FROM (${inOrder(file)}) WHERE status IS NULL`;
  });
  await db.run(`CREATE TEMP TABLE places AS
    SELECT places.*, row_number() OVER same AS nth,
      first_value(file) OVER same AS first_file, first_value(record) OVER same AS first_record
    FROM (${places.join(' UNION ALL ')}) AS places
      JOIN twice USING (source, cluster, id, window_start, window_end)
    WINDOW same AS (PARTITION BY source, cluster, id, window_start, window_end ORDER BY file, record)`);
  await db.run(`DELETE FROM usage_rows WHERE (source, cluster, split_part(native_id, chr(31), 1), window_start, window_end)
    IN (SELECT (source, cluster, id, window_start, window_end) FROM twice)`);
  for (const { file: index } of involved) {
    const file = files[Number(index)];
    const rows = `SELECT fields.* FROM (${inOrder(file)}) AS fields
      JOIN places ON places.file = ${index} AND places.nth = 1 AND places.record = fields.record`;
    const { parts, partsWhere } = file.sql;
    if (parts === undefined || partsWhere !== undefined) await insertWhole(db, file, rows);
    if (parts === undefined) continue;
    await db.run(`DELETE FROM usage_rows WHERE detail = ${text(SEVERAL)}`);
    await insertParts(db, file, rows);
    await db.run('DELETE FROM usage_rows WHERE status IS NOT NULL');
  }
  await db.run('SET preserve_insertion_order = false');
  for (const { file, n } of await db.rows(
    'SELECT file, count(*) AS n FROM places WHERE nth > 1 GROUP BY file',
  ))
    imported.reports[Number(file)].duplicates += Number(n);
  const lineOf = (file: unknown, record: unknown): number =>
    Number(record) + (files[Number(file)].text === null ? 0 : 1);
  for (const { file, record, first_file, first_record } of await db.rows(
    `SELECT file, record, first_file, first_record FROM places WHERE nth > 1 ORDER BY file, record LIMIT ${LISTED}`,
  )) {
    const where = file === first_file ? '' : ` of ${files[Number(first_file)].path}`;
    imported.repeated.push({
      file: files[Number(file)].path,
      line: lineOf(file, record),
      reason: `repeats line ${lineOf(first_file, first_record)}${where}`,
    });
  }
  await db.run('DROP TABLE places');
  await db.run('DROP TABLE twice');
}

/** Of two windows of one id that overlap, the later counts for what is new in it. */
async function cutOverlaps(db: Database, imported: Imported): Promise<void> {
  await db.run(`CREATE TEMP TABLE again AS
    WITH several AS (SELECT hash(${ID}) AS id FROM usage_rows GROUP BY 1 HAVING count(*) > 1),
    numbered AS (
      SELECT rowid AS place, file, ${ID}, quanta, amount, window_start, window_end,
        max(window_end) OVER (PARTITION BY ${ID} ORDER BY window_start, window_end, file
          ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS until
      FROM usage_rows WHERE hash(${ID}) IN (SELECT id FROM several))
    SELECT *, until >= window_end AS covered FROM numbered WHERE until > window_start`);
  for (const { file, n } of await db.rows(
    'SELECT file, count(DISTINCT (split_part(native_id, chr(31), 1), window_start, window_end)) AS n FROM again GROUP BY file',
  ))
    imported.reports[Number(file)].split += Number(n);
  await db.run('DELETE FROM usage_rows WHERE rowid IN (SELECT place FROM again WHERE covered)');
  const left = "date_diff('microsecond', again.until, again.window_end)::HUGEINT";
  const whole = "date_diff('microsecond', again.window_start, again.window_end)::HUGEINT";
  await db.run(`UPDATE usage_rows SET
      quanta = ((again.quanta::HUGEINT * ${left}) // ${whole})::BIGINT,
      amount = (((again.amount * 1000000000)::HUGEINT * ${left}) // ${whole})::DECIMAL(28, 0)
        * 0.000000001,
      window_start = again.until
    FROM again WHERE NOT again.covered AND usage_rows.rowid = again.place`);
  await db.run('DROP TABLE again');
}

/**
 * Sources with a price of their own (OpenCost) and without (Slurm) on one cluster see the same
 * hours. Where charges pay for them, the rows without a price allocate, being finer; where none do,
 * those with a price count.
 */
async function dropTwoSources(
  db: Database,
  imported: Imported,
  files: readonly UsageFile[],
): Promise<void> {
  const named = (money: Importer['money']) => [
    ...new Set(files.filter((f) => f.importer.money === money).map((f) => f.importer.name)),
  ];
  const hasCharges = imported.charges.length > 0;
  for (const unpriced of named('none'))
    for (const priced of named('own'))
      await dropHours(db, imported, hasCharges ? priced : unpriced, hasCharges ? unpriced : priced);
}

async function dropHours(
  db: Database,
  imported: Imported,
  dropped: string,
  kept: string,
): Promise<void> {
  const range = (bound: string, source: string) =>
    `${bound} FILTER (source = ${text(source)})::VARCHAR`;
  const both = await db.rows(`SELECT cluster, kind,
      ${range('min(window_start)', kept)} AS a, ${range('max(window_end)', kept)} AS b
    FROM usage_rows WHERE kind IN ('gpu', 'cpu') AND source IN (${text(dropped)}, ${text(kept)})
    GROUP BY cluster, kind HAVING count(DISTINCT source) = 2`);
  for (const { cluster, kind, a, b } of both) {
    const where = `source = ${text(dropped)} AND cluster = ${text(String(cluster))} AND kind = ${text(String(kind))} AND window_start >= ${text(String(a))}::TIMESTAMP AND window_end <= ${text(String(b))}::TIMESTAMP`;
    const [{ n }] = await db.rows(`SELECT count(*) AS n FROM usage_rows WHERE ${where}`);
    if (Number(n) === 0) continue;
    await db.run(`DELETE FROM usage_rows WHERE ${where}`);
    imported.notes.push(
      `${n} ${kind} rows of ${dropped} on cluster ${String(cluster) || '(unnamed)'} are hours that ${kept} counts as well; they are billed once.`,
    );
  }
}
