/**
 * @file The linear layer, the residual it is added to, its bias, and a low-rank adapter beside its
 * weight.
 *
 * The residual stream is copied to the output once and the product accumulates on top, so that "x +
 * W·f(x)" costs no extra pass over memory. On the way back the residual adopts the output's
 * gradient buffer: no copy at all.
 *
 * With an adapter the layer is W·x + s·B·(A·x) (LoRA, Hu et al. 2021, equation 3). A weight that is
 * several matrices one below the other has an A and a B for each; the A's are one matrix, too, so
 * that x is read once. With h = A·x and G the gradient of the output: dB += s·Gᵀ·h, dh = s·G·B, dA
 * += dhᵀ·x, dx += dh·A.
 */
import { columns, matrixOf, type Tensor } from '../backend.js';
import { type Tape, Variable } from '../tape.js';
import { demand } from './reference-kernel.js';

export interface LinearOptions {
  /** [N, M], added to the result. */
  residual?: Variable;
  /** [M], added to every row. */
  bias?: Variable;
  adapter?: LowRank;
}

/** What an adapter adds to a product, for some rows of the weight. */
export interface LowRank {
  /** [parts · rank, K]: the A matrices, one below the other. */
  down: Variable;
  /**
   * The B matrices in the same order: [m, rank] each, for the output's columns from `column` on.
   */
  ups: readonly { up: Variable; column: number }[];
  /** s, usually alpha / rank. */
  scale: number;
}

/**
 * x · weightᵀ (+ bias) (+ residual).
 * @param x [N, K], may be a column view
 * @param weight [M, K]; a bare `Tensor` gets no derivative, and may be frozen
 * @returns [N, M]
 */
export function linear(
  tape: Tape,
  x: Variable,
  weight: Variable | Tensor,
  options: LinearOptions = {},
): Variable {
  const { backend } = tape;
  const { residual, bias, adapter } = options;
  const w = weight instanceof Variable ? weight.value : weight;
  const { rows: n, columns: k } = matrixOf(x.value);
  const [m, weightColumns] = w.shape;
  demand(
    k === weightColumns,
    `linear: x has ${k} columns, the weight [${w.shape}] expects ${weightColumns}`,
  );
  const adapters = adapter ? [adapter.down, ...adapter.ups.map(({ up }) => up)] : [];
  const inputs = [x, weight, residual, bias, ...adapters].filter((v) => v instanceof Variable);
  const out = tape.output([n, m], ...inputs);

  if (residual) {
    demand(
      matrixOf(residual.value).rows === n && matrixOf(residual.value).columns === m,
      'linear: residual shape differs',
    );
    backend.copy({ out: out.value, a: residual.value });
  }
  backend.matmul({
    out: out.value,
    a: x.value,
    b: w,
    transposeB: true,
    accumulate: residual !== undefined,
  });

  // A bias is the product of a column of ones and a row.
  const asRow = (tensor: Tensor): Tensor => backend.view(tensor, 0, [1, m]);
  const ones = bias ? backend.allocate('f32', [n, 1]) : null;
  if (bias && ones) {
    backend.fill({ out: ones, value: 1 });
    backend.matmul({ out: out.value, a: ones, b: asRow(bias.value), accumulate: true });
  }

  const low = adapter ? addLowRank(tape, out.value, x, adapter) : null;

  tape.record(out, (gradient) => {
    low?.(gradient);
    const dx = tape.gradientOf(x);
    if (dx) backend.matmul({ out: dx.tensor, a: gradient, b: w, accumulate: dx.accumulate });
    if (weight instanceof Variable) {
      const dw = tape.gradientOf(weight);
      if (dw)
        backend.matmul({
          out: dw.tensor,
          a: gradient,
          b: x.value,
          transposeA: true,
          accumulate: dw.accumulate,
        });
    }
    const db = bias ? tape.gradientOf(bias) : null;
    if (db && ones)
      backend.matmul({
        out: asRow(db.tensor),
        a: ones,
        b: gradient,
        transposeA: true,
        accumulate: db.accumulate,
      });
    if (residual) tape.give(residual, gradient); // last: from here on the buffer is the residual's
  });
  return out;
}

/** out += s·B·(A·x). Returns the derivative with respect to x, A and B, given that of `out`. */
function addLowRank(
  tape: Tape,
  out: Tensor,
  x: Variable,
  { down, ups, scale }: LowRank,
): (gradient: Tensor) => void {
  const { backend } = tape;
  const n = matrixOf(x.value).rows;
  const rank = down.shape[0] / ups.length;
  demand(
    Number.isInteger(rank),
    `linear: ${down.shape[0]} rows of A are not for ${ups.length} adapters`,
  );
  // Where a part's numbers are in h and in the output.
  const inner = (h: Tensor, i: number): Tensor => columns(backend, h, i * rank, (i + 1) * rank);
  const outer = (y: Tensor, i: number): Tensor =>
    columns(backend, y, ups[i].column, ups[i].column + ups[i].up.shape[0]);

  const h = backend.allocate('f32', [n, down.shape[0]]);
  backend.matmul({ out: h, a: x.value, b: down.value, transposeB: true });
  ups.forEach(({ up }, i) => {
    backend.matmul({
      out: outer(out, i),
      a: inner(h, i),
      b: up.value,
      transposeB: true,
      accumulate: true,
      alpha: scale,
    });
  });

  return (gradient) => {
    const dh = backend.allocate('f32', h.shape);
    ups.forEach(({ up }, i) => {
      const dy = outer(gradient, i);
      const dUp = tape.gradientOf(up);
      if (dUp) {
        const { tensor, accumulate } = dUp;
        backend.matmul({
          out: tensor,
          a: dy,
          b: inner(h, i),
          transposeA: true,
          accumulate,
          alpha: scale,
        });
      }
      backend.matmul({ out: inner(dh, i), a: dy, b: up.value, alpha: scale });
    });
    const dDown = tape.gradientOf(down);
    if (dDown)
      backend.matmul({
        out: dDown.tensor,
        a: dh,
        b: x.value,
        transposeA: true,
        accumulate: dDown.accumulate,
      });
    const dx = tape.gradientOf(x);
    if (dx) backend.matmul({ out: dx.tensor, a: dh, b: down.value, accumulate: dx.accumulate });
  };
}
