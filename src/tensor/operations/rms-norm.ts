/**
 * @file Root-mean-square norm (Zhang and Sennrich 2019).
 *
 * y = w · x · r with r = 1/√(mean(x²) + ε), over blocks as long as the weight. One block a row is
 * the usual norm; one block a head is Qwen3's norm of queries and keys. With u = w · dy the
 * derivative is dx = r·u − x·r³·mean(x·u), and dw = Σ dy·x·r.
 */
import { matrixOf, sizeOf } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { at, clearUnless, demand, type Matrix, type Minus, put } from './reference-kernel.js';

/**
 * @param x [N, H·d], may be a column view
 * @param weight [d], shared by the H blocks of a row
 * @returns [N, H·d]
 */
export function rmsNorm(tape: Tape, x: Variable, weight: Variable, epsilon: number): Variable {
  const { backend } = tape;
  const { rows, columns } = matrixOf(x.value);
  const d = sizeOf(weight);
  demand(
    d > 0 && columns % d === 0,
    `rmsNorm: ${columns} columns are no multiple of the weight's length ${d}`,
  );
  const out = tape.output([rows, columns], x, weight);
  const inverseRms = backend.allocate('f32', [rows, columns / d]);
  backend.rmsNorm(out.value, inverseRms, x.value, weight.value, epsilon);
  tape.record(out, (gradient) => {
    const dx = tape.gradientOf(x);
    const dw = tape.gradientOf(weight);
    backend.rmsNormBackward(
      dx?.tensor ?? null,
      dw?.tensor ?? null,
      gradient,
      x.value,
      weight.value,
      inverseRms,
      {
        dx: dx?.accumulate ?? false,
        dWeight: dw?.accumulate ?? false,
      },
    );
  });
  return out;
}

export function rmsNormReference(
  out: Matrix,
  inverseRms: Matrix,
  x: Matrix,
  weight: Float64Array,
  epsilon: number,
): void {
  const d = weight.length;
  for (let n = 0; n < x.rows; n++) {
    for (let h = 0; h * d < x.columns; h++) {
      let sum = 0;
      for (let i = 0; i < d; i++) sum += at(x, n, h * d + i) ** 2;
      const r = 1 / Math.sqrt(sum / d + epsilon);
      put(inverseRms, n, h, r);
      for (let i = 0; i < d; i++) put(out, n, h * d + i, weight[i] * at(x, n, h * d + i) * r);
    }
  }
}

export function rmsNormBackwardReference(
  dx: Matrix | null,
  dWeight: Float64Array | null,
  dOut: Matrix,
  x: Matrix,
  weight: Float64Array,
  inverseRms: Matrix,
  accumulate: { dx: boolean; dWeight: boolean },
  minus: Minus,
): void {
  const d = weight.length;
  if (dx) clearUnless(accumulate.dx, dx);
  if (dWeight && !accumulate.dWeight) dWeight.fill(0);
  for (let n = 0; n < x.rows; n++) {
    for (let h = 0; h * d < x.columns; h++) {
      const r = at(inverseRms, n, h);
      let meanXU = 0;
      for (let i = 0; i < d; i++)
        meanXU += (at(x, n, h * d + i) * weight[i] * at(dOut, n, h * d + i)) / d;
      for (let i = 0; i < d; i++) {
        const column = h * d + i;
        if (dx)
          put(
            dx,
            n,
            column,
            minus(r * weight[i] * at(dOut, n, column), at(x, n, column) * r ** 3 * meanXU),
            true,
          );
        if (dWeight) dWeight[i] += at(dOut, n, column) * at(x, n, column) * r;
      }
    }
  }
}
