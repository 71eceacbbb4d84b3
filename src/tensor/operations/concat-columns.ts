/**
 * @file Matrices side by side: the parts are copied into one, and each gets its columns of the
 * gradient.
 */
import { columns, matrixOf } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { demand } from './reference-kernel.js';

/** parts [N, …], may be column views; returns [N, Σ …]. */
export function concatColumns(tape: Tape, ...parts: Variable[]): Variable {
  const { backend } = tape;
  const { rows } = matrixOf(parts[0].value);
  const widths = parts.map(({ value }) => matrixOf(value).columns);
  demand(
    parts.every(({ value }) => matrixOf(value).rows === rows),
    'concatColumns: rows differ',
  );
  const starts = widths.map((_, i) => widths.slice(0, i).reduce((a, b) => a + b, 0));
  const out = tape.output([rows, widths.reduce((a, b) => a + b, 0)], ...parts);
  parts.forEach((part, i) => {
    backend.copy({
      out: columns(backend, out.value, starts[i], starts[i] + widths[i]),
      a: part.value,
    });
  });
  tape.record(out, (gradient) => {
    parts.forEach((part, i) => {
      const slot = tape.gradientOf(part);
      if (slot)
        backend.scale({
          out: slot.tensor,
          a: columns(backend, gradient, starts[i], starts[i] + widths[i]),
          scale: 1,
          accumulate: slot.accumulate,
        });
    });
  });
  return out;
}
