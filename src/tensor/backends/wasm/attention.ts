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
import { prefixOf } from '../../operations/attention.js';
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
  /** Address of i32 [sequences], or 0: no sequence goes on from another. */
  prefixes: number;
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

/** Where a sequence's rows begin, and where those of its prefix do, with how many they are. */
interface Run {
  first: number;
  length: number;
  pastFirst: number;
  past: number;
}

/** Rows that scratch is laid out for: each run rounded up, with room for a tile that overlaps. */
const padded = ({ length, past }: Run, room: number): number =>
  length + room + (past > 0 ? past + room : 0);
const forwardBytes = (run: Run, p: AttentionSizes): number =>
  256 + 4 * padded(run, 8) * (p.keyDim + 14);
const backwardBytes = (run: Run, p: AttentionSizes): number =>
  256 + 4 * padded(run, 16) * (104 + p.keyDim + p.valueDim);

/**
 * Divides the sequences: stretches of those that the fused kernels take, and single ones that go in
 * blocks, in order. The rule looks at sizes alone.
 */
function divide(
  context: AttentionContext,
  p: AttentionForwardArguments,
  bytes: (run: Run, p: AttentionSizes) => number,
  fused: (from: number, to: number) => void,
  long: (run: Run) => void,
): void {
  const segments = new Int32Array(context.memory.buffer, p.segments, p.sequences + 1);
  const prefixes =
    p.prefixes === 0 ? null : new Int32Array(context.memory.buffer, p.prefixes, p.sequences);
  const limit = isOwn(context.gemm.name) ? Number.POSITIVE_INFINITY : LONG;
  let from = 0;
  for (let s = 0; s < p.sequences; s++) {
    const first = segments[s];
    const prefix = prefixOf(prefixes, s);
    const pastFirst = prefix < 0 ? first : segments[prefix];
    const past = prefix < 0 ? 0 : segments[prefix + 1] - pastFirst;
    const run = { first, length: segments[s + 1] - first, pastFirst, past };
    if (run.length + past < limit && bytes(run, p) <= context.scratchBytes) continue;
    if (from < s) fused(from, s);
    long(run);
    from = s + 1;
  }
  if (from < p.sequences) fused(from, p.sequences);
}

/** Address of a head's first column in row `row`. */
const at = (x: Strided, row: number, column: number): number =>
  x.address + 4 * (row * x.stride + column);

/** Keys that a block of queries sees: their first row, how many, and where their scores begin. */
interface Keys {
  row: number;
  count: number;
  column: number;
}

/**
 * Calls `body` for blocks of queries: the first query, how many, the keys of the prefix and of the
 * sequence itself, and the row length of their scores (keys, rounded up).
 */
function queryBlocks(
  context: AttentionContext,
  { first, length, pastFirst, past }: Run,
  buffers: number,
  body: (from: number, rows: number, seen: readonly Keys[], width: number) => void,
): void {
  const longest = Math.floor(context.scratchBytes / (4 * buffers * (past + length + 4)));
  if (longest === 0)
    throw new UserError(
      'usage',
      `A sequence of ${past + length} tokens is too long for attention on this backend.`,
    );
  const before = past > 0 ? [{ row: pastFirst, count: past, column: 0 }] : [];
  const step = Math.min(QUERY_BLOCK, longest);
  for (let from = 0; from < length; from += step) {
    const rows = Math.min(step, length - from);
    const own = { row: first, count: from + rows, column: past };
    body(from, rows, [...before, own], (past + from + rows + 3) & ~3);
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
      p.prefixes,
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
  divide(context, p, forwardBytes, fused, (run) => {
    for (let h = 0; h < p.heads; h++) {
      const g = Math.floor((h * p.kvHeads) / p.heads);
      queryBlocks(context, run, 1, (from, rows, seen, width) => {
        const row = run.first + from;
        for (const keys of seen)
          gemm.sgemm(
            false,
            true,
            rows,
            keys.count,
            p.keyDim,
            p.scale,
            at(p.q, row, h * p.keyDim),
            p.q.stride,
            at(p.k, keys.row, g * p.keyDim),
            p.k.stride,
            0,
            scratch + 4 * keys.column,
            width,
          );
        const lse = p.logSumExp + 4 * (row * p.heads + h);
        softmax(scratch, width, rows, run.past + from, lse, p.heads);
        for (const keys of seen)
          gemm.sgemm(
            false,
            false,
            rows,
            p.valueDim,
            keys.count,
            1,
            scratch + 4 * keys.column,
            width,
            at(p.v, keys.row, g * p.valueDim),
            p.v.stride,
            Number(keys !== seen[0]),
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
      p.prefixes,
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
  divide(context, p, backwardBytes, fused, (run) => {
    const { first, length } = run;
    // Those of the prefix were begun with it.
    if (!accumulate.k) clear(at(p.dk, first, 0), p.dk.stride, length, p.kvHeads * p.keyDim);
    if (!accumulate.v) clear(at(p.dv, first, 0), p.dv.stride, length, p.kvHeads * p.valueDim);
    for (let h = 0; h < p.heads; h++) {
      const g = Math.floor((h * p.kvHeads) / p.heads);
      queryBlocks(context, run, 2, (from, rows, seen, width) => {
        const row = first + from;
        const q = at(p.q, row, h * p.keyDim);
        const dq = at(p.dq, row, h * p.keyDim);
        const out = at(p.out, row, h * p.valueDim);
        const dOut = at(p.dOut, row, h * p.valueDim);
        const dScores = scratch + 4 * rows * width;
        for (const keys of seen) {
          gemm.sgemm(
            false,
            true,
            rows,
            keys.count,
            p.keyDim,
            p.scale,
            q,
            p.q.stride,
            at(p.k, keys.row, g * p.keyDim),
            p.k.stride,
            0,
            scratch + 4 * keys.column,
            width,
          );
          gemm.sgemm(
            false,
            true,
            rows,
            keys.count,
            p.valueDim,
            1,
            dOut,
            p.dOut.stride,
            at(p.v, keys.row, g * p.valueDim),
            p.v.stride,
            0,
            dScores + 4 * keys.column,
            width,
          );
        }
        const lse = p.logSumExp + 4 * (row * p.heads + h);
        softmax(
          scratch,
          dScores,
          width,
          rows,
          run.past + from,
          lse,
          p.heads,
          dOut,
          p.dOut.stride,
          out,
          p.out.stride,
          p.valueDim,
          p.scale,
        );
        for (const keys of seen) {
          gemm.sgemm(
            true,
            false,
            keys.count,
            p.valueDim,
            rows,
            1,
            scratch + 4 * keys.column,
            width,
            dOut,
            p.dOut.stride,
            1,
            at(p.dv, keys.row, g * p.valueDim),
            p.dv.stride,
          );
          gemm.sgemm(
            false,
            false,
            rows,
            p.keyDim,
            keys.count,
            1,
            dScores + 4 * keys.column,
            width,
            at(p.k, keys.row, g * p.keyDim),
            p.k.stride,
            Number(accumulate.q || keys !== seen[0]),
            dq,
            p.dq.stride,
          );
          gemm.sgemm(
            true,
            false,
            keys.count,
            p.keyDim,
            rows,
            1,
            dScores + 4 * keys.column,
            width,
            q,
            p.q.stride,
            1,
            at(p.dk, keys.row, g * p.keyDim),
            p.dk.stride,
          );
        }
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
