/**
 * @file Reads a long log in a thread, so that the server stays responsive. One log is read at a
 * time, since training needs the other cores.
 */
import { Worker } from 'node:worker_threads';
import type { CostRates } from '../ledger/book/cost-rates.js';
import type { Fold } from './log-fold.js';

export interface ReadingJob {
  file: string;
  /** Bytes to read to. */
  size: number;
  /** From where to go on; it is copied. */
  fold: Fold;
  rates: CostRates;
}

export type ReadingMessage = { kind: 'progress'; offset: number } | { kind: 'done'; fold: Fold };

/** The code of a thread of this room; in a development checkout it is where the build puts it. */
export const threadCode = (name: string): URL =>
  new URL(name, import.meta.url.replace(/\/src\/(studio\/)log-thread\.ts.*$/, '/dist/$1'));

let last: Promise<unknown> = Promise.resolve();

/**
 * @returns the fold as far as it came, or null when the thread could not do its work: whoever asked
 * reads for himself then
 */
export function foldInThread(
  job: ReadingJob,
  progress: (offset: number) => void,
): Promise<Fold | null> {
  const turn = last.then(
    () =>
      new Promise<Fold | null>((resolve) => {
        const worker = new Worker(threadCode('log-worker.js'), { workerData: job });
        // A server that is closed does not wait for it.
        worker.unref();
        worker.on('message', (message: ReadingMessage) => {
          if (message.kind === 'progress') progress(message.offset);
          else resolve(message.fold);
        });
        worker.on('error', () => resolve(null));
        worker.on('exit', () => resolve(null));
      }),
  );
  last = turn;
  return turn;
}
