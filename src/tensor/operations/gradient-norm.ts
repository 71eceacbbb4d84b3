/**
 * @file The gradient's norm and what is derived from it, all without the host looking: a step's
 * clipping factor stays on the device and is multiplied in by the optimizer (Pascanu et al. 2013).
 * A NaN stays a NaN, so a diverged step shows itself.
 */

export function sumSquaresReference(out: Float64Array, x: Float64Array, accumulate: boolean): void {
  let sum = 0;
  for (const value of x) sum += value * value;
  out[0] = accumulate ? out[0] + sum : sum;
}

export function clipScaleReference(
  out: Float64Array,
  sumSquares: Float64Array,
  maxNorm: number,
): void {
  let sum = 0;
  for (const value of sumSquares) sum += value;
  out[0] = Math.min(1, maxNorm / (Math.sqrt(sum) + 1e-6));
}

export function inverseNormReference(
  out: Float64Array,
  sumSquares: Float64Array,
  epsilon: number,
): void {
  out[0] = 1 / (Math.sqrt(sumSquares[0]) + epsilon);
}
