/**
 * @file Usage records of runs, grouped and priced: what a statement's lines of runs are made of.
 */
import type { Basis, Purpose, Usage } from '../../usage/usage.js';
import { type PriceBook, type UnitPrices, unitPrices } from '../book/price-book.js';
import { Decimal, toUsd } from '../money.js';

export type Column = 'headline' | 'full';
/**
 * `kept`: led to the final weights; `lost`: superseded by a resume; `discarded`: a stage that was
 * not used; `other-run`.
 */
export type LineStatus = 'kept' | 'lost' | 'discarded' | 'other-run';
export type LineItem = 'core time, rented' | 'core time, owned' | 'electricity' | 'storage';

export interface PricedUsage {
  run: string;
  stage: string;
  purpose: Purpose;
  /** 0, and one more with each resume. */
  attempt: number;
  status: LineStatus;
  item: LineItem;
  /** Exact decimal strings. `amount` = quantity × price, rounded to 10^-12 dollars. */
  quantity: string;
  unit: 'core-hour' | 'kWh' | 'GB';
  price: {
    amount: string;
    unit: string;
    basis: string;
    source: string;
    date: string;
    region: string;
  };
  amount: string;
  /** With every price at its low or high end. */
  low: string;
  high: string;
  /** Of the quantity. */
  basis: Basis;
  columns: Column[];
}

/** A usage record with what decides its columns. */
export interface UsageEntry {
  run: string;
  usage: Usage;
  attempt: number;
  status: LineStatus;
  /** Bytes that are billed as stored. */
  billedBytes: number;
  /** Index in its run's log; -1 for what is no event. */
  index: number;
}

/**
 * Joules of a record. An estimate is made anew from the price book's watts, so that one's own watts
 * take effect.
 */
export function energyOf(usage: Usage, book: PriceBook): Decimal {
  if (usage.energyBasis !== 'estimated') return new Decimal(usage.energyJoules);
  return new Decimal(usage.workerSeconds).times(book.wattsPerBusyCore.value);
}

/**
 * Priced usage: one per run, stage, purpose, attempt, status, item and basis, in the order of first
 * appearance.
 */
export function priceEntries(entries: readonly UsageEntry[], book: PriceBook): PricedUsage[] {
  const prices = unitPrices(book);
  type Head = Omit<PricedUsage, 'quantity' | 'amount' | 'low' | 'high' | 'unit' | 'price'>;
  const found = new Map<string, { head: Head; held: Decimal }>();
  for (const entry of entries) {
    for (const [item, amount, basis, columns] of itemsOf(entry, book)) {
      if (amount.isZero()) continue;
      const { run, attempt, status, usage } = entry;
      const { stage, purpose } = usage;
      const key = JSON.stringify([run, stage, purpose, attempt, status, item, basis]);
      const existing = found.get(key);
      if (existing) existing.held = existing.held.plus(amount);
      else {
        const head = { run, stage, purpose, attempt, status, item, basis, columns };
        found.set(key, { head, held: amount });
      }
    }
  }
  return [...found.values()].map(({ head, held }) => {
    const { unit, divisor, price } = ITEMS[head.item];
    // Multiplied before divided: one rounding, the last.
    const at = (usd: Decimal): string => toUsd(held.times(usd).div(divisor)).toFixed();
    const { usd, low, high, basis, source, date, region, unit: per } = prices[price];
    return {
      ...head,
      quantity: held.div(divisor).toDecimalPlaces(15).toFixed(),
      unit,
      price: { amount: usd.toFixed(), unit: per, basis, source, date, region },
      amount: at(usd),
      low: at(low),
      high: at(high),
    };
  });
}

/** Recorded units (seconds, joules, bytes) per billed unit, and the price. */
const ITEMS: Record<
  LineItem,
  { unit: PricedUsage['unit']; divisor: number; price: keyof UnitPrices }
> = {
  'core time, rented': { unit: 'core-hour', divisor: 3600, price: 'rent' },
  'core time, owned': { unit: 'core-hour', divisor: 3600, price: 'depreciation' },
  electricity: { unit: 'kWh', divisor: 3_600_000, price: 'electricity' },
  storage: { unit: 'GB', divisor: 1e9, price: 'storage' },
};

type Item = [item: LineItem, amount: Decimal, basis: Basis, columns: Column[]];

function itemsOf({ usage, status, billedBytes }: UsageEntry, book: PriceBook): Item[] {
  const isHeadline = status === 'kept' && usage.purpose === 'training';
  const time = new Decimal(usage.workerSeconds);
  const storage: Item = ['storage', new Decimal(billedBytes), usage.basis, ['full']];
  if (book.mode === 'rent') {
    return [
      ['core time, rented', time, usage.basis, isHeadline ? ['headline', 'full'] : ['full']],
      storage,
    ];
  }
  const rented: Item[] = isHeadline ? [['core time, rented', time, usage.basis, ['headline']]] : [];
  return [
    ...rented,
    ['core time, owned', time, usage.basis, ['full']],
    ['electricity', energyOf(usage, book), usage.energyBasis, ['full']],
    storage,
  ];
}
