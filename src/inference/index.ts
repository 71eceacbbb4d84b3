/** @file Inference: sampling with preallocated caches. */

export { generationFlops } from './flops.js';
export {
  type Completion,
  createSampler,
  type GenerateOptions,
  MAX_CAPACITY,
  type Sampler,
  type SamplerOptions,
  type SampleStop,
} from './sampler.js';
