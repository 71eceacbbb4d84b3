/** @file Inference: sampling with preallocated caches. */
export {
  type Completion,
  createSampler,
  type GenerateOptions,
  type Sampler,
  type SamplerOptions,
  type SampleStop,
} from './sampler.js';
