/**
 * @file A whole matrix product out of the native kernels: blocks that fit into the caches, and the
 * choice between kernels, by sizes alone.
 */
import { type Form, type FrozenRows, LAYOUTS, rowBytes } from '../forms.js';
import { LEAST_NUMBERS } from './block-code.js';
import { B_IN_PLACE, B_PACK_ROWS, B_PACK_TRANSPOSED, B_PACKED, tileOf } from './gemm.js';
import type { NativeKernels } from './kernels.js';

/** Inner block: a panel of B stays in the first-level cache. */
const KC = 256;
/** Rows of a block: A stays in the second-level cache. A multiple of both tiles. */
const MC = 96;
/** Scratch: panels of B, and above them one block of A. */
const PANELS_B_BYTES = 1024 * 1024;
const PANELS_A = 1536 * 1024;
/** What a product packs into: at most this many bytes of scratch. */
export const PACKED_BYTES = PANELS_A + 4 * MC * KC;

/** With B transposed, up to this many rows go through the dot products. */
const DOT_ROWS = 16;
/** Numbers of a frozen matrix that are expanded at a time; 1 MB is half of a usual L2 cache. */
const TILE_NUMBERS = 256 * 1024;
export const TILE_BYTES = 4 * TILE_NUMBERS;
/** With few rows a tile is read once after it was written, and should still be in that cache. */
const SMALL_TILE = 32 * 1024;
/** Rows of B of which a tile would not hold a few are not multiplied so. */
const MOST_COLUMNS = TILE_NUMBERS / 4;
/** With B frozen, up to this many rows go through the dot products with blocks. */
const FROZEN_DOT_ROWS = 2;
/** With B as stored, up to this many rows read B in place. */
const DIRECT_ROWS = 12;

/** C = alpha·op(A)·op(B) + beta·C on the memory; see `Gemm`. */
export type Sgemm = (
  transposeA: boolean,
  transposeB: boolean,
  m: number,
  n: number,
  k: number,
  alpha: number,
  a: number,
  lda: number,
  b: number,
  ldb: number,
  beta: number,
  c: number,
  ldc: number,
) => void;

/** Rows [from, to) of a matrix of blocks that lies anywhere in the process. */
export interface FrozenCall {
  form: Form;
  address: number;
  from: number;
  to: number;
}

/** Offsets in the memory that nothing else uses meanwhile. */
export interface NativeScratch {
  /** Of `BLOCK_BYTES`: the kernels' arguments. */
  block: number;
  /** Of `PACKED_BYTES`. */
  packed: number;
  /** Of `TILE_BYTES`: rows of a frozen matrix as float32. */
  tile: number;
}

export interface NativeGemm {
  sgemm: Sgemm;
  /** C = alpha·A·Bᵀ + beta·C with B frozen, m rows of A; C's columns are B's rows. */
  frozen(
    b: FrozenCall,
    m: number,
    k: number,
    alpha: number,
    a: number,
    lda: number,
    beta: number,
    c: number,
    ldc: number,
  ): void;
  /** The first `count` numbers of frozen rows as float32 at `out`. */
  expand(b: FrozenRows, count: number, out: number): void;
  /** Rows are computed alike whatever their number: products with a transposed B are dot products. */
  alike: boolean;
}

/** Numbers that a kernel of frozen.ts reads at least. */
const kernelBlock = (form: Form): number => Math.max(LEAST_NUMBERS, LAYOUTS[form].numbers);

/** Whether `frozen` takes rows of that length. */
export const fitsKernels = (form: Form, k: number): boolean =>
  k > 0 && k <= MOST_COLUMNS && k % kernelBlock(form) === 0;

/** Rows of B that are expanded at a time. */
const tileRows = (m: number, k: number): number =>
  Math.max(4, Math.floor((m <= DOT_ROWS ? SMALL_TILE : TILE_NUMBERS) / k));

/** What `frozen` needs of a tile. */
export const frozenTileBytes = (m: number, rows: number, k: number): number =>
  m <= FROZEN_DOT_ROWS ? 0 : 4 * k * Math.min(rows, tileRows(m, k));

export function nativeGemm(
  kernels: NativeKernels,
  buffer: ArrayBufferLike,
  scratch: Pick<NativeScratch, 'packed' | 'tile'>,
): NativeGemm {
  const { gemmBlock, dots } = kernels.functions;
  const { columns: nr } = tileOf(kernels.target.width);
  const floats = new Float32Array(buffer);
  const self: NativeGemm = {
    alike: false,
    frozen({ form, address, from, to }, m, k, alpha, a, lda, beta, c, ldc) {
      const size = rowBytes(form, k);
      const own = kernels.forForm(form);
      if (m <= FROZEN_DOT_ROWS) {
        own.dots(
          a,
          lda,
          address + from * size,
          size,
          c + 4 * from,
          ldc,
          m,
          to - from,
          k,
          alpha,
          beta,
        );
        return;
      }
      const most = tileRows(m, k);
      const block = kernelBlock(form);
      for (let row = from; row < to; row += most) {
        const rows = Math.min(most, to - row);
        own.expand(scratch.tile, (rows * k) / block, address + row * size);
        self.sgemm(false, true, m, rows, k, alpha, a, lda, scratch.tile, k, beta, c + 4 * row, ldc);
      }
    },
    expand({ form, bytes }, count, out) {
      const { bytes: size, decode } = LAYOUTS[form];
      const block = kernelBlock(form);
      const blocks = Math.floor(count / block);
      if (blocks > 0) kernels.forForm(form).expand(out, blocks, kernels.addressOf(bytes));
      const rest = count - blocks * block;
      if (rest === 0) return;
      const from = (count - rest) * size;
      const into = out / 4 + count - rest;
      decode(bytes.slice(from, from + rest * size), floats.subarray(into, into + rest));
    },
    sgemm(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) {
      if (m <= 0 || n <= 0) return;
      if (k <= 0) {
        if (beta === 0)
          for (let i = 0; i < m; i++) floats.fill(0, c / 4 + i * ldc, c / 4 + i * ldc + n);
        return;
      }
      if (transposeB && !transposeA && (m <= DOT_ROWS || self.alike)) {
        dots(a, lda, b, ldb, c, ldc, m, n, k, alpha, beta);
        return;
      }
      const [aRow, aInner] = transposeA ? [1, lda] : [lda, 1];
      const packB = transposeB ? B_PACK_TRANSPOSED : m <= DIRECT_ROWS ? B_IN_PLACE : B_PACK_ROWS;
      const packA = transposeA && n > nr ? 1 : 0;
      const blocks = Math.ceil(k / KC);
      // Blocks of equal length, so that the last is not a sliver.
      const step = (Math.ceil(k / blocks) + 7) & ~7;
      const nc = Math.floor(PANELS_B_BYTES / 4 / step / nr) * nr;
      for (let p = 0; p < k; p += step) {
        const kc = Math.min(step, k - p);
        const add = beta !== 0 || p > 0 ? 1 : 0;
        for (let j = 0; j < n; j += nc) {
          const columns = Math.min(nc, n - j);
          const bAt = b + 4 * (transposeB ? j * ldb + p : p * ldb + j);
          for (let i = 0; i < m; i += MC) {
            const mode = i === 0 ? packB : packB === B_IN_PLACE ? packB : B_PACKED;
            const rows = Math.min(MC, m - i);
            const aAt = a + 4 * (i * aRow + p * aInner);
            const cAt = c + 4 * (i * ldc + j);
            gemmBlock(
              aAt,
              aRow,
              aInner,
              scratch.packed + PANELS_A,
              packA,
              bAt,
              ldb,
              mode,
              scratch.packed,
              cAt,
              ldc,
              rows,
              columns,
              kc,
              alpha,
              add,
            );
          }
        }
      }
    },
  };
  return self;
}
