/**
 * @file The entry of a worker thread: makes the backend, runs the program, tells the main thread how it ended.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { UserError } from '../base/errors.js';
import { diskError } from '../base/files.js';
import { openBackend } from './backend.js';
import type { FromRank, RankJob, ToRank } from './messages.js';
import { type Line, runProgram } from './program.js';

if (!parentPort) throw new Error('recipes/worker.js runs in a worker thread only');
const port = parentPort;
const job = workerData as RankJob;

const waiting: (() => void)[] = [];
port.on('message', (message: ToRank) => {
  if (message.kind === 'flushed') waiting.shift()?.();
});
const line: Line = {
  send: (message: FromRank) => port.postMessage(message),
  flush: () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      port.postMessage({ kind: 'flush' } satisfies FromRank);
    }),
};

try {
  const backend = await openBackend(job.backend, job.rank);
  const outcome = await runProgram(job, backend, line);
  await backend.close();
  line.send({ kind: 'done', ...outcome });
} catch (thrown) {
  // Not every call that can meet a full disk says so itself.
  const error = diskError(thrown, job.runFolder);
  const known = error instanceof UserError;
  const { message, stack } = error as Error;
  line.send({
    kind: 'failed',
    error: { code: known ? error.code : 'bug', field: known ? error.field : undefined, message, stack },
  });
}
port.close();
