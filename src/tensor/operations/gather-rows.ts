/**
 * @file Picking rows out of a matrix and putting rows into one: the last token of each sequence
 * before the head, the tokens of each expert, the keys and values of new tokens into a cache.
 */
import { isContiguous, matrixOf, sizeOf, type Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { at, demand, type Matrix, put } from './reference-kernel.js';

/** x [M, D] (contiguous), rows i32 [N], all distinct; returns [N, D]. */
export function gatherRows(tape: Tape, x: Variable, rows: Tensor): Variable {
  const { backend } = tape;
  demand(isContiguous(x.value), 'gatherRows: x must be contiguous');
  const out = tape.output([sizeOf(rows), matrixOf(x.value).columns], x);
  backend.gatherRows(out.value, x.value, rows);
  tape.record(out, (gradient) => {
    const slot = tape.gradientOf(x);
    if (!slot) return;
    if (!slot.accumulate) backend.fill(slot.tensor, 0);
    backend.scatterRows(slot.tensor, gradient, rows, true);
  });
  return out;
}

export function gatherRowsReference(out: Matrix, a: Matrix, rows: Int32Array): void {
  for (let n = 0; n < rows.length; n++) {
    demand(rows[n] >= 0 && rows[n] < a.rows, `gatherRows: row ${rows[n]} is not among ${a.rows}`);
    for (let j = 0; j < a.columns; j++) put(out, n, j, at(a, rows[n], j));
  }
}

export function scatterRowsReference(
  out: Matrix,
  a: Matrix,
  rows: Int32Array,
  accumulate: boolean,
): void {
  for (let n = 0; n < rows.length; n++) {
    demand(
      rows[n] >= 0 && rows[n] < out.rows,
      `scatterRows: row ${rows[n]} is not among ${out.rows}`,
    );
    for (let j = 0; j < a.columns; j++) put(out, rows[n], j, at(a, n, j), accumulate);
  }
}
