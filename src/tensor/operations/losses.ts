/**
 * @file The two losses on token log-probabilities: cross-entropy, and the clipped policy gradient.
 *
 * Both give their value and their derivative at once; the derivative then enters the tape at the
 * log-probabilities. How tokens are weighted (mean over tokens, over sequences, a constant) is
 * decided by the caller's weights.
 */
import { POLICY_METRICS, type PolicyLossOptions } from '../backend.js';
import type { Minus } from './reference-kernel.js';

/** −Σ w·log p. */
export function crossEntropyLossReference(
  dLogProbabilities: Float64Array,
  loss: Float64Array,
  logProbabilities: Float64Array,
  weights: Float64Array,
): void {
  loss[0] = 0;
  for (let n = 0; n < logProbabilities.length; n++) {
    loss[0] += -weights[n] * logProbabilities[n];
    dLogProbabilities[n] = -weights[n];
  }
}

/**
 * Σ w·(−min(ρ·A, clip(ρ)·A) + β·k3), ρ = exp(new − old) (Schulman et al. 2017, eq. 7), with the k3
 * estimate of the divergence from a reference policy (Schulman 2020; Shao et al. 2024, eq. 4).
 * Where the clipped branch is the smaller, the ratio has no derivative.
 */
export function policyLossReference(
  dLogProbabilities: Float64Array,
  metrics: Float64Array,
  logProbabilities: Float64Array,
  old: Float64Array,
  reference: Float64Array | null,
  advantages: Float64Array,
  weights: Float64Array,
  options: PolicyLossOptions,
  minus: Minus,
): void {
  const { clipLow, clipHigh, klCoefficient } = options;
  const sums = { loss: 0, clippedTokens: 0, klWeighted: 0, tokens: 0, absoluteLogRatio: 0 };
  for (let n = 0; n < logProbabilities.length; n++) {
    const logRatio = logProbabilities[n] - old[n];
    const ratio = Math.exp(logRatio);
    const unclipped = ratio * advantages[n];
    const clipped = Math.min(Math.max(ratio, 1 - clipLow), 1 + clipHigh) * advantages[n];
    const isClipped = clipped < unclipped;
    let k3 = 0;
    let dk3 = 0;
    if (reference) {
      const difference = reference[n] - logProbabilities[n];
      k3 = minus(minus(Math.exp(difference), difference), 1);
      dk3 = minus(1, Math.exp(difference));
    }
    sums.loss += weights[n] * minus(klCoefficient * k3, isClipped ? clipped : unclipped);
    sums.clippedTokens += isClipped ? 1 : 0;
    sums.klWeighted += weights[n] * k3;
    sums.tokens += 1;
    sums.absoluteLogRatio += Math.abs(minus(logProbabilities[n], old[n]));
    dLogProbabilities[n] = weights[n] * minus(klCoefficient * dk3, isClipped ? 0 : unclipped);
  }
  POLICY_METRICS.forEach((name, i) => {
    metrics[i] = sums[name];
  });
}
