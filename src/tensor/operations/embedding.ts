/**
 * @file Token embedding: a row of the table for each id. Its derivative adds each row's gradient
 * where it came from, in the order of the rows, so that repeated tokens sum to the same bits every
 * time.
 */
import { matrixOf, sizeOf, type Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { at, demand, type Matrix, put } from './reference-kernel.js';

/** table [V, D], ids i32 [N]; returns [N, D]. */
export function embedding(tape: Tape, table: Variable, ids: Tensor): Variable {
  const { backend } = tape;
  const out = tape.output([sizeOf(ids), matrixOf(table.value).columns], table);
  backend.embedding(out.value, table.value, ids);
  tape.record(out, (gradient) => {
    const slot = tape.gradientOf(table);
    if (slot) backend.embeddingBackward(slot.tensor, gradient, ids, slot.accumulate);
  });
  return out;
}

export function embeddingReference(out: Matrix, table: Matrix, ids: Int32Array): void {
  for (let n = 0; n < ids.length; n++) {
    demand(
      ids[n] >= 0 && ids[n] < table.rows,
      `embedding: id ${ids[n]} at ${n} is not among ${table.rows} rows`,
    );
    for (let j = 0; j < table.columns; j++) put(out, n, j, at(table, ids[n], j));
  }
}

export function embeddingBackwardReference(
  dTable: Float64Array,
  dOut: Matrix,
  ids: Int32Array,
  accumulate: boolean,
): void {
  if (!accumulate) dTable.fill(0);
  for (let n = 0; n < ids.length; n++) {
    for (let j = 0; j < dOut.columns; j++) dTable[ids[n] * dOut.columns + j] += at(dOut, n, j);
  }
}
