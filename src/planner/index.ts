/**
 * @file The planner: what a model costs to train and to serve, by arithmetic alone.
 */
export * from '../architecture/index.js';
export * from './cluster.js';
export * from './distribution.js';
export { acceleratorIds, acceleratorOf } from './hardware.js';
export * from './layout.js';
export { MEMORY_CALIBRATION, type MemoryOptions, memoryOf, type TrainingMemory } from './memory.js';
export * from './rl.js';
export { bubble } from './schedule.js';
export * from './search.js';
export * as serving from './serving/index.js';
export { type StepTime, stepTime, type TrainingWork } from './step-time.js';
export * from './uncertainty.js';
