/**
 * @file The entry of a worker thread that is one rank.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { RankJob } from './protocol.js';
import { runRank } from './rank.js';

if (!parentPort) throw new Error('train/worker.js runs in a worker thread only');
const port = parentPort;

await runRank(workerData as RankJob, {
  send: (message) => port.postMessage(message),
  receive: (listener) => port.on('message', listener),
});
port.close();
