/**
 * @file What the WASM kernels export to JavaScript.
 */
export * from './gemm';
export * from './attention';
