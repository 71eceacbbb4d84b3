/**
 * @file What cheaper tokens do to spending.
 *
 * Demand of constant price elasticity e: tokens = base × (price / base price)^−e, so spending =
 * base × (price / base price)^(1 − e). Below 1, cheaper tokens cut the bill; at 1 it stays; above 1
 * it grows — Jevons (The Coal Question, 1865, chapter VII), who saw better engines burn more coal.
 * The elasticity is an assumption of the person who asks: no measurement of it for tokens over
 * the falls of price that were seen is known, and a constant one over a hundredfold fall is a
 * strong assumption. Hence an interval of elasticities, and the answer says whether it straddles
 * the threshold.
 */
import { UserError } from '../../base/errors.js';
import type { Quantity } from '../cluster.js';

export const JEVONS_THRESHOLD = 1;

export interface Spending {
  /** New price over the old one. */
  priceRatio: number;
  tokensRatio: Quantity;
  spendingRatio: Quantity;
  /** Over the interval of elasticities. */
  verdict: 'falls' | 'unchanged' | 'rises' | 'either';
}

/**
 * @param elasticity as a positive number: 1.3 means that 1% off the price sells 1.3% more (for
 * small changes)
 */
export function spendingAfter(priceRatio: number, elasticity: Quantity): Spending {
  if (!(priceRatio > 0) || !Number.isFinite(priceRatio))
    throw new UserError(
      'usage',
      `price ratio is ${priceRatio}; give the new price over the old one, above 0`,
      'priceRatio',
    );
  const { value, low, high } = elasticity;
  if (!(low >= 0 && low <= value && value <= high && Number.isFinite(high)))
    throw new UserError(
      'usage',
      `elasticity is ${value} [${low}, ${high}]; give it as a positive number within its interval`,
      'elasticity',
    );
  const ratio = (power: (e: number) => number): Quantity => {
    const ends = [priceRatio ** power(low), priceRatio ** power(high)];
    return { value: priceRatio ** power(value), low: Math.min(...ends), high: Math.max(...ends) };
  };
  const spendingRatio = ratio((e) => JEVONS_THRESHOLD - e);
  return {
    priceRatio,
    tokensRatio: ratio((e) => -e),
    spendingRatio,
    verdict: verdictOf(spendingRatio),
  };
}

function verdictOf({ low, high }: Quantity): Spending['verdict'] {
  if (low === 1 && high === 1) return 'unchanged';
  if (high <= 1) return 'falls';
  return low >= 1 ? 'rises' : 'either';
}
