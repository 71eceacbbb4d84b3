/**
 * @file Splitting a matrix by columns without moving anything: queries, keys and values out of one
 * product.
 *
 * The parts are strided views of x, and their gradients are views of one buffer with x's shape.
 * When all consumers have written theirs, that buffer simply becomes the gradient of x (or is added
 * to it, when x was also used elsewhere). It is allocated in the forward pass, which costs nothing:
 * what the backward pass allocates is held to the end of the step anyway.
 */
import { columns, matrixOf } from '../backend.js';
import { type Tape, Variable } from '../tape.js';
import { demand } from './reference-kernel.js';

/** x [N, Σ sizes]; returns views [N, size] that operations read and write as "strided". */
export function splitColumns(tape: Tape, x: Variable, sizes: readonly number[]): Variable[] {
  const { backend } = tape;
  const total = matrixOf(x.value);
  const sum = sizes.reduce((a, b) => a + b, 0);
  demand(
    sum === total.columns,
    `splitColumns: sizes ${sizes} sum to ${sum}, x has ${total.columns} columns`,
  );
  const requiresGradient = tape.recording && x.requiresGradient;
  const gradient = requiresGradient ? backend.allocate('f32', [total.rows, total.columns]) : null;

  let from = 0;
  const parts = sizes.map((size) => {
    const part = new Variable(columns(backend, x.value, from, from + size), requiresGradient);
    if (gradient) part.gradient = columns(backend, gradient, from, from + size);
    from += size;
    return part;
  });

  if (gradient) {
    tape.recordAlways(() => {
      if (!parts.some((part) => part.written)) return;
      for (const part of parts) {
        if (part.written || !part.gradient) continue;
        const mark = backend.mark();
        const zeros = backend.allocate('f32', part.shape);
        backend.fill({ out: zeros, value: 0 });
        backend.copy({ out: part.gradient, a: zeros });
        backend.release(mark);
      }
      tape.give(x, gradient);
    });
  }
  return parts;
}
