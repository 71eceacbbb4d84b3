/**
 * @file Grouped matrix product: each row is multiplied by its own group's matrix (the experts of a
 * mixture, after the rows have been sorted by expert).
 */
import { type GroupedKind, matrixOf, type Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { demand } from './reference-kernel.js';

/**
 * out[rows of g] = x[rows of g] · weights[g]ᵀ.
 * @param x [N, K]
 * @param weights [G, M, K], or stacked as [G·M, K]
 * @param offsets i32 [G + 1]; rows offsets[g] … offsets[g + 1] are group g's
 * @returns [N, M]
 */
export function groupedMatmul(
  tape: Tape,
  x: Variable,
  weights: Variable,
  offsets: Tensor,
): Variable {
  const { backend } = tape;
  const [n, k] = x.shape;
  const { rows, columns } = matrixOf(weights.value);
  const groups = offsets.shape[0] - 1;
  const m = rows / groups;
  demand(
    k === columns,
    `groupedMatmul: x has ${k} columns, the weights [${weights.shape}] expect ${columns}`,
  );
  demand(
    Number.isInteger(m),
    `groupedMatmul: ${offsets.shape[0]} offsets do not fit the weights [${weights.shape}]`,
  );
  const stacked = (tensor: Tensor): Tensor => backend.view(tensor, 0, [groups, m, k]);
  const out = tape.output([n, m], x, weights);
  backend.groupedMatmul(out.value, x.value, stacked(weights.value), offsets, 'forward', false);
  tape.record(out, (gradient) => {
    const dx = tape.gradientOf(x);
    if (dx)
      backend.groupedMatmul(
        dx.tensor,
        gradient,
        stacked(weights.value),
        offsets,
        'input',
        dx.accumulate,
      );
    const dw = tape.gradientOf(weights);
    if (dw)
      backend.groupedMatmul(
        stacked(dw.tensor),
        gradient,
        x.value,
        offsets,
        'weight',
        dw.accumulate,
      );
  });
  return out;
}

/**
 * `m` and `k` are the dimensions of one weight matrix [m, k]; see `GroupedKind` for what a, b and
 * out are.
 */
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
