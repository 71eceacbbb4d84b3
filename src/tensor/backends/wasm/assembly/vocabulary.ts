/**
 * @file Softmax over the vocabulary: log-probabilities of given tokens, their derivative, and
 * sampling.
 *
 * All read a chunk of logits [rows, vocabulary], already divided by the temperature where the
 * caller could do so for free.
 */
import { expRow, largest, log1, madd, sumLanes } from './math';

/**
 * For each row: log softmax(logits)[target], the entropy in nats, and log Σ eˡ. With s = l − max, Z
 * = Σ eˢ: log-probability = s[target] − log Z, entropy = log Z − Σ eˢ·s / Z. `powers` is scratch
 * for `vocabulary` numbers.
 */
export function tokenLogProbabilities(
  logProbabilities: usize,
  entropy: usize,
  logSumExp: usize,
  logits: usize,
  targets: usize,
  rows: i32,
  vocabulary: i32,
  powers: usize,
): void {
  const bytes = <usize>vocabulary << 2;
  const end4 = <usize>(vocabulary & ~3) << 2;
  // eˢ is 0 long before s·eˢ matters; the floor keeps logits of −∞ from giving −∞ · 0.
  const floor = f32x4.splat(-200);
  for (let i = 0; i < rows; i++) {
    const top = largest(logits, vocabulary);
    expRow(powers, logits, vocabulary, 1, top, 1);
    const top4 = f32x4.splat(top);
    let sum4 = f32x4.splat(0);
    let weighted4 = f32x4.splat(0);
    let j: usize = 0;
    for (; j < end4; j += 16) {
      const e = v128.load(powers + j);
      sum4 = f32x4.add(sum4, e);
      weighted4 = madd(e, f32x4.pmax(f32x4.sub(v128.load(logits + j), top4), floor), weighted4);
    }
    let sum = <f64>sumLanes(sum4);
    let weighted = <f64>sumLanes(weighted4);
    for (; j < bytes; j += 4) {
      const e = <f64>load<f32>(powers + j);
      sum += e;
      weighted += e * <f64>max<f32>(load<f32>(logits + j) - top, -200);
    }
    const logSum = log1(sum);
    const target = load<f32>(logits + (<usize>load<u32>(targets) << 2));
    store<f32>(logProbabilities, <f32>(<f64>target - <f64>top - logSum));
    store<f32>(entropy, <f32>(logSum - weighted / sum));
    store<f32>(logSumExp, <f32>(<f64>top + logSum));
    logits += bytes;
    targets += 4;
    logProbabilities += 4;
    entropy += 4;
    logSumExp += 4;
  }
}

/** In place: logits become dLogits = dLogProbability · (1[v = target] − softmax) · scale. */
export function tokenLogProbabilitiesBackward(
  logits: usize,
  dLogProbabilities: usize,
  logSumExp: usize,
  targets: usize,
  rows: i32,
  vocabulary: i32,
  scale: f32,
): void {
  const bytes = <usize>vocabulary << 2;
  for (let i = 0; i < rows; i++) {
    const d = load<f32>(dLogProbabilities) * scale;
    if (d == 0) {
      memory.fill(logits, 0, bytes);
    } else {
      expRow(logits, logits, vocabulary, 1, load<f32>(logSumExp), -d);
      const target = logits + (<usize>load<u32>(targets) << 2);
      store<f32>(target, load<f32>(target) + d);
    }
    logits += bytes;
    dLogProbabilities += 4;
    logSumExp += 4;
    targets += 4;
  }
}

/** 1 when any of n numbers is not 0 (NaN is not). */
export function anyNonZero(x: usize, n: i32): i32 {
  for (let i = 0; i < n; i++) {
    if (load<f32>(x + (<usize>i << 2)) != 0) return 1;
  }
  return 0;
}

/** Four numbers from p, added in pairs in float64. */
// @ts-ignore: decorator
@inline
function sumOfFour(p: usize): f64 {
  const v = v128.load(p);
  const pairs = f64x2.add(f64x2.promote_low_f32x4(v), f64x2.promote_low_f32x4(v128.shuffle<f32>(v, v, 2, 3, 2, 3)));
  return f64x2.extract_lane(pairs, 0) + f64x2.extract_lane(pairs, 1);
}

/**
 * One token a row by inverting the cumulative distribution in the order of tokens, in float64:
 * first the four among which the uniform falls, then the token. `powers` is scratch for
 * `vocabulary` numbers. inverseTemperature 0 stands for temperature 0: the first largest logit.
 */
export function sample(
  ids: usize,
  logProbabilities: usize,
  logits: usize,
  uniforms: usize,
  rows: i32,
  vocabulary: i32,
  inverseTemperature: f32,
  powers: usize,
): void {
  const greedy = inverseTemperature == 0;
  const factor: f32 = greedy ? 1 : inverseTemperature;
  const n4 = vocabulary & ~3;
  for (let i = 0; i < rows; i++) {
    const top = largest(logits, vocabulary);
    expRow(powers, logits, vocabulary, factor, top, 1);
    let sum: f64 = 0;
    let v = 0;
    for (; v < n4; v += 4) sum += sumOfFour(powers + (<usize>v << 2));
    for (; v < vocabulary; v++) sum += <f64>load<f32>(powers + (<usize>v << 2));
    let chosen = 0;
    if (greedy) {
      while (chosen < vocabulary - 1 && load<f32>(logits + (<usize>chosen << 2)) != top) chosen++;
    } else {
      const threshold = <f64>load<f32>(uniforms) * sum;
      let cumulative: f64 = 0;
      for (v = 0; v < n4; v += 4) {
        const next = cumulative + sumOfFour(powers + (<usize>v << 2));
        if (next > threshold) break;
        cumulative = next;
      }
      // Rounding can leave no token above the threshold; then it is the last one that has any
      // probability.
      for (; v < vocabulary; v++) {
        const power = <f64>load<f32>(powers + (<usize>v << 2));
        if (power > 0) chosen = v;
        cumulative += power;
        if (cumulative > threshold) break;
      }
    }
    store<i32>(ids, chosen);
    const shifted = (<f64>load<f32>(logits + (<usize>chosen << 2)) - <f64>top) * <f64>factor;
    store<f32>(logProbabilities, <f32>(shifted - log1(sum)));
    logits += <usize>vocabulary << 2;
    ids += 4;
    logProbabilities += 4;
    uniforms += 4;
  }
}
