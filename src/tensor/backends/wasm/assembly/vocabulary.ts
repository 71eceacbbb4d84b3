/**
 * @file Softmax over the vocabulary: log-probabilities of given tokens, their derivative, and sampling.
 *
 * All read a chunk of logits [rows, vocabulary], already divided by the temperature where the caller could do so for free.
 */
import { exp1, exp4, log1, madd, maxLanes, sumLanes } from './math';

// @ts-ignore: decorator
@inline
function largest(row: usize, n: i32): f32 {
  const end = row + (<usize>n << 2);
  const end4 = row + (<usize>(n & ~3) << 2);
  let max4 = f32x4.splat(-Infinity);
  let p = row;
  for (; p < end4; p += 16) max4 = f32x4.max(max4, v128.load(p));
  let largest = maxLanes(max4);
  for (; p < end; p += 4) largest = max<f32>(largest, load<f32>(p));
  return largest;
}

/**
 * For each row: log softmax(logits)[target], the entropy in nats, and log Σ eˡ. With s = l − max, Z = Σ eˢ:
 * log-probability = s[target] − log Z, entropy = log Z − Σ eˢ·s / Z.
 */
export function tokenLogProbabilities(
  logProbabilities: usize,
  entropy: usize,
  logSumExp: usize,
  logits: usize,
  targets: usize,
  rows: i32,
  vocabulary: i32,
): void {
  const n4 = vocabulary & ~3;
  for (let i = 0; i < rows; i++) {
    const top = largest(logits, vocabulary);
    const top4 = f32x4.splat(top);
    // e⁻ˢ underflows long before s·eˢ matters; the floor keeps −∞ logits from giving −∞ · 0.
    const floor = f32x4.splat(-200);
    let sum4 = f32x4.splat(0);
    let weighted4 = f32x4.splat(0);
    let p = logits;
    let j = 0;
    for (; j < n4; j += 4) {
      const s = f32x4.sub(v128.load(p), top4);
      const e = exp4(s);
      sum4 = f32x4.add(sum4, e);
      weighted4 = madd(e, f32x4.max(s, floor), weighted4);
      p += 16;
    }
    let sum = <f64>sumLanes(sum4);
    let weighted = <f64>sumLanes(weighted4);
    for (; j < vocabulary; j++) {
      const s = load<f32>(p) - top;
      const e = exp1(s);
      sum += <f64>e;
      weighted += <f64>(e * max<f32>(s, -200));
      p += 4;
    }
    const logSum = log1(sum);
    const target = load<f32>(logits + (<usize>load<u32>(targets) << 2));
    store<f32>(logProbabilities, <f32>(<f64>target - <f64>top - logSum));
    store<f32>(entropy, <f32>(logSum - weighted / sum));
    store<f32>(logSumExp, <f32>(<f64>top + logSum));
    logits += <usize>vocabulary << 2;
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
  const end4 = <usize>(vocabulary & ~3) << 2;
  for (let i = 0; i < rows; i++) {
    const d = load<f32>(dLogProbabilities) * scale;
    if (d == 0) {
      memory.fill(logits, 0, bytes);
    } else {
      const lse = load<f32>(logSumExp);
      const lse4 = f32x4.splat(lse);
      const minus = f32x4.splat(-d);
      let j: usize = 0;
      for (; j < end4; j += 16) {
        v128.store(logits + j, f32x4.mul(exp4(f32x4.sub(v128.load(logits + j), lse4)), minus));
      }
      for (; j < bytes; j += 4) store<f32>(logits + j, exp1(load<f32>(logits + j) - lse) * -d);
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

/**
 * One token a row by inverting the cumulative distribution, summed in the order of tokens in float64. `weights` is scratch
 * for `vocabulary` numbers. inverseTemperature 0 stands for temperature 0: the first largest logit.
 */
export function sample(
  ids: usize,
  logProbabilities: usize,
  logits: usize,
  uniforms: usize,
  rows: i32,
  vocabulary: i32,
  inverseTemperature: f32,
  weights: usize,
): void {
  const greedy = inverseTemperature == 0;
  const factor: f32 = greedy ? 1 : inverseTemperature;
  const factor4 = f32x4.splat(factor);
  const n4 = vocabulary & ~3;
  for (let i = 0; i < rows; i++) {
    const top = largest(logits, vocabulary);
    const top4 = f32x4.splat(top);
    let p = logits;
    let w = weights;
    let j = 0;
    for (; j < n4; j += 4) {
      v128.store(w, exp4(f32x4.mul(f32x4.sub(v128.load(p), top4), factor4)));
      p += 16;
      w += 16;
    }
    for (; j < vocabulary; j++) {
      store<f32>(w, exp1((load<f32>(p) - top) * factor));
      p += 4;
      w += 4;
    }
    let sum: f64 = 0;
    for (let v = 0; v < vocabulary; v++) sum += <f64>load<f32>(weights + (<usize>v << 2));
    let chosen = 0;
    if (greedy) {
      while (chosen < vocabulary - 1 && load<f32>(logits + (<usize>chosen << 2)) != top) chosen++;
    } else {
      const threshold = <f64>load<f32>(uniforms) * sum;
      let cumulative: f64 = 0;
      // Rounding can leave no token above the threshold; then it is the last one that has any probability.
      for (let v = 0; v < vocabulary; v++) {
        const weight = <f64>load<f32>(weights + (<usize>v << 2));
        if (weight > 0) chosen = v;
        cumulative += weight;
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
