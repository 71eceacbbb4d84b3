/**
 * @file The cost of a record by two multiplications, for whoever draws a curve from a million of
 * them. Apart from the price book, so that a thread that counts loads nothing else.
 */
import type { Usage } from '../../usage/usage.js';

/** Dollars of a unit of what a cost meter counts. */
export interface CostRates {
  workerSecond: number;
  /** Of a record whose energy is an estimate from its time. */
  estimatedWorkerSecond: number;
  joule: number;
}

/** What a record adds to the cost so far: to rounding, what a meter says. */
export function usdOf(
  { energyBasis, workerSeconds, energyJoules }: Usage,
  rates: CostRates,
): number {
  if (energyBasis === 'estimated') return workerSeconds * rates.estimatedWorkerSecond;
  return workerSeconds * rates.workerSecond + energyJoules * rates.joule;
}
