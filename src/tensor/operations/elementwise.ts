/**
 * @file Sums and copies. `add` is the only one that models need on the tape; the rest serve
 * gradients and optimizers.
 */

import { isContiguous } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { at, demand, type Matrix, put } from './reference-kernel.js';

/** a + b, of one shape. */
export function add(tape: Tape, a: Variable, b: Variable): Variable {
  const { backend } = tape;
  demand(a.shape.join() === b.shape.join(), `add: shapes [${a.shape}] and [${b.shape}] differ`);
  const out = tape.output(a.shape, a, b);
  if (isContiguous(a.value) && isContiguous(b.value)) backend.add(out.value, a.value, b.value);
  else {
    backend.copy(out.value, a.value);
    backend.scale(out.value, b.value, 1, true);
  }
  tape.record(out, (gradient) => {
    // b copies, then a adopts: giving the same buffer to both would let later additions to one
    // change the other.
    const slot = tape.gradientOf(b);
    if (slot) backend.scale(slot.tensor, gradient, 1, slot.accumulate);
    tape.give(a, gradient);
  });
  return out;
}

export function copyReference(out: Matrix, a: Matrix): void {
  for (let i = 0; i < a.rows; i++) for (let j = 0; j < a.columns; j++) put(out, i, j, at(a, i, j));
}

export function addReference(out: Float64Array, a: Float64Array, b: Float64Array): void {
  for (let i = 0; i < out.length; i++) out[i] = a[i] + b[i];
}

export function scaleReference(out: Matrix, a: Matrix, scale: number, accumulate: boolean): void {
  for (let i = 0; i < a.rows; i++)
    for (let j = 0; j < a.columns; j++) put(out, i, j, scale * at(a, i, j), accumulate);
}
