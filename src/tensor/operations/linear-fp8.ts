/**
 * @file Linear layers whose three products read FP8 numbers, emulated (DeepSeek-V3,
 * arXiv:2412.19437, section 3.3).
 *
 * Inputs are quantised in tiles of 1×128, weights in blocks of 128×128; the gradient of the output
 * in tiles of 1×128 for the input's gradient, and in tiles of 128×1, as the stored input then is,
 * for the weight's. Sums are float32 from the first term on, which is at least as exact as the
 * paper's promotion after every 128. Rounding has no derivative: it is passed straight through.
 * This measures what FP8 does to a loss; it is slower than float32, not faster.
 */
import { isContiguous, matrixOf, type Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import type { LinearOptions } from './linear.js';
import { demand } from './reference-kernel.js';

const TILE = 128;
const ROWS = { blockRows: 1, blockColumns: TILE };
const COLUMNS = { blockRows: TILE, blockColumns: 1 };
const BLOCKS = { blockRows: TILE, blockColumns: TILE };

/** A quantised copy. */
function quantized(tape: Tape, x: Tensor, block: typeof ROWS): Tensor {
  const { backend } = tape;
  const { rows, columns } = matrixOf(x);
  const out = backend.allocate('f32', [rows, columns]);
  if (!isContiguous(x)) backend.copy({ out, a: x });
  backend.quantizeFp8({
    out,
    a: isContiguous(x) ? backend.view(x, 0, [rows, columns]) : out,
    ...block,
  });
  return out;
}

/** x · weightᵀ (+ residual), as `linear`, without a bias. */
export function linearFp8(
  tape: Tape,
  x: Variable,
  weight: Variable,
  { residual, bias }: LinearOptions = {},
): Variable {
  const { backend } = tape;
  demand(!bias, 'linearFp8: has no bias');
  const out = tape.output(
    [matrixOf(x.value).rows, weight.shape[0]],
    x,
    weight,
    ...(residual ? [residual] : []),
  );
  const input = quantized(tape, x.value, ROWS);
  const matrix = quantized(tape, weight.value, BLOCKS);
  if (residual) backend.copy({ out: out.value, a: residual.value });
  backend.matmul({
    out: out.value,
    a: input,
    b: matrix,
    transposeB: true,
    accumulate: residual !== undefined,
  });
  tape.record(out, (gradient) => {
    const dx = tape.gradientOf(x);
    if (dx)
      backend.matmul({
        out: dx.tensor,
        a: quantized(tape, gradient, ROWS),
        b: matrix,
        accumulate: dx.accumulate,
      });
    const dw = tape.gradientOf(weight);
    if (dw) {
      const [d, a] = [quantized(tape, gradient, COLUMNS), quantized(tape, input, COLUMNS)];
      backend.matmul({ out: dw.tensor, a: d, b: a, transposeA: true, accumulate: dw.accumulate });
    }
    if (residual) tape.give(residual, gradient); // last: from here on the buffer is the residual's
  });
  return out;
}

/** `groupedMatmul` likewise; each group's matrix has blocks of its own. */
export function groupedMatmulFp8(
  tape: Tape,
  x: Variable,
  weights: Variable,
  offsets: Tensor,
): Variable {
  const { backend } = tape;
  const { rows, columns: k } = matrixOf(weights.value);
  const groups = offsets.shape[0] - 1;
  const m = rows / groups;
  const stacked = (tensor: Tensor): Tensor => backend.view(tensor, 0, [groups, m, k]);
  const out = tape.output([matrixOf(x.value).rows, m], x, weights);
  const input = quantized(tape, x.value, ROWS);
  const matrices = backend.allocate('f32', [rows, k]);
  for (let g = 0; g < groups; g++) {
    const of = (tensor: Tensor): Tensor => backend.view(tensor, g * m * k, [m, k]);
    backend.quantizeFp8({ out: of(matrices), a: of(weights.value), ...BLOCKS });
  }
  backend.groupedMatmul({
    out: out.value,
    a: input,
    b: stacked(matrices),
    offsets,
    kind: 'forward',
    accumulate: false,
  });
  tape.record(out, (gradient) => {
    const dx = tape.gradientOf(x);
    if (dx)
      backend.groupedMatmul({
        out: dx.tensor,
        a: quantized(tape, gradient, ROWS),
        b: stacked(matrices),
        offsets,
        kind: 'input',
        accumulate: dx.accumulate,
      });
    const dw = tape.gradientOf(weights);
    if (dw) {
      const [d, a] = [quantized(tape, gradient, COLUMNS), quantized(tape, input, COLUMNS)];
      backend.groupedMatmul({
        out: stacked(dw.tensor),
        a: d,
        b: a,
        offsets,
        kind: 'weight',
        accumulate: dw.accumulate,
      });
    }
  });
  return out;
}
