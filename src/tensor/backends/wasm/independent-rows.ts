/**
 * @file Batch-invariant matrix products: a row's bits do not depend on the other rows.
 *
 * A BLAS picks its kernel, and so the order of its sums, by the size of the product: the same row
 * times the same matrix gives other last bits in a batch of 16 than in one of 64. A server that
 * promises the same output for the same seed cannot have that (He et al. 2025, "Defeating
 * Nondeterminism in LLM Inference"). Switched on, every product goes in blocks of one size, the
 * last one filled up with zeros; within one size the order of the sums is the same for every row,
 * as the tests check on the library that is there. The WASM kernel needs no filling: up to four rows
 * it takes each row by itself. Our machine code needs no blocks either: it takes kernels in which
 * rows do not meet.
 */
import type { Gemm } from './gemm.js';
import { isOwn } from './product-choice.js';

/**
 * Rows of a block for a BLAS: enough that it is worth the call, few enough that one row is not paid
 * for dearly.
 */
const BLOCK = 16;
/** Most rows that our own kernel takes as dot products (assembly/gemm.ts, DOT_ROWS). */
const DOT_ROWS = 4;

export interface IndependentRows {
  gemm: Gemm;
  /** Computes rows alike whatever their number, or no longer. */
  switch(on: boolean): void;
}

/** @param withScratch runs `body` with that many bytes of the memory */
export function independentRows(
  inner: Gemm,
  memory: WebAssembly.Memory,
  withScratch: (bytes: number, body: (address: number) => void) => void,
): IndependentRows {
  const own = isOwn(inner.name);
  const floats = new Float32Array(memory.buffer);
  const { alikeRows } = inner;
  if (alikeRows)
    return {
      gemm: inner,
      switch: alikeRows,
    };
  let on = false;
  return {
    switch(value) {
      on = value;
    },
    gemm: {
      name: inner.name,
      sgemm(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) {
        if (!on || transposeA || m === 0) {
          inner.sgemm(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
          return;
        }
        const block = own ? DOT_ROWS : BLOCK;
        let row = 0;
        for (; own ? row < m : row + block <= m; row += block) {
          const rows = Math.min(block, m - row);
          inner.sgemm(
            false,
            transposeB,
            rows,
            n,
            k,
            alpha,
            a + 4 * row * lda,
            lda,
            b,
            ldb,
            beta,
            c + 4 * row * ldc,
            ldc,
          );
        }
        if (row >= m) return;
        const rest = m - row;
        withScratch(4 * block * (k + n), (address) => {
          const filled = address / 4;
          const result = filled + block * k;
          for (let i = 0; i < rest; i++) {
            const from = a / 4 + (row + i) * lda;
            floats.copyWithin(filled + i * k, from, from + k);
            const to = c / 4 + (row + i) * ldc;
            if (beta !== 0) floats.copyWithin(result + i * n, to, to + n);
          }
          floats.fill(0, filled + rest * k, filled + block * k);
          if (beta !== 0) floats.fill(0, result + rest * n, result + block * n);
          inner.sgemm(
            false,
            transposeB,
            block,
            n,
            k,
            alpha,
            address,
            k,
            b,
            ldb,
            beta,
            address + 4 * block * k,
            n,
          );
          for (let i = 0; i < rest; i++) {
            const from = result + i * n;
            floats.copyWithin(c / 4 + (row + i) * ldc, from, from + n);
          }
        });
      },
    },
  };
}
