/**
 * @file Checks weights before they are saved: not finite or exploded ones must not become a
 * checkpoint.
 */

/**
 * Weights start below 1 and stay within tens; from here on, f32 activations overflow in a layer or
 * two.
 */
const LARGEST_WEIGHT = 1e6;

/**
 * Why these numbers must not become a checkpoint, or null. Weights are bounded, optimizer states
 * have only to be finite.
 */
export function unsound(
  weights: readonly { name: string; data: ArrayLike<number> }[],
  state: readonly { name: string; data: ArrayLike<number> }[],
): string | null {
  for (const [tensors, largest] of [
    [weights, LARGEST_WEIGHT],
    [state, Number.MAX_VALUE],
  ] as const) {
    for (const { name, data } of tensors) {
      for (let i = 0; i < data.length; i++) {
        if (Math.abs(data[i]) <= largest) continue;
        if (!Number.isFinite(data[i])) return `${name} is not finite`;
        return `a weight of ${name} is ${data[i].toExponential(1)}, far beyond what a model can use`;
      }
    }
  }
  return null;
}
