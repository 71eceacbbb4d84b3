/**
 * @file Root-mean-square norm (Zhang and Sennrich 2019).
 *
 * y = w · x · r with r = 1/√(mean(x²) + ε), over blocks as long as the weight. One block a row is
 * the usual norm; one block a head is Qwen3's norm of queries and keys. With u = w · dy the
 * derivative is dx = r·u − x·r³·mean(x·u), and dw = Σ dy·x·r.
 */
import { matrixOf, sizeOf } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { declare, f32, flags, optional, real, strided } from './declare.js';
import { at, clearUnless, demand, put } from './reference-kernel.js';

/**
 * @param x [N, H·d], may be a column view
 * @param weight [d], shared by the H blocks of a row
 * @returns [N, H·d]
 */
export function rmsNorm(tape: Tape, x: Variable, weight: Variable, epsilon: number): Variable {
  const { backend } = tape;
  const { rows, columns } = matrixOf(x.value);
  const d = sizeOf(weight);
  demand(
    d > 0 && columns % d === 0,
    `rmsNorm: ${columns} columns are no multiple of the weight's length ${d}`,
  );
  const out = tape.output([rows, columns], x, weight);
  const inverseRms = backend.allocate('f32', [rows, columns / d]);
  backend.rmsNorm({ out: out.value, inverseRms, x: x.value, weight: weight.value, epsilon });
  tape.record(out, (gradient) => {
    const dx = tape.gradientOf(x);
    const dw = tape.gradientOf(weight);
    backend.rmsNormBackward({
      dx: dx?.tensor ?? null,
      dWeight: dw?.tensor ?? null,
      dOut: gradient,
      x: x.value,
      weight: weight.value,
      inverseRms,
      accumulate: {
        dx: dx?.accumulate ?? false,
        dWeight: dw?.accumulate ?? false,
      },
    });
  });
  return out;
}

export const rmsNormOperations = {
  /**
   * Root-mean-square norm over blocks of the weight's length d. H = 1 is the usual norm; H = heads
   * is the norm of each head of queries or keys.
   */
  rmsNorm: declare({
    args: {
      out: strided('N', 'H*d'),
      inverseRms: f32('N', 'H'),
      x: strided('N', 'H*d'),
      weight: f32('d'),
      epsilon: real(),
    },
    reference({ out, inverseRms, x, weight }, { N, H, d, epsilon }) {
      for (let n = 0; n < N; n++) {
        for (let h = 0; h < H; h++) {
          let sum = 0;
          for (let i = 0; i < d; i++) sum += at(x, n, h * d + i) ** 2;
          const r = 1 / Math.sqrt(sum / d + epsilon);
          put(inverseRms, n, h, r);
          for (let i = 0; i < d; i++) put(out, n, h * d + i, weight[i] * at(x, n, h * d + i) * r);
        }
      }
    },
  }),
  /** `null` for a derivative that is not wanted. */
  rmsNormBackward: declare({
    args: {
      dx: optional(strided('N', 'H*d')),
      dWeight: optional(f32('d')),
      dOut: f32('N', 'H*d'),
      x: strided('N', 'H*d'),
      weight: f32('d'),
      inverseRms: f32('N', 'H'),
      accumulate: flags('dx', 'dWeight'),
    },
    reference({ dx, dWeight, dOut, x, weight, inverseRms }, { N, H, d, accumulate }, minus) {
      if (dx) clearUnless(accumulate.dx, dx);
      if (dWeight && !accumulate.dWeight) dWeight.fill(0);
      for (let n = 0; n < N; n++) {
        for (let h = 0; h < H; h++) {
          const r = at(inverseRms, n, h);
          let meanXU = 0;
          for (let i = h * d; i < (h + 1) * d; i++)
            meanXU += (at(x, n, i) * weight[i - h * d] * at(dOut, n, i)) / d;
          for (let i = 0; i < d; i++) {
            const column = h * d + i;
            const dy = at(dOut, n, column);
            const value = at(x, n, column);
            if (dx) put(dx, n, column, minus(r * weight[i] * dy, value * r ** 3 * meanXU), true);
            if (dWeight) dWeight[i] += dy * value * r;
          }
        }
      }
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    rmsNorm: typeof rmsNormOperations.rmsNorm;
    rmsNormBackward: typeof rmsNormOperations.rmsNormBackward;
  }
}
