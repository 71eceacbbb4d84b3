/**
 * @file Seconds and dollars of a stretch of work, for verbs that run a model without a run folder.
 */
import { createCostMeter, defaultPriceBook } from '../ledger/index.js';
import { createMeter } from '../usage/meters.js';

export interface Stopwatch {
  /** Since the stopwatch was made. */
  read(): { seconds: number; usd: number };
}

/**
 * Starts now. Priced as a run is: the machine and its electricity. @param workers cores that are
 * reserved
 */
export function createStopwatch(workers = 1): Stopwatch {
  const meter = createMeter({ workers });
  const cost = createCostMeter(defaultPriceBook());
  let seconds = 0;
  return {
    read() {
      const { wallSeconds, workerSeconds, energyJoules, energyBasis, peakMemoryBytes } =
        meter.increment();
      seconds += wallSeconds;
      cost.add({
        stage: 'use',
        purpose: 'evaluation',
        wallSeconds,
        workerSeconds,
        energyJoules,
        energyBasis,
        peakMemoryBytes,
        tokensIn: 0,
        tokensOut: 0,
        modelFlops: 0,
        storedBytes: 0,
        basis: 'measured',
      });
      return { seconds, usd: cost.usd };
    },
  };
}
