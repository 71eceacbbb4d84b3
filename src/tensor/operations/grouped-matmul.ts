/**
 * @file Grouped matrix product: each row is multiplied by its own group's matrix (the experts of a mixture, after the rows
 * have been sorted by expert).
 */
import type { GroupedKind, Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { demand } from './reference-kernel.js';

/**
 * out[rows of g] = x[rows of g] · weights[g]ᵀ.
 * @param x [N, K]
 * @param weights [G, M, K]
 * @param offsets i32 [G + 1]; rows offsets[g] … offsets[g + 1] are group g's
 * @returns [N, M]
 */
export function groupedMatmul(tape: Tape, x: Variable, weights: Variable, offsets: Tensor): Variable {
  const { backend } = tape;
  const [n, k] = x.shape;
  const [groups, m, weightColumns] = weights.shape;
  demand(k === weightColumns, `groupedMatmul: x has ${k} columns, the weights [${weights.shape}] expect ${weightColumns}`);
  demand(offsets.shape[0] === groups + 1, `groupedMatmul: ${groups} groups need ${groups + 1} offsets`);
  const out = tape.output([n, m], x, weights);
  backend.groupedMatmul(out.value, x.value, weights.value, offsets, 'forward', false);
  tape.record(out, (gradient) => {
    const dx = tape.gradientOf(x);
    if (dx) backend.groupedMatmul(dx.tensor, gradient, weights.value, offsets, 'input', dx.accumulate);
    const dw = tape.gradientOf(weights);
    if (dw) backend.groupedMatmul(dw.tensor, gradient, x.value, offsets, 'weight', dw.accumulate);
  });
  return out;
}

/** `m` and `k` are the dimensions of one weight matrix [m, k]; see `GroupedKind` for what a, b and out are. */
export function groupedMatmulReference(
  out: Float64Array,
  a: Float64Array,
  b: Float64Array,
  offsets: Int32Array,
  kind: GroupedKind,
  accumulate: boolean,
  m: number,
  k: number,
): void {
  if (!accumulate) out.fill(0);
  for (let g = 0; g + 1 < offsets.length; g++) {
    for (let row = offsets[g]; row < offsets[g + 1]; row++) {
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < k; j++) {
          const w = (g * m + i) * k + j;
          if (kind === 'forward') out[row * m + i] += a[row * k + j] * b[w];
          else if (kind === 'input') out[row * k + j] += a[row * m + i] * b[w];
          else out[w] += a[row * m + i] * b[row * k + j];
        }
      }
    }
  }
}
