/**
 * @file The keys and values of latent attention, put together from their parts (DeepSeek-V2,
 * arXiv:2405.04434, section 2.1).
 *
 * One product makes, for every head, a key without position and a value; the key's positional part
 * is one for all heads. Attention wants whole keys and values, so each head's key is copied and the
 * shared part beside it. The derivative takes them apart again and adds up the shared part's over
 * the heads.
 */
import { matrixOf } from '../backend.js';
import { type Tape, Variable } from '../tape.js';
import { at, clearUnless, demand, type Matrix, put } from './reference-kernel.js';

/**
 * @param up [N, heads·(dn + dv)], contiguous
 * @param shared [N, dr], may be a column view
 * @param keyDim dn
 * @returns k [N, heads·(dn + dr)] and v [N, heads·dv]
 */
export function joinHeads(
  tape: Tape,
  up: Variable,
  shared: Variable,
  heads: number,
  keyDim: number,
): { k: Variable; v: Variable } {
  const { backend } = tape;
  const { rows, columns } = matrixOf(up.value);
  const dv = columns / heads - keyDim;
  demand(
    Number.isInteger(dv) && dv > 0,
    `joinHeads: ${columns} columns are not ${heads} keys of ${keyDim} and values`,
  );
  const k = tape.output([rows, heads * (keyDim + matrixOf(shared.value).columns)], up, shared);
  const v = new Variable(backend.allocate('f32', [rows, heads * dv]), k.requiresGradient);
  backend.joinHeads(k.value, v.value, up.value, shared.value, heads);
  if (k.requiresGradient) {
    tape.recordAlways(() => {
      if (!k.gradient || !v.gradient || !k.written || !v.written) return;
      // Both are computed together; one that nobody wants goes to scratch.
      const slotOf = (x: Variable) =>
        tape.gradientOf(x) ?? { tensor: backend.allocate('f32', x.shape), accumulate: false };
      const [dUp, dShared] = [slotOf(up), slotOf(shared)];
      backend.joinHeadsBackward(dUp.tensor, dShared.tensor, k.gradient, v.gradient, heads, {
        dUp: dUp.accumulate,
        dShared: dShared.accumulate,
      });
    });
  }
  return { k, v };
}

export function joinHeadsReference(
  k: Matrix,
  v: Matrix,
  up: Matrix,
  shared: Matrix,
  heads: number,
): void {
  const dr = shared.columns;
  const dn = k.columns / heads - dr;
  const dv = v.columns / heads;
  for (let n = 0; n < up.rows; n++) {
    for (let h = 0; h < heads; h++) {
      const from = h * (dn + dv);
      for (let i = 0; i < dn; i++) put(k, n, h * (dn + dr) + i, at(up, n, from + i));
      for (let i = 0; i < dr; i++) put(k, n, h * (dn + dr) + dn + i, at(shared, n, i));
      for (let i = 0; i < dv; i++) put(v, n, h * dv + i, at(up, n, from + dn + i));
    }
  }
}

export function joinHeadsBackwardReference(
  dUp: Matrix,
  dShared: Matrix,
  dk: Matrix,
  dv: Matrix,
  heads: number,
  accumulate: { dUp: boolean; dShared: boolean },
): void {
  const dr = dShared.columns;
  const keyDim = dk.columns / heads - dr;
  const valueDim = dv.columns / heads;
  clearUnless(accumulate.dShared, dShared);
  for (let n = 0; n < dUp.rows; n++) {
    for (let h = 0; h < heads; h++) {
      const to = h * (keyDim + valueDim);
      const from = h * (keyDim + dr);
      for (let i = 0; i < keyDim; i++) put(dUp, n, to + i, at(dk, n, from + i), accumulate.dUp);
      for (let i = 0; i < valueDim; i++)
        put(dUp, n, to + keyDim + i, at(dv, n, h * valueDim + i), accumulate.dUp);
      for (let i = 0; i < dr; i++) put(dShared, n, i, at(dk, n, from + keyDim + i), true);
    }
  }
}
