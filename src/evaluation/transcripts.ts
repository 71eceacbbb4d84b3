/**
 * @file The transcripts of an evaluation: one JSON Lines file, append-only, that is both what a
 * person reads and where a killed evaluation goes on.
 *
 * The first line says what was asked of whom; each further line is one completion with its verdict.
 * Everything that is reported is computed from them. A file is gone on with only when its first
 * line says what the call says; half a last line, left by a kill, is cut. One process at a time
 * writes: it holds a lock beside the file, which is taken over when that process is gone.
 */
import { closeSync, existsSync, openSync, truncateSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { UserError } from '../base/errors.js';
import { canonicalJson, diskError, makeFolder } from '../base/files.js';
import { takeLock } from '../base/lock.js';
import { MAX_TEXT_BYTES, readRegular } from '../base/regular.js';
import type { Pricing } from './price.js';

export const TRANSCRIPTS_VERSION = 1;

/** What was asked of whom. Two evaluations with the same header may share a file. */
export interface TranscriptHeader {
  /** As it was named: a run, a folder, or what the endpoint calls it. */
  model: string;
  /** A hash of its weights, or the address of the endpoint. */
  at: string;
  task: string;
  /** A hash of all problems, prompts included. */
  problemsHash: string;
  seed: number;
  problems: number;
  samples: number;
  temperature: number;
  /** Also one completion of each problem at temperature 0. */
  greedy: boolean;
  /** Null leaves it to the endpoint. */
  maxTokens: number | null;
  /** What an endpoint is sent beside the problem; null for a model here. */
  request: { api: 'chat' | 'completions'; instruction: string | null } | null;
  /** What its tokens cost; null where each transcript has its cost, or it is unknown. */
  pricing: Pricing | null;
}

export type TranscriptStop = 'eos' | 'length' | 'refused';

/** One completion and its verdict. */
export interface Transcript {
  /** Number of the problem, from 0. */
  problem: number;
  /** Number of the sample, from 0; null for the one at temperature 0. */
  sample: number | null;
  /** Which of the task's parts, for a task that has some. */
  part?: string;
  prompt: string;
  /** As it was graded. */
  completion: string;
  /** What had a vote: the text of the answer of a completion that ended in the right form. */
  answer: string | null;
  reward: number;
  correct: boolean;
  wellFormed: boolean;
  reason: string;
  /** `refused`: the endpoint would not answer this problem. */
  stop: TranscriptStop;
  /**
   * Read for it: with a model here, a problem's first sample bears the prompt. Null where an
   * endpoint does not say.
   */
  promptTokens: number | null;
  /** Of those, found in the endpoint's cache. */
  cachedTokens?: number;
  completionTokens: number | null;
  /** Of work here, or from request to answer. */
  seconds: number;
  /** What it cost where that was measured: here, or by a server that says so. */
  usd: number | null;
  /** Requests until one was answered, where it took more than one. */
  tries?: number;
}

export interface TranscriptFile {
  /** What the file had, one for each problem and sample. */
  readonly found: readonly Transcript[];
  append(transcript: Transcript): void;
  close(): void;
}

const keyOf = ({ problem, sample }: Pick<Transcript, 'problem' | 'sample'>): string =>
  `${problem}/${sample ?? 'greedy'}`;

/** How a file begins. */
const FIRST = '{"type":"evaluation"';

interface Content {
  header: TranscriptHeader;
  transcripts: Transcript[];
  /** Bytes up to the end of the last whole line. */
  wholeBytes: number;
}

function parseLine(text: string, where: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {}
  throw new UserError(
    'data',
    `${where}: is not a line of transcripts; use another file with --out`,
    '--out',
  );
}

function readContent(file: string): Content | null {
  const bytes = readRegular(file, 'transcripts', MAX_TEXT_BYTES);
  // A line counts once its end is there.
  const wholeBytes = bytes.lastIndexOf(10) + 1;
  if (wholeBytes === 0) {
    const start = bytes.toString('utf8', 0, FIRST.length);
    if (!FIRST.startsWith(start)) parseLine('', `${file}:1`);
    return null;
  }
  const [first, ...rest] = bytes.toString('utf8', 0, wholeBytes - 1).split('\n');
  const { type, schemaVersion, ...header } = parseLine(first, `${file}:1`);
  if (type !== 'evaluation' || schemaVersion !== TRANSCRIPTS_VERSION) parseLine('', `${file}:1`);
  const transcripts = new Map<string, Transcript>();
  for (const [i, text] of rest.entries()) {
    const line = parseLine(text, `${file}:${i + 2}`) as unknown as Transcript;
    if (!Number.isInteger(line.problem) || typeof line.correct !== 'boolean')
      parseLine('', `${file}:${i + 2}`);
    if (!transcripts.has(keyOf(line))) transcripts.set(keyOf(line), line);
  }
  return {
    header: header as unknown as TranscriptHeader,
    transcripts: [...transcripts.values()],
    wholeBytes,
  };
}

/** A finished or unfinished file. @throws UserError (data) */
export function readTranscripts(file: string): {
  header: TranscriptHeader;
  transcripts: Transcript[];
} {
  if (!existsSync(file))
    throw new UserError(
      'usage',
      `${file}: no such file; "reckoner eval" writes transcripts`,
      'files',
    );
  const content = readContent(file);
  if (content === null) throw new UserError('data', `${file}: has no transcripts`, 'files');
  return content;
}

/**
 * Opens a file to add to it, new or begun, and locks it until it is closed.
 * @throws UserError when it is of another evaluation, or another process writes to it
 */
export function openTranscripts(file: string, header: TranscriptHeader): TranscriptFile {
  makeFolder(dirname(file));
  const unlock = takeLock(`${file}.lock`, file, '--out');
  try {
    return openLocked(file, header, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

function openLocked(file: string, header: TranscriptHeader, unlock: () => void): TranscriptFile {
  const begun = existsSync(file) ? readContent(file) : null;
  if (begun !== null) {
    for (const field of Object.keys(header) as (keyof TranscriptHeader)[]) {
      const [there, here] = [begun.header[field], header[field]].map((value) =>
        canonicalJson(value ?? null),
      );
      if (there === here) continue;
      const message = `${file} is of another evaluation: ${field} is ${there} there and ${here} here; use another file with --out`;
      throw new UserError('usage', message, '--out');
    }
  }
  let handle: number;
  try {
    if (existsSync(file)) truncateSync(file, begun?.wholeBytes ?? 0);
    handle = openSync(file, 'a');
  } catch (error) {
    throw diskError(error, file);
  }
  const write = (value: object): void => {
    const bytes = Buffer.from(`${JSON.stringify(value)}\n`, 'utf8');
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at);
    } catch (error) {
      throw diskError(error, file);
    }
  };
  if (begun === null) write({ type: 'evaluation', schemaVersion: TRANSCRIPTS_VERSION, ...header });
  const known = new Set((begun?.transcripts ?? []).map(keyOf));
  return {
    found: begun?.transcripts ?? [],
    append(transcript) {
      if (known.has(keyOf(transcript))) return;
      known.add(keyOf(transcript));
      write(transcript);
    },
    close() {
      closeSync(handle);
      unlock();
    },
  };
}
