/**
 * @file The entry of a worker thread that only times a recipe's work, for `doctor` and `plan --on
 * local`.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { type BackendPlan, openBackend } from '../../policy/local/backend.js';
import { type CalibrationRequest, calibrateRank } from './calibrate.js';

export interface CalibrationJob {
  rank: number;
  backend: BackendPlan;
  request: CalibrationRequest;
}

if (!parentPort) throw new Error('plan/local/calibrate-worker.js runs in a worker thread only');
const { rank, backend: plan, request } = workerData as CalibrationJob;
const backend = await openBackend(plan, rank);
const calibration = await calibrateRank(backend, request, plan.frozen);
await backend.close();
parentPort.postMessage(calibration);
