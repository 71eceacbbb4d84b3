/**
 * @file Follows one `events.jsonl`: reads what is there in slices that leave the server free, and then what is appended.
 *
 * Half a line waits for its other half. A file that shrank was cut or replaced (a resume cuts a torn line; a run was deleted and its
 * name given again): everything is read anew, and listeners hear `reset`. A log too long to read at once is shown from a sample of it
 * first: its head, its tail and lines at even distances between them, folded by the same code.
 */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { createCostMeter, type PriceBook } from '../ledger/index.js';
import { problemOf } from '../usage/validate.js';
import { addEvent, createRunState, type PricedEvent, type RunState } from './run-state.js';

/** Buckets that the server keeps of a curve. */
const CURVE_LIMIT = 4096;
const SLICE_BYTES = 1 << 20;
/** Longer logs are first shown from a sample. */
const PREVIEW_FROM_BYTES = 8 << 20;
const PREVIEW_EDGE_BYTES = 128 << 10;
const PREVIEW_PIECES = 800;
const PREVIEW_PIECE_BYTES = 2 << 10;
const NEWLINE = 10;

export interface Followed {
  state: RunState;
  /** Bytes of the log that the state has seen, up to a whole line. */
  offset: number;
  /** Share of the log that has been read; below 1 the state is a sample. */
  progress: number;
  malformed: number;
}

export type Change = { kind: 'events'; events: PricedEvent[]; offset: number } | { kind: 'reset' } | { kind: 'gone' };

export interface LogFollower {
  /** Reads what is new. Resolves when the end has been reached. */
  refresh(): Promise<void>;
  current(): Followed;
  /** The events from a byte offset that a listener has seen; null when it is not one of this log. */
  since(offset: number): PricedEvent[] | null;
  subscribe(listener: (change: Change) => void): () => void;
  readonly listeners: number;
}

/** @param file the log; it need not exist yet */
export function followLog(file: string, prices: PriceBook): LogFollower {
  let state = createRunState();
  let price = pricer(prices);
  let offset = 0;
  let size = 0;
  let inode = 0;
  let malformed = 0;
  let preview: RunState | null = null;
  let working: Promise<void> | null = null;
  const listeners = new Set<(change: Change) => void>();
  const tell = (change: Change): void => {
    for (const listener of listeners) listener(change);
  };

  function reset(): void {
    state = createRunState();
    price = pricer(prices);
    offset = 0;
    malformed = 0;
    preview = null;
  }

  async function read(): Promise<void> {
    let handle: number;
    try {
      const stat = statSync(file);
      if (stat.size < offset || (inode !== 0 && stat.ino !== inode)) {
        reset();
        tell({ kind: 'reset' });
      }
      inode = stat.ino;
      size = stat.size;
      if (size === offset) return;
      handle = openSync(file, 'r');
    } catch {
      // Deleted, or not there yet.
      if (inode !== 0) {
        inode = 0;
        size = 0;
        reset();
        tell({ kind: 'gone' });
      }
      return;
    }
    try {
      if (size - offset > PREVIEW_FROM_BYTES) preview = sample(handle, size, pricer(prices));
      const first = offset === 0;
      for (;;) {
        const slice = readWhole(handle, offset, SLICE_BYTES);
        if (slice === null) break;
        const events = parseLines(slice, price);
        malformed += events.malformed;
        for (const event of events.parsed) addEvent(state, event, CURVE_LIMIT);
        offset += slice.length;
        if (!first && events.parsed.length > 0) tell({ kind: 'events', events: events.parsed, offset });
        size = Math.max(size, fstatSync(handle).size);
        // Requests have their turn between slices.
        if (offset < size) await new Promise((resolve) => setImmediate(resolve));
      }
      if (preview !== null) {
        preview = null;
        tell({ kind: 'reset' });
      } else if (first) tell({ kind: 'reset' });
    } finally {
      closeSync(handle);
    }
  }

  return {
    refresh() {
      working ??= read().finally(() => {
        working = null;
      });
      return working;
    },
    current() {
      const progress = preview === null || size === 0 ? 1 : Math.min(1, offset / size);
      return { state: preview ?? state, offset, progress, malformed };
    },
    since(from) {
      if (from > offset || preview !== null) return null;
      if (from === offset) return [];
      // A page that was away for long takes the state anew.
      if (offset - from > SLICE_BYTES) return null;
      const handle = openSync(file, 'r');
      try {
        const bytes = Buffer.alloc(offset - from);
        readSync(handle, bytes, 0, bytes.length, from);
        if (from > 0) {
          const before = Buffer.alloc(1);
          readSync(handle, before, 0, 1, from - 1);
          if (before[0] !== NEWLINE) return null;
        }
        return parseLines(bytes, pricer(prices)).parsed;
      } finally {
        closeSync(handle);
      }
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    get listeners() {
      return listeners.size;
    },
  };
}

type Pricer = (event: PricedEvent) => PricedEvent;

function pricer(prices: PriceBook): Pricer {
  return (event) => {
    if (event.type !== 'usage') return event;
    const meter = createCostMeter(prices);
    meter.add(event.usage);
    return { ...event, usd: meter.usd };
  };
}

/** Bytes from `offset` up to the last newline within `most`; null when no whole line is there. A longer line widens the slice. */
function readWhole(handle: number, offset: number, most: number): Buffer | null {
  const bytes = Buffer.alloc(most);
  const length = readSync(handle, bytes, 0, most, offset);
  const end = bytes.lastIndexOf(NEWLINE, length - 1);
  if (length > 0 && end >= 0) return bytes.subarray(0, end + 1);
  return length === most ? readWhole(handle, offset, most * 2) : null;
}

function parseLines(bytes: Buffer, price: Pricer): { parsed: PricedEvent[]; malformed: number } {
  const parsed: PricedEvent[] = [];
  let malformed = 0;
  for (const line of bytes.toString('utf8').split('\n')) {
    if (line === '') continue;
    try {
      const event = JSON.parse(line) as PricedEvent;
      if (problemOf(event) !== null) throw new Error('no event');
      // Prices are ours to say.
      parsed.push(price({ ...event, usd: undefined }));
    } catch {
      malformed++;
    }
  }
  return { parsed, malformed };
}

/** A long log in some milliseconds, whatever its length. */
function sample(handle: number, size: number, price: Pricer): RunState {
  const state = createRunState();
  const piece = (from: number, bytes: number): void => {
    const buffer = Buffer.alloc(Math.min(bytes, size - from));
    const length = readSync(handle, buffer, 0, buffer.length, from);
    const start = from === 0 ? 0 : buffer.indexOf(NEWLINE) + 1;
    const end = buffer.lastIndexOf(NEWLINE, length - 1) + 1;
    if (end <= start) return;
    for (const event of parseLines(buffer.subarray(start, end), price).parsed) addEvent(state, event, CURVE_LIMIT);
  };
  piece(0, PREVIEW_EDGE_BYTES);
  const between = size - 2 * PREVIEW_EDGE_BYTES;
  for (let i = 0; i < PREVIEW_PIECES; i++) {
    piece(PREVIEW_EDGE_BYTES + Math.floor((i * between) / PREVIEW_PIECES), PREVIEW_PIECE_BYTES);
  }
  piece(size - PREVIEW_EDGE_BYTES, PREVIEW_EDGE_BYTES);
  return state;
}
