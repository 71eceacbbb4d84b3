/**
 * @file What each request cost: in the answer, in the metrics, and as a `usage` event in a file
 * that is laid out like a run's
 * `events.jsonl`.
 *
 * A request is charged for its share of each step that it was in, by rows, at the price book's rate
 * for a core and its electricity. Idle time is nobody's: it is in the bill of the machine, not in
 * that of a request.
 */
import { priceOf } from '../catalog/catalog.js';
import { createCostMeter, defaultPriceBook, type PriceBook } from '../ledger/index.js';
import { openEventLog } from '../usage/log.js';
import type { Usage } from '../usage/usage.js';

export interface Charge {
  /** Identifier in the answer. */
  id: string;
  model: string;
  /** Name of the API key; null without keys. */
  key: string | null;
  promptTokens: number;
  completionTokens: number;
  /** Core-seconds. */
  seconds: number;
}

export interface Accounts {
  /** Writes the charge down. @returns dollars */
  charge(charge: Charge): number;
  close(): void;
}

/** @param file null keeps no record */
export function openAccounts(
  file: string | null,
  prices: PriceBook = defaultPriceBook(),
): Accounts {
  const log = file === null ? null : openEventLog(file, { attempt: 0 });
  const watts = priceOf('cpu.power.busy-core').value;
  let step = 0;
  return {
    charge({ id, model, key, promptTokens, completionTokens, seconds }) {
      const usage: Usage = {
        stage: 'serve',
        purpose: 'inference',
        wallSeconds: seconds,
        workerSeconds: seconds,
        energyJoules: seconds * watts,
        energyBasis: 'estimated',
        peakMemoryBytes: process.memoryUsage.rss(),
        tokensIn: promptTokens,
        tokensOut: completionTokens,
        modelFlops: 0,
        storedBytes: 0,
        basis: 'measured',
      };
      const meter = createCostMeter(prices);
      meter.add(usage);
      log?.append({
        type: 'usage',
        step: ++step,
        usage,
        request: { id, model, ...(key === null ? {} : { key }), usd: meter.exact },
      });
      return meter.usd;
    },
    close: () => log?.close(),
  };
}
