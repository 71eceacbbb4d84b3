/**
 * @file Money, exactly.
 *
 * Amounts are decimals (decimal.js), never binary floats: 0.1 + 0.2 is 0.3 here. A line of a bill
 * is rounded once, to 10^-12 dollars (half to even), and from then on only added, so that every
 * total equals the sum of its lines, however they are grouped. Amounts leave the ledger as strings.
 */
import { Decimal as Base } from 'decimal.js';
import { groupDigits } from '../base/text/numbers.js';

/** Enough digits that sums and products of a bill's numbers are exact before the one rounding. */
export const Decimal = Base.clone({
  precision: 60,
  rounding: Base.ROUND_HALF_EVEN,
  toExpNeg: -40,
  toExpPos: 60,
});
export type Decimal = Base;

export const USD_DECIMALS = 12;

export const ZERO: Decimal = new Decimal(0);

/** Rounds to the precision of a line. */
export function toUsd(amount: Decimal): Decimal {
  return amount.toDecimalPlaces(USD_DECIMALS);
}

export function sum(amounts: Iterable<Decimal | string | number>): Decimal {
  let total: Decimal = ZERO;
  for (const amount of amounts) total = total.plus(amount);
  return total;
}

/**
 * Rounds amounts to `decimals` so that the rounded ones add up to their rounded sum: what is left
 * over goes to those that lost most by rounding down (largest remainder, Hamilton's method). For
 * tables: a reader who adds up a column gets its last line.
 * @param total what they are to add up to, where that is not their own rounded sum; a multiple of
 * the unit near it
 */
export function apportion(
  amounts: readonly Decimal[],
  decimals: number,
  total?: Decimal,
): Decimal[] {
  const unit = new Decimal(10).pow(-decimals);
  const parts = amounts.map((amount) => amount.toDecimalPlaces(decimals, Base.ROUND_FLOOR));
  let left = (total ?? sum(amounts).toDecimalPlaces(decimals))
    .minus(sum(parts))
    .div(unit)
    .toNumber();
  const order = amounts.map((amount, i) => ({ i, remainder: amount.minus(parts[i]) }));
  order.sort((a, b) => b.remainder.comparedTo(a.remainder) || a.i - b.i);
  for (const { i } of order) {
    if (left <= 0) break;
    parts[i] = parts[i].plus(unit);
    left--;
  }
  // Only a total from elsewhere can be below the floors, by a unit (a tie that was rounded to
  // even): who lost least gives.
  if (left < 0 && order.length > 0) {
    const { i } = order[order.length - 1];
    parts[i] = parts[i].plus(unit.times(left));
  }
  return parts;
}

/** `$1,234.50`; with `decimals` digits after the point. */
export function formatUsd(amount: Decimal | string, decimals: number): string {
  const value = new Decimal(amount);
  const sign = value.isNegative() && !value.isZero() ? '-' : '';
  return `${sign}$${groupDigits(value.abs().toFixed(decimals))}`;
}

/**
 * Digits after the point with which the smallest amount that matters (a thousandth of the largest,
 * or more) shows two significant ones: from 2, for cents, to `most` (6 is a ten thousandth of a
 * cent).
 */
export function decimalsFor(amounts: readonly Decimal[], most = 6): number {
  const sizes = amounts.map((amount) => amount.abs()).filter((size) => !size.isZero());
  if (sizes.length === 0) return 2;
  const least = Decimal.max(...sizes).div(1000);
  const smallest = Decimal.min(...sizes.filter((size) => size.gte(least)));
  return Math.min(most, Math.max(2, 1 - Math.floor(smallest.log(10).toNumber())));
}
