/**
 * @file One rank of a run: opens its backend, runs the run loop, and reports how it ended. It runs
 * in a worker thread (`worker.ts`) or, in a page, in a web worker.
 */
import { UserError } from '../base/errors.js';
import { diskError } from '../base/files.js';
import { openBackend } from '../policy/local/backend.js';
import type { FromRank, RankJob, ToRank } from './protocol.js';
import { type Line, runProgram } from './rank-loop.js';

/** The rank's end of the line to the books. */
export interface Port {
  send(message: FromRank): void;
  receive(listener: (message: ToRank) => void): void;
  turn?(): Promise<void>;
}

/** Makes the backend, runs the program, says how it ended. Never rejects. */
export async function runRank(job: RankJob, port: Port): Promise<void> {
  const waiting: (() => void)[] = [];
  port.receive((message) => {
    if (message.kind === 'flushed') waiting.shift()?.();
  });
  const line: Line = {
    send: port.send,
    flush: () =>
      new Promise((resolve) => {
        waiting.push(resolve);
        port.send({ kind: 'flush' });
      }),
    turn: port.turn,
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
      error: {
        code: known ? error.code : 'bug',
        field: known ? error.field : undefined,
        message,
        stack,
      },
    });
  }
}
