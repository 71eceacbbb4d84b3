/**
 * @file A model here, evaluated on several cores: a thread each, with the weights in memory that
 * all share.
 *
 * The problems are dealt out in parts, to whichever thread is free. A part is answered as one batch
 * by one thread, and which problems are in it depends on their number alone; random numbers are
 * keyed by problem and sample. So the answers are the same, to the last bit, however many threads
 * there are. What differs is the order of the transcripts, which nothing that is reported looks at.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type ErrorCode, UserError } from '../base/errors.js';
import type { Described, SharedModel } from '../inference/open.js';
import { roomForThreads, shareModel } from '../inference/share.js';
import { createStopwatch } from '../inference/stopwatch.js';
import type { TaskReference } from '../tasks/index.js';
import type { Products } from '../tensor/backends/wasm/index.js';
import { type EvaluationRun, openRun, samplesOf, sayHowFar } from './run.js';
import type { Transcript } from './transcripts.js';

/**
 * What a thread is told when it starts; structured-cloneable, so tasks go by name or by the path of
 * their module.
 */
export interface HereJob {
  folder: string;
  share: SharedModel;
  rank: number;
  task: TaskReference;
  seed: number;
  problems: number;
  options: { samples: number; temperature: number; greedy: boolean; maxTokens: number };
}

/** Numbers of problems to answer; null when there are no more. */
export type ToThread = { part: number[] | null };

export type FromThread =
  /** Has the model, or has answered its part. */
  | { kind: 'free' }
  | { kind: 'transcript'; transcript: Transcript }
  | {
      kind: 'failed';
      error: { code: ErrorCode | 'bug'; message: string; field?: string; stack?: string };
    };

/**
 * Sampled completions of a part: a batch that is worth its overhead, and parts enough to keep many
 * cores busy until the end.
 */
const PART_COMPLETIONS = { least: 32, most: 256 };
const PARTS = 16;

/**
 * Numbers of problems, in parts that depend on how many problems and samples there are, and on
 * nothing else.
 */
export function partsOf(problems: number, samples: number): number[][] {
  const { least, most } = PART_COMPLETIONS;
  const completions = Math.min(most, Math.max(least, Math.ceil((problems * samples) / PARTS)));
  const size = Math.max(1, Math.floor(completions / samples));
  const parts: number[][] = [];
  for (let from = 0; from < problems; from += size) {
    parts.push(Array.from({ length: Math.min(size, problems - from) }, (_, i) => from + i));
  }
  return parts;
}

export interface HereRun extends EvaluationRun {
  folder: string;
  described: Described;
  reference: TaskReference;
  maxTokens: number;
  /** What multiplies matrices. */
  products?: Products;
  /** Default: one a core, where the model leaves room for them. */
  workers?: number;
  signal?: AbortSignal;
}

/** @returns all transcripts */
export async function evaluateHere(run: HereRun): Promise<Transcript[]> {
  const { folder, described, header, reference, maxTokens, products, signal } = run;
  const { problems, samples, temperature, greedy, seed } = header;
  const record = openRun(run);
  try {
    const wanting = (i: number): boolean =>
      samplesOf(header).some((sample) => !record.has(i, sample));
    const parts = partsOf(problems, samples)
      .map((part) => part.filter(wanting))
      .filter((part) => part.length > 0);
    if (parts.length === 0) return record.all;
    const threads = Math.min(
      parts.length,
      run.workers ?? Math.min(availableParallelism(), roomForThreads(described)),
    );
    const share = await shareModel(described, { threads, products });
    const options = { samples, temperature, greedy, maxTokens };
    const job = { folder, share, task: reference, seed, problems, options };
    let stopwatch: ReturnType<typeof createStopwatch> | null = null;
    let before = { seconds: 0, usd: 0 };
    await runThreads(
      Array.from({ length: threads }, (_, rank): HereJob => ({ ...job, rank })),
      parts,
      signal,
      (transcript) => {
        // What went by since the one before is this one's: the sum is what all took.
        const now = (stopwatch as NonNullable<typeof stopwatch>).read();
        record.add({
          ...transcript,
          seconds: now.seconds - before.seconds,
          usd: now.usd - before.usd,
        });
        before = now;
      },
      () => {
        stopwatch ??= createStopwatch(threads);
      },
    );
    return record.all;
  } catch (error) {
    throw sayHowFar(error, run, record.all.length);
  } finally {
    record.close();
  }
}

/**
 * Deals the parts out until none is left. @throws what a thread could not do, or UserError
 * (interrupted); no thread is left then
 */
async function runThreads(
  jobs: readonly HereJob[],
  parts: readonly number[][],
  signal: AbortSignal | undefined,
  onTranscript: (transcript: Transcript) => void,
  onReady: () => void,
): Promise<void> {
  // From the sources (as tests run) the threads are still those of the build folder.
  const url = new URL(
    import.meta.url.replace(/\/src\/(evaluation\/)here\.ts.*$/, '/dist/$1here.js'),
  );
  const queue = parts[Symbol.iterator]();
  let failure: Error | null = null;
  const workers: Worker[] = [];
  const fail = (error: Error): void => {
    failure ??= error;
    for (const worker of workers) void worker.terminate();
  };
  const onAbort = (): void => fail(new UserError('interrupted', 'interrupted'));
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted) onAbort();
  await Promise.all(
    jobs.map((workerData) => {
      const resourceLimits = { maxYoungGenerationSizeMb: 16 };
      const worker = new Worker(new URL('./here-worker.js', url), { workerData, resourceLimits });
      workers.push(worker);
      let working = true;
      worker.on('message', (message: FromThread) => {
        if (failure !== null) return;
        try {
          if (message.kind === 'transcript') onTranscript(message.transcript);
          else if (message.kind === 'failed') {
            const { code, message: text, field, stack } = message.error;
            fail(
              code === 'bug'
                ? Object.assign(new Error(text), { stack })
                : new UserError(code, text, field),
            );
          } else {
            onReady();
            const { value: part, done } = queue.next();
            working = !done;
            worker.postMessage({ part: done ? null : part } satisfies ToThread);
          }
        } catch (error) {
          // The disk is full, say.
          fail(error as Error);
        }
      });
      worker.on('error', fail);
      return new Promise<void>((resolve) => {
        worker.on('exit', () => {
          if (working) fail(new Error('a thread of the evaluation has ended before its work'));
          resolve();
        });
        if (failure !== null) void worker.terminate();
      });
    }),
  );
  signal?.removeEventListener('abort', onAbort);
  if (failure !== null) throw failure;
}
