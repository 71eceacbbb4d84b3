/**
 * @file The cost so far, for the line of progress and for `--max-usd`: the full column of the bill,
 * without its lines and without storage, which is paid for after the run.
 */
import type { Usage } from '../../usage/usage.js';
import { type Decimal, toUsd, ZERO } from '../money.js';
import { energyOf } from '../statement/lines.js';
import type { CostRates } from './cost-rates.js';
import { type PriceBook, unitPrices } from './price-book.js';

export interface CostMeter {
  /** Adds an increment; on a resume, also those of earlier attempts: lost work was paid for. */
  add(usage: Usage): void;
  /** Dollars so far, for people and for limits. */
  readonly usd: number;
  /** Dollars so far, exact. */
  readonly exact: string;
}

/** The same as plain numbers, for whoever goes through a million records to draw a curve. */
export function costRates(book: PriceBook): CostRates {
  const prices = unitPrices(book);
  const workerSecond =
    (book.mode === 'rent' ? prices.rent : prices.depreciation).usd.toNumber() / 3600;
  const joule = book.mode === 'own' ? prices.electricity.usd.toNumber() / 3_600_000 : 0;
  return {
    workerSecond,
    estimatedWorkerSecond: workerSecond + joule * book.wattsPerBusyCore.value,
    joule,
  };
}

export function createCostMeter(book: PriceBook): CostMeter {
  const prices = unitPrices(book);
  let workerSeconds: Decimal = ZERO;
  let joules: Decimal = ZERO;
  const total = (): Decimal => {
    const time = (book.mode === 'rent' ? prices.rent : prices.depreciation).usd
      .times(workerSeconds)
      .div(3600);
    const energy = book.mode === 'own' ? prices.electricity.usd.times(joules).div(3_600_000) : ZERO;
    return toUsd(time.plus(energy));
  };
  return {
    add(usage) {
      workerSeconds = workerSeconds.plus(usage.workerSeconds);
      joules = joules.plus(energyOf(usage, book));
    },
    get usd() {
      return total().toNumber();
    },
    get exact() {
      return total().toFixed();
    },
  };
}
