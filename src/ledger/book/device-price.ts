/**
 * @file The price of a plan: hours of a device (an accelerator, or a core of this machine) that a
 * usage record reserves, times the price of one. Pure; runs in a browser.
 */
import type { Quantity } from '../../base/quantity.js';
import type { Usage } from '../../usage/usage.js';
import type { Decimal } from '../money.js';
import { type PriceBook, unitPrices } from './price-book.js';

/** The price of an hour of a device, with its 90% interval. */
export interface HourPrice extends Quantity {
  source: string;
  date: string;
}

/** Of a busy core, in the book's mode: rent, or depreciation and electricity. */
export function hourOfCore(book: PriceBook): HourPrice {
  const { rent, depreciation, electricity } = unitPrices(book);
  const { wattsPerBusyCore: watts, mode } = book;
  const { source, date } = mode === 'rent' ? rent : depreciation;
  if (mode === 'rent') {
    const [value, low, high] = [rent.usd, rent.low, rent.high].map((usd) => usd.toNumber());
    return { value, low, high, source, date };
  }
  const at = (machine: Decimal, usd: Decimal, power: number): number =>
    machine.plus(usd.times(power).div(1000)).toNumber();
  return {
    value: at(depreciation.usd, electricity.usd, watts.value),
    low: at(depreciation.low, electricity.low, watts.low),
    high: at(depreciation.high, electricity.high, watts.high),
    source: `${source}; ${electricity.source}`,
    date,
  };
}

type Reserved = Pick<Usage, 'acceleratorSeconds' | 'workerSeconds'>;

/** Hours of a device that a record reserves: of accelerators, or of cores where it has none. */
export const deviceHours = ({ acceleratorSeconds, workerSeconds }: Reserved): number =>
  (acceleratorSeconds ?? workerSeconds) / 3600;

/** Dollars of a record at the price of an hour of its device: how a plan is priced. */
export const deviceUsd = (usage: Reserved, usdPerHour: number): number =>
  deviceHours(usage) * usdPerHour;
