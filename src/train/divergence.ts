/**
 * @file Detects divergence: a run that cannot recover.
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
const LARGEST_LOG_RATIO = 10;

/** Why the step's numbers mean that training has diverged, or null. */
export function divergence(values: Record<string, number>, vocabulary: number): string | null {
  for (const [name, value] of Object.entries(values)) {
    if (!Number.isFinite(value)) return `${name} is ${value}`;
  }
  const { loss, grad_norm: gradientNorm, abs_log_ratio: logRatio } = values;
  if (gradientNorm > LARGEST_GRADIENT_NORM) return `grad_norm is ${gradientNorm.toExponential(1)}`;
  if (
    logRatio === undefined &&
    loss > LARGEST_LOSS_OVER_UNIFORM * Math.log(Math.max(2, vocabulary))
  ) {
    return `loss is ${loss.toFixed(1)}, far above the ${Math.log(vocabulary).toFixed(1)} of a uniform guess`;
  }
  if (logRatio > LARGEST_LOG_RATIO) return `abs_log_ratio is ${logRatio.toFixed(1)} nats a token`;
  return null;
}
