/**
 * @file What follows from a model's configuration alone: its parameters, FLOPs and shapes. No
 * tensors.
 */
export * from './architecture.js';
export { localLayers } from './attention-config.js';
export {
  cacheElements,
  entriesOfQuery,
  indexerFlops,
  keysOfQuery,
  readElements,
  stateElements,
} from './context.js';
export { describeParameters } from './describe.js';
export { FAMILIES, familyOf } from './families/index.js';
export type { EngineFacts, Family, GgufFacts } from './family.js';
export * from './flops.js';
export { architectureOf } from './from-config.js';
export { countParameters, type Parameters } from './parameters.js';
export { type PublishedModel, publishedModel } from './published.js';
export * from './shapes.js';
