/**
 * @file The linear layer, the residual it is added to, and its bias.
 *
 * The residual stream is copied to the output once and the product accumulates on top, so that "x + W·f(x)" costs no extra
 * pass over memory. On the way back the residual adopts the output's gradient buffer: no copy at all.
 */
import { matrixOf, type Tensor } from '../backend.js';
import { type Tape, Variable } from '../tape.js';
import { demand } from './reference-kernel.js';

export interface LinearOptions {
  /** [N, M], added to the result. */
  residual?: Variable;
  /** [M], added to every row. */
  bias?: Variable;
}

/**
 * x · weightᵀ (+ bias) (+ residual).
 * @param x [N, K], may be a column view
 * @param weight [M, K]; a bare `Tensor` is frozen, and may then be bf16
 * @returns [N, M]
 */
export function linear(tape: Tape, x: Variable, weight: Variable | Tensor, options: LinearOptions = {}): Variable {
  const { backend } = tape;
  const { residual, bias } = options;
  const w = weight instanceof Variable ? weight.value : weight;
  const { rows: n, columns: k } = matrixOf(x.value);
  const [m, weightColumns] = w.shape;
  demand(k === weightColumns, `linear: x has ${k} columns, the weight [${w.shape}] expects ${weightColumns}`);
  const inputs = [x, weight, residual, bias].filter((v) => v instanceof Variable);
  const out = tape.output([n, m], ...inputs);

  if (residual) {
    demand(matrixOf(residual.value).rows === n && matrixOf(residual.value).columns === m, 'linear: residual shape differs');
    backend.copy(out.value, residual.value);
  }
  backend.matmul(out.value, x.value, w, { transposeB: true, accumulate: residual !== undefined });

  // A bias is the product of a column of ones and a row.
  const asRow = (tensor: Tensor): Tensor => backend.view(tensor, 0, [1, m]);
  const ones = bias ? backend.allocate('f32', [n, 1]) : null;
  if (bias && ones) {
    backend.fill(ones, 1);
    backend.matmul(out.value, ones, asRow(bias.value), { accumulate: true });
  }

  tape.record(out, (gradient) => {
    const dx = tape.gradientOf(x);
    if (dx) backend.matmul(dx.tensor, gradient, w, { accumulate: dx.accumulate });
    if (weight instanceof Variable) {
      const dw = tape.gradientOf(weight);
      if (dw) backend.matmul(dw.tensor, gradient, x.value, { transposeA: true, accumulate: dw.accumulate });
    }
    const db = bias ? tape.gradientOf(bias) : null;
    if (db && ones) backend.matmul(asRow(db.tensor), ones, gradient, { transposeA: true, accumulate: db.accumulate });
    if (residual) tape.give(residual, gradient); // last: from here on the buffer is the residual's
  });
  return out;
}
