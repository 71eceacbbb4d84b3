/**
 * @file Follows one `events.jsonl`: reads what is there, and then what is appended.
 *
 * An incomplete last line is read when it is complete. A file that shrank was truncated or replaced
 * (a resume truncates a torn line; a new run has the name of a deleted one): it is read again from
 * the start, and listeners get `reset`. Of a log too long to read at once, listeners first get a
 * sample (log-sample.ts), while a thread reads the whole (log-thread.ts).
 */
import { closeSync, fstatSync, readSync } from 'node:fs';
import { openRegular, statPlain } from '../base/regular.js';
import { costRates, type PriceBook } from '../ledger/index.js';
import { ownTurn } from './background.js';
import { createFold, foldNext, NEWLINE, parseLines } from './log-fold.js';
import { sampleLog } from './log-sample.js';
import { foldInThread } from './log-thread.js';
import type { PricedEvent, RunState } from './run-state.js';

/** Longer logs are first shown from a sample. */
const LONG_BYTES = 2 << 20;
/** A page that was away for longer takes the state anew. */
const MISSED_BYTES = 1 << 20;

export interface Followed {
  state: RunState;
  /**
   * Bytes of the log that the state has seen, up to a whole line; −1 for a sample, which nothing
   * can be added to.
   */
  offset: number;
  /** Share of the log that has been read; below 1 the state is a sample. */
  progress: number;
  malformed: number;
}

export type Change =
  | { kind: 'events'; events: PricedEvent[]; offset: number }
  | { kind: 'reset' }
  | { kind: 'gone' };

export interface LogFollower {
  /**
   * Reads what is new. Resolves when there is something to show: all of it, or a sample of a long
   * log.
   */
  look(): Promise<void>;
  /** Reads what is new. Resolves when the end has been reached. */
  refresh(): Promise<void>;
  current(): Followed;
  /**
   * The events from a byte offset that a listener has seen; null when it is not one of this log.
   */
  since(offset: number): PricedEvent[] | null;
  subscribe(listener: (change: Change) => void): () => void;
}

/** @param file the log; it need not exist yet */
export function followLog(file: string, prices: PriceBook): LogFollower {
  const rates = costRates(prices);
  let fold = createFold();
  let size = 0;
  let inode = 0;
  let preview: RunState | null = null;
  /** Bytes that the thread has read. */
  let read = 0;
  let working: Promise<void> | null = null;
  let shown = Promise.resolve();
  let show = (): void => {};
  const listeners = new Set<(change: Change) => void>();
  const tell = (change: Change): void => {
    for (const listener of listeners) listener(change);
  };

  /** Looks at the file. @returns whether there is something new in it */
  function look(): boolean {
    const stat = statPlain(file);
    if (stat === null) {
      // Deleted, or not there yet, or nothing that can be read.
      if (inode !== 0) {
        [inode, size, fold] = [0, 0, createFold()];
        tell({ kind: 'gone' });
      }
      return false;
    }
    if (stat.size < fold.offset || (inode !== 0 && stat.ino !== inode)) {
      fold = createFold();
      tell({ kind: 'reset' });
    }
    inode = stat.ino;
    size = stat.size;
    return size > fold.offset;
  }

  /** @returns false when another log has taken its place meanwhile: the next look begins anew */
  async function readLong(handle: number): Promise<boolean> {
    read = fold.offset;
    preview = await sampleLog(handle, size, rates);
    show();
    const whole = await foldInThread({ file, size, fold, rates }, (offset) => {
      read = offset;
    });
    const now = fstatSync(handle);
    if (now.ino !== statPlain(file)?.ino || (whole !== null && now.size < whole.offset))
      return false;
    // A thread that could not do its work leaves it to the slices.
    if (whole !== null) fold = whole;
    return true;
  }

  async function readNew(): Promise<void> {
    if (!look()) return;
    const { handle } = openRegular(file, 'the event log', false);
    const first = fold.offset === 0;
    const long = size - fold.offset > LONG_BYTES;
    try {
      if (long && !(await readLong(handle))) {
        fold = createFold();
        preview = null;
        tell({ kind: 'reset' });
        return;
      }
      if (first && !long) await ownTurn();
      for (;;) {
        const events = foldNext(handle, fold, rates);
        if (events === null) break;
        if (!first && !long && events.length > 0)
          tell({ kind: 'events', events, offset: fold.offset });
        size = Math.max(size, fstatSync(handle).size);
        // Requests have their turn between slices.
        if (fold.offset < size) await ownTurn();
      }
    } finally {
      closeSync(handle);
      preview = null;
    }
    if (first || long) tell({ kind: 'reset' });
  }

  function refresh(): Promise<void> {
    if (working !== null) return working;
    shown = new Promise((resolve) => {
      show = resolve;
    });
    working = readNew()
      // Deleted between two calls: the next look says so.
      .catch(() => {})
      .finally(() => {
        working = null;
        show();
      });
    return working;
  }

  return {
    look() {
      void refresh();
      return shown;
    },
    refresh,
    current() {
      if (preview === null) return { ...fold, progress: 1 };
      return { state: preview, offset: -1, progress: Math.min(0.99, read / size), malformed: 0 };
    },
    since(from) {
      const { offset } = fold;
      if (from < 0 || from > offset || preview !== null) return null;
      if (from === offset) return [];
      if (offset - from > MISSED_BYTES) return null;
      const { handle } = openRegular(file, 'the event log', false);
      try {
        const bytes = Buffer.alloc(offset - from);
        readSync(handle, bytes, 0, bytes.length, from);
        if (from > 0) {
          const before = Buffer.alloc(1);
          readSync(handle, before, 0, 1, from - 1);
          if (before[0] !== NEWLINE) return null;
        }
        return parseLines(bytes, rates).events;
      } finally {
        closeSync(handle);
      }
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
