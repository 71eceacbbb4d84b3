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
