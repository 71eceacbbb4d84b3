/**
 * @file Sharing charges: those who used a resource in a charge's period bear it, in proportion to
 * the hours of theirs that fall into it; usage in times that no charge covers is left to its own
 * price.
 */

import type { ChargeGroup } from '../import/charges.js';
import { type Database, text } from '../import/duckdb.js';
import { type Importer, type Kind, UNIT_OF } from '../import/importer.js';
import type { Imported } from '../import/report.js';
import { sum } from '../money.js';
import {
  chargeLine,
  type Draft,
  fromAttos,
  hours,
  ownLine,
  splitAttos,
  type UsageBillOptions,
  usageLine,
} from './drafts.js';
import {
  ATTOS_SQL,
  DIMS,
  HELD_KINDS,
  keyOf,
  type UsageGroup,
  WEIGHT_SQL,
  weightOf,
} from './groups.js';
import type { StatementLine } from './statement.js';

interface Period {
  start: bigint;
  end: bigint;
}

export async function allocate(
  db: Database,
  charges: readonly ChargeGroup[],
  groups: readonly UsageGroup[],
  imported: Imported,
  runs: readonly StatementLine[],
  options: UsageBillOptions & { importers: readonly Importer[] },
): Promise<Draft[]> {
  /** Sources whose rows have no price of their own. */
  const unpriced = options.importers
    .filter(({ money }) => money === 'none')
    .map(({ name }) => name);
  const drafts: Draft[] = [];
  const allocated = new Map<string, Map<string, bigint>>();
  const covers = new Map<string, { uncovered: bigint; own: bigint }>();
  for (const pool of new Set(groups.map((group) => group.pool))) {
    const ofPool = groups.filter((group) => group.pool === pool);
    const waiting = charges.filter((charge) => charge.shared && charge.pool === pool);
    if (waiting.length === 0) continue;
    const shared = new Map<string, Map<string, bigint>>();
    const usedKinds = new Set(
      ofPool.filter((group) => weightOf(group) > 0n).map((group) => group.kind as string),
    );
    const chargedKinds = new Set(waiting.map((charge) => charge.kind));
    const target = (kind: string): string => {
      const other = kind === 'cpu' ? 'gpu' : kind === 'gpu' ? 'cpu' : kind;
      return !usedKinds.has(kind) && usedKinds.has(other) && !chargedKinds.has(other)
        ? other
        : kind;
    };
    for (const kind of new Set(waiting.map((charge) => target(charge.kind)))) {
      const ofKind = waiting.filter((charge) => target(charge.kind) === kind);
      shared.set(kind, await shareOut(db, pool, kind, ofKind, allocated, drafts));
    }
    for (const kind of usedKinds) {
      const paid = waiting.filter((charge) => coversKind(target(charge.kind), kind, chargedKinds));
      const hours =
        paid.every((charge) => target(charge.kind) === kind) && areDisjoint(paid)
          ? shared.get(kind)
          : undefined;
      // Jobs have no price of their own to be cut, and of periods apart the hours were summed
      // already.
      const jobs =
        hours === undefined
          ? []
          : ofPool.filter((group) => group.kind === kind && unpriced.includes(group.source));
      for (const group of jobs) {
        const left = group.quanta - (hours?.get(keyOf(group)) ?? 0n);
        covers.set(keyOf(group), {
          uncovered: left <= BigInt(group.rows) * ROUNDING ? 0n : left,
          own: 0n,
        });
      }
      if (jobs.length === ofPool.filter((group) => group.kind === kind).length) continue;
      for (const [key, left] of await uncovered(
        db,
        pool,
        kind,
        paid,
        jobs.length > 0 ? unpriced : [],
      ))
        covers.set(key, left);
    }
  }
  for (const charge of charges) {
    if (!charge.shared) drafts.push(chargeLine(charge, charge.attos, imported.rules[charge.rule]));
    // A pool without any usage: nobody to share with.
    else if (!groups.some((group) => group.pool === charge.pool))
      drafts.push(chargeLine(charge, charge.attos, undefined));
  }
  for (const group of groups) {
    const key = keyOf(group);
    const left = covers.get(key) ?? { uncovered: group.quanta, own: group.own };
    const covered = group.quanta - left.uncovered;
    const shares = [...(allocated.get(key) ?? new Map<string, bigint>())];
    if (shares.length === 0 && covers.has(key) && covered > 0n) shares.push([group.currency, 0n]);
    shares.forEach(([currency, attos], i) => {
      const line = usageLine(
        group,
        imported.rules,
        runs,
        i === 0 ? covered : null,
        'charge',
        'share of the charges of its period, by hours',
      );
      drafts.push({ ...line, amount: fromAttos(attos), currency });
    });
    if (left.uncovered > 0n || left.own !== 0n || (group.quanta === 0n && !covers.has(key))) {
      drafts.push(ownLine(group, left, imported.rules, runs, options));
    }
  }
  return merged(drafts);
}

/** One line for what is alike in many periods. */
function merged(drafts: readonly Draft[]): Draft[] {
  const found = new Map<string, Draft>();
  for (const draft of drafts) {
    const { model, category, source, account, what, kind, unit, money, rule, currency, columns } =
      draft;
    const key = JSON.stringify([
      model,
      category,
      source,
      account,
      what,
      kind,
      unit,
      money,
      rule,
      currency,
      columns,
    ]);
    const before = found.get(key);
    if (before === undefined) {
      found.set(key, draft);
      continue;
    }
    const held = [before.quantity, draft.quantity].flatMap((quantity) => quantity ?? []);
    found.set(key, {
      ...before,
      amount: before.amount.plus(draft.amount),
      quantity: held.length === 0 ? null : sum(held).toFixed(),
      rows: before.rows + draft.rows,
      start: before.start < draft.start ? before.start : draft.start,
      end: before.end > draft.end ? before.end : draft.end,
    });
  }
  return [...found.values()];
}

/**
 * Quanta (a thousandth of a unit-second) that a row may lose when its hours are cut at the ends of
 * periods.
 */
const ROUNDING = 1000n;

/** True when no two different periods overlap. */
function areDisjoint(periods: readonly Period[]): boolean {
  const distinct = [
    ...new Map(periods.map((period) => [`${period.start}-${period.end}`, period])).values(),
  ];
  distinct.sort((a, b) => (a.start < b.start ? -1 : 1));
  return distinct.every((period, i) => i === 0 || distinct[i - 1].end <= period.start);
}

/** True when charges for `paid` pay for use of `kind` too: a virtual machine is charged whole. */
function coversKind(paid: string, kind: string, charged: ReadonlySet<string>): boolean {
  if (paid === kind) return true;
  if (kind === 'memory') return paid === 'cpu' || paid === 'gpu';
  return kind === 'cpu' && paid === 'gpu' && !charged.has('cpu');
}

/**
 * Splits the charges of each period over the usage in it. @returns what each group used in all
 * periods together
 */
async function shareOut(
  db: Database,
  pool: number,
  kind: string,
  charges: readonly ChargeGroup[],
  allocated: Map<string, Map<string, bigint>>,
  drafts: Draft[],
): Promise<Map<string, bigint>> {
  const periods = [
    ...new Map(
      charges.map((charge) => [`${charge.start}-${charge.end}`, charge as Period]),
    ).values(),
  ];
  const values = periods.map(
    ({ start, end }, i) => `(${i}, make_timestamp(${start}), make_timestamp(${end}))`,
  );
  await db.run(
    `CREATE OR REPLACE TEMP TABLE periods AS SELECT * FROM (VALUES ${values.join(', ')}) AS p(i, s, e)`,
  );
  // A job holds so much all the time: then the rate is whole, and 64 bits are enough. Else the
  // product needs 128.
  const weight = HELD_KINDS.includes(kind)
    ? 'CASE WHEN whole = 1 THEN (quanta // long) * part ELSE ((quanta::HUGEINT * part) // long)::BIGINT END'
    : `(${WEIGHT_SQL} * part) // long`;
  const usage = `SELECT *, epoch_us(window_end) - epoch_us(window_start) AS long, (quanta % long = 0)::TINYINT AS whole FROM usage_rows WHERE pool = ${pool} AND kind = ${text(kind)} AND window_end > window_start`;
  const rows = await db.rows(`SELECT i, ${DIMS.join(', ')}, sum(${weight})::VARCHAR AS w
    FROM (SELECT *, least(epoch_us(window_end), epoch_us(e)) - greatest(epoch_us(window_start), epoch_us(s)) AS part
      FROM (${usage}) JOIN periods ON window_start < e AND window_end > s) GROUP BY ALL`);
  const weights = periods.map(() => [] as { key: string; weight: bigint }[]);
  for (const row of rows)
    weights[Number(row.i)].push({ key: keyOf(row as never), weight: BigInt(String(row.w)) });
  for (const list of weights) list.sort((a, b) => (a.key < b.key ? -1 : 1));
  const seen = new Map<string, bigint>();
  for (const { key, weight } of weights.flat()) seen.set(key, (seen.get(key) ?? 0n) + weight);
  const indexOf = new Map(periods.map(({ start, end }, i) => [`${start}-${end}`, i]));
  const placed = charges.map((charge) => ({
    charge,
    i: indexOf.get(`${charge.start}-${charge.end}`) as number,
  }));
  // What was bought in a period, by whatever charges; unknown when one of them does not say.
  const bought = periods.map(() => 0n as bigint | null);
  for (const { charge, i } of placed) {
    const before = bought[i];
    bought[i] = before === null || charge.capacity === null ? null : before + charge.capacity;
  }
  for (const { charge, i } of placed) {
    const users = weights[i];
    const total = users.reduce((all, { weight }) => all + weight, 0n);
    if (total === 0n) {
      drafts.push(chargeLine(charge, charge.attos, undefined));
      continue;
    }
    const capacity = bought[i] ?? 0n;
    const idle = capacity > total ? capacity - total : 0n;
    const parts = splitAttos(charge.attos, [...users.map(({ weight }) => weight), idle]);
    users.forEach(({ key }, n) => {
      const mine = allocated.get(key) ?? new Map<string, bigint>();
      mine.set(charge.currency, (mine.get(charge.currency) ?? 0n) + parts[n]);
      allocated.set(key, mine);
    });
    if (idle === 0n) continue;
    drafts.push({
      ...chargeLine(charge, parts[users.length], undefined),
      category: 'idle',
      quantity: hours((idle * (charge.capacity as bigint)) / capacity),
      unit: UNIT_OF[charge.kind as Kind],
      rule: 'bought, but not used',
    });
  }
  return seen;
}

/** What charges leave to be paid at its own price, by group. */
async function uncovered(
  db: Database,
  pool: number,
  kind: string,
  charges: readonly Period[],
  without: readonly string[],
): Promise<Map<string, { uncovered: bigint; own: bigint }>> {
  const islands: Period[] = [];
  for (const { start, end } of [...charges].sort((a, b) => (a.start < b.start ? -1 : 1))) {
    const last = islands[islands.length - 1];
    if (last !== undefined && start <= last.end) last.end = end > last.end ? end : last.end;
    else islands.push({ start, end });
  }
  if (islands.length === 0) return new Map();
  const covered = islands
    .map(({ start, end }) => `greatest(0, least(b, ${end}) - greatest(a, ${start}))`)
    .join(' + ');
  const inner = `SELECT *, epoch_us(window_start) AS a, epoch_us(window_end) AS b, (${covered})::HUGEINT AS paid FROM usage_rows WHERE pool = ${pool} AND kind = ${text(kind)}${without.map((source) => ` AND source <> ${text(source)}`).join('')}`;
  const left = (value: string, unit = 1) =>
    `sum(CASE WHEN paid = 0 THEN ${value} WHEN paid = b - a THEN 0 ELSE ((${value} // ${unit}) * (b - a - paid)) // (b - a) * ${unit} END)::VARCHAR`;
  const rows = await db.rows(
    `SELECT ${DIMS.join(', ')}, ${left('quanta::HUGEINT')} AS q, ${left(ATTOS_SQL, 1_000_000)} AS own FROM (${inner}) GROUP BY ALL`,
  );
  return new Map(
    rows.map((row) => [
      keyOf(row as never),
      { uncovered: BigInt(String(row.q)), own: BigInt(String(row.own)) },
    ]),
  );
}
