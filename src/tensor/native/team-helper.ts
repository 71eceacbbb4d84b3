/**
 * @file The entry of a thread that helps with another thread's products.
 */
import { workerData } from 'node:worker_threads';
import { bindKernels } from './kernels.js';
import { nativeGemm } from './sgemm.js';
import { type HelperJob, help } from './team.js';

const { place, helper } = workerData as HelperJob;
const scratch = place.scratch[helper];
const kernels = bindKernels(place.target, place.buffer, scratch.block);
if (kernels !== null) help(place, nativeGemm(kernels, place.buffer, scratch));
