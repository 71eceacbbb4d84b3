/**
 * @file The two losses on token log-probabilities: cross-entropy, and the clipped policy gradient.
 *
 * Both give their value and their derivative at once; the derivative then enters the tape at the
 * log-probabilities. How tokens are weighted (mean over tokens, over sequences, a constant) is
 * decided by the caller's weights.
 */
import { type ArgumentsOf, declare, f32, optional, real } from './declare.js';

/** Values of `policyLoss`'s metrics tensor, in order: sums over tokens, weighted as said there. */
export const POLICY_METRICS = [
  'loss',
  'clippedTokens',
  'klWeighted',
  'tokens',
  'absoluteLogRatio',
] as const;

/** How ratios are clipped, and the weight β of the divergence from the reference policy. */
export type PolicyLossOptions = Pick<
  ArgumentsOf<typeof lossOperations.policyLoss>,
  'clipLow' | 'clipHigh' | 'klCoefficient'
>;

export const lossOperations = {
  /** loss[0] = −Σ weights·logProbabilities; dLogProbabilities = −weights. */
  crossEntropyLoss: declare({
    args: {
      dLogProbabilities: f32('N'),
      loss: f32('1'),
      logProbabilities: f32('N'),
      weights: f32('N'),
    },
    reference({ dLogProbabilities, loss, logProbabilities, weights }, { N }) {
      loss[0] = 0;
      for (let n = 0; n < N; n++) {
        loss[0] += -weights[n] * logProbabilities[n];
        dLogProbabilities[n] = -weights[n];
      }
    },
  }),
  /**
   * Σ w·(−min(ρ·A, clip(ρ)·A) + β·k3), ρ = exp(new − old), clipped to [1 − clipLow, 1 + clipHigh]
   * (Schulman et al. 2017, eq. 7), with the k3 estimate of the divergence from a reference policy,
   * exp(ref − new) − (ref − new) − 1 (Schulman 2020; Shao et al. 2024, eq. 4). Where the clipped
   * branch is the smaller, the ratio has no derivative. `reference` may be null when β is 0.
   * metrics (`POLICY_METRICS`): the loss; the number of tokens where the clipped branch was taken
   * and differs; Σ weights·k3; N; Σ |new − old|.
   */
  policyLoss: declare({
    args: {
      dLogProbabilities: f32('N'),
      metrics: f32('5'),
      logProbabilities: f32('N'),
      old: f32('N'),
      reference: optional(f32('N')),
      advantages: f32('N'),
      weights: f32('N'),
      clipLow: real(),
      clipHigh: real(),
      klCoefficient: real(),
    },
    refuse: ({ reference }, { klCoefficient }) =>
      reference === null && klCoefficient !== 0
        ? `klCoefficient is ${klCoefficient}, but there is no reference`
        : null,
    reference(t, { N, clipLow, clipHigh, klCoefficient }, minus) {
      const { dLogProbabilities, metrics, logProbabilities, old, reference } = t;
      const { advantages, weights } = t;
      const sums = { loss: 0, clippedTokens: 0, klWeighted: 0, tokens: 0, absoluteLogRatio: 0 };
      for (let n = 0; n < N; n++) {
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
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    crossEntropyLoss: typeof lossOperations.crossEntropyLoss;
    policyLoss: typeof lossOperations.policyLoss;
  }
}
