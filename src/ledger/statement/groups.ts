/**
 * @file Usage, summed: who used how much of what, for which purpose; and what its own price is,
 * where it has one.
 */
import type { Rules } from '../book/allocation-rules.js';
import { type Database, text } from '../import/duckdb.js';
import { type Importer, type Kind, QUANTA_PER_HOUR } from '../import/importer.js';
import { Decimal } from '../money.js';
import type { StatementLine } from './statement.js';

/** Usage of one kind by one account, for one purpose. */
export interface UsageGroup {
  /** An importer's name, or `run`. */
  source: string;
  account: string;
  rule: number;
  pool: number;
  kind: Kind;
  detail: string;
  currency: string;
  rows: number;
  quanta: bigint;
  /** Of the whole group: its own price, where it has one, in 10^-18. */
  own: bigint;
  start: bigint;
  end: bigint;
}

export const HELD_KINDS = ['gpu', 'cpu', 'memory', 'storage'];

/** Hours of what is held by the hour; of the rest, what it costs by its own price. */
export const weightOf = (group: UsageGroup): bigint =>
  HELD_KINDS.includes(group.kind) ? group.quanta : group.own;
/** An amount in 10^-18; in two parts, since a DECIMAL(38, 18) has no room for the product. */
export const ATTOS_SQL =
  'coalesce(trunc(amount)::HUGEINT * 1000000000000000000 + ((amount - trunc(amount)) * 1000000000000000000)::HUGEINT, 0)';
export const WEIGHT_SQL = `CASE WHEN kind IN (${HELD_KINDS.map(text).join(', ')}) THEN quanta::HUGEINT ELSE greatest(0, ${ATTOS_SQL} // 1000000) END`;

export async function insertRuns(db: Database, lines: readonly StatementLine[]): Promise<void> {
  for (const [i, line] of lines.entries()) {
    const quanta = new Decimal(line.quantity ?? 0)
      .times(QUANTA_PER_HOUR.toString())
      .round()
      .toFixed();
    const values = [
      ...[
        '-1',
        "'run'",
        text(String(i)),
        "''",
        text(line.account),
        `${-2 - i}`,
        '-1',
        "'cpu'",
        "''",
        quanta,
      ],
      ...[
        `${line.amount}::DECIMAL(38, 18)`,
        `${text(line.start)}::TIMESTAMP`,
        `${text(line.end)}::TIMESTAMP`,
        'NULL',
      ],
    ];
    await db.run(`INSERT INTO usage_rows VALUES (${values.join(', ')})`);
  }
}

export const DIMS = ['source', 'account', 'rule', 'pool', 'kind', 'detail'] as const;

export async function usageGroups(
  db: Database,
  rules: Rules,
  importers: readonly Importer[],
): Promise<UsageGroup[]> {
  const currencies = new Map(
    importers.map((one) => [one.name, one.currency?.(rules.options[one.name]) ?? 'USD']),
  );
  const rows = await db.rows(`SELECT source, account, rule, pool, kind, detail, count(*) AS n,
      sum(quanta)::VARCHAR AS quanta,
      coalesce(sum(CASE WHEN amount IS NOT NULL THEN ${ATTOS_SQL} END), 0)::VARCHAR AS own,
      epoch_us(min(window_start)) AS first, epoch_us(max(window_end)) AS last
    FROM usage_rows GROUP BY ALL ORDER BY ${DIMS.join(', ')}`);
  return rows.map((row) => ({
    source: String(row.source),
    account: String(row.account),
    rule: Number(row.rule),
    pool: Number(row.pool),
    kind: String(row.kind) as Kind,
    detail: String(row.detail),
    // Of the row's own price. Runs and price lists are in USD.
    currency: currencies.get(String(row.source)) ?? 'USD',
    rows: Number(row.n),
    quanta: BigInt(String(row.quanta)),
    own: BigInt(String(row.own)),
    start: BigInt(String(row.first)),
    end: BigInt(String(row.last)),
  }));
}

export const keyOf = (row: Record<(typeof DIMS)[number], unknown>): string =>
  DIMS.map((dim) => String(row[dim] ?? '')).join('\u0000');
