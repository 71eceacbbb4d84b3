/**
 * @file Token embedding: a row of the table for each id. Its derivative adds each row's gradient
 * where it came from, in the order of the rows, so that repeated tokens sum to the same bits every
 * time.
 */
import { matrixOf, sizeOf, type Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { declare, f32, flag, i32, weights } from './declare.js';
import { at, clearUnless, demand, put } from './reference-kernel.js';

/** table [V, D], ids i32 [N]; returns [N, D]. */
export function embedding(tape: Tape, table: Variable, ids: Tensor): Variable {
  const { backend } = tape;
  const out = tape.output([sizeOf(ids), matrixOf(table.value).columns], table);
  backend.embedding({ out: out.value, table: table.value, ids });
  tape.record(out, (gradient) => {
    const slot = tape.gradientOf(table);
    if (slot)
      backend.embeddingBackward({
        dTable: slot.tensor,
        dOut: gradient,
        ids,
        accumulate: slot.accumulate,
      });
  });
  return out;
}

export const embeddingOperations = {
  /** out[n] = table[ids[n]]. Ids out of range are the caller's fault, checked on the host. */
  embedding: declare({
    args: { out: f32('N', 'D'), table: weights('V', 'D'), ids: i32('N') },
    reference({ out, table, ids }, { N, V, D }) {
      for (let n = 0; n < N; n++) {
        demand(ids[n] >= 0 && ids[n] < V, `embedding: id ${ids[n]} at ${n} is not among ${V} rows`);
        for (let j = 0; j < D; j++) put(out, n, j, at(table, ids[n], j));
      }
    },
  }),
  /** dTable[ids[n]] += dOut[n], in the order of n; not accumulating zeroes dTable first. */
  embeddingBackward: declare({
    args: { dTable: f32('V', 'D'), dOut: f32('N', 'D'), ids: i32('N'), accumulate: flag() },
    reference({ dTable, dOut, ids }, { N, D, accumulate }) {
      clearUnless(accumulate, dTable);
      for (let n = 0; n < N; n++)
        for (let j = 0; j < D; j++) put(dTable, ids[n], j, at(dOut, n, j), true);
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    embedding: typeof embeddingOperations.embedding;
    embeddingBackward: typeof embeddingOperations.embeddingBackward;
  }
}
