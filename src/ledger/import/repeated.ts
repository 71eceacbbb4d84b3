/**
 * @file The same hours twice: rows of one id and window count once, windows of one id that overlap
 * are cut, and hours that two sources see are billed once.
 */
import type { Rules } from '../book/allocation-rules.js';
import { type Database, text } from './duckdb.js';
import { fieldsSql } from './fields.js';
import type { Importer, UsageFile } from './importer.js';
import { insertParts, insertWhole } from './quantities.js';
import { type Imported, LISTED } from './report.js';

const ID = 'source, cluster, native_id, kind';
/** A row of a file; the resources of one have a suffix on their id. */
const ROW = 'source, cluster, split_part(native_id, chr(31), 1) AS id, window_start, window_end';

/**
 * Drops repeated rows of one id and window, and cuts windows of one id that overlap.
 * @returns indices of files in which ids occur more than once
 */
export async function dropRepeated(
  db: Database,
  imported: Imported,
  files: readonly UsageFile[],
  rules: Rules,
): Promise<Set<number>> {
  // Almost always every id occurs once; then nothing can overlap.
  if ((await areDistinctNumbers(db)) || (await areDistinct(db))) return new Set();
  const repeatedIds = await db.rows(`
    SELECT DISTINCT unnest(files) AS file FROM (
      SELECT list(DISTINCT file) AS files FROM usage_rows GROUP BY ${ID} HAVING count(*) > 1)`);
  await keepFirst(db, imported, files, rules);
  await cutOverlaps(db, imported);
  return new Set(repeatedIds.map(({ file }) => Number(file)));
}

/** True when no two ids have one hash. */
async function areDistinct(db: Database): Promise<boolean> {
  const [{ n, ids }] = await db.rows(
    `SELECT count(*) AS n, count(DISTINCT hash(${ID})) AS ids FROM usage_rows`,
  );
  return n === ids;
}

/** Room for the bits of one cluster. */
const MOST_BITS = 4e8;
const MOST_CLUSTERS = 4;

/**
 * True when all ids are whole numbers, close together, and no two of a cluster are equal: each sets
 * a bit, which is several times as fast as a table of their hashes.
 */
async function areDistinctNumbers(db: Database): Promise<boolean> {
  const numbers = 'SELECT source, cluster, TRY_CAST(native_id AS BIGINT) AS id FROM usage_rows';
  const clusters = await db.rows(`SELECT source, cluster, count(*) AS n, count(id) AS ids,
      min(id)::DOUBLE AS least, max(id)::DOUBLE AS most FROM (${numbers}) GROUP BY ALL`);
  if (clusters.length > MOST_CLUSTERS) return false;
  for (const { source, cluster, n, ids, least, most } of clusters) {
    const range = Number(most) - Number(least);
    const dense = range <= Math.min(MOST_BITS, 100 * Number(n)) && Math.abs(Number(most)) < 2 ** 53;
    if (n !== ids || !dense) return false;
    const [{ bits }] =
      await db.rows(`SELECT bit_count(bitstring_agg(id, ${least}::BIGINT, ${most}::BIGINT)) AS bits
        FROM (${numbers}) WHERE source = ${text(String(source))} AND cluster = ${text(String(cluster))}`);
    if (String(bits) !== String(n)) return false;
  }
  return true;
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
export async function dropTwoSources(
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
