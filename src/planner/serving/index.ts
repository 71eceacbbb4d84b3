/**
 * @file Serving: what a model answers, how fast, and for how much.
 */
export * from './calibration.js';
export * from './cost.js';
export * from './demand.js';
export * from './interval.js';
export * from './layout.js';
export * from './memory.js';
export * from './plan.js';
export * from './precision.js';
export * from './rows.js';
export * from './search.js';
export * from './step.js';
export * from './throughput.js';
