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
import { count, declare, f32, flags, strided } from './declare.js';
import { at, clearUnless, demand, put } from './reference-kernel.js';

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
  backend.joinHeads({ k: k.value, v: v.value, up: up.value, shared: shared.value, heads });
  if (k.requiresGradient) {
    tape.recordAlways(() => {
      if (!k.gradient || !v.gradient || !k.written || !v.written) return;
      // Both are computed together; one that nobody wants goes to scratch.
      const slotOf = (x: Variable) =>
        tape.gradientOf(x) ?? { tensor: backend.allocate('f32', x.shape), accumulate: false };
      const [dUp, dShared] = [slotOf(up), slotOf(shared)];
      backend.joinHeadsBackward({
        dUp: dUp.tensor,
        dShared: dShared.tensor,
        dk: k.gradient,
        dValue: v.gradient,
        heads,
        accumulate: {
          dUp: dUp.accumulate,
          dShared: dShared.accumulate,
        },
      });
    });
  }
  return { k, v };
}

export const joinHeadsOperations = {
  /**
   * Of each head, `up` holds a key without position (dn) and a value (dv); `shared` is the
   * positional part (dr) of every head's key. k = [up's key | shared] a head.
   */
  joinHeads: declare({
    args: {
      k: f32('N', 'heads*(dn + dr)'),
      v: f32('N', 'heads*dv'),
      up: f32('N', 'heads*(dn + dv)'),
      shared: strided('N', 'dr'),
      heads: count(),
    },
    reference({ k, v, up, shared }, { N, heads, dn, dr, dv }) {
      for (let n = 0; n < N; n++) {
        for (let h = 0; h < heads; h++) {
          const from = h * (dn + dv);
          for (let i = 0; i < dn; i++) put(k, n, h * (dn + dr) + i, at(up, n, from + i));
          for (let i = 0; i < dr; i++) put(k, n, h * (dn + dr) + dn + i, at(shared, n, i));
          for (let i = 0; i < dv; i++) put(v, n, h * dv + i, at(up, n, from + dn + i));
        }
      }
    },
  }),
  /** dShared is summed over the heads in their order. */
  joinHeadsBackward: declare({
    args: {
      dUp: f32('N', 'heads*(dn + dv)'),
      dShared: strided('N', 'dr'),
      dk: f32('N', 'heads*(dn + dr)'),
      dValue: f32('N', 'heads*dv'),
      heads: count(),
      accumulate: flags('dUp', 'dShared'),
    },
    reference({ dUp, dShared, dk, dValue }, { N, heads, dn, dr, dv, accumulate }) {
      clearUnless(accumulate.dShared, dShared);
      for (let n = 0; n < N; n++) {
        for (let h = 0; h < heads; h++) {
          const to = h * (dn + dv);
          const from = h * (dn + dr);
          for (let i = 0; i < dn; i++) put(dUp, n, to + i, at(dk, n, from + i), accumulate.dUp);
          for (let i = 0; i < dv; i++)
            put(dUp, n, to + dn + i, at(dValue, n, h * dv + i), accumulate.dUp);
          for (let i = 0; i < dr; i++) put(dShared, n, i, at(dk, n, from + dn + i), true);
        }
      }
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    joinHeads: typeof joinHeadsOperations.joinHeads;
    joinHeadsBackward: typeof joinHeadsOperations.joinHeadsBackward;
  }
}
