/**
 * @file Grouped matrix product: each row is multiplied by its own group's matrix (the experts of a
 * mixture, after the rows have been sorted by expert).
 */
import { matrixOf, type Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { choice, declare, depending, f32, flag, i32 } from './declare.js';
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
  backend.groupedMatmul({
    out: out.value,
    a: x.value,
    b: stacked(weights.value),
    offsets,
    kind: 'forward',
    accumulate: false,
  });
  tape.record(out, (gradient) => {
    const dx = tape.gradientOf(x);
    if (dx)
      backend.groupedMatmul({
        out: dx.tensor,
        a: gradient,
        b: stacked(weights.value),
        offsets,
        kind: 'input',
        accumulate: dx.accumulate,
      });
    const dw = tape.gradientOf(weights);
    if (dw)
      backend.groupedMatmul({
        out: stacked(dw.tensor),
        a: gradient,
        b: x.value,
        offsets,
        kind: 'weight',
        accumulate: dw.accumulate,
      });
  });
  return out;
}

export const groupedMatmulOperations = {
  /**
   * Rows offsets[g] … offsets[g + 1] of a matrix belong to group g.
   * - `forward`: out[rows of g] = a[rows of g] · b[g]ᵀ
   * - `input`:   out[rows of g] = a[rows of g] · b[g]
   * - `weight`:  out[g] = a[rows of g]ᵀ · b[rows of g]
   */
  groupedMatmul: declare({
    args: {
      out: depending('kind', {
        forward: f32('1', 'N', 'M'),
        input: f32('1', 'N', 'K'),
        weight: f32('G', 'M', 'K'),
      }),
      a: depending('kind', {
        forward: f32('1', 'N', 'K'),
        input: f32('1', 'N', 'M'),
        weight: f32('1', 'N', 'M'),
      }),
      b: depending('kind', {
        forward: f32('G', 'M', 'K'),
        input: f32('G', 'M', 'K'),
        weight: f32('1', 'N', 'K'),
      }),
      offsets: i32('G + 1'),
      kind: choice('forward', 'input', 'weight'),
      accumulate: flag(),
    },
    ends: { offsets: 'N' },
    reference({ out, a, b, offsets }, { G, M, K, kind, accumulate }) {
      if (!accumulate) out.fill(0);
      for (let g = 0; g < G; g++) {
        for (let row = offsets[g]; row < offsets[g + 1]; row++) {
          for (let i = 0; i < M; i++) {
            for (let j = 0; j < K; j++) {
              const w = (g * M + i) * K + j;
              if (kind === 'forward') out[row * M + i] += a[row * K + j] * b[w];
              else if (kind === 'input') out[row * K + j] += a[row * M + i] * b[w];
              else out[w] += a[row * M + i] * b[row * K + j];
            }
          }
        }
      }
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    groupedMatmul: typeof groupedMatmulOperations.groupedMatmul;
  }
}
