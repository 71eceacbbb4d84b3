/**
 * @file Starts a worker thread that trains.
 *
 * Tensors live in WASM memory; what JavaScript makes in a step is small and dies with it. V8 would
 * still let tens of megabytes of it pile up, since it grows the young generation (up to 48 MB a
 * thread) as long as memory is to be had, and the process would seem to leak. A small young
 * generation is collected more often, each time in well under a millisecond, and the resident size
 * stays where it is.
 */
import { Worker, type WorkerOptions } from 'node:worker_threads';

/** What a run needs of its threads; in a page they are others (studio/web/here/thread.ts). */
export type Thread = Pick<Worker, 'on' | 'postMessage' | 'terminate'>;

const YOUNG_GENERATION_MB = 3;

/** @param file the module that the thread runs */
export function startThread(
  file: URL,
  options: Pick<WorkerOptions, 'workerData' | 'argv'>,
): Worker {
  return new Worker(file, {
    ...options,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  });
}
