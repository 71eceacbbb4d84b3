/**
 * @file The bill over usage files: charges are the money, quantities say who used what the money
 * paid for.
 *
 * 1. Usage files are imported (`import/import.ts`), and charges summed (`import/charges.ts`).
 * 2. A charge for a resource is shared by those who used that resource in the charge's period, in
 *    proportion to the hours of theirs that fall into it. Where the charge says how many hours were
 *    bought, what nobody used of them is *idle*.
 * 3. Usage in times that no charge covers is paid at its own price: OpenCost's, the price book's,
 *    or a price list's.
 * 4. A charge that no use explains, and that no rule names, is a line of its own.
 * 5. Idle capacity, shared services and staff stay lines of their own or are shared out by the key
 *    that the rules state.
 *
 * Shares are integers: a charge of so many 10^-18 is split into parts that add up to it (largest
 * remainder).
 */
import type { Key, Rule, Rules } from '../book/allocation-rules.js';
import { type ChargeGroup, sumCharges } from '../import/charges.js';
import { type Database, openDatabase } from '../import/duckdb.js';
import { importUsage } from '../import/import.js';
import type { Importer, Malformed } from '../import/importer.js';
import { IMPORTERS } from '../import/importers.js';
import type { FileReport, Imported } from '../import/report.js';
import { Decimal } from '../money.js';
import {
  currencyOf,
  finish,
  inCurrency,
  spread,
  staffLines,
  type UsageBillOptions,
} from './drafts.js';
import { insertRuns, type UsageGroup, usageGroups, weightOf } from './groups.js';
import { allocate } from './shares.js';
import {
  inOrder,
  STATEMENT_SCHEMA_VERSION,
  type Statement,
  type StatementLine,
  totalsOf,
} from './statement.js';

export type { UsageBillOptions } from './drafts.js';

/** Bills usage files, and runs with them. @throws UserError */
export async function computeUsageBill(
  paths: readonly string[],
  options: UsageBillOptions,
): Promise<Statement> {
  const { importers = IMPORTERS } = options;
  const db = await openDatabase(options);
  try {
    const imported = await importUsage(db, paths, options.rules, importers);
    return await bill(db, imported, { ...options, importers });
  } finally {
    db.close();
  }
}

async function bill(
  db: Database,
  imported: Imported,
  options: UsageBillOptions & { importers: readonly Importer[] },
): Promise<Statement> {
  const { rules, importers } = options;
  const { runs } = options;
  const runLines = runs?.lines ?? [];
  const hasCharges = imported.charges.length > 0;
  // Time of runs is usage as well: a charge may have paid for it.
  const timed = (line: StatementLine) =>
    hasCharges && line.kind === 'cpu' && line.columns.includes('full');
  const counted = runLines.filter(timed);
  await insertRuns(db, counted);
  const groups = await usageGroups(db, rules, importers);
  const used = [
    ...new Set(groups.filter((group) => weightOf(group) > 0n).map((group) => group.kind)),
  ];
  const charges = await sumCharges(db, imported, rules, used);
  const drafts = await allocate(db, charges, groups, imported, counted, options);
  await Promise.all(imported.hashing);
  for (const line of runLines) {
    // Of one currency and whole: low and high ends are those of runs alone.
    const { low: _, high: __, ...rest } = line;
    if (!timed(line)) drafts.push({ ...rest, amount: new Decimal(line.amount), currency: 'USD' });
  }
  for (const { what, amount, currency, key, source } of rules.staff) {
    drafts.push(...staffLines(what, new Decimal(amount), currency, key, source));
  }
  const currency = currencyOf(drafts, rules);
  const converted = drafts.map((draft) => inCurrency(draft, currency, rules));
  const lines = inOrder(
    spread(spread(converted, 'idle', rules.idle.key), 'shared', rules.shared.key).map(finish),
  );
  const times = lines
    .flatMap((line) => [line.start, line.end])
    .filter((time) => time !== '')
    .sort();
  return {
    schemaVersion: STATEMENT_SCHEMA_VERSION,
    title: runs === undefined ? 'Bill of usage' : `${runs.title} and usage`,
    currency,
    runs: runs?.runs ?? [],
    period: { from: times[0] ?? '', to: times[times.length - 1] ?? '' },
    lines,
    ...totalsOf(lines),
    rules: rulesUsed(groups, charges, imported.rules),
    allocationKeys: keysOf(charges, rules),
    imports: {
      files: imported.reports,
      malformed: inPlace(imported.malformed, imported.reports),
      refused: imported.refused,
      repeated: imported.repeated,
    },
    notes: [...imported.notes, ...notesOf(imported, lines, currency)],
    ...(runs === undefined ? {} : sectionsOf(runs)),
  };
}

/** By file, in the order in which they were named, then by line. */
function inPlace(rows: readonly Malformed[], files: readonly FileReport[]): Malformed[] {
  const order = new Map(files.map(({ path }, i) => [path, i]));
  const place = ({ file }: Malformed): number => order.get(file) ?? 0;
  return [...rows].sort((a, b) => place(a) - place(b) || a.line - b.line);
}

function rulesUsed(
  groups: readonly UsageGroup[],
  charges: readonly ChargeGroup[],
  rules: readonly Rule[],
): Statement['rules'] {
  const rows = new Map<number, number>();
  for (const { rule, rows: n } of [...groups, ...charges])
    if (rule >= 0) rows.set(rule, (rows.get(rule) ?? 0) + n);
  return [...rows]
    .sort(([a], [b]) => a - b)
    .map(([rule, n]) => ({ rule: rules[rule].text, rows: n }));
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

function notesOf(imported: Imported, lines: readonly StatementLine[], currency: string): string[] {
  const notes: string[] = [];
  const count = (of: 'malformed' | 'refused') =>
    imported.reports.reduce((total, report) => total + report[of], 0);
  if (count('malformed') > 0)
    notes.push(
      `${count('malformed')} malformed rows are not billed; they are listed with file, line and reason.`,
    );
  if (count('refused') > 0)
    notes.push(
      `${count('refused')} charges overlap charges of an earlier file and are not billed; they are listed.`,
    );
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
  if (currency !== 'USD') notes.push(`All amounts are in ${currency}.`);
  return notes;
}

const sectionsOf = ({ gains, work, predicted, priceBook, otherMode }: Statement) => ({
  gains,
  work,
  predicted,
  priceBook,
  otherMode,
});
