/**
 * @file For NODE_OPTIONS=--import: the GPU is lost, as by a reset of its driver, with the first
 * submission after a run under `LOSE_RUNS` has the snapshot
 * `LOSE_AT`. In every thread; the one that trains is the one that submits.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { create } from 'webgpu';

const { LOSE_RUNS, LOSE_AT } = process.env;
const reached = () =>
  existsSync(LOSE_RUNS) &&
  readdirSync(LOSE_RUNS).some((run) => existsSync(join(LOSE_RUNS, run, 'checkpoints', LOSE_AT)));

// Held, for an adapter does not keep what it came from.
globalThis.loseDeviceGpu = create([]);
const adapter = await globalThis.loseDeviceGpu.requestAdapter();
const adapters = Object.getPrototypeOf(adapter);
const { requestDevice } = adapters;
adapters.requestDevice = async function open(descriptor) {
  const device = await requestDevice.call(this, descriptor);
  const queues = Object.getPrototypeOf(device.queue);
  const { submit } = queues;
  queues.submit = function hand(buffers) {
    submit.call(this, buffers);
    if (reached()) device.destroy();
  };
  return device;
};
