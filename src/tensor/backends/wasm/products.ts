/**
 * @file Matrix products of the backend: dense, batched, grouped and with frozen weights, all by
 * calls of one `sgemm`.
 *
 * A frozen matrix is multiplied straight from its blocks where there are few rows and machine code;
 * otherwise some of its rows are expanded to float32 at a time.
 */
import { type FrozenRows, LAYOUTS, rowBytes } from '../../forms.js';
import type { Expand, ProductContext, WasmKernels } from './context.js';
import type { Gemm } from './gemm.js';
import type { KernelExports } from './kernels.js';
import type { WasmTensor } from './tensor.js';

/**
 * Numbers of a frozen matrix that are expanded at a time: 1 MB as f32, half of a usual L2 cache.
 */
const TILE = 256 * 1024;
/** With few rows the tile is read once after it was written, and should still be in that cache. */
const FEW_ROWS = 16;
const SMALL_TILE = 32 * 1024;

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
  const { frozen, columns: width, rowStride } = b;
  if (frozen === null || b.rows === 0 || width === 0) {
    gemm.sgemm(transposeA, transposeB, m, n, k, alpha, a, lda, b.address, rowStride, beta, c, ldc);
    return;
  }
  let first = 0;
  for (const part of frozen) {
    const from = first;
    first += part.rows;
    if (transposeB) {
      // A part's rows are columns of the output.
      const to = c + 4 * from;
      const direct =
        !transposeA && gemm.frozen?.product(part, m, k, alpha, a, lda, beta, to, ldc) === true;
      if (!direct)
        expanded(context, part, width, m, (tile, start, rows) => {
          const at = to + 4 * start;
          gemm.sgemm(transposeA, true, m, rows, k, alpha, a, lda, tile, width, beta, at, ldc);
        });
    } else
      expanded(context, part, width, m, (tile, start, rows) => {
        // They are a part of the inner sum.
        const at = a + 4 * (from + start) * (transposeA ? lda : 1);
        const add = from + start > 0 ? 1 : beta;
        gemm.sgemm(transposeA, false, m, width, rows, alpha, at, lda, tile, width, add, c, ldc);
      });
  }
}

/** Calls `use` with some of a part's rows at a time, as float32 in scratch memory. */
function expanded(
  context: ProductContext,
  part: FrozenRows,
  width: number,
  m: number,
  use: (tile: number, start: number, rows: number) => void,
): void {
  const size = rowBytes(part.form, width);
  const most = m <= FEW_ROWS ? SMALL_TILE : TILE;
  const tileRows = Math.min(part.rows, Math.max(16, Math.floor(most / width)));
  context.withScratch(4 * tileRows * width, (tile) => {
    for (let start = 0; start < part.rows; start += tileRows) {
      const rows = Math.min(tileRows, part.rows - start);
      const bytes = part.bytes.subarray(start * size, (start + rows) * size);
      context.expand({ form: part.form, rows, bytes }, rows * width, tile);
      use(tile, start, rows);
    }
  });
}

/** out[n] = table[ids[n]] from a frozen table. */
export function frozenRows(
  { expand }: ProductContext,
  out: WasmTensor,
  table: WasmTensor,
  ids: Int32Array,
): void {
  const { columns: width } = table;
  ids.forEach((id, n) => {
    let row = id;
    for (const { form, rows, bytes } of table.frozen ?? []) {
      if (row < rows) {
        const size = rowBytes(form, width);
        const own = bytes.subarray(row * size, (row + 1) * size);
        expand({ form, rows: 1, bytes: own }, width, out.address + 4 * n * width);
        return;
      }
      row -= rows;
    }
  });
}

/** Expands by machine code; without it by the WASM kernels, through a copy in their memory. */
export function expander(
  gemm: Gemm,
  kernels: KernelExports,
  memory: WebAssembly.Memory,
  withScratch: ProductContext['withScratch'],
): Expand {
  if (gemm.frozen) return gemm.frozen.expand;
  const all = new Uint8Array(memory.buffer);
  return ({ form, bytes }, count, out) => {
    const size = (count / LAYOUTS[form].numbers) * LAYOUTS[form].bytes;
    withScratch(size, (copy) => {
      all.set(size === bytes.length ? bytes : bytes.subarray(0, size), copy);
      kernels[EXPAND[form]](out, copy, count);
    });
  };
}

const EXPAND = {
  f32: 'expandF32',
  f16: 'expandF16',
  bf16: 'expandBf16',
  q8_0: 'expandQ8_0',
  q4_0: 'expandQ4_0',
  q4_1: 'expandQ4_1',
  q5_0: 'expandQ5_0',
  q5_1: 'expandQ5_1',
  q4_k: 'expandQ4_K',
  q5_k: 'expandQ5_K',
  q6_k: 'expandQ6_K',
} as const satisfies Record<FrozenRows['form'], keyof KernelExports>;

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
