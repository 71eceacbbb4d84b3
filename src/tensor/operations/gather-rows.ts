/**
 * @file Picking rows out of a matrix and putting rows into one: the last token of each sequence
 * before the head, the tokens of each expert, the keys and values of new tokens into a cache.
 */
import { isContiguous, matrixOf, sizeOf, type Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { declare, f32, flag, i32, strided } from './declare.js';
import { at, demand, put } from './reference-kernel.js';

/**
 * x [M, D] (contiguous), rows i32 [N]; returns [N, D].
 * @param options.repeated a row may be there several times; else all are distinct
 */
export function gatherRows(
  tape: Tape,
  x: Variable,
  rows: Tensor,
  { repeated = false } = {},
): Variable {
  const { backend } = tape;
  demand(isContiguous(x.value), 'gatherRows: x must be contiguous');
  const out = tape.output([sizeOf(rows), matrixOf(x.value).columns], x);
  backend.gatherRows({ out: out.value, a: x.value, rows });
  tape.record(out, (gradient) => {
    const slot = tape.gradientOf(x);
    if (!slot) return;
    const { accumulate } = slot;
    if (repeated)
      return backend.embeddingBackward({
        dTable: slot.tensor,
        dOut: gradient,
        ids: rows,
        accumulate,
      });
    if (!accumulate) backend.fill({ out: slot.tensor, value: 0 });
    backend.scatterRows({ out: slot.tensor, a: gradient, rows, accumulate: true });
  });
  return out;
}

export const gatherRowsOperations = {
  /** out[n] = a[rows[n]]. */
  gatherRows: declare({
    args: { out: f32('N', 'D'), a: f32('M', 'D'), rows: i32('N') },
    reference({ out, a, rows }, { N, M, D }) {
      for (let n = 0; n < N; n++) {
        demand(rows[n] >= 0 && rows[n] < M, `gatherRows: row ${rows[n]} is not among ${M}`);
        for (let j = 0; j < D; j++) put(out, n, j, at(a, rows[n], j));
      }
    },
  }),
  /** out[rows[n]] = a[n] (or +=); rows are distinct. Untouched rows of `out` stay. */
  scatterRows: declare({
    args: { out: f32('M', 'D'), a: strided('N', 'D'), rows: i32('N'), accumulate: flag() },
    reference({ out, a, rows }, { N, M, D, accumulate }) {
      for (let n = 0; n < N; n++) {
        demand(rows[n] >= 0 && rows[n] < M, `scatterRows: row ${rows[n]} is not among ${M}`);
        for (let j = 0; j < D; j++) put(out, rows[n], j, at(a, n, j), accumulate);
      }
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    gatherRows: typeof gatherRowsOperations.gatherRows;
    scatterRows: typeof gatherRowsOperations.scatterRows;
  }
}
