/**
 * @file Causal attention on the WASM memory: forward, derivative, and one token against a cache.
 *
 * Two regimes. Many short sequences are many small products: one fused WASM kernel does them all,
 * with nothing but its own scratch. Where there is a BLAS, blocks of queries of longer sequences go
 * through it, with the softmax between the products in WASM; keys after a block's last query are
 * never touched.
 *
 * All functions take byte addresses into the memory and strides in elements; the backend class
 * turns handles into these.
 */
import { UserError } from '../../../base/errors.js';
import type { Gemm } from './gemm.js';
import type { KernelExports } from './kernels.js';
import { isOwn } from './product-choice.js';

export interface AttentionContext {
  kernels: KernelExports;
  memory: WebAssembly.Memory;
  gemm: Gemm;
  /**
   * This thread's own, 64-byte aligned, apart from the matrix products' scratch; at least
   * `ATTENTION_SCRATCH_BYTES`.
   */
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

/**
 * Sequences from this length on go through a BLAS. With OpenBLAS and head length 32 its blocks are
 * as fast as the fused kernels at 32 tokens, 1.2 and 1.4 times as fast (forward and backward) at
 * 48, 1.8 and 2.3 times at 256. The WASM product has nothing over the fused kernels, which then
 * take all that fits in scratch.
 */
const LONG = 40;

/** Queries of a block of a long sequence. */
const QUERY_BLOCK = 64;

const forwardBytes = (length: number, p: AttentionSizes): number =>
  256 + 4 * (length + 8) * (p.keyDim + 14);
const backwardBytes = (length: number, p: AttentionSizes): number =>
  256 + 4 * (length + 16) * (104 + p.keyDim + p.valueDim);

/**
 * Divides the sequences: stretches of those that the fused kernels take, and single ones that go in
 * blocks. The rule looks at sizes alone.
 */
function divide(
  context: AttentionContext,
  p: AttentionForwardArguments,
  bytes: (length: number, p: AttentionSizes) => number,
  fused: (from: number, to: number) => void,
  long: (first: number, length: number) => void,
): void {
  const segments = new Int32Array(context.memory.buffer, p.segments, p.sequences + 1);
  const limit = isOwn(context.gemm.name) ? Number.POSITIVE_INFINITY : LONG;
  let from = 0;
  for (let s = 0; s < p.sequences; s++) {
    const length = segments[s + 1] - segments[s];
    if (length < limit && bytes(length, p) <= context.scratchBytes) continue;
    if (from < s) fused(from, s);
    long(segments[s], length);
    from = s + 1;
  }
  if (from < p.sequences) fused(from, p.sequences);
}

/** Address of a head's first column in row `row`. */
const at = (x: Strided, row: number, column: number): number =>
  x.address + 4 * (row * x.stride + column);

/**
 * Calls `body` for blocks of queries: the first query, how many, and the row length of their scores
 * (keys, rounded up).
 */
function queryBlocks(
  context: AttentionContext,
  length: number,
  buffers: number,
  body: (from: number, rows: number, keys: number, width: number) => void,
): void {
  const longest = Math.floor(context.scratchBytes / (4 * buffers * (length + 4)));
  if (longest === 0)
    throw new UserError(
      'usage',
      `A sequence of ${length} tokens is too long for attention on this backend.`,
    );
  const step = Math.min(QUERY_BLOCK, longest);
  for (let from = 0; from < length; from += step) {
    const rows = Math.min(step, length - from);
    body(from, rows, from + rows, (from + rows + 3) & ~3);
  }
}

/** Causal attention; the arguments as in `Backend.attention`. */
export function attentionForward(context: AttentionContext, p: AttentionForwardArguments): void {
  const { gemm, kernels, scratch } = context;
  const fused = (from: number, to: number): void =>
    kernels.attentionForward(
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
      from,
      to,
      p.heads,
      p.kvHeads,
      p.keyDim,
      p.valueDim,
      p.scale,
      scratch,
    );
  const softmax = kernels.attentionSoftmax;
  divide(context, p, forwardBytes, fused, (first, length) => {
    for (let h = 0; h < p.heads; h++) {
      const g = Math.floor((h * p.kvHeads) / p.heads);
      const k = at(p.k, first, g * p.keyDim);
      const v = at(p.v, first, g * p.valueDim);
      queryBlocks(context, length, 1, (from, rows, keys, width) => {
        const row = first + from;
        gemm.sgemm(
          false,
          true,
          rows,
          keys,
          p.keyDim,
          p.scale,
          at(p.q, row, h * p.keyDim),
          p.q.stride,
          k,
          p.k.stride,
          0,
          scratch,
          width,
        );
        softmax(scratch, width, rows, from, p.logSumExp + 4 * (row * p.heads + h), p.heads);
        gemm.sgemm(
          false,
          false,
          rows,
          p.valueDim,
          keys,
          1,
          scratch,
          width,
          v,
          p.v.stride,
          0,
          at(p.out, row, h * p.valueDim),
          p.out.stride,
        );
      });
    }
  });
}

/** Its derivatives; the arguments as in `Backend.attentionBackward`. */
export function attentionBackward(context: AttentionContext, p: AttentionBackwardArguments): void {
  const { gemm, kernels, scratch } = context;
  const { accumulate } = p;
  const fused = (from: number, to: number): void =>
    kernels.attentionBackward(
      p.dq.address,
      p.dq.stride,
      accumulate.q,
      p.dk.address,
      p.dk.stride,
      accumulate.k,
      p.dv.address,
      p.dv.stride,
      accumulate.v,
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
      from,
      to,
      p.heads,
      p.kvHeads,
      p.keyDim,
      p.valueDim,
      p.scale,
      scratch,
    );
  const softmax = kernels.attentionSoftmaxBackward;
  const clear = kernels.attentionClear;
  divide(context, p, backwardBytes, fused, (first, length) => {
    if (!accumulate.k) clear(at(p.dk, first, 0), p.dk.stride, length, p.kvHeads * p.keyDim);
    if (!accumulate.v) clear(at(p.dv, first, 0), p.dv.stride, length, p.kvHeads * p.valueDim);
    for (let h = 0; h < p.heads; h++) {
      const g = Math.floor((h * p.kvHeads) / p.heads);
      const k = at(p.k, first, g * p.keyDim);
      const v = at(p.v, first, g * p.valueDim);
      const dk = at(p.dk, first, g * p.keyDim);
      const dv = at(p.dv, first, g * p.valueDim);
      queryBlocks(context, length, 2, (from, rows, keys, width) => {
        const row = first + from;
        const q = at(p.q, row, h * p.keyDim);
        const dq = at(p.dq, row, h * p.keyDim);
        const out = at(p.out, row, h * p.valueDim);
        const dOut = at(p.dOut, row, h * p.valueDim);
        const dScores = scratch + 4 * rows * width;
        gemm.sgemm(
          false,
          true,
          rows,
          keys,
          p.keyDim,
          p.scale,
          q,
          p.q.stride,
          k,
          p.k.stride,
          0,
          scratch,
          width,
        );
        gemm.sgemm(
          false,
          true,
          rows,
          keys,
          p.valueDim,
          1,
          dOut,
          p.dOut.stride,
          v,
          p.v.stride,
          0,
          dScores,
          width,
        );
        const lse = p.logSumExp + 4 * (row * p.heads + h);
        softmax(
          scratch,
          dScores,
          width,
          rows,
          from,
          lse,
          p.heads,
          dOut,
          p.dOut.stride,
          out,
          p.out.stride,
          p.valueDim,
          p.scale,
        );
        gemm.sgemm(
          true,
          false,
          keys,
          p.valueDim,
          rows,
          1,
          scratch,
          width,
          dOut,
          p.dOut.stride,
          1,
          dv,
          p.dv.stride,
        );
        gemm.sgemm(
          false,
          false,
          rows,
          p.keyDim,
          keys,
          1,
          dScores,
          width,
          k,
          p.k.stride,
          Number(accumulate.q),
          dq,
          p.dq.stride,
        );
        gemm.sgemm(
          true,
          false,
          keys,
          p.keyDim,
          rows,
          1,
          dScores,
          width,
          q,
          p.q.stride,
          1,
          dk,
          p.dk.stride,
        );
      });
    }
  });
}

/** One token a sequence against a cache; the arguments as in `Backend.attentionCached`. */
export function attentionCached(context: AttentionContext, p: AttentionCachedArguments): void {
  const { buffer } = context.memory;
  const prefix = new Int32Array(buffer, p.prefixLength, p.batch);
  const own = new Int32Array(buffer, p.ownLength, p.batch);
  let longest = 0;
  for (let b = 0; b < p.batch; b++) longest = Math.max(longest, prefix[b] + own[b]);
  if ((p.heads / p.kvHeads) * 4 * (longest + 8) > context.scratchBytes)
    throw new UserError(
      'usage',
      `A sequence of ${longest} tokens is too long for attention on this backend.`,
    );
  context.kernels.attentionCached(
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
