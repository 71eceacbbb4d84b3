/**
 * @file The bill over usage files: charges are the money, quantities say who used what the money paid for.
 *
 * 1. Usage files are imported (`usage-import.ts`), and charges summed (`usage-charges.ts`).
 * 2. A charge for a resource is shared by those who used that resource in the charge's period, in proportion to the hours of
 *    theirs that fall into it. Where the charge says how many hours were bought, what nobody used of them is *idle*.
 * 3. Usage in times that no charge covers is paid at its own price: OpenCost's, the price book's, or a price list's.
 * 4. A charge that no use explains, and that no rule names, is a line of its own.
 * 5. Idle capacity, shared services and staff stay lines of their own or are shared out by the key that the rules state.
 *
 * Shares are integers: a charge of so many 10^-18 is split into parts that add up to it (largest remainder).
 */
import { UserError } from '../base/errors.js';
import { ACCELERATORS } from '../catalog/data/accelerators.js';
import type { Key, Rule, Rules } from './allocation.js';
import type { Bill } from './bill.js';
import { type Database, openDatabase, text } from './duckdb.js';
import { type Kind, QUANTA_PER_HOUR, type Source, UNIT_OF } from './importers/source.js';
import { Decimal, toUsd } from './money.js';
import { defaultPriceBook, type PriceBook } from './pricebook.js';
import {
  type Category,
  inOrder,
  lineOfRun,
  type Money,
  STATEMENT_SCHEMA_VERSION,
  type Statement,
  type StatementLine,
  totalsOf,
} from './statement.js';
import { type ChargeGroup, sumCharges } from './usage-charges.js';
import { type Imported, importUsage } from './usage-import.js';

export interface UsageBillOptions {
  rules: Rules;
  /** The bill of runs here, when there are any: one more source of usage. */
  runs?: Bill;
  prices?: PriceBook;
  memoryBytes?: number;
  threads?: number;
}

/** Bills usage files, and runs with them. @throws UserError */
export async function computeUsageBill(paths: readonly string[], options: UsageBillOptions): Promise<Statement> {
  const db = await openDatabase(options);
  try {
    const imported = await importUsage(db, paths, options.rules);
    return await bill(db, imported, options);
  } finally {
    db.close();
  }
}

/** Usage of one kind by one account, for one purpose. */
interface UsageGroup {
  source: Source;
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

interface Draft extends Omit<StatementLine, 'amount' | 'columns'> {
  amount: Decimal;
  currency: string;
  columns?: StatementLine['columns'];
}

async function bill(db: Database, imported: Imported, options: UsageBillOptions): Promise<Statement> {
  const { rules } = options;
  const runLines = options.runs === undefined ? [] : options.runs.lines.map((line) => lineOfRun(line, options.runs as Bill));
  const hasCharges = imported.charges.length > 0;
  // Time of runs is usage as well: a charge may have paid for it.
  const timed = (line: StatementLine) => hasCharges && line.kind === 'cpu' && line.columns.includes('full');
  const counted = runLines.filter(timed);
  await insertRuns(db, counted);
  const groups = await usageGroups(db, rules);
  const used = [...new Set(groups.filter((group) => weightOf(group) > 0n).map((group) => group.kind))];
  const charges = await sumCharges(db, imported, rules, used);
  const drafts = await allocate(db, charges, groups, imported, counted, options);
  for (const line of runLines) {
    if (!timed(line)) drafts.push({ ...line, amount: new Decimal(line.amount), currency: 'USD' });
  }
  for (const { what, amount, currency, key, source } of rules.staff) {
    drafts.push(...staffLines(what, new Decimal(amount), currency, key, source));
  }
  const currency = currencyOf(drafts, rules);
  const converted = drafts.map((draft) => inCurrency(draft, currency, rules));
  const lines = inOrder(spread(spread(converted, 'idle', rules.idle.key), 'shared', rules.shared.key).map(finish));
  const times = lines
    .flatMap((line) => [line.start, line.end])
    .filter((time) => time !== '')
    .sort();
  return {
    schemaVersion: STATEMENT_SCHEMA_VERSION,
    title: options.runs === undefined ? 'Bill of usage' : `Bill of ${options.runs.runs[0].name} and usage`,
    currency,
    runs: options.runs?.runs.map((run) => run.name) ?? [],
    period: { from: times[0] ?? '', to: times[times.length - 1] ?? '' },
    lines,
    ...totalsOf(lines),
    rules: rulesUsed(groups, charges, imported.rules),
    allocationKeys: keysOf(charges, rules),
    imports: { files: imported.reports, malformed: imported.malformed, refused: imported.refused },
    notes: [...imported.notes, ...notesOf(imported, lines, rules, currency)],
  };
}

// ── usage ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const HELD_KINDS = ['gpu', 'cpu', 'memory', 'storage'];

/** Hours of what is held by the hour; of the rest, what it costs by its own price. */
const weightOf = (group: UsageGroup): bigint => (HELD_KINDS.includes(group.kind) ? group.quanta : group.own);
/** An amount in 10^-18; in two parts, since a DECIMAL(38, 18) has no room for the product. */
const ATTOS_SQL =
  'coalesce(trunc(amount)::HUGEINT * 1000000000000000000 + ((amount - trunc(amount)) * 1000000000000000000)::HUGEINT, 0)';
const WEIGHT_SQL = `CASE WHEN kind IN (${HELD_KINDS.map(text).join(', ')}) THEN quanta::HUGEINT ELSE greatest(0, ${ATTOS_SQL} // 1000000) END`;

async function insertRuns(db: Database, lines: readonly StatementLine[]): Promise<void> {
  for (const [i, line] of lines.entries()) {
    const quanta = new Decimal(line.quantity ?? 0).times(QUANTA_PER_HOUR.toString()).round().toFixed();
    const values = [
      ...['-1', "'run'", text(String(i)), "''", text(line.account), `${-2 - i}`, '-1', "'cpu'", "''", quanta],
      ...[`${line.amount}::DECIMAL(38, 18)`, `${text(line.start)}::TIMESTAMP`, `${text(line.end)}::TIMESTAMP`, 'NULL'],
    ];
    await db.run(`INSERT INTO usage_rows VALUES (${values.join(', ')})`);
  }
}

const DIMS = ['source', 'account', 'rule', 'pool', 'kind', 'detail'] as const;

async function usageGroups(db: Database, rules: Rules): Promise<UsageGroup[]> {
  const rows = await db.rows(`SELECT source, account, rule, pool, kind, detail, count(*) AS n,
      sum(quanta)::VARCHAR AS quanta, sum(${ATTOS_SQL})::VARCHAR AS own,
      epoch_us(min(window_start)) AS first, epoch_us(max(window_end)) AS last
    FROM usage_rows GROUP BY ALL ORDER BY ${DIMS.join(', ')}`);
  return rows.map((row) => ({
    source: String(row.source) as Source,
    account: String(row.account),
    rule: Number(row.rule),
    pool: Number(row.pool),
    kind: String(row.kind) as Kind,
    detail: String(row.detail),
    // Of its own price: runs are priced in dollars, and OpenCost says nothing.
    currency: row.source === 'opencost' ? (rules.opencost?.currency ?? 'USD') : 'USD',
    rows: Number(row.n),
    quanta: BigInt(String(row.quanta)),
    own: BigInt(String(row.own)),
    start: BigInt(String(row.first)),
    end: BigInt(String(row.last)),
  }));
}

const keyOf = (row: Record<(typeof DIMS)[number], unknown>): string => DIMS.map((dim) => String(row[dim] ?? '')).join('\u0000');

// ── allocation ──────────────────────────────────────────────────────────────────────────────────────────────────────

interface Period {
  start: bigint;
  end: bigint;
}

async function allocate(
  db: Database,
  charges: readonly ChargeGroup[],
  groups: readonly UsageGroup[],
  imported: Imported,
  runs: readonly StatementLine[],
  options: UsageBillOptions,
): Promise<Draft[]> {
  const drafts: Draft[] = [];
  const allocated = new Map<string, Map<string, bigint>>();
  const covers = new Map<string, { uncovered: bigint; own: bigint }>();
  for (const pool of new Set(groups.map((group) => group.pool))) {
    const ofPool = groups.filter((group) => group.pool === pool);
    const waiting = charges.filter((charge) => charge.shared && charge.pool === pool);
    if (waiting.length === 0) continue;
    const shared = new Map<string, Map<string, bigint>>();
    const usedKinds = new Set(ofPool.filter((group) => weightOf(group) > 0n).map((group) => group.kind as string));
    const chargedKinds = new Set(waiting.map((charge) => charge.kind));
    const target = (kind: string): string => {
      const other = kind === 'cpu' ? 'gpu' : kind === 'gpu' ? 'cpu' : kind;
      return !usedKinds.has(kind) && usedKinds.has(other) && !chargedKinds.has(other) ? other : kind;
    };
    for (const kind of new Set(waiting.map((charge) => target(charge.kind)))) {
      const ofKind = waiting.filter((charge) => target(charge.kind) === kind);
      shared.set(kind, await shareOut(db, pool, kind, ofKind, allocated, drafts));
    }
    for (const kind of usedKinds) {
      const paid = waiting.filter((charge) => coversKind(target(charge.kind), kind, chargedKinds));
      const hours = paid.every((charge) => target(charge.kind) === kind) && areDisjoint(paid) ? shared.get(kind) : undefined;
      // Jobs have no price of their own to be cut, and of periods apart the hours were summed already.
      const jobs = hours === undefined ? [] : ofPool.filter((group) => group.kind === kind && group.source === 'slurm');
      for (const group of jobs) {
        const left = group.quanta - (hours?.get(keyOf(group)) ?? 0n);
        covers.set(keyOf(group), { uncovered: left <= BigInt(group.rows) * ROUNDING ? 0n : left, own: 0n });
      }
      if (jobs.length === ofPool.filter((group) => group.kind === kind).length) continue;
      for (const [key, left] of await uncovered(db, pool, kind, paid, jobs.length > 0)) covers.set(key, left);
    }
  }
  for (const charge of charges) {
    if (!charge.shared) drafts.push(chargeLine(charge, charge.attos, imported.rules[charge.rule]));
    // A pool without any usage: nobody to share with.
    else if (!groups.some((group) => group.pool === charge.pool)) drafts.push(chargeLine(charge, charge.attos, undefined));
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
  return drafts;
}

/** Quanta (a thousandth of a unit-second) that a row may lose when its hours are cut at the ends of periods. */
const ROUNDING = 1000n;

/** True when no two different periods overlap. */
function areDisjoint(periods: readonly Period[]): boolean {
  const distinct = [...new Map(periods.map((period) => [`${period.start}-${period.end}`, period])).values()];
  distinct.sort((a, b) => (a.start < b.start ? -1 : 1));
  return distinct.every((period, i) => i === 0 || distinct[i - 1].end <= period.start);
}

/** True when charges for `paid` pay for use of `kind` too: a virtual machine is charged whole. */
function coversKind(paid: string, kind: string, charged: ReadonlySet<string>): boolean {
  if (paid === kind) return true;
  if (kind === 'memory') return paid === 'cpu' || paid === 'gpu';
  return kind === 'cpu' && paid === 'gpu' && !charged.has('cpu');
}

/** Splits the charges of each period over the usage in it. @returns what each group used in all periods together */
async function shareOut(
  db: Database,
  pool: number,
  kind: string,
  charges: readonly ChargeGroup[],
  allocated: Map<string, Map<string, bigint>>,
  drafts: Draft[],
): Promise<Map<string, bigint>> {
  const periods = [...new Map(charges.map((charge) => [`${charge.start}-${charge.end}`, charge as Period])).values()];
  const values = periods.map(({ start, end }, i) => `(${i}, make_timestamp(${start}), make_timestamp(${end}))`);
  await db.run(`CREATE OR REPLACE TEMP TABLE periods AS SELECT * FROM (VALUES ${values.join(', ')}) AS p(i, s, e)`);
  // A job holds so much all the time: then the rate is whole, and 64 bits are enough. Else the product needs 128.
  const weight = HELD_KINDS.includes(kind)
    ? 'CASE WHEN whole = 1 THEN (quanta // long) * part ELSE ((quanta::HUGEINT * part) // long)::BIGINT END'
    : `(${WEIGHT_SQL} * part) // long`;
  const usage = `SELECT *, epoch_us(window_end) - epoch_us(window_start) AS long, (quanta % long = 0)::TINYINT AS whole FROM usage_rows WHERE pool = ${pool} AND kind = ${text(kind)} AND window_end > window_start`;
  const rows = await db.rows(`SELECT i, ${DIMS.join(', ')}, sum(${weight})::VARCHAR AS w
    FROM (SELECT *, least(epoch_us(window_end), epoch_us(e)) - greatest(epoch_us(window_start), epoch_us(s)) AS part
      FROM (${usage}) JOIN periods ON window_start < e AND window_end > s) GROUP BY ALL`);
  const weights = periods.map(() => [] as { key: string; weight: bigint }[]);
  for (const row of rows) weights[Number(row.i)].push({ key: keyOf(row as never), weight: BigInt(String(row.w)) });
  for (const list of weights) list.sort((a, b) => (a.key < b.key ? -1 : 1));
  const seen = new Map<string, bigint>();
  for (const { key, weight } of weights.flat()) seen.set(key, (seen.get(key) ?? 0n) + weight);
  const indexOf = new Map(periods.map(({ start, end }, i) => [`${start}-${end}`, i]));
  const placed = charges.map((charge) => ({ charge, i: indexOf.get(`${charge.start}-${charge.end}`) as number }));
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
      rule: 'bought, and nobody used it',
    });
  }
  return seen;
}

/** Integer parts in proportion to weights (largest remainder; ties to the first); they add up to `total`. */
export function splitAttos(total: bigint, weights: readonly bigint[]): bigint[] {
  const all = weights.reduce((sum, weight) => sum + weight, 0n);
  const size = total < 0n ? -total : total;
  const parts = weights.map((weight) => (size * weight) / all);
  const order = weights
    .map((weight, i) => ({ i, left: (size * weight) % all }))
    .sort((a, b) => (a.left === b.left ? a.i - b.i : a.left > b.left ? -1 : 1));
  let missing = size - parts.reduce((sum, part) => sum + part, 0n);
  for (const { i } of order) {
    if (missing === 0n) break;
    parts[i]++;
    missing--;
  }
  return total < 0n ? parts.map((part) => -part) : parts;
}

/** What charges leave to be paid at its own price, by group. */
async function uncovered(
  db: Database,
  pool: number,
  kind: string,
  charges: readonly Period[],
  withoutJobs: boolean,
): Promise<Map<string, { uncovered: bigint; own: bigint }>> {
  const islands: Period[] = [];
  for (const { start, end } of [...charges].sort((a, b) => (a.start < b.start ? -1 : 1))) {
    const last = islands[islands.length - 1];
    if (last !== undefined && start <= last.end) last.end = end > last.end ? end : last.end;
    else islands.push({ start, end });
  }
  if (islands.length === 0) return new Map();
  const covered = islands.map(({ start, end }) => `greatest(0, least(b, ${end}) - greatest(a, ${start}))`).join(' + ');
  const inner = `SELECT *, epoch_us(window_start) AS a, epoch_us(window_end) AS b, (${covered})::HUGEINT AS paid FROM usage_rows WHERE pool = ${pool} AND kind = ${text(kind)}${withoutJobs ? " AND source <> 'slurm'" : ''}`;
  const left = (value: string, unit = 1) =>
    `sum(CASE WHEN paid = 0 THEN ${value} WHEN paid = b - a THEN 0 ELSE ((${value} // ${unit}) * (b - a - paid)) // (b - a) * ${unit} END)::VARCHAR`;
  const rows = await db.rows(
    `SELECT ${DIMS.join(', ')}, ${left('quanta::HUGEINT')} AS q, ${left(ATTOS_SQL, 1_000_000)} AS own FROM (${inner}) GROUP BY ALL`,
  );
  return new Map(rows.map((row) => [keyOf(row as never), { uncovered: BigInt(String(row.q)), own: BigInt(String(row.own)) }]));
}

// ── lines ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const fromAttos = (attos: bigint): Decimal => new Decimal(attos.toString()).div('1e18');
const hours = (quanta: bigint): string =>
  new Decimal(quanta.toString()).div(QUANTA_PER_HOUR.toString()).toDecimalPlaces(9).toFixed();
const time = (micros: bigint): string => new Date(Number(micros / 1000n)).toISOString();

function categoryOf(rule: Rule | undefined, otherwise: Category): Category {
  return rule === undefined ? otherwise : (rule.is as Category);
}

function chargeLine(charge: ChargeGroup, attos: bigint, rule: Rule | undefined): Draft {
  return {
    model: rule?.model ?? '',
    category: categoryOf(rule, 'unallocated'),
    source: 'focus',
    account: charge.account,
    what: charge.service,
    kind: charge.kind as Kind,
    quantity: null,
    unit: '',
    amount: fromAttos(attos),
    currency: charge.currency,
    money: 'charge',
    rule: rule?.text ?? 'no rule names it, and no usage explains it',
    start: time(charge.start),
    end: time(charge.end),
    rows: charge.rows,
  };
}

function usageLine(
  group: UsageGroup,
  rules: readonly Rule[],
  runs: readonly StatementLine[],
  quanta: bigint | null,
  money: Money,
  why: string,
): Omit<Draft, 'amount' | 'currency'> {
  const run = group.rule <= -2 ? runs[-2 - group.rule] : undefined;
  const rule = rules[group.rule];
  return {
    model: run?.model ?? rule?.model ?? '',
    category: run?.category ?? categoryOf(rule, 'unassigned'),
    source: group.source,
    account: group.account,
    what: run?.what ?? group.detail,
    kind: group.kind,
    quantity: quanta === null || UNIT_OF[group.kind] === '' ? null : hours(quanta),
    unit: UNIT_OF[group.kind],
    money,
    rule: `${rule?.text ?? (run === undefined ? 'no rule matched' : 'the run says so')}; ${why}`,
    start: time(group.start),
    end: time(group.end),
    rows: group.rows,
    ...(run === undefined ? {} : { columns: run.columns }),
  };
}

/** Usage at its own price. */
function ownLine(
  group: UsageGroup,
  left: { uncovered: bigint; own: bigint },
  rules: readonly Rule[],
  runs: readonly StatementLine[],
  options: UsageBillOptions,
): Draft {
  const line = (money: Money, why: string) => usageLine(group, rules, runs, left.uncovered, money, why);
  if (group.source === 'run') {
    const amount = fromAttos(left.own);
    return { ...line('price book', runs[-2 - group.rule].rule), amount, currency: 'USD' };
  }
  if (group.source === 'opencost') {
    const amount = fromAttos(left.own);
    return { ...line('opencost price', "OpenCost's own price, no charge covers it"), amount, currency: group.currency };
  }
  const price = priceOf(group, options);
  if (price === null)
    return { ...line('unpriced', 'no charge covers it, and it has no price'), amount: new Decimal(0), currency: 'USD' };
  const amount = toUsd(new Decimal(left.uncovered.toString()).times(price.price).div(QUANTA_PER_HOUR.toString()));
  return {
    ...line('price list', `${price.price} ${price.currency} per ${UNIT_OF[group.kind]}: ${price.source}`),
    amount,
    currency: price.currency,
  };
}

/** Letters and digits, without the makers' words: `NVIDIA_H100-SXM` is h100sxm. */
const plain = (model: string): string =>
  model
    .toLowerCase()
    .replace(/nvidia|tesla|amd|instinct/g, '')
    .replace(/[^a-z0-9]/g, '');

/** From the rules, most particular first; then the catalog. */
function priceOf(group: UsageGroup, options: UsageBillOptions): { price: string; currency: string; source: string } | null {
  const unit = UNIT_OF[group.kind];
  const stated = options.rules.prices[`${unit}:${group.detail}`] ?? options.rules.prices[unit];
  if (stated !== undefined) return stated;
  if (group.kind === 'cpu') {
    const { value, source, date } = (options.prices ?? defaultPriceBook()).rentUsdPerCoreHour;
    return { price: String(value), currency: 'USD', source: `${source} (${date})` };
  }
  const wanted = plain(group.detail);
  const found =
    wanted === ''
      ? undefined
      : ACCELERATORS.find((one) => [one.id, one.name, ...one.aliases].some((known) => plain(known) === wanted));
  if (group.kind !== 'gpu' || found === undefined) return null;
  const [value, , , source, date] = found.usdPerHour;
  return { price: String(value), currency: 'USD', source: `${found.name}, ${source} (${date})` };
}

function staffLines(what: string, amount: Decimal, currency: string, key: Key, source: string): Draft[] {
  const line = (model: string, part: Decimal, why: string): Draft => ({
    ...{
      model,
      category: 'staff',
      source: 'stated',
      account: '',
      what,
      kind: 'staff',
      quantity: null,
      unit: '',
      amount: part,
      currency,
    },
    ...{ money: 'stated', rule: `${source}; ${why}`, start: '', end: '', rows: 1 },
  });
  if (typeof key === 'string') return [line('', amount, key === 'usage' ? SHARED_BY_USE : 'not allocated to a model')];
  const parts = splitAttos(
    attos(amount),
    Object.values(key).map((share) => attos(new Decimal(share))),
  );
  return Object.keys(key).map((model, i) => line(model, fromAttos(parts[i]), `share ${key[model]}, as stated`));
}

const SHARED_BY_USE = 'allocated by use';
const attos = (amount: Decimal): bigint => BigInt(amount.times('1e18').toFixed(0));

/** Lines of a category (and staff to be shared by use), shared out to models by the key. */
function spread(lines: readonly Draft[], category: 'idle' | 'shared', key: Key): Draft[] {
  const isSpread = (line: Draft) =>
    (line.category === category && line.model === '' && key !== 'separate') ||
    (category === 'shared' && line.category === 'staff' && line.rule.endsWith(SHARED_BY_USE));
  const weights = new Map<string, bigint>();
  for (const line of lines) {
    if (line.model === '' || line.category === 'staff') continue;
    const amount = attos(line.amount);
    if (amount > 0n) weights.set(line.model, (weights.get(line.model) ?? 0n) + amount);
  }
  return lines.flatMap((line) => {
    if (!isSpread(line)) return [line];
    const stated = line.category !== 'staff' && typeof key === 'object' ? key : undefined;
    const shares =
      stated === undefined
        ? weights
        : new Map(Object.entries(stated).map(([model, share]) => [model, attos(new Decimal(share))]));
    if (shares.size === 0) return [line];
    const parts = splitAttos(attos(line.amount), [...shares.values()]);
    const why = stated === undefined ? 'by what each model cost otherwise' : 'as stated';
    return [...shares.keys()].map((model, i) => ({
      ...line,
      model,
      amount: fromAttos(parts[i]),
      quantity: null,
      rule: `${line.rule}; shared ${why}`,
    }));
  });
}

function currencyOf(drafts: readonly Draft[], rules: Rules): string {
  const found = [...new Set(drafts.filter((draft) => !draft.amount.isZero()).map((draft) => draft.currency))];
  return rules.currency ?? (found.length === 1 ? found[0] : 'USD');
}

function inCurrency(draft: Draft, currency: string, rules: Rules): Draft {
  if (draft.currency === currency || draft.amount.isZero()) return { ...draft, currency };
  const stated = rules.rates[draft.currency];
  if (stated === undefined) {
    throw new UserError(
      'usage',
      `amounts in ${draft.currency} and in ${currency} are not added without a rate; state one in the allocation rules: "rates": {"${draft.currency}": {"rate": "1.08", "date": "2026-09-30", "source": "…"}}`,
      'rates',
    );
  }
  const amount = draft.amount.times(stated.rate).toDecimalPlaces(18);
  return {
    ...draft,
    amount,
    currency,
    rule: `${draft.rule}; 1 ${draft.currency} = ${stated.rate} ${currency} (${stated.source}, ${stated.date})`,
  };
}

const HEADLINE_KINDS: readonly Kind[] = ['gpu', 'cpu'];

function finish({ currency: _, ...draft }: Draft): StatementLine {
  const isHeadline = draft.category === 'final' && HEADLINE_KINDS.includes(draft.kind);
  return { ...draft, amount: draft.amount.toFixed(), columns: draft.columns ?? (isHeadline ? ['headline', 'full'] : ['full']) };
}

// ── what was done ───────────────────────────────────────────────────────────────────────────────────────────────────

function rulesUsed(groups: readonly UsageGroup[], charges: readonly ChargeGroup[], rules: readonly Rule[]): Statement['rules'] {
  const rows = new Map<number, number>();
  for (const { rule, rows: n } of [...groups, ...charges]) if (rule >= 0) rows.set(rule, (rows.get(rule) ?? 0) + n);
  return [...rows].sort(([a], [b]) => a - b).map(([rule, n]) => ({ rule: rules[rule].text, rows: n }));
}

function keysOf(charges: readonly ChargeGroup[], rules: Rules): string[] {
  const word = (key: Key) =>
    typeof key === 'object'
      ? Object.entries(key)
          .map(([model, share]) => `${model} ${share}`)
          .join(', ')
      : key === 'usage'
        ? 'by what each model cost otherwise'
        : 'not allocated to models';
  return [
    ...(charges.some((charge) => charge.shared)
      ? ['charges: hours of the resource that were used in the period of the charge']
      : []),
    `idle: ${word(rules.idle.key)}`,
    `shared: ${word(rules.shared.key)}`,
    ...rules.staff.map(({ what, key }) => `${what}: ${word(key)}`),
  ];
}

function notesOf(imported: Imported, lines: readonly StatementLine[], rules: Rules, currency: string): string[] {
  const notes: string[] = [];
  const count = (of: 'malformed' | 'refused') => imported.reports.reduce((total, report) => total + report[of], 0);
  if (count('malformed') > 0)
    notes.push(`${count('malformed')} malformed rows are not billed; they are listed with file, line and reason.`);
  if (count('refused') > 0)
    notes.push(`${count('refused')} charges overlap charges of an earlier file and are not billed; they are listed.`);
  const ignored = imported.rules.filter((rule) => rule.is === 'ignore').map((rule) => rule.text);
  if (ignored.length > 0) notes.push(`Left out by rule: ${ignored.join('; ')}.`);
  const unpriced = lines.filter((line) => line.money === 'unpriced');
  for (const unit of new Set(unpriced.map((line) => line.unit))) {
    const total = unpriced
      .filter((line) => line.unit === unit)
      .reduce((all, line) => all.plus(line.quantity ?? 0), new Decimal(0));
    notes.push(
      `${total.toFixed()} ${unit}s have no price and count as nothing; state one in the rules: "prices": {"${unit}": …}.`,
    );
  }
  if (imported.reports.some((report) => report.format.startsWith('slurm')) && rules.slurm.timezone === 'UTC') {
    notes.push('Slurm writes local times without a zone: UTC is assumed; "slurm": {"timezone": …} in the rules states it.');
  }
  if (imported.charges.length > 0) notes.push(`Charges are taken at ${rules.focus.cost}.`);
  if (currency !== 'USD') notes.push(`All amounts are in ${currency}.`);
  return notes;
}
