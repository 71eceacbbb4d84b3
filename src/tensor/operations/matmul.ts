/**
 * @file Matrix products, one or a batch of them.
 *
 * With C = op(a) · op(b) and G the gradient of C, the gradient of op(a) is G · op(b)ᵀ and that of
 * op(b) is op(a)ᵀ · G. When an operand was transposed, its own gradient is the transpose of that,
 * which is the same product with the factors swapped. So all derivatives are again products of the
 * three transposes that the backend has, and nothing is ever transposed in memory.
 */
import type { MatmulOptions, Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { at, demand, type Matrix, put } from './reference-kernel.js';

export interface TransposeOptions {
  transposeA?: boolean;
  transposeB?: boolean;
}

type Product = (out: Tensor, a: Tensor, b: Tensor, options?: MatmulOptions) => void;

/** op(a) · op(b) for matrices: [M, K] · [K, N], either stored transposed. */
export function matmul(
  tape: Tape,
  a: Variable,
  b: Variable,
  options: TransposeOptions = {},
): Variable {
  return product(tape, a, b, options, (out, x, y, o) => tape.backend.matmul(out, x, y, o));
}

/** op(a[i]) · op(b[i]) for every i: [B, M, K] · [B, K, N], either stored transposed. */
export function batchedMatmul(
  tape: Tape,
  a: Variable,
  b: Variable,
  options: TransposeOptions = {},
): Variable {
  demand(
    a.shape.length === 3 && a.shape[0] === b.shape[0],
    `batchedMatmul: [${a.shape}] and [${b.shape}] are not one batch`,
  );
  return product(tape, a, b, options, (out, x, y, o) => tape.backend.batchedMatmul(out, x, y, o));
}

function product(
  tape: Tape,
  a: Variable,
  b: Variable,
  options: TransposeOptions,
  multiply: Product,
): Variable {
  const { transposeA = false, transposeB = false } = options;
  const batch = a.shape.slice(0, -2);
  const [aRows, aColumns] = a.shape.slice(-2);
  const [bRows, bColumns] = b.shape.slice(-2);
  const [m, inner] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const [innerB, n] = transposeB ? [bColumns, bRows] : [bRows, bColumns];
  demand(
    inner === innerB,
    `matmul: inner dimensions of [${a.shape}] and [${b.shape}] differ (${inner} and ${innerB})`,
  );

  const out = tape.output([...batch, m, n], a, b);
  multiply(out.value, a.value, b.value, { transposeA, transposeB });
  tape.record(out, (gradient) => {
    const da = tape.gradientOf(a);
    if (da) {
      const { accumulate } = da;
      if (transposeA)
        multiply(da.tensor, b.value, gradient, {
          transposeA: transposeB,
          transposeB: true,
          accumulate,
        });
      else multiply(da.tensor, gradient, b.value, { transposeB: !transposeB, accumulate });
    }
    const db = tape.gradientOf(b);
    if (db) {
      const { accumulate } = db;
      if (transposeB)
        multiply(db.tensor, gradient, a.value, {
          transposeA: true,
          transposeB: transposeA,
          accumulate,
        });
      else multiply(db.tensor, a.value, gradient, { transposeA: !transposeA, accumulate });
    }
  });
  return out;
}

export function matmulReference(
  out: Matrix,
  a: Matrix,
  b: Matrix,
  options: MatmulOptions = {},
): void {
  const { transposeA = false, transposeB = false, accumulate = false, alpha = 1 } = options;
  const inner = transposeA ? a.rows : a.columns;
  for (let i = 0; i < out.rows; i++) {
    for (let j = 0; j < out.columns; j++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) {
        sum += (transposeA ? at(a, k, i) : at(a, i, k)) * (transposeB ? at(b, j, k) : at(b, k, j));
      }
      put(out, i, j, alpha * sum, accumulate);
    }
  }
}
