/**
 * @file The thread that computes a bill (bill-thread.ts).
 */
import { parentPort, workerData } from 'node:worker_threads';
import { computeBill, type PriceBook, readRun } from '../ledger/index.js';
import { stepBack } from './background.js';
import type { BillMessage } from './bill-thread.js';

stepBack();

const { root, prices } = workerData as { root: string; prices: PriceBook };
let message: BillMessage;
try {
  message = { bill: computeBill([await readRun(root)], prices) };
} catch (error) {
  message = { problem: (error as Error).message };
}
parentPort?.postMessage(message);
