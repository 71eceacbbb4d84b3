/**
 * @file What was done for the money: tokens, model FLOPs, energy and memory by stage.
 */
import type { Basis, Purpose } from '../../usage/usage.js';
import type { PriceBook } from '../book/price-book.js';
import { energyOf, type UsageEntry } from './lines.js';

export interface StageWork {
  stage: string;
  purpose: Purpose;
  wallSeconds: number;
  coreSeconds: number;
  tokensIn: number;
  tokensOut: number;
  modelFlops: number;
  /** Model FLOPs per wall second, all workers together; null when no time passed. */
  modelFlopsPerSecond: number | null;
  energyJoules: number;
  energyBasis: Basis;
  peakMemoryBytes: number;
  storedBytes: number;
}

/** The work of the entries that are kept, by stage and purpose, in order of appearance. */
export function workOf(entries: readonly UsageEntry[], book: PriceBook): StageWork[] {
  const found = new Map<string, StageWork>();
  for (const { usage, status, index } of entries) {
    if (index < 0 || status === 'lost' || status === 'other-run') continue;
    const key = `${usage.stage}\n${usage.purpose}`;
    const work = found.get(key) ?? {
      stage: usage.stage,
      purpose: usage.purpose,
      wallSeconds: 0,
      coreSeconds: 0,
      tokensIn: 0,
      tokensOut: 0,
      modelFlops: 0,
      modelFlopsPerSecond: null,
      energyJoules: 0,
      energyBasis: usage.energyBasis,
      peakMemoryBytes: 0,
      storedBytes: 0,
    };
    work.wallSeconds += usage.wallSeconds;
    work.coreSeconds += usage.workerSeconds;
    work.tokensIn += usage.tokensIn;
    work.tokensOut += usage.tokensOut;
    work.modelFlops += usage.modelFlops;
    work.energyJoules += energyOf(usage, book).toNumber();
    if (usage.energyBasis !== 'measured') work.energyBasis = usage.energyBasis;
    work.peakMemoryBytes = Math.max(work.peakMemoryBytes, usage.peakMemoryBytes);
    work.storedBytes += usage.storedBytes;
    work.modelFlopsPerSecond = work.wallSeconds > 0 ? work.modelFlops / work.wallSeconds : null;
    found.set(key, work);
  }
  return [...found.values()];
}
