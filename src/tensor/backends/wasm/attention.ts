/**
 * @file Causal attention on the WASM memory: forward, derivative, and one token against a cache.
 *
 * All functions take byte addresses into the memory and strides in elements; the backend class turns handles into these.
 */
import type { Gemm } from './gemm.js';

export interface AttentionContext {
  exports: WebAssembly.Exports;
  memory: WebAssembly.Memory;
  gemm: Gemm;
  /** This thread's own, 64-byte aligned, apart from the matrix products' scratch; at least `ATTENTION_SCRATCH_BYTES`. */
  scratch: number;
  scratchBytes: number;
}

/** Scratch that attention needs besides `GEMM_SCRATCH_BYTES`. */
export const ATTENTION_SCRATCH_BYTES = 2 * 1024 * 1024;

/** Sizes that all three functions share. */
export interface AttentionSizes {
  heads: number;
  kvHeads: number;
  /** Length of a head's query or key. */
  keyDim: number;
  /** Length of a head's value. */
  valueDim: number;
  scale: number;
}

/** A strided matrix: byte address and row stride in elements. */
export interface Strided {
  address: number;
  stride: number;
}

export interface AttentionForwardArguments extends AttentionSizes {
  /** [N, heads·valueDim] */
  out: Strided;
  /** Address of f32 [N, heads]. */
  logSumExp: number;
  q: Strided;
  k: Strided;
  v: Strided;
  /** Address of i32 [sequences + 1]. */
  segments: number;
  sequences: number;
}

export interface AttentionBackwardArguments extends AttentionForwardArguments {
  dOut: Strided;
  dq: Strided;
  dk: Strided;
  dv: Strided;
  accumulate: { q: boolean; k: boolean; v: boolean };
}

export interface AttentionCachedArguments extends AttentionSizes {
  out: Strided;
  q: Strided;
  keys: Strided;
  values: Strided;
  /** Addresses of i32 [batch]; see `CachedAttentionTables`. */
  prefixStart: number;
  prefixLength: number;
  ownStart: number;
  ownLength: number;
  batch: number;
}

type Kernel = (...args: number[]) => void;

export function attentionForward(context: AttentionContext, p: AttentionForwardArguments): void {
  (context.exports.attentionForward as Kernel)(
    p.out.address,
    p.out.stride,
    p.logSumExp,
    p.q.address,
    p.q.stride,
    p.k.address,
    p.k.stride,
    p.v.address,
    p.v.stride,
    p.segments,
    0,
    p.sequences,
    p.heads,
    p.kvHeads,
    p.keyDim,
    p.valueDim,
    p.scale,
    context.scratch,
  );
}

export function attentionBackward(context: AttentionContext, p: AttentionBackwardArguments): void {
  const segments = new Int32Array(context.memory.buffer, p.segments, p.sequences + 1);
  const rows = p.sequences === 0 ? 0 : segments[p.sequences];
  const clear = (d: Strided, width: number) => {
    for (let t = 0; t < rows; t++) new Float32Array(context.memory.buffer, d.address + 4 * t * d.stride, width).fill(0);
  };
  if (!p.accumulate.q) clear(p.dq, p.heads * p.keyDim);
  if (!p.accumulate.k) clear(p.dk, p.kvHeads * p.keyDim);
  if (!p.accumulate.v) clear(p.dv, p.kvHeads * p.valueDim);
  (context.exports.attentionBackward as Kernel)(
    p.dq.address,
    p.dq.stride,
    p.dk.address,
    p.dk.stride,
    p.dv.address,
    p.dv.stride,
    p.dOut.address,
    p.dOut.stride,
    p.out.address,
    p.out.stride,
    p.logSumExp,
    p.q.address,
    p.q.stride,
    p.k.address,
    p.k.stride,
    p.v.address,
    p.v.stride,
    p.segments,
    0,
    p.sequences,
    p.heads,
    p.kvHeads,
    p.keyDim,
    p.valueDim,
    p.scale,
    context.scratch,
  );
}

export function attentionCached(context: AttentionContext, p: AttentionCachedArguments): void {
  (context.exports.attentionCached as Kernel)(
    p.out.address,
    p.out.stride,
    p.q.address,
    p.q.stride,
    p.keys.address,
    p.keys.stride,
    p.values.address,
    p.values.stride,
    p.prefixStart,
    p.prefixLength,
    p.ownStart,
    p.ownLength,
    p.batch,
    p.heads,
    p.kvHeads,
    p.keyDim,
    p.valueDim,
    p.scale,
    context.scratch,
  );
}
