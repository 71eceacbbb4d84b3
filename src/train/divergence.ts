/**
 * @file When a run has gone wrong beyond recovery.
 */

/**
 * A gradient this long is no longer a direction: f32 products of two such numbers are close to
 * overflow.
 */
const LARGEST_GRADIENT_NORM = 1e12;
/**
 * Cross-entropy that is this many times that of a uniform guess means that the weights have
 * exploded.
 */
const LARGEST_LOSS_OVER_UNIFORM = 8;
/** Mean |log ratio| between the policy and itself at the time of sampling, nats a token. */
const LARGEST_POLICY_SHIFT = 10;

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

/** Why the step's numbers mean that training has diverged, or null. */
export function divergence(values: Record<string, number>, vocabulary: number): string | null {
  for (const [name, value] of Object.entries(values)) {
    if (!Number.isFinite(value)) return `${name} is ${value}`;
  }
  const { loss, gradientNorm, policyShift } = values;
  if (gradientNorm > LARGEST_GRADIENT_NORM)
    return `gradientNorm is ${gradientNorm.toExponential(1)}`;
  if (
    policyShift === undefined &&
    loss > LARGEST_LOSS_OVER_UNIFORM * Math.log(Math.max(2, vocabulary))
  ) {
    return `loss is ${loss.toFixed(1)}, far above the ${Math.log(vocabulary).toFixed(1)} of a uniform guess`;
  }
  if (policyShift > LARGEST_POLICY_SHIFT)
    return `policyShift is ${policyShift.toFixed(1)} nats a token`;
  return null;
}
