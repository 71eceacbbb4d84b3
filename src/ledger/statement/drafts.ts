/**
 * @file The lines of a bill over usage files, before they are rounded and ordered: charges, shares
 * of them, usage at its own price, staff; converted to one currency, and idle capacity and shared
 * services handed out by their keys.
 */
import { UserError } from '../../base/errors.js';
import { ACCELERATORS } from '../../catalog/data/accelerators.js';
import type { Key, Rule, Rules } from '../book/allocation-rules.js';
import { defaultPriceBook, type PriceBook } from '../book/price-book.js';
import type { ChargeGroup } from '../import/charges.js';
import { type Importer, type Kind, QUANTA_PER_HOUR, UNIT_OF } from '../import/importer.js';
import { Decimal, toUsd } from '../money.js';
import type { UsageGroup } from './groups.js';
import type { Category, Money, Statement, StatementLine } from './statement.js';

export interface UsageBillOptions {
  rules: Rules;
  /** The statement of runs here, when there are any: one more source of usage. */
  runs?: Statement;
  prices?: PriceBook;
  /** Default: those of the table. */
  importers?: readonly Importer[];
  memoryBytes?: number;
  threads?: number;
}

export interface Draft extends Omit<StatementLine, 'amount' | 'columns'> {
  amount: Decimal;
  currency: string;
  columns?: StatementLine['columns'];
}

export const fromAttos = (attos: bigint): Decimal => new Decimal(attos.toString()).div('1e18');
export const hours = (quanta: bigint): string =>
  new Decimal(quanta.toString()).div(QUANTA_PER_HOUR.toString()).toDecimalPlaces(9).toFixed();
const time = (micros: bigint): string => new Date(Number(micros / 1000n)).toISOString();

function categoryOf(rule: Rule | undefined, otherwise: Category): Category {
  return rule === undefined ? otherwise : (rule.is as Category);
}

export function chargeLine(charge: ChargeGroup, attos: bigint, rule: Rule | undefined): Draft {
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

export function usageLine(
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
export function ownLine(
  group: UsageGroup,
  left: { uncovered: bigint; own: bigint },
  rules: readonly Rule[],
  runs: readonly StatementLine[],
  options: UsageBillOptions,
): Draft {
  const line = (money: Money, why: string) =>
    usageLine(group, rules, runs, left.uncovered, money, why);
  if (group.source === 'run') {
    const amount = fromAttos(left.own);
    return { ...line('price book', runs[-2 - group.rule].rule), amount, currency: 'USD' };
  }
  if (group.own !== 0n || group.quanta === 0n) {
    const why = `${group.source}'s own price, no charge covers it`;
    return { ...line('own price', why), amount: fromAttos(left.own), currency: group.currency };
  }
  const price = priceOf(group, options);
  if (price === null)
    return {
      ...line('unpriced', 'no charge covers it, and it has no price'),
      amount: new Decimal(0),
      currency: 'USD',
    };
  const amount = toUsd(
    new Decimal(left.uncovered.toString()).times(price.price).div(QUANTA_PER_HOUR.toString()),
  );
  return {
    ...line(
      'price list',
      `${price.price} ${price.currency} per ${UNIT_OF[group.kind]}: ${price.source}`,
    ),
    amount,
    currency: price.currency,
  };
}

/** Letters and digits, without makers and MIG slices: `NVIDIA_H100-SXM_1g.10gb` is h100sxm. */
const plain = (model: string): string =>
  model
    .toLowerCase()
    .replace(/[_-]?\d+g\.\d+gb.*$/, '')
    .replace(/nvidia|tesla|amd|instinct/g, '')
    .replace(/[^a-z0-9]/g, '');

/** From the rules, most particular first; then the catalog. */
function priceOf(
  group: UsageGroup,
  options: UsageBillOptions,
): { price: string; currency: string; source: string } | null {
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
      : ACCELERATORS.find((one) =>
          [one.id, one.name, ...one.aliases].some((known) => plain(known) === wanted),
        );
  if (group.kind !== 'gpu' || found === undefined) return null;
  const [value, , , source, date] = found.usdPerHour;
  return { price: String(value), currency: 'USD', source: `${found.name}, ${source} (${date})` };
}

export function staffLines(
  what: string,
  amount: Decimal,
  currency: string,
  key: Key,
  source: string,
): Draft[] {
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
  if (typeof key === 'string')
    return [line('', amount, key === 'usage' ? SHARED_BY_USE : 'not allocated to a model')];
  const parts = splitAttos(
    attos(amount),
    Object.values(key).map((share) => attos(new Decimal(share))),
  );
  return Object.keys(key).map((model, i) =>
    line(model, fromAttos(parts[i]), `share ${key[model]}, as stated`),
  );
}

const SHARED_BY_USE = 'allocated by use';
const attos = (amount: Decimal): bigint => BigInt(amount.times('1e18').toFixed(0));

/** Lines of a category (and staff to be shared by use), shared out to models by the key. */
export function spread(lines: readonly Draft[], category: 'idle' | 'shared', key: Key): Draft[] {
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
        : new Map(
            Object.entries(stated).map(([model, share]) => [model, attos(new Decimal(share))]),
          );
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

export function currencyOf(drafts: readonly Draft[], rules: Rules): string {
  const found = [
    ...new Set(drafts.filter((draft) => !draft.amount.isZero()).map((draft) => draft.currency)),
  ];
  return rules.currency ?? (found.length === 1 ? found[0] : 'USD');
}

export function inCurrency(draft: Draft, currency: string, rules: Rules): Draft {
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

export function finish({ currency: _, ...draft }: Draft): StatementLine {
  const isHeadline = draft.category === 'final' && HEADLINE_KINDS.includes(draft.kind);
  return {
    ...draft,
    amount: draft.amount.toFixed(),
    columns: draft.columns ?? (isHeadline ? ['headline', 'full'] : ['full']),
  };
}

/**
 * Integer parts in proportion to weights (largest remainder; ties to the first); they add up to
 * `total`.
 */
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
