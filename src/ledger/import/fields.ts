/**
 * @file The query of a usage file: its columns as the ledger's fields, with the rule, the pool and
 * the status of each row.
 */
import { kindSql, poolSql, type Rule, type Rules, ruleSql } from '../book/allocation-rules.js';
import { text } from './duckdb.js';
import type { UsageFile } from './importer.js';

/** Infinities are times to SQL, and nothing here is older than Unix. */
const OUT_OF_TIME = `CASE WHEN window_start < TIMESTAMP '1970-01-01' OR window_end > TIMESTAMP '2200-01-01' THEN 'bad:time out of range' END`;

/**
 * A compressed file can hold a text of any length on every row; nothing that a bill is kept by is
 * this long.
 */
const LONGEST_BYTES = 32_768;
const KEPT = ['native_id', 'account', 'cluster', 'detail'];

/** Quantities are copied to a table row by row; charges are summed where they lie. */
function tooLongSql({ importer, sql: { fields } }: UsageFile): string {
  const long = KEPT.filter((name) => importer.money !== 'charge' && name in fields).map(
    (name) => `strlen(${name}) > ${LONGEST_BYTES}`,
  );
  const reason = text(`bad:a name of more than ${LONGEST_BYTES} bytes`);
  return long.length === 0 ? '' : `, CASE WHEN ${long.join(' OR ')} THEN ${reason} END`;
}

type Field = [name: string, expression: string];

/**
 * Fields over a query, in layers: a field that uses another stands in a query around it, so that no
 * expression is computed twice. (In one `SELECT`, an alias is put in place as text, and what stands
 * inside of a CASE is not shared.)
 */
function layered(fields: readonly Field[], from: string): string {
  let query = from;
  let layer = new Map<string, string>();
  const close = (): void => {
    query = `(SELECT *, ${[...layer].map(([field, expression]) => `${expression} AS ${field}`).join(', ')} FROM ${query})`;
    layer = new Map();
  };
  for (const [field, expression] of fields) {
    if ([...layer.keys()].some((earlier) => uses(expression, earlier))) close();
    layer.set(field, expression);
  }
  if (layer.size > 0) close();
  return query;
}

/** True where SQL names a field or column outside of its string literals. */
const uses = (sql: string, name: string): boolean => new RegExp(`\\b${name}\\b`).test(bare(sql));
const bare = (sql: string): string => sql.replace(/'(?:[^']|'')*'/g, "''");

/** Rows that a rule leaves out, as a status. */
function leftOutSql(matched: readonly Rule[]): string {
  const ignored = matched.flatMap((rule, i) => (rule.is === 'ignore' ? [i] : []));
  return ignored.length === 0
    ? 'NULL::VARCHAR'
    : `CASE WHEN rule IN (${ignored.join(', ')}) THEN 'skip:left out by rule' END`;
}

/** What a row is by its own values, before rules. */
const ownStatus = (file: UsageFile): string =>
  `coalesce('skip:' || (${file.sql.skip}), 'bad:' || (${file.sql.bad}), ${OUT_OF_TIME}${tooLongSql(file)})`;

const ruledFields = (file: UsageFile, rules: Rules, matched: readonly Rule[]): Field[] => [
  ['rule', ruleSql(matched, file)],
  ['pool', poolSql(rules, file)],
  ['final_kind', 'kind' in file.sql.fields ? kindSql(rules, file) : 'NULL::VARCHAR'],
];

/** `SELECT` of all fields of a file, with `final_kind`, `rule`, `pool` and `status`. */
export function fieldsSql(
  file: UsageFile,
  rules: Rules,
  matched: readonly Rule[],
  ordered = false,
): string {
  const fields: Field[] = [
    ...Object.entries(file.sql.fields),
    ...(ordered ? [['record', file.record ?? 'row_number() OVER ()'] as Field] : []),
    ...ruledFields(file, rules, matched),
    ['status', `coalesce(${ownStatus(file)}, ${leftOutSql(matched)})`],
  ];
  return `SELECT * FROM ${layered(fields, ordered ? file.orderedScan : file.scan)}`;
}

/** Fields of charges that differ from row to row. */
const OF_ROW = ['amount', 'currency', 'window_start', 'window_end'];
/** Fields of charges that bills are grouped by. */
const OF_GROUP = ['account', 'service', 'billing_account', 'rule', 'pool', 'final_kind'];

/**
 * `SELECT` of charges that are alike in every text, summed in the scan, `n` rows each; their rules
 * and kinds are then found once for each distinct text and not for each row. Null where that needs
 * a column that may differ on every row (a resource, tags).
 */
export function summedSql(file: UsageFile, rules: Rules, matched: readonly Rule[]): string | null {
  const all: Field[] = [
    ...Object.entries(file.sql.fields),
    ...ruledFields(file, rules, matched),
    ['own_status', ownStatus(file)],
  ];
  const ofRow = needed(all, [...OF_ROW, 'own_status'], []);
  const ofText = needed(all, OF_GROUP, ['currency']);
  const few = (at: number): boolean =>
    file.sql.few?.includes(file.names[at].toLowerCase()) ?? false;
  const columns = file.names.flatMap((_, at) =>
    ofText.some(([, expression]) => uses(expression, `c${at}`)) ? [at] : [],
  );
  if (!columns.every(few) || ofText.some(([name]) => OF_ROW.includes(name))) return null;
  const texts = columns.map((at) => `c${at}`);
  const summed = `(SELECT ${[...texts, 'currency', 'own_status'].join(', ')}, sum(amount) AS amount,
      count(*) AS n, min(window_start) AS window_start, max(window_end) AS window_end
    FROM ${layered(ofRow, file.scan)} GROUP BY ALL)`;
  const status: Field = ['status', `coalesce(own_status, ${leftOutSql(matched)})`];
  return `SELECT * FROM ${layered([...ofText, status], summed)}`;
}

/** The fields of these names and those that they use, in order. @param given names that are there */
function needed(
  fields: readonly Field[],
  names: readonly string[],
  given: readonly string[],
): Field[] {
  const found = new Set(names);
  for (const [name, expression] of [...fields].reverse()) {
    if (!found.has(name)) continue;
    for (const [earlier] of fields)
      if (earlier !== name && !given.includes(earlier) && uses(expression, earlier))
        found.add(earlier);
  }
  return fields.filter(([name]) => found.has(name));
}

export const statusOf = (status: string): string =>
  `CASE WHEN starts_with(${status}, 'bad:') THEN 'bad' ELSE ${status} END`;
