/**
 * @file Inference: sampling with preallocated caches, a batch at a time or as requests come and go.
 */

export type { Choosing } from './choose.js';
export {
  type Constraint,
  createEngine,
  type DrawnToken,
  type Engine,
  type EngineOptions,
  type EngineRequest,
  type EngineStats,
  type EngineStop,
  type Sequence,
  type SequenceUse,
} from './engine.js';
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
