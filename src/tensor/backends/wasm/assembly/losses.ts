/**
 * @file Losses over tokens: value and derivative with respect to log-probabilities. A few thousand
 * numbers a step, so one at a time, with sums in float64.
 */
import { exp64 } from './math';

export function crossEntropyLoss(dLogProbabilities: usize, loss: usize, logProbabilities: usize, weights: usize, n: i32): void {
  let sum: f64 = 0;
  for (let i = 0; i < n; i++) {
    const at = <usize>i << 2;
    const weight = load<f32>(weights + at);
    // A token of weight 0 does not count, whatever its log-probability (which may be −∞).
    if (weight != 0) sum -= <f64>weight * <f64>load<f32>(logProbabilities + at);
    store<f32>(dLogProbabilities + at, -weight);
  }
  store<f32>(loss, <f32>sum);
}

/**
 * `reference` 0 when there is none. The clipped branch has no derivative; at a tie the unclipped
 * one is taken.
 */
export function policyLoss(
  dLogProbabilities: usize,
  metrics: usize,
  logProbabilities: usize,
  old: usize,
  reference: usize,
  advantages: usize,
  weights: usize,
  n: i32,
  clipLow: f64,
  clipHigh: f64,
  klCoefficient: f64,
): void {
  let loss: f64 = 0;
  let clippedTokens: f64 = 0;
  let klWeighted: f64 = 0;
  let absoluteLogRatio: f64 = 0;
  for (let i = 0; i < n; i++) {
    const at = <usize>i << 2;
    const weight = <f64>load<f32>(weights + at);
    const logProbability = load<f32>(logProbabilities + at);
    const logRatio = <f64>logProbability - <f64>load<f32>(old + at);
    const ratio = exp64(logRatio);
    const advantage = <f64>load<f32>(advantages + at);
    const unclipped = ratio * advantage;
    const clipped = min<f64>(max<f64>(ratio, 1 - clipLow), 1 + clipHigh) * advantage;
    let objective = unclipped;
    let derivative = -unclipped;
    if (clipped < unclipped) {
      objective = clipped;
      derivative = 0;
      clippedTokens += 1;
    }
    let penalty: f64 = 0;
    if (reference) {
      const x = <f64>load<f32>(reference + at) - <f64>logProbability;
      const e = exp64(x);
      const k3 = e - x - 1;
      klWeighted += weight * k3;
      penalty = klCoefficient * k3;
      derivative += klCoefficient * (1 - e);
    }
    loss += weight * (penalty - objective);
    absoluteLogRatio += abs<f64>(logRatio);
    store<f32>(dLogProbabilities + at, <f32>(weight * derivative));
  }
  store<f32>(metrics, <f32>loss);
  store<f32>(metrics, <f32>clippedTokens, 4);
  store<f32>(metrics, <f32>klWeighted, 8);
  store<f32>(metrics, <f32>n, 12);
  store<f32>(metrics, <f32>absoluteLogRatio, 16);
}
