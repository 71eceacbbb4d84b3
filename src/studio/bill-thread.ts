/**
 * @file Computes the bill of a running run in a thread: for a long log this takes seconds, and the
 * server stays responsive.
 */
import { Worker } from 'node:worker_threads';
import { UserError } from '../base/errors.js';
import type { PriceBook } from '../ledger/index.js';
import { threadCode } from './log-thread.js';
import type { RunStatement } from './protocol.js';

export type BillMessage = { bill: RunStatement } | { problem: string };

/**
 * @param root the run's folder. @throws UserError (data) when the log or the plan cannot be read
 */
export function billInThread(root: string, prices: PriceBook): Promise<RunStatement> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(threadCode('bill-worker.js'), { workerData: { root, prices } });
    worker.unref();
    const fail = (why: string): void =>
      reject(new UserError('data', `the bill could not be computed: ${why}`));
    worker.on('message', (message: BillMessage) =>
      'bill' in message ? resolve(message.bill) : fail(message.problem),
    );
    worker.on('error', (error) => fail((error as Error).message));
    worker.on('exit', () => fail('its thread ended'));
  });
}
