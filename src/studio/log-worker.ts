/**
 * @file The thread that reads a long log (log-thread.ts).
 */
import { closeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { openRegular } from '../base/regular.js';
import { stepBack } from './background.js';
import { foldNext } from './log-fold.js';
import type { ReadingJob, ReadingMessage } from './log-thread.js';

const PROGRESS_BYTES = 8 << 20;

if (parentPort === null) throw new Error('studio/log-worker.js runs in a worker thread only');
stepBack();

const { file, size, fold, rates } = workerData as ReadingJob;
const send = (message: ReadingMessage): void => parentPort?.postMessage(message);
const { handle } = openRegular(file, 'the event log', false);
try {
  let told = fold.offset;
  while (fold.offset < size && foldNext(handle, fold, rates) !== null) {
    if (fold.offset - told < PROGRESS_BYTES) continue;
    told = fold.offset;
    send({ kind: 'progress', offset: told });
  }
} finally {
  closeSync(handle);
}
send({ kind: 'done', fold });
