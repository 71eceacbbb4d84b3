/**
 * @file Charges: FOCUS rows, summed where they lie, in one scan a file.
 *
 * A charge that a rule names belongs to whom the rule says. A charge for a resource whose use we
 * know (a GPU, when there are jobs with GPUs) is summed by its period, for those who used it to
 * share. Any other charge is a line of its own.
 */
import type { Rules } from '../book/allocation-rules.js';
import { type Database, type Row, text } from './duckdb.js';
import { fieldsSql, summedSql } from './fields.js';
import type { UsageFile } from './importer.js';
import { listMalformed } from './quantities.js';
import { demandRows, type Imported, inFile, LISTED } from './report.js';

/** Charges alike, summed. */
export interface ChargeGroup {
  rule: number;
  pool: number;
  kind: string;
  currency: string;
  account: string;
  service: string;
  /** True when the group waits to be allocated by usage; then it is of one period. */
  shared: boolean;
  /** Microseconds since 1970 (of `shared` groups: of the period). */
  start: bigint;
  end: bigint;
  /** 10^-18 of the currency. */
  attos: bigint;
  rows: number;
  /**
   * What was bought, in quanta, where every row says so in hours of the resource; null otherwise.
   */
  capacity: bigint | null;
}

interface Found extends ChargeGroup {
  billing: string;
}

/** @param usedKinds kinds of which there is usage to allocate by */
export async function sumCharges(
  db: Database,
  imported: Imported,
  rules: Rules,
  usedKinds: readonly string[],
): Promise<ChargeGroup[]> {
  const byFile = new Map<UsageFile, Found[]>();
  for (const file of imported.charges) {
    const select = fieldsSql(file, rules, imported.rules);
    byFile.set(
      file,
      await inFile(file, () => sumFile(db, file, select, rules, imported, usedKinds)),
    );
    demandRows(imported, file);
  }
  const refuses = ({ importer }: UsageFile): boolean =>
    (rules.options[importer.name] as { overlaps?: string } | undefined)?.overlaps !== 'bill';
  if (imported.charges.every(refuses)) {
    const files = overlapping(byFile);
    if (files.length > 0) {
      await markRepeated(db, files, rules, imported);
      for (const file of files) {
        const select = `SELECT * FROM charge_rows WHERE file = ${file.index} AND fate IS NULL`;
        byFile.set(file, (await groupsOf(db, select, usedKinds, rules)).groups);
      }
    }
  }
  return [...byFile.values()].flat();
}

async function sumFile(
  db: Database,
  file: UsageFile,
  select: string,
  rules: Rules,
  imported: Imported,
  usedKinds: readonly string[],
): Promise<Found[]> {
  const summed = usedKinds.length === 0 ? summedSql(file, rules, imported.rules) : null;
  const { groups, bad, good, skipped } = await (summed === null
    ? groupsOf(db, select, usedKinds, rules)
    : groupsOf(db, summed, usedKinds, rules, 'sum(n)'));
  if (groups.some(({ kind, rule }) => kind === 'unknown' && rule < 0))
    imported.notes.push(await unknownNote(db, file, select));
  const report = imported.reports[file.index];
  report.skipped = skipped;
  report.rows += good + bad + Object.values(skipped).reduce((all, n) => all + n, 0);
  await listMalformed(db, file, rules, imported, bad);
  return groups;
}

/** Unknown compute, largest first; the rules are asked what it is. */
const UNKNOWN_SHOWN = 5;

async function unknownNote(db: Database, file: UsageFile, select: string): Promise<string> {
  const places = ['SkuMeter', 'ChargeDescription', 'ResourceType', 'ServiceName'].flatMap((one) => {
    const at = file.names.findIndex((name) => name.toLowerCase() === one.toLowerCase());
    return at < 0 ? [] : [{ one, text: `nullif(nullif(c${at}::VARCHAR, ''), 'NULL')` }];
  });
  // The first text of a row that is not empty, and the column that it stands in.
  const what = `coalesce(${[...places.map(({ text }) => text), "''"].join(', ')})`;
  const where = `CASE ${places.map(({ one, text: found }) => `WHEN ${found} IS NOT NULL THEN ${text(one)}`).join(' ')} ELSE 'service' END`;
  const rows = await db.rows(
    `SELECT ${what} AS what, ${places.length === 0 ? "'service'" : where} AS place, currency, sum(amount)::DOUBLE AS total, count(*) AS n FROM (${select})
     WHERE status IS NULL AND final_kind = 'unknown' AND rule < 0 GROUP BY ALL ORDER BY abs(total) DESC, what`,
  );
  const shown = rows
    .slice(0, UNKNOWN_SHOWN)
    .map((row) => `${row.place} "${row.what}" ${Number(row.total)} ${row.currency}`);
  const more = rows.length > UNKNOWN_SHOWN ? ` and ${rows.length - UNKNOWN_SHOWN} more` : '';
  const total = rows.reduce((all, { n }) => all + Number(n), 0);
  return (
    `${total} compute charges in ${file.path} name no machine that is known, so no job bears them: ${shown.join(', ')}${more}. ` +
    `State what they are in the rules: "kinds": [{"when": {"${rows[0].place}": …}, "kind": "gpu"}] (or "cpu").`
  );
}

const bigint = (cell: unknown): bigint => BigInt(String(cell));

/** The digits of a DECIMAL(38, 18). */
export function attosOf(decimal: string): bigint {
  const [whole, fraction = ''] = decimal.split('.');
  return BigInt(whole + fraction.padEnd(18, '0').slice(0, 18));
}

async function groupsOf(
  db: Database,
  select: string,
  usedKinds: readonly string[],
  rules: Rules,
  rowCount = 'count(*)',
): Promise<{ groups: Found[]; bad: number; good: number; skipped: Record<string, number> }> {
  // A kind without usage of its own may be allocated by a related one (compute by compute): so all
  // of compute waits.
  const compute = usedKinds.some((kind) => kind === 'gpu' || kind === 'cpu') ? ['gpu', 'cpu'] : [];
  const waiting = [...new Set([...usedKinds, ...compute])].map(text).join(', ');
  const shared =
    waiting === ''
      ? 'false'
      : `(rule < 0 AND final_kind IN (${waiting}) AND window_end > window_start)`;
  const period = (bound: string) =>
    waiting === ''
      ? []
      : [`CASE WHEN ${shared} THEN epoch_us(window_${bound}) END AS period_${bound}`];
  const dims = [
    'status',
    'rule',
    ...(rules.pools.length > 0 ? ['pool'] : []),
    'final_kind AS kind',
    'currency',
    waiting === ''
      ? "coalesce(account, '') AS account"
      : `CASE WHEN ${shared} THEN '' ELSE coalesce(account, '') END AS account`,
    "coalesce(service, '') AS service",
    "coalesce(billing_account, '') AS billing",
    ...(waiting === '' ? [] : [`${shared} AS shared`]),
    ...period('start'),
    ...period('end'),
  ];
  const sums = [
    'sum(amount)::VARCHAR AS amount',
    `${rowCount} AS n`,
    'epoch_us(min(window_start)) AS first',
    'epoch_us(max(window_end)) AS last',
    ...(waiting === '' ? [] : ['sum(capacity)::VARCHAR AS capacity', 'count(capacity) AS counted']),
  ];
  const rows = await db.rows(
    `SELECT ${[...dims, ...sums].join(', ')} FROM (${select}) GROUP BY ALL`,
  );
  const groups: Found[] = [];
  let [bad, good] = [0, 0];
  const skipped: Record<string, number> = {};
  for (const row of rows) {
    const n = Number(row.n);
    if (typeof row.status === 'string') {
      if (row.status.startsWith('bad:')) bad += n;
      else skipped[row.status.slice(5)] = (skipped[row.status.slice(5)] ?? 0) + n;
      continue;
    }
    good += n;
    groups.push({
      rule: Number(row.rule),
      pool: Number(row.pool ?? -1),
      kind: String(row.kind),
      currency: String(row.currency),
      account: String(row.account),
      service: String(row.service),
      billing: String(row.billing),
      shared: row.shared === true,
      start: bigint(row.period_start ?? row.first),
      end: bigint(row.period_end ?? row.last),
      attos: attosOf(String(row.amount)),
      rows: n,
      capacity:
        row.capacity !== undefined && row.capacity !== null && Number(row.counted) === n
          ? bigint(row.capacity)
          : null,
    });
  }
  // Groups come back in no order; the bill has one.
  const order = (a: Found, b: Found): number => (sortKey(a) < sortKey(b) ? -1 : 1);
  return { groups: groups.sort(order), bad, good, skipped };
}

const sortKey = (group: Found): string =>
  [
    group.rule,
    group.pool,
    group.kind,
    group.currency,
    group.account,
    group.service,
    group.billing,
    group.start,
    group.end,
  ].join('\n');

/** Files that bill one account for overlapping times. */
function overlapping(byFile: ReadonlyMap<UsageFile, readonly Found[]>): UsageFile[] {
  const ranges = [...byFile].flatMap(([file, groups]) =>
    groups.map(({ billing, start, end }) => ({ file, billing, start, end })),
  );
  ranges.sort((a, b) =>
    a.billing < b.billing ? -1 : a.billing > b.billing ? 1 : a.start < b.start ? -1 : 1,
  );
  const found = new Set<UsageFile>();
  // By account, in order of the start: the range that reaches furthest so far, and the furthest of
  // any other file.
  let [first, second] = [ranges[0], undefined as (typeof ranges)[number] | undefined];
  for (const range of ranges.slice(1)) {
    if (range.billing !== first.billing) {
      first = range;
      second = undefined;
      continue;
    }
    for (const earlier of [first, second]) {
      if (earlier === undefined || earlier.file === range.file || earlier.end <= range.start)
        continue;
      found.add(earlier.file).add(range.file);
    }
    if (range.end > first.end) {
      if (range.file !== first.file) second = first;
      first = range;
    } else if (range.file !== first.file && (second === undefined || range.end > second.end))
      second = range;
  }
  return [...byFile.keys()].filter((file) => found.has(file));
}

/** Compares the charges of files that overlap, row by row: `fate` becomes duplicate or refused. */
async function markRepeated(
  db: Database,
  files: readonly UsageFile[],
  rules: Rules,
  imported: Imported,
): Promise<void> {
  const common = (files[0].sql.identity ?? []).filter((one) =>
    files.every((file) => file.sql.identity?.includes(one)),
  );
  await db.run('SET preserve_insertion_order = true');
  const wanted =
    'status, rule, pool, final_kind, currency, account, service, billing_account, amount, window_start, window_end, capacity, record';
  const selects = files.map((file) => {
    const columns = common.map(
      (one) =>
        `coalesce(c${file.names.findIndex((other) => other.toLowerCase() === one.toLowerCase())}::VARCHAR, '')`,
    );
    const key = `md5_number(concat_ws(chr(31), currency, ${[...columns, "''"].join(', ')}))`;
    return `SELECT ${file.index} AS file, ${key} AS id, ${wanted} FROM (${fieldsSql(file, rules, imported.rules, true)}) WHERE status IS NULL`;
  });
  await db.run(`CREATE TABLE charge_rows AS
    WITH rows AS (${selects.join(' UNION ALL ')}),
    copies AS (SELECT *, row_number() OVER (PARTITION BY file, id, window_start, window_end, amount ORDER BY record) AS copy FROM rows),
    marked AS (SELECT *, row_number() OVER (PARTITION BY id, window_start, window_end, amount, copy ORDER BY file) > 1 AS again FROM copies),
    ranges AS (SELECT DISTINCT file, id, window_start, window_end FROM marked)
    SELECT * EXCLUDE (copy, again), CASE WHEN again THEN 'duplicate' WHEN EXISTS (
      SELECT 1 FROM ranges WHERE ranges.id = marked.id AND ranges.file < marked.file
        AND ranges.window_start < marked.window_end AND ranges.window_end > marked.window_start) THEN 'refused' END AS fate
    FROM marked`);
  await db.run('SET preserve_insertion_order = false');
  const at = (row: Row): UsageFile =>
    files.find((file) => file.index === Number(row.file)) as UsageFile;
  for (const row of await db.rows(
    'SELECT file, fate, count(*) AS n FROM charge_rows WHERE fate IS NOT NULL GROUP BY file, fate',
  )) {
    const report = imported.reports[at(row).index];
    if (row.fate === 'duplicate') report.duplicates += Number(row.n);
    else report.refused += Number(row.n);
  }
  await listDuplicates(db, files, imported);
  const listed = await db.rows(
    `SELECT file, record, amount::VARCHAR AS amount, currency FROM charge_rows WHERE fate = 'refused' ORDER BY file, record LIMIT ${LISTED}`,
  );
  for (const row of listed) {
    const file = at(row);
    const line = Number(row.record) + (file.text === null ? 0 : 1);
    const amount = String(row.amount).replace(/\.?0+$/, '');
    const reason = `${amount} ${row.currency}: overlaps a charge of the same description in an earlier file`;
    imported.refused.push({ file: file.path, line, reason });
  }
}

/** Equal charges of two files: listed with what they repeat, and summed in a note. */
async function listDuplicates(
  db: Database,
  files: readonly UsageFile[],
  imported: Imported,
): Promise<void> {
  const same = 'id, window_start, window_end, amount';
  const rows = await db.rows(`
    WITH first AS (SELECT ${same}, file, record, row_number() OVER (PARTITION BY ${same} ORDER BY file, record) AS nth
        FROM charge_rows WHERE fate IS NULL),
      again AS (SELECT ${same}, file, record, row_number() OVER (PARTITION BY ${same} ORDER BY file, record) AS nth
        FROM charge_rows WHERE fate = 'duplicate')
    SELECT again.file, again.record, first.file AS first_file, first.record AS first_record
    FROM again LEFT JOIN first USING (${same}, nth) ORDER BY again.file, again.record LIMIT ${LISTED}`);
  const at = (index: unknown): UsageFile | undefined =>
    files.find((file) => file.index === Number(index));
  const lineOf = (file: UsageFile, record: unknown): number =>
    Number(record) + (file.text === null ? 0 : 1);
  for (const row of rows) {
    const file = at(row.file) as UsageFile;
    const first = row.first_file === null ? undefined : at(row.first_file);
    const what =
      first === undefined
        ? 'repeats a charge of an earlier file'
        : `repeats line ${lineOf(first, row.first_record)} of ${first.path}`;
    imported.repeated.push({ file: file.path, line: lineOf(file, row.record), reason: what });
  }
  const sums = await db.rows(
    "SELECT currency, sum(amount)::DOUBLE AS total, count(*) AS n FROM charge_rows WHERE fate = 'duplicate' GROUP BY ALL ORDER BY currency",
  );
  for (const { currency, total, n } of sums)
    imported.notes.push(
      `${n} charges (${total} ${currency}) equal charges of an earlier file and are billed once. Where the files are parts of one export and the charges are two, "focus": {"overlaps": "bill"} in the rules bills both.`,
    );
}
