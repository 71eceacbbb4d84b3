/** @file What the operations of the WASM backend work with. */
import type { FrozenRows, OperationName } from '../../backend.js';
import type { KernelsOf } from '../shared/checked.js';
import type { AttentionContext } from './attention.js';
import type { Gemm } from './gemm.js';
import type { KernelExports } from './kernels.js';
import type { WasmTensor } from './tensor.js';

export type Expand = (rows: FrozenRows, count: number, out: number) => void;

/** What products need of the backend. */
export interface ProductContext {
  gemm: Gemm;
  /** The first `count` numbers of frozen rows as float32 at `out`. */
  expand: Expand;
  /** Runs `body` with `bytes` of scratch. */
  withScratch(bytes: number, body: (address: number) => void): void;
}

export interface WasmContext {
  readonly kernels: KernelExports;
  /** The whole memory, by numbers: index = byte address / 4. */
  readonly f32s: Float32Array;
  readonly i32s: Int32Array;
  readonly products: ProductContext;
  readonly attention: AttentionContext;
  /** Runs `body` with `bytes` from the top of the local stack. */
  withScratch(bytes: number, body: (address: number) => void): void;
}

/** Kernels of some operations of this backend. */
export type WasmKernels<K extends OperationName> = KernelsOf<K, WasmContext, WasmTensor>;
