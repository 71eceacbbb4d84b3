/**
 * @file What the WASM kernels export to JavaScript.
 */
export { sgemm, sgemmLimit } from './gemm';
export * from './attention';
export * from './blocks';
export * from './elementwise';
export * from './norm';
export * from './rope';
export * from './swiglu';
export * from './geglu';
export * from './embedding';
export * from './heads';
export * from './experts';
export * from './quantize';
export { anyNonZero, sample, tokenLogProbabilities, tokenLogProbabilitiesBackward } from './vocabulary';
export * from './losses';
export * from './optimizer';
