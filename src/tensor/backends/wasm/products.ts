/**
 * @file Matrix products of the backend: dense, batched, grouped and with frozen bf16 weights, all
 * by calls of one `sgemm`.
 */
import type { ProductContext, WasmKernels } from './context.js';
import type { WasmTensor } from './tensor.js';

/**
 * Numbers of a frozen matrix that are expanded at a time: 1 MB as f32, half of a usual L2 cache.
 */
const TILE = 256 * 1024;

/** `Gemm.sgemm` with a matrix `b` that may be frozen. */
export function multiply(
  context: ProductContext,
  b: WasmTensor,
  transposeA: boolean,
  transposeB: boolean,
  m: number,
  n: number,
  k: number,
  alpha: number,
  a: number,
  lda: number,
  beta: number,
  c: number,
  ldc: number,
): void {
  const { gemm } = context;
  const { bits, rows: bRows, columns: width } = b;
  if (bits === null || bRows === 0 || width === 0) {
    gemm.sgemm(
      transposeA,
      transposeB,
      m,
      n,
      k,
      alpha,
      a,
      lda,
      b.address,
      b.rowStride,
      beta,
      c,
      ldc,
    );
    return;
  }
  if (transposeB && !transposeA) {
    const done = gemm.bf16?.(bits, b.rowStride, m, n, k, alpha, a, lda, beta, c, ldc);
    if (done) return;
  }
  // Some rows of `b` at a time: columns of the output when b is transposed, a part of the inner sum
  // when not.
  const tileRows = Math.min(bRows, Math.max(16, Math.floor(TILE / width)));
  context.withScratch(tileRows * width * 6, (tile) => {
    const packed = tile + tileRows * width * 4;
    for (let first = 0; first < bRows; first += tileRows) {
      const rows = Math.min(tileRows, bRows - first);
      expandRows(context, tile, packed, b, first, rows);
      if (transposeB) {
        gemm.sgemm(
          transposeA,
          true,
          m,
          rows,
          k,
          alpha,
          a,
          lda,
          tile,
          width,
          beta,
          c + 4 * first,
          ldc,
        );
      } else {
        const part = a + 4 * first * (transposeA ? lda : 1);
        gemm.sgemm(
          transposeA,
          false,
          m,
          width,
          rows,
          alpha,
          part,
          lda,
          tile,
          width,
          first > 0 ? 1 : beta,
          c,
          ldc,
        );
      }
    }
  });
}

/** Puts rows of a frozen matrix at `out` as f32, through as many 16-bit numbers at `packed`. */
function expandRows(
  context: ProductContext,
  out: number,
  packed: number,
  b: WasmTensor,
  first: number,
  rows: number,
): void {
  const bits = b.bits as Uint16Array;
  const { columns: width, rowStride } = b;
  const staging = new Uint16Array(context.memory.buffer, packed, rows * width);
  if (rowStride === width) {
    staging.set(bits.subarray(first * width, (first + rows) * width));
  } else {
    for (let r = 0; r < rows; r++) {
      const start = (first + r) * rowStride;
      staging.set(bits.subarray(start, start + width), r * width);
    }
  }
  context.expandBf16(out, packed, rows * width);
}

/** out[n] = table[ids[n]] from a frozen table. */
export function frozenRows(
  context: ProductContext,
  out: WasmTensor,
  table: WasmTensor,
  ids: Int32Array,
): void {
  const width = table.columns;
  context.withScratch(2 * width, (packed) => {
    for (let n = 0; n < ids.length; n++)
      expandRows(context, out.address + 4 * n * width, packed, table, ids[n], 1);
  });
}

export const products: WasmKernels<'matmul' | 'batchedMatmul' | 'groupedMatmul'> = {
  matmul({ products: context }, { out, a, b }, numbers) {
    const { M, N, K, transposeA, transposeB, alpha, accumulate } = numbers;
    const beta = accumulate ? 1 : 0;
    const [from, lda, to, ldc] = [a.address, a.rowStride, out.address, out.rowStride];
    multiply(context, b, transposeA, transposeB, M, N, K, alpha, from, lda, beta, to, ldc);
  },
  batchedMatmul({ products: { gemm } }, { out, a, b }, numbers) {
    const { B, M, N, K, transposeA, transposeB, alpha, accumulate } = numbers;
    const beta = accumulate ? 1 : 0;
    for (let i = 0; i < B; i++) {
      gemm.sgemm(
        transposeA,
        transposeB,
        M,
        N,
        K,
        alpha,
        a.address + 4 * i * M * K,
        transposeA ? M : K,
        b.address + 4 * i * K * N,
        transposeB ? K : N,
        beta,
        out.address + 4 * i * M * N,
        N,
      );
    }
  },
  groupedMatmul({ products: { gemm }, i32s }, { out, a, b, offsets }, numbers) {
    const { G, M, K, kind, accumulate } = numbers;
    const beta = accumulate ? 1 : 0;
    const first = offsets.address / 4;
    for (let g = 0; g < G; g++) {
      const from = i32s[first + g];
      const rows = i32s[first + g + 1] - from;
      const weight = (kind === 'weight' ? out : b).address + 4 * g * M * K;
      const x = a.address + 4 * from * a.columns;
      if (kind === 'forward') {
        const to = out.address + 4 * from * M;
        gemm.sgemm(false, true, rows, M, K, 1, x, K, weight, K, beta, to, M);
      } else if (kind === 'input') {
        const to = out.address + 4 * from * K;
        gemm.sgemm(false, false, rows, K, M, 1, x, M, weight, K, beta, to, K);
      } else {
        const y = b.address + 4 * from * K;
        gemm.sgemm(true, false, M, K, rows, 1, x, M, y, K, beta, weight, K);
      }
    }
  },
};
