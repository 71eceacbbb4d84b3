/**
 * @file What a machine loses in value, and what the money in it costs.
 *
 * Two ways of writing off. Straight line: the same part of the price each year, down to the resale
 * value at the end of its life. Replacement cost: what it would take to buy the same performance
 * anew, which falls by a constant factor a year (0.14 orders of magnitude, Cottier et al. 2024), so
 * that most is lost early. The money in it costs its rate on what has not been written off yet, or,
 * as a lender counts, level monthly payments over its life.
 */
import { Decimal } from '../money.js';

export type Depreciation = 'straight-line' | 'replacement-cost';

/** On what has not been written off, or in level monthly payments. */
export type CapitalMethod = 'book-value' | 'annuity';

export interface Asset {
  /** Dollars paid. */
  price: Decimal;
  /** Dollars that it is sold for at the end of its life. */
  resale: Decimal;
  lifeYears: Decimal;
  /** Orders of magnitude a year by which equal performance gets cheaper; for replacement cost. */
  decline: Decimal;
}

const MONTHS = 12;

/** Dollars that are left of the price after some years, not beyond its life. */
export function bookValue(
  { price, resale, lifeYears, decline }: Asset,
  method: Depreciation,
  years: Decimal,
): Decimal {
  if (method === 'replacement-cost')
    return price.times(new Decimal(10).pow(decline.times(years).negated()));
  return price.minus(price.minus(resale).times(years).div(lifeYears));
}

/** Dollars that it loses in the years from `from` to `to`. */
export function depreciation(
  asset: Asset,
  method: Depreciation,
  from: Decimal,
  to: Decimal,
): Decimal {
  return bookValue(asset, method, from).minus(bookValue(asset, method, to));
}

/** Dollars that the money in it costs from purchase over some years, at a yearly rate. */
export function costOfCapital(
  asset: Asset,
  method: Depreciation,
  capital: CapitalMethod,
  rate: Decimal,
  years: Decimal,
): Decimal {
  if (rate.isZero()) return new Decimal(0);
  if (capital === 'annuity') {
    return annuity(asset, rate)
      .times(MONTHS)
      .times(years)
      .minus(depreciation(asset, method, new Decimal(0), years));
  }
  // The integral of the book value over the years, times the rate.
  const { price, decline } = asset;
  const end = bookValue(asset, method, years);
  const flat = method === 'straight-line' || decline.isZero();
  const dollarYears = flat
    ? price.plus(end).div(2).times(years)
    : price.minus(end).div(decline.times(new Decimal(10).ln()));
  return dollarYears.times(rate);
}

/**
 * The level monthly payment, over its life, that pays price less resale with interest at a yearly
 * rate.
 */
export function annuity({ price, resale, lifeYears }: Asset, rate: Decimal): Decimal {
  const months = lifeYears.times(MONTHS);
  const monthly = rate.div(MONTHS);
  if (monthly.isZero()) return price.minus(resale).div(months);
  const discount = monthly.plus(1).pow(months.negated());
  return price.minus(resale.times(discount)).times(monthly).div(new Decimal(1).minus(discount));
}
