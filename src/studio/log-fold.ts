/**
 * @file From the bytes of `events.jsonl` to a state: whole lines, a slice at a time. What is half
 * written is left for the next time; what is no event is counted and passed over.
 */
import { readSync } from 'node:fs';
import { MAX_LINE_BYTES } from '../base/regular.js';
import { type CostRates, usdOf } from '../ledger/book/cost-rates.js';
import { withNamesOfNow } from '../usage/metric-names.js';
import { problemOf } from '../usage/validate.js';
import { addEvent, createRunState, type PricedEvent, type RunState } from './run-state.js';

/** Buckets that the server keeps of a curve. */
export const CURVE_LIMIT = 4096;
const SLICE_BYTES = 256 << 10;
export const NEWLINE = 10;

export interface Fold {
  state: RunState;
  /** Bytes of the log that the state has seen, up to a whole line. */
  offset: number;
  malformed: number;
}

export const createFold = (): Fold => ({ state: createRunState(), offset: 0, malformed: 0 });

/** Takes in the next slice. @returns its events; null when no whole line is left */
export function foldNext(handle: number, fold: Fold, rates: CostRates): PricedEvent[] | null {
  const slice = readWhole(handle, fold.offset, SLICE_BYTES);
  if (slice === null) return null;
  const { events, malformed } = parseLines(slice, rates);
  for (const event of events) addEvent(fold.state, event, CURVE_LIMIT);
  fold.offset += slice.length;
  fold.malformed += malformed;
  return events;
}

/**
 * Bytes from `offset` up to the last newline within `most`; null when no whole line is there. A
 * longer line widens the slice, up to a limit: what comes after it is not read.
 */
function readWhole(handle: number, offset: number, most: number): Buffer | null {
  const bytes = Buffer.allocUnsafe(most);
  const length = readSync(handle, bytes, 0, most, offset);
  const end = length === 0 ? -1 : bytes.lastIndexOf(NEWLINE, length - 1);
  if (end >= 0) return bytes.subarray(0, end + 1);
  return length === most && most < MAX_LINE_BYTES ? readWhole(handle, offset, most * 2) : null;
}

/** Events of whole lines, each usage with its price. */
export function parseLines(
  bytes: Buffer,
  rates: CostRates,
): { events: PricedEvent[]; malformed: number } {
  const events: PricedEvent[] = [];
  let malformed = 0;
  for (const line of bytes.toString('utf8').split('\n')) {
    if (line === '') continue;
    try {
      const event = JSON.parse(line) as PricedEvent;
      if (problemOf(event) !== null) throw new Error('no event');
      // Prices are ours to say.
      if (event.type === 'usage') event.usd = usdOf(event.usage, rates);
      else if ('usd' in event) delete event.usd;
      events.push(withNamesOfNow(event));
    } catch {
      malformed++;
    }
  }
  return { events, malformed };
}
