/**
 * @file Single-precision matrix products on the WASM memory: our own SIMD kernel, or the system's BLAS.
 */

export interface Gemm {
  /** What does the work, for people and fingerprints: `wasm`, `wasm-relaxed`, `openblas 0.3.21 SkylakeX`. */
  readonly name: string;
  /**
   * C[m,n] = alpha·op(A)·op(B) + beta·C, row-major; byte addresses into the memory, leading dimensions in elements; beta is
   * 0 or 1, and with beta 0 what C held is never read. m, n or k may be 0.
   */
  sgemm(
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
  ): void;
}

/** Scratch that one thread's products need in the memory, 64-byte aligned. */
export const GEMM_SCRATCH_BYTES = 2 * 1024 * 1024;

export interface GemmContext {
  /** The kernels' exports. */
  exports: WebAssembly.Exports;
  memory: WebAssembly.Memory;
  /** Byte address of this thread's scratch, and its size: at least `GEMM_SCRATCH_BYTES`. */
  scratch: number;
  scratchBytes: number;
  /** False forces the WASM kernel. */
  blas: boolean;
  /** True when the exports are the relaxed SIMD build. */
  relaxed: boolean;
}

type SgemmKernel = (
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
  scratch: number,
) => void;

export function createGemm(context: GemmContext): Gemm {
  const kernel = context.exports.sgemm as unknown as SgemmKernel;
  const { scratch } = context;
  return {
    name: context.relaxed ? 'wasm-relaxed' : 'wasm',
    sgemm: (transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) =>
      kernel(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, scratch),
  };
}
