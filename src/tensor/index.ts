/**
 * @file What the rooms above see of the tensors: the contract, the tape, the operations, and the
 * float64 backend.
 *
 * The other backends are made by their own modules under `backends/`, so that nobody loads one that
 * is not used.
 */
export * from './backend.js';
export { createReferenceBackend } from './backends/reference.js';
export * from './operations/index.js';
export * from './tape.js';
