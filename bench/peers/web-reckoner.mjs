// What bench/webgpu.mjs takes of Reckoner, for Node and for a page.
export { createSampler } from '../../dist/inference/sampler.js';
export { createModel } from '../../dist/models/index.js';
export { createWasmBackend } from '../../dist/tensor/backends/wasm/index.js';
export { createWebGpuBackend } from '../../dist/tensor/backends/webgpu/index.js';
export { Tape } from '../../dist/tensor/tape.js';
export { crossEntropyStep } from '../../dist/training/backpropagate.js';
export { createOptimizer, optimizerSchema } from '../../dist/training/optimizer.js';
