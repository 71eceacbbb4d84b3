/**
 * @file What the rooms above see of the tensors: the contract, the tape, the operations, and the
 * float64 backend.
 *
 * The other backends are made by their own modules under `backends/`, so that nobody loads one that
 * is not used.
 */
export * from './backend.js';
export { createReferenceBackend } from './backends/reference.js';
export { attention } from './operations/attention.js';
export { concatColumns } from './operations/concat-columns.js';
export { add } from './operations/elementwise.js';
export { embedding } from './operations/embedding.js';
export {
  combineRows,
  dispatchRows,
  type ExpertOrder,
  sortByExpert,
} from './operations/experts.js';
export { gatherRows } from './operations/gather-rows.js';
export { groupedMatmul } from './operations/grouped-matmul.js';
export { joinHeads } from './operations/join-heads.js';
export { type LinearOptions, type LowRank, linear } from './operations/linear.js';
export { groupedMatmulFp8, linearFp8 } from './operations/linear-fp8.js';
export { batchedMatmul, matmul, type TransposeOptions } from './operations/matmul.js';
export { rmsNorm } from './operations/rms-norm.js';
export {
  type RopeTable,
  type RopeTableOptions,
  rope,
  ropeInPlace,
  ropeTable,
  type Yarn,
} from './operations/rope.js';
export { type BalanceOptions, type Routing, route } from './operations/route.js';
export { splitColumns } from './operations/split-columns.js';
export { swiglu } from './operations/swiglu.js';
export {
  type TokenLogProbabilities,
  tokenLogProbabilities,
} from './operations/token-log-probabilities.js';
export * from './tape.js';
