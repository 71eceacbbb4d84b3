/**
 * @file Tokens to experts and back: sorted by expert, so that each expert's rows lie together, and
 * added up again.
 *
 * A token that goes to K experts has K rows in the sorted order, which a counting sort finds on the
 * device: nothing is read back, no expert's work is padded to another's, no token is dropped, and
 * the order is the same in every run. Going there is a gather; coming back is a weighted sum of K
 * rows, and each is the other's derivative.
 */
import { matrixOf, sizeOf, type Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { at, demand, type Matrix, put } from './reference-kernel.js';

/** The order of the N·K rows sorted by expert; see `Backend.sortByExpert`. */
export interface ExpertOrder {
  offsets: Tensor;
  tokens: Tensor;
  slots: Tensor;
}

/**
 * @param experts i32 [N, K]
 * @param count experts there are: E
 * @param load f32 [E]: the choices of each expert are added
 */
export function sortByExpert(
  tape: Tape,
  experts: Tensor,
  count: number,
  load: Tensor | null,
): ExpertOrder {
  const { backend } = tape;
  const offsets = backend.allocate('i32', [count + 1]);
  const tokens = backend.allocate('i32', [sizeOf(experts)]);
  const slots = backend.allocate('i32', experts.shape);
  backend.sortByExpert(offsets, tokens, slots, load, experts);
  return { offsets, tokens, slots };
}

/** x [N, D] → [N·K, D]: each token's row once for each of its experts, sorted by expert. */
export function dispatchRows(tape: Tape, x: Variable, order: ExpertOrder): Variable {
  const { backend } = tape;
  const out = tape.output([sizeOf(order.tokens), matrixOf(x.value).columns], x);
  backend.gatherRows(out.value, x.value, order.tokens);
  tape.record(out, (gradient) => {
    const slot = tape.gradientOf(x);
    if (slot) backend.combineRows(slot.tensor, gradient, order.slots, null, slot.accumulate);
  });
  return out;
}

/**
 * Σ_k weights[n, k] · y[slots[n, k]] (+ residual).
 * @param y [N·K, D], which nothing else uses
 * @param weights [N, K], which nothing else uses
 * @param residual [N, D]
 * @returns [N, D]
 */
export function combineRows(
  tape: Tape,
  y: Variable,
  weights: Variable,
  order: ExpertOrder,
  residual?: Variable,
): Variable {
  const { backend } = tape;
  const [rows] = weights.shape;
  const out = tape.output(
    [rows, matrixOf(y.value).columns],
    y,
    weights,
    ...(residual ? [residual] : []),
  );
  if (residual) backend.copy(out.value, residual.value);
  backend.combineRows(out.value, y.value, order.slots, weights.value, residual !== undefined);
  tape.record(out, (gradient) => {
    // Both are computed together; one that nobody wants goes to scratch.
    const slotOf = (x: Variable) =>
      tape.gradientOf(x) ?? { tensor: backend.allocate('f32', x.shape), accumulate: false };
    const [dy, dw] = [slotOf(y), slotOf(weights)];
    demand(!dy.accumulate && !dw.accumulate, 'combineRows: y and weights must have no other use');
    backend.combineRowsBackward(
      dy.tensor,
      dw.tensor,
      gradient,
      y.value,
      order.slots,
      weights.value,
    );
    if (residual) tape.give(residual, gradient); // last: from here on the buffer is the residual's
  });
  return out;
}

export function sortByExpertReference(
  offsets: Int32Array,
  tokens: Int32Array,
  slots: Int32Array,
  load: Float64Array | null,
  experts: Int32Array,
  topK: number,
): void {
  let row = 0;
  for (let e = 0; e + 1 < offsets.length; e++) {
    offsets[e] = row;
    for (let i = 0; i < experts.length; i++) {
      if (experts[i] !== e) continue;
      tokens[row] = Math.floor(i / topK);
      slots[i] = row++;
    }
    if (load) load[e] += row - offsets[e];
  }
  offsets[offsets.length - 1] = row;
}

export function combineRowsReference(
  out: Matrix,
  y: Matrix,
  slots: Int32Array,
  weights: Float64Array | null,
  accumulate: boolean,
): void {
  const topK = out.rows === 0 ? 0 : slots.length / out.rows;
  for (let n = 0; n < out.rows; n++) {
    for (let j = 0; j < out.columns; j++) {
      let sum = 0;
      for (let i = n * topK; i < (n + 1) * topK; i++)
        sum += (weights ? weights[i] : 1) * at(y, slots[i], j);
      put(out, n, j, sum, accumulate);
    }
  }
}

export function combineRowsBackwardReference(
  dY: Matrix,
  dWeights: Float64Array,
  dOut: Matrix,
  y: Matrix,
  slots: Int32Array,
  weights: Float64Array,
): void {
  const topK = dOut.rows === 0 ? 0 : slots.length / dOut.rows;
  for (let i = 0; i < slots.length; i++) {
    const n = Math.floor(i / topK);
    dWeights[i] = 0;
    for (let j = 0; j < dOut.columns; j++) {
      put(dY, slots[i], j, weights[i] * at(dOut, n, j));
      dWeights[i] += at(dOut, n, j) * at(y, slots[i], j);
    }
  }
}
