/**
 * @file A long log in some milliseconds, whatever its length: its first and last lines whole, and a
 * few lines at each of many even distances between them, folded by the code that folds everything.
 *
 * What the sample must not get wrong is which attempt counts. Attempts only rise along the file, so
 * where one begins is found by bisection, and its `resumed` takes back what it supersedes exactly
 * as in a whole reading. Sums (time, tokens, dollars) are estimates: each usage that is seen stands
 * for those around it, in the ratio of all bytes to those that were looked at.
 */
import { read } from 'node:fs';
import { promisify } from 'node:util';
import type { CostRates } from '../ledger/book/cost-rates.js';
import { CURVE_LIMIT, NEWLINE, parseLines } from './log-fold.js';
import { addEvent, createRunState, type PricedEvent, type RunState } from './run-state.js';

const HEAD_BYTES = 16 << 10;
const TAIL_BYTES = 64 << 10;
const PIECES = 512;
/**
 * Lines that begin in so many bytes are taken, so that long and short ones have the same chance.
 */
const WINDOW_BYTES = 768;
/** And so much is read, for the last of them to be whole. */
const PIECE_BYTES = 4 << 10;
/** Pieces asked for at once: a disk that must seek is not waited for one seek at a time. */
const AT_ONCE = 64;
/** A bisection ends in a stretch that is read whole. */
const STRETCH_BYTES = 16 << 10;
const MOST_RESUMES = 200;

const readAt = promisify(read);

interface Piece {
  /** Where its lines begin and end in the file. */
  from: number;
  to: number;
  events: PricedEvent[];
}

export async function sampleLog(handle: number, size: number, rates: CostRates): Promise<RunState> {
  const state = createRunState();
  const add = (event: PricedEvent): void => addEvent(state, event, CURVE_LIMIT);
  /** Where the lines that were added end. */
  let seen = 0;
  let resumes = 0;

  /**
   * The whole lines in `bytes` from `from` on that begin within `window`; null when there is none.
   */
  async function piece(from: number, bytes: number, window = bytes): Promise<Piece | null> {
    const before = Math.max(0, from - 1);
    const buffer = Buffer.allocUnsafe(Math.min(from - before + bytes, size - before));
    const { bytesRead } = await readAt(handle, buffer, 0, buffer.length, before);
    const after = (at: number): number => buffer.subarray(0, bytesRead).indexOf(NEWLINE, at) + 1;
    const start = from === 0 ? 0 : after(0);
    let end = start;
    while (before + end < from + window) {
      const next = after(end);
      if (next === 0) break;
      end = next;
    }
    if (end === start || (from > 0 && start === 0)) return null;
    return {
      from: before + start,
      to: before + end,
      events: parseLines(buffer.subarray(start, end), rates).events,
    };
  }

  /** Adds each `resumed` between what was seen and `to`, where the attempt is `attempt`. */
  async function addResumes(to: number, attempt: number): Promise<void> {
    while (state.attempt < attempt && resumes++ < MOST_RESUMES) {
      let [low, high] = [seen, to];
      while (high - low > STRETCH_BYTES) {
        const middle = Math.floor((low + high) / 2);
        const found = await piece(middle, PIECE_BYTES);
        if (found === null || found.events.length === 0) break;
        if (found.events[0].attempt > state.attempt) high = middle;
        else low = middle;
      }
      const before = state.attempt;
      const stretch = await piece(low, high - low + STRETCH_BYTES);
      const resumed = stretch?.events.find(
        (event) => event.type === 'resumed' && event.attempt > before,
      );
      if (resumed === undefined) return;
      add(resumed);
      seen = low;
    }
  }

  async function take(found: Piece | null, weight: number): Promise<void> {
    const [first] = found?.events ?? [];
    if (found === null || first === undefined) return;
    if (first.attempt > state.attempt && first.type !== 'resumed')
      await addResumes(found.from, first.attempt);
    for (const event of found.events) add(event.type === 'usage' ? weighted(event, weight) : event);
    seen = found.to;
  }

  await take(await piece(0, HEAD_BYTES), 1);
  const distance = (size - HEAD_BYTES - TAIL_BYTES) / PIECES;
  for (let begun = 0; begun < PIECES; begun += AT_ONCE) {
    const places = Array.from(
      { length: AT_ONCE },
      (_, i) => HEAD_BYTES + Math.floor((begun + i) * distance),
    );
    const found = await Promise.all(places.map((from) => piece(from, PIECE_BYTES, WINDOW_BYTES)));
    for (const one of found) await take(one, distance / WINDOW_BYTES);
  }
  await take(await piece(size - TAIL_BYTES, TAIL_BYTES), 1);
  // The end of a stage is one line, which a sample is not likely to see.
  for (const stage of state.stages.slice(0, -1))
    if (stage.state === 'running') stage.state = 'done';
  return state;
}

/** A usage that stands for `weight` of its kind. */
function weighted(event: Extract<PricedEvent, { type: 'usage' }>, weight: number): PricedEvent {
  const { usage, usd = 0 } = event;
  const { wallSeconds, tokensIn, tokensOut, energyJoules } = usage;
  return {
    ...event,
    usd: usd * weight,
    usage: {
      ...usage,
      wallSeconds: wallSeconds * weight,
      tokensIn: tokensIn * weight,
      tokensOut: tokensOut * weight,
      energyJoules: energyJoules * weight,
    },
  };
}
