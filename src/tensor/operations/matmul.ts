/**
 * @file Matrix products, one or a batch of them.
 *
 * With C = op(a) · op(b) and G the gradient of C, the gradient of op(a) is G · op(b)ᵀ and that of
 * op(b) is op(a)ᵀ · G. When an operand was transposed, its own gradient is the transpose of that,
 * which is the same product with the factors swapped. So all derivatives are again products of the
 * three transposes that the backend has, and nothing is ever transposed in memory.
 */
import type { Tape, Variable } from '../tape.js';
import { declare, depending, f32, flag, or, real, strided, stridedWeights } from './declare.js';
import { at, demand, type Matrix, put } from './reference-kernel.js';

export interface TransposeOptions {
  transposeA?: boolean;
  transposeB?: boolean;
}

type Product = 'matmul' | 'batchedMatmul';

/** op(a) · op(b) for matrices: [M, K] · [K, N], either stored transposed. */
export function matmul(
  tape: Tape,
  a: Variable,
  b: Variable,
  options: TransposeOptions = {},
): Variable {
  return product(tape, a, b, options, 'matmul');
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
  return product(tape, a, b, options, 'batchedMatmul');
}

function product(
  tape: Tape,
  a: Variable,
  b: Variable,
  { transposeA = false, transposeB = false }: TransposeOptions,
  method: Product,
): Variable {
  const { backend } = tape;
  const batch = a.shape.slice(0, -2);
  const [m, n] = [a.shape.at(transposeA ? -1 : -2), b.shape.at(transposeB ? -2 : -1)] as number[];
  const out = tape.output([...batch, m, n], a, b);
  backend[method]({ out: out.value, a: a.value, b: b.value, transposeA, transposeB });
  tape.record(out, (gradient) => {
    const da = tape.gradientOf(a);
    if (da) {
      const [x, y] = transposeA ? [b.value, gradient] : [gradient, b.value];
      backend[method]({
        out: da.tensor,
        a: x,
        b: y,
        transposeA: transposeA && transposeB,
        transposeB: transposeA || !transposeB,
        accumulate: da.accumulate,
      });
    }
    const db = tape.gradientOf(b);
    if (db) {
      const [x, y] = transposeB ? [gradient, a.value] : [a.value, gradient];
      backend[method]({
        out: db.tensor,
        a: x,
        b: y,
        transposeA: transposeB || !transposeA,
        transposeB: transposeB && transposeA,
        accumulate: db.accumulate,
      });
    }
  });
  return out;
}

const options = {
  transposeA: or(false, flag()),
  transposeB: or(false, flag()),
  accumulate: or(false, flag()),
  /** Scales the product, not what is accumulated to. */
  alpha: or(1, real()),
};

interface ProductNumbers {
  M: number;
  N: number;
  K: number;
  transposeA: boolean;
  transposeB: boolean;
  accumulate: boolean;
  alpha: number;
}

function multiply(out: Matrix, a: Matrix, b: Matrix, numbers: ProductNumbers): void {
  const { M, N, K, transposeA, transposeB, accumulate, alpha } = numbers;
  for (let i = 0; i < M; i++) {
    for (let j = 0; j < N; j++) {
      let sum = 0;
      for (let k = 0; k < K; k++)
        sum += (transposeA ? at(a, k, i) : at(a, i, k)) * (transposeB ? at(b, j, k) : at(b, k, j));
      put(out, i, j, alpha * sum, accumulate);
    }
  }
}

export const matmulOperations = {
  /** out = alpha · op(a) · op(b), or += when accumulating; `b` may be a frozen matrix. */
  matmul: declare({
    args: {
      out: strided('M', 'N'),
      a: depending('transposeA', { false: strided('M', 'K'), true: strided('K', 'M') }),
      b: depending('transposeB', {
        false: stridedWeights('K', 'N'),
        true: stridedWeights('N', 'K'),
      }),
      ...options,
    },
    reference({ out, a, b }, numbers) {
      multiply(out, a, b, numbers);
    },
  }),
  /** The same of each matrix of a stack. */
  batchedMatmul: declare({
    args: {
      out: f32('B', 'M', 'N'),
      a: depending('transposeA', { false: f32('B', 'M', 'K'), true: f32('B', 'K', 'M') }),
      b: depending('transposeB', { false: f32('B', 'K', 'N'), true: f32('B', 'N', 'K') }),
      ...options,
    },
    reference({ out, a, b }, numbers) {
      const { B, M, N, K, transposeA, transposeB } = numbers;
      const slice = (data: Float64Array, i: number, turned: boolean, r: number, c: number) => {
        const [rows, columns] = turned ? [c, r] : [r, c];
        return { data, offset: i * rows * columns, rows, columns, stride: columns };
      };
      for (let i = 0; i < B; i++)
        multiply(
          slice(out, i, false, M, N),
          slice(a, i, transposeA, M, K),
          slice(b, i, transposeB, K, N),
          numbers,
        );
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    matmul: typeof matmulOperations.matmul;
    batchedMatmul: typeof matmulOperations.batchedMatmul;
  }
}
