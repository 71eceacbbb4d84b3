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
import { declare, f32, flag, i32, optional } from './declare.js';
import { at, demand, put } from './reference-kernel.js';

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
  backend.sortByExpert({ offsets, tokens, slots, load, experts });
  return { offsets, tokens, slots };
}

/** x [N, D] → [N·K, D]: each token's row once for each of its experts, sorted by expert. */
export function dispatchRows(tape: Tape, x: Variable, order: ExpertOrder): Variable {
  const { backend } = tape;
  const out = tape.output([sizeOf(order.tokens), matrixOf(x.value).columns], x);
  backend.gatherRows({ out: out.value, a: x.value, rows: order.tokens });
  tape.record(out, (gradient) => {
    const slot = tape.gradientOf(x);
    if (slot)
      backend.combineRows({
        out: slot.tensor,
        y: gradient,
        slots: order.slots,
        weights: null,
        accumulate: slot.accumulate,
      });
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
  if (residual) backend.copy({ out: out.value, a: residual.value });
  backend.combineRows({
    out: out.value,
    y: y.value,
    slots: order.slots,
    weights: weights.value,
    accumulate: residual !== undefined,
  });
  tape.record(out, (gradient) => {
    // Both are computed together; one that nobody wants goes to scratch.
    const slotOf = (x: Variable) =>
      tape.gradientOf(x) ?? { tensor: backend.allocate('f32', x.shape), accumulate: false };
    const [dy, dw] = [slotOf(y), slotOf(weights)];
    demand(!dy.accumulate && !dw.accumulate, 'combineRows: y and weights must have no other use');
    backend.combineRowsBackward({
      dY: dy.tensor,
      dWeights: dw.tensor,
      dOut: gradient,
      y: y.value,
      slots: order.slots,
      weights: weights.value,
    });
    if (residual) tape.give(residual, gradient); // last: from here on the buffer is the residual's
  });
  return out;
}

export const expertOperations = {
  /**
   * A stable counting sort of the N·K choices by expert: rows offsets[e] … offsets[e + 1] of the
   * sorted order are expert e's; tokens: the row n that each sorted row comes from; slots: the
   * sorted row of each choice; load (may be null): += the number of choices of each expert.
   */
  sortByExpert: declare({
    args: {
      offsets: i32('E + 1'),
      tokens: i32('N*K'),
      slots: i32('N', 'K'),
      load: optional(f32('E')),
      experts: i32('N', 'K'),
    },
    reference({ offsets, tokens, slots, load, experts }, { E, K }) {
      let row = 0;
      for (let e = 0; e < E; e++) {
        offsets[e] = row;
        for (let i = 0; i < experts.length; i++) {
          if (experts[i] !== e) continue;
          tokens[row] = Math.floor(i / K);
          slots[i] = row++;
        }
        if (load) load[e] += row - offsets[e];
      }
      offsets[E] = row;
    },
  }),
  /** out[n] = Σ_k weights[n, k] · y[slots[n, k]] (or +=); weights null: 1. */
  combineRows: declare({
    args: {
      out: f32('N', 'D'),
      y: f32('N*K', 'D'),
      slots: i32('N', 'K'),
      weights: optional(f32('N', 'K')),
      accumulate: flag(),
    },
    reference({ out, y, slots, weights }, { N, K, D, accumulate }) {
      for (let n = 0; n < N; n++) {
        for (let j = 0; j < D; j++) {
          let sum = 0;
          for (let k = 0; k < K; k++)
            sum += (weights ? at(weights, n, k) : 1) * at(y, slots[n * K + k], j);
          put(out, n, j, sum, accumulate);
        }
      }
    },
  }),
  /**
   * dY[slots[n, k]] = weights[n, k]·dOut[n], all of dY, since slots are a permutation of its rows;
   * dWeights[n, k] = dOut[n]·y[slots[n, k]].
   */
  combineRowsBackward: declare({
    args: {
      dY: f32('N*K', 'D'),
      dWeights: f32('N', 'K'),
      dOut: f32('N', 'D'),
      y: f32('N*K', 'D'),
      slots: i32('N', 'K'),
      weights: f32('N', 'K'),
    },
    reference({ dY, dWeights, dOut, y, slots, weights }, { N, K, D }) {
      for (let n = 0; n < N; n++) {
        for (let k = 0; k < K; k++) {
          const slot = slots[n * K + k];
          let sum = 0;
          for (let j = 0; j < D; j++) {
            put(dY, slot, j, at(weights, n, k) * at(dOut, n, j));
            sum += at(dOut, n, j) * at(y, slot, j);
          }
          put(dWeights, n, k, sum);
        }
      }
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    sortByExpert: typeof expertOperations.sortByExpert;
    combineRows: typeof expertOperations.combineRows;
    combineRowsBackward: typeof expertOperations.combineRowsBackward;
  }
}
