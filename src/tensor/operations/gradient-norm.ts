/**
 * @file The gradient's norm and what is derived from it, all without the host looking: a step's
 * clipping factor stays on the device and is multiplied in by the optimizer (Pascanu et al. 2013).
 * A NaN stays a NaN, so a diverged step shows itself.
 */
import { atLeastZero, declare, f32, flag, real } from './declare.js';

export const gradientNormOperations = {
  /** out[0] = Σ x² (or +=), accumulated in float64 where the device has it. */
  sumSquares: declare({
    args: { out: f32('1'), x: f32('n'), accumulate: flag() },
    reference({ out, x }, { accumulate }) {
      let sum = 0;
      for (const value of x) sum += value * value;
      out[0] = accumulate ? out[0] + sum : sum;
    },
  }),
  /** out[0] = min(1, maxNorm / (√Σ sumSquares + 1e-6)); NaN stays NaN, Infinity gives 1. */
  clipScale: declare({
    args: { out: f32('1'), sumSquares: f32('W'), maxNorm: atLeastZero() },
    reference({ out, sumSquares }, { maxNorm }) {
      let sum = 0;
      for (const value of sumSquares) sum += value;
      out[0] = Math.min(1, maxNorm / (Math.sqrt(sum) + 1e-6));
    },
  }),
  /** out[0] = 1 / (√sumSquares[0] + epsilon). */
  inverseNorm: declare({
    args: { out: f32('1'), sumSquares: f32('1'), epsilon: real() },
    reference({ out, sumSquares }, { epsilon }) {
      out[0] = 1 / (Math.sqrt(sumSquares[0]) + epsilon);
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    sumSquares: typeof gradientNormOperations.sumSquares;
    clipScale: typeof gradientNormOperations.clipScale;
    inverseNorm: typeof gradientNormOperations.inverseNorm;
  }
}
