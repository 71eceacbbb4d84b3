/**
 * @file The event log of a run: `events.jsonl`, append-only, one JSON object a line.
 *
 * Why a line is never torn by another: the file is opened with O_APPEND and a line is written by
 * one call, so the kernel places each line at the end as a whole (POSIX write(2) on a regular
 * file), whichever thread or process it comes from. What can be torn is the last line, when the
 * machine stops or the disk fills in the middle of a write. A reader reports such a line and goes
 * on; a resume cuts it.
 *
 * A line is in the kernel's hands when `append` returns, so a killed process loses nothing; only a
 * power cut can lose what has not been flushed, about the last second.
 */
import {
  appendFileSync,
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { UserError } from '../base/errors.js';
import { faultPoint, faultsActive } from '../base/faults.js';
import { diskError } from '../base/files.js';
import { MAX_LINE_BYTES, openRegular } from '../base/regular.js';
import type { NewEvent, RunEvent } from './events.js';
import { withNamesOfNow } from './metric-names.js';
import { problemOf } from './validate.js';

const FLUSH_INTERVAL_MS = 1000;
const NEWLINE = 10;
const CHUNK_BYTES = 256 << 10;

export interface EventLog {
  /** Adds the attempt and the time, and writes the event as one line. @throws UserError (disk) */
  append(event: NewEvent): void;
  /** Returns when everything appended is on the disk. @throws UserError (disk) */
  flush(): void;
  /** Flushes and closes; further calls do nothing. */
  close(): void;
}

/**
 * Opens (or creates) a log for appending. Several threads or processes may have the same file open.
 * @param options.attempt 0 for the first, one more with each resume.
 * @param options.now for tests.
 */
export function openEventLog(
  file: string,
  options: { attempt: number; now?: () => Date },
): EventLog {
  const now = options.now ?? (() => new Date());
  let handle: number | null = guarded(file, () => openSync(file, 'a'));
  let dirty = false;
  /** A line broke off in a failed write: the next one starts on a line of its own. */
  let torn = false;
  let flushedAt = performance.now();

  const flush = (): void => {
    flushedAt = performance.now();
    if (handle === null || !dirty) return;
    const open = handle;
    guarded(file, () => fsyncSync(open));
    dirty = false;
  };

  const write = (bytes: Uint8Array): void => {
    if (handle === null) throw new Error(`event log ${file} is closed`);
    const open = handle;
    guarded(file, () => {
      faultPoint('events.write.before', 'write');
      if (faultsActive()) {
        // A test wants a torn line: write in two calls, with a fault point between.
        const half = bytes.length >> 1;
        torn = true;
        writeSync(open, bytes, 0, half);
        faultPoint('events.write.torn', 'write');
        writeSync(open, bytes, half);
        torn = false;
      } else {
        const written = writeSync(open, bytes, 0, bytes.length);
        if (written < bytes.length) {
          // The kernel takes a part only when there is no room for the rest.
          torn = true;
          throw Object.assign(new Error('short write'), { code: 'ENOSPC' });
        }
      }
      faultPoint('events.write.after');
    });
    dirty = true;
  };

  return {
    append(event) {
      const { type, step, ...rest } = event;
      const line = JSON.stringify({
        type,
        attempt: options.attempt,
        step,
        time: now().toISOString(),
        ...rest,
      });
      const text = torn ? `\n${line}\n` : `${line}\n`;
      torn = false;
      write(Buffer.from(text, 'utf8'));
      if (performance.now() - flushedAt >= FLUSH_INTERVAL_MS) flush();
    },
    flush,
    close() {
      if (handle === null) return;
      try {
        flush();
      } finally {
        closeSync(handle);
        handle = null;
      }
    },
  };
}

function guarded<T>(file: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw diskError(error, file);
  }
}

export interface MalformedLine {
  /** From 1. */
  line: number;
  reason: string;
}

/** What a reader found that is no event. */
export interface LogProblems {
  malformed: MalformedLine[];
  /** The last line broke off: its number (from 1) and length. */
  torn: { line: number; bytes: number } | null;
}

/**
 * The events of a log, in file order, read in pieces: a log may be larger than memory.
 * @param problems filled while reading: lines that are no events are skipped and listed.
 * @throws UserError (data) when the file cannot be read.
 */
export async function* streamEvents(file: string, problems: LogProblems): AsyncGenerator<RunEvent> {
  let line = 0;
  let rest: Buffer = Buffer.alloc(0);
  const parse = (text: string): RunEvent | null => {
    if (text.trim() === '') return null;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      problems.malformed.push({ line, reason: 'not JSON' });
      return null;
    }
    const problem = problemOf(value);
    if (problem !== null) problems.malformed.push({ line, reason: problem });
    return problem === null ? withNamesOfNow(value as RunEvent) : null;
  };
  const { handle } = openRegular(file, 'the event log', false);
  try {
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const length = readSync(handle, chunk, 0, CHUNK_BYTES, null);
      if (length === 0) break;
      if (rest.length > MAX_LINE_BYTES) {
        const message = `the event log ${file} has a line of more than ${MAX_LINE_BYTES} bytes; it is no such log`;
        throw new UserError('data', message, file);
      }
      let data = Buffer.concat([rest, chunk.subarray(0, length)]);
      for (let end = data.indexOf(NEWLINE); end >= 0; end = data.indexOf(NEWLINE)) {
        line++;
        const event = parse(data.toString('utf8', 0, end));
        data = data.subarray(end + 1);
        if (event !== null) yield event;
      }
      rest = Buffer.from(data);
    }
  } finally {
    closeSync(handle);
  }
  if (rest.length === 0) return;
  // No newline at the end: only the newline may be missing, or a part of the line.
  line++;
  const whole = wholeEvent(rest);
  if (whole !== null) yield whole;
  else problems.torn = { line, bytes: rest.length };
}

/** `streamEvents`, collected. */
export async function readEvents(file: string): Promise<{ events: RunEvent[] } & LogProblems> {
  const problems: LogProblems = { malformed: [], torn: null };
  const events: RunEvent[] = [];
  for await (const event of streamEvents(file, problems)) events.push(event);
  return { events, ...problems };
}

function wholeEvent(bytes: Buffer): RunEvent | null {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return problemOf(value) === null ? withNamesOfNow(value as RunEvent) : null;
  } catch {
    return null;
  }
}

/**
 * Makes a log ready for more: cuts a torn last line, or adds the newline that a whole one lacks. To
 * be called at a resume, while nobody else writes.
 * @returns the bytes cut.
 * @throws UserError (disk)
 */
export function repairEventLog(file: string): { cutBytes: number } {
  return repairLastLine(file, (line) => wholeEvent(line) !== null);
}

/**
 * `repairEventLog` for a file of other JSON lines, `samples.jsonl`; one that does not exist needs
 * no repair.
 */
export function repairLines(file: string): { cutBytes: number } {
  if (!existsSync(file)) return { cutBytes: 0 };
  return repairLastLine(file, (line) => {
    try {
      JSON.parse(line.toString('utf8'));
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Adds JSON lines to a file that is for people to read; flushed when the system likes.
 * @param label names the fault points.
 * @throws UserError (disk)
 */
export function appendLines(file: string, values: readonly unknown[], label: string): void {
  const text = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''), 'utf8');
  guarded(file, () => {
    faultPoint(`${label}.write.before`, 'write');
    const half = faultsActive() ? text.length >> 1 : 0;
    if (half > 0) {
      appendFileSync(file, text.subarray(0, half));
      faultPoint(`${label}.write.torn`, 'write');
    }
    appendFileSync(file, text.subarray(half));
    faultPoint(`${label}.write.after`);
  });
}

function repairLastLine(file: string, isWhole: (line: Buffer) => boolean): { cutBytes: number } {
  return guarded(file, () => {
    // What is no regular file of the run's own must not be written to either.
    closeSync(openRegular(file, 'log', false).handle);
    const handle = openSync(file, 'r+');
    try {
      const size = fstatSync(handle).size;
      const tail = lastLine(handle, size);
      if (tail === null) {
        const message = `${file} ends in a line of more than ${MAX_LINE_BYTES} bytes; it is no such log`;
        throw new UserError('data', message, file);
      }
      if (tail.length === 0) return { cutBytes: 0 };
      const cutBytes = isWhole(tail) ? 0 : tail.length;
      if (cutBytes > 0) ftruncateSync(handle, size - cutBytes);
      else writeSync(handle, '\n', size);
      fsyncSync(handle);
      return { cutBytes };
    } finally {
      closeSync(handle);
    }
  });
}

/** The bytes after the last newline, found from the end in pieces of 64 KiB; null if too many. */
function lastLine(handle: number, size: number): Buffer | null {
  const pieces: Buffer[] = [];
  for (let end = size; end > 0; ) {
    if (size - end > MAX_LINE_BYTES) return null;
    const start = Math.max(0, end - 65_536);
    const piece = Buffer.alloc(end - start);
    readSync(handle, piece, 0, piece.length, start);
    const newline = piece.lastIndexOf(NEWLINE);
    pieces.unshift(piece.subarray(newline + 1));
    if (newline >= 0) break;
    end = start;
  }
  return Buffer.concat(pieces);
}

/**
 * The events that curves are drawn from: of the events of one type (and stage) at one step, those
 * of the last attempt that reached it. Sorted by step, in file order within a step.
 */
export function lastAttemptOfStep<
  E extends { type: string; attempt: number; step: number; stage?: string },
>(events: readonly E[]): E[] {
  const last = new Map<string, number>();
  const key = (event: E): string => `${event.type}\n${event.stage ?? ''}\n${event.step}`;
  for (const event of events)
    last.set(key(event), Math.max(last.get(key(event)) ?? 0, event.attempt));
  return events
    .filter((event) => event.attempt === last.get(key(event)))
    .sort((a, b) => a.step - b.step);
}
