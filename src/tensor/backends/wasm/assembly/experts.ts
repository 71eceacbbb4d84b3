/**
 * @file The mixture of experts: the gate, its balance loss, the counting sort, and the sums of rows
 * that bring tokens back.
 *
 * Experts are few and choices fewer, so choosing is plain scalar code; what moves rows is
 * vectorised.
 */
import { prefixOf } from './attention';
import { madd, sumLanes, expRow } from './math';

const TINY: f32 = 1e-20;

/** Index of the largest of n numbers, the first of equals. */
// @ts-ignore: decorator
@inline
function argmax(x: usize, from: i32, to: i32): i32 {
  let best = from;
  let value = load<f32>(x + (<usize>from << 2));
  for (let i = from + 1; i < to; i++) {
    const candidate = load<f32>(x + (<usize>i << 2));
    if (candidate > value) {
      value = candidate;
      best = i;
    }
  }
  return best;
}

/**
 * scores [rows, experts] = σ(logits); chosen i32 and weights [rows, topK]. `scratch` holds experts
 * + groups numbers: biased scores, and the groups' scores.
 */
export function route(
  chosen: usize,
  weights: usize,
  scores: usize,
  logits: usize,
  bias: usize,
  rows: i32,
  experts: i32,
  topK: i32,
  groups: i32,
  topGroups: i32,
  normalize: bool,
  scale: f32,
  softmax: bool,
  scratch: usize,
): void {
  const bytes = <usize>experts << 2;
  const size = experts / groups;
  const groupScores = scratch + bytes;
  if (!softmax) expRow(scores, logits, rows * experts, -1, 0, 1);
  for (let n = 0; n < rows; n++) {
    let all: f32 = 0;
    if (softmax) {
      const row = logits + <usize>n * bytes;
      let most: f32 = -Infinity;
      for (let j: usize = 0; j < bytes; j += 4) most = max(most, load<f32>(row + j));
      expRow(scores, row, experts, 1, most, 1);
      for (let j: usize = 0; j < bytes; j += 4) all += load<f32>(scores + j);
    }
    for (let j: usize = 0; j < bytes; j += 4) {
      const power = load<f32>(scores + j);
      const s: f32 = softmax ? power / all : 1 / (1 + power);
      store<f32>(scores + j, s);
      store<f32>(scratch + j, s + load<f32>(bias + j));
    }
    if (topGroups < groups) {
      for (let g = 0; g < groups; g++) {
        const from = g * size;
        const first = argmax(scratch, from, from + size);
        let sum = load<f32>(scratch + (<usize>first << 2));
        if (size > 1) {
          let second: f32 = -Infinity;
          for (let i = from; i < from + size; i++) {
            if (i != first) second = max(second, load<f32>(scratch + (<usize>i << 2)));
          }
          sum += second;
        }
        store<f32>(groupScores + (<usize>g << 2), sum);
      }
      // The best groups are marked by NaN, which no sum of scores is; the others' experts are then
      // shut out.
      for (let t = 0; t < topGroups; t++) {
        let best = -1;
        let value: f32 = -Infinity;
        for (let g = 0; g < groups; g++) {
          const candidate = load<f32>(groupScores + (<usize>g << 2));
          if (candidate > value) {
            value = candidate;
            best = g;
          }
        }
        if (best >= 0) store<f32>(groupScores + (<usize>best << 2), NaN);
      }
      for (let g = 0; g < groups; g++) {
        const sum = load<f32>(groupScores + (<usize>g << 2));
        if (sum != sum) continue;
        for (let i = g * size; i < (g + 1) * size; i++) store<f32>(scratch + (<usize>i << 2), -Infinity);
      }
    }
    let sum: f32 = normalize ? TINY : 0;
    for (let k = 0; k < topK; k++) {
      const e = argmax(scratch, 0, experts);
      store<f32>(scratch + (<usize>e << 2), -Infinity);
      store<i32>(chosen + (<usize>k << 2), e);
      const s = load<f32>(scores + (<usize>e << 2));
      store<f32>(weights + (<usize>k << 2), s);
      sum += s;
    }
    const factor: f32 = normalize ? scale / sum : scale;
    for (let k = 0; k < topK; k++) {
      const at = weights + (<usize>k << 2);
      store<f32>(at, load<f32>(at) * factor);
    }
    chosen += <usize>topK << 2;
    weights += <usize>topK << 2;
    scores += bytes;
  }
}

export function routeBackward(
  dLogits: usize,
  dWeights: usize,
  chosen: usize,
  scores: usize,
  rows: i32,
  experts: i32,
  topK: i32,
  normalize: bool,
  scale: f32,
  softmax: bool,
  accumulate: bool,
): void {
  const bytes = <usize>experts << 2;
  if (!accumulate) memory.fill(dLogits, 0, <usize>rows * bytes);
  for (let n = 0; n < rows; n++) {
    let sum: f32 = TINY;
    let weighted: f32 = 0;
    for (let k: usize = 0; k < <usize>topK; k++) {
      const s = load<f32>(scores + (<usize>load<u32>(chosen + (k << 2)) << 2));
      sum += s;
      weighted += load<f32>(dWeights + (k << 2)) * s;
    }
    const mean: f32 = normalize ? weighted / sum : 0;
    const factor: f32 = normalize ? scale / sum : scale;
    let shared: f32 = 0;
    for (let k: usize = 0; k < <usize>topK; k++) {
      const e = <usize>load<u32>(chosen + (k << 2)) << 2;
      const s = load<f32>(scores + e);
      const ds = factor * (load<f32>(dWeights + (k << 2)) - mean) * s;
      shared += ds;
      const d: f32 = softmax ? ds : ds * (1 - s);
      store<f32>(dLogits + e, load<f32>(dLogits + e) + d);
    }
    for (let j: usize = 0; softmax && j < bytes; j += 4) {
      store<f32>(dLogits + j, load<f32>(dLogits + j) - load<f32>(scores + j) * shared);
    }
    dWeights += <usize>topK << 2;
    chosen += <usize>topK << 2;
    dLogits += bytes;
    scores += bytes;
  }
}

/** shares[e] += unit for each choice of expert e by rows [from, to). */
function addShares(shares: usize, chosen: usize, from: i32, to: i32, topK: i32, unit: f32): void {
  for (let i = from * topK; i < to * topK; i++) {
    const f = shares + (<usize>load<u32>(chosen + (<usize>i << 2)) << 2);
    store<f32>(f, load<f32>(f) + unit);
  }
}

/**
 * Adds the derivative to dLogits; returns the loss. `prefixes` may be 0: none. `shares` is scratch
 * for `experts` numbers.
 */
export function balanceLoss(
  dLogits: usize,
  scores: usize,
  chosen: usize,
  segments: usize,
  prefixes: usize,
  sequences: i32,
  experts: i32,
  topK: i32,
  coefficient: f32,
  shares: usize,
): f32 {
  const bytes = <usize>experts << 2;
  let loss: f64 = 0;
  for (let s = 0; s < sequences; s++) {
    const from = load<i32>(segments + (<usize>s << 2));
    const to = load<i32>(segments + (<usize>s << 2), 4);
    if (from == to) continue;
    memory.fill(shares, 0, bytes);
    // What a prefix counts is the sum of what it counts in each sequence that goes on from it.
    let followed = false;
    for (let t = s + 1; prefixes != 0 && t < sequences; t++) {
      if (prefixOf(prefixes, t) != s) continue;
      followed = true;
      const own = load<i32>(segments + (<usize>t << 2));
      const end = load<i32>(segments + (<usize>t << 2), 4);
      const unit: f32 = <f32>experts / <f32>(topK * (to - from + end - own));
      addShares(shares, chosen, from, to, topK, unit);
      addShares(shares, chosen, own, end, topK, unit);
    }
    if (!followed) {
      const prefix = prefixOf(prefixes, s);
      const first = prefix < 0 ? from : load<i32>(segments + (<usize>prefix << 2));
      const last = prefix < 0 ? from : load<i32>(segments + (<usize>prefix << 2), 4);
      const unit: f32 = <f32>experts / <f32>(topK * (to - from + last - first));
      addShares(shares, chosen, first, last, topK, unit);
      addShares(shares, chosen, from, to, topK, unit);
    }
    for (let n = from; n < to; n++) {
      const own = scores + <usize>n * bytes;
      const d = dLogits + <usize>n * bytes;
      let sum: f32 = 0;
      let weighted: f32 = 0;
      for (let j: usize = 0; j < bytes; j += 4) {
        sum += load<f32>(own + j);
        weighted += load<f32>(own + j) * load<f32>(shares + j);
      }
      const mean = weighted / sum;
      loss += <f64>mean;
      const factor = coefficient / sum;
      for (let j: usize = 0; j < bytes; j += 4) {
        const score = load<f32>(own + j);
        store<f32>(d + j, load<f32>(d + j) + factor * (load<f32>(shares + j) - mean) * score * (1 - score));
      }
    }
  }
  return coefficient * <f32>loss;
}

/**
 * A counting sort of n = rows · topK choices; `amounts` (or 0) gets the counts added. `next` is
 * scratch for `experts` integers.
 */
export function sortByExpert(
  offsets: usize,
  tokens: usize,
  slots: usize,
  amounts: usize,
  chosen: usize,
  n: i32,
  experts: i32,
  topK: i32,
  next: usize,
): void {
  memory.fill(offsets, 0, (<usize>experts + 1) << 2);
  for (let i: usize = 0; i < <usize>n; i++) {
    const at = offsets + ((<usize>load<u32>(chosen + (i << 2)) + 1) << 2);
    store<i32>(at, load<i32>(at) + 1);
  }
  let start = 0;
  for (let e: usize = 0; e < <usize>experts; e++) {
    const count = load<i32>(offsets + (e << 2), 4);
    if (amounts != 0) store<f32>(amounts + (e << 2), load<f32>(amounts + (e << 2)) + <f32>count);
    store<i32>(next + (e << 2), start);
    start += count;
    store<i32>(offsets + (e << 2), start, 4);
  }
  let token = 0;
  let k = 0;
  for (let i: usize = 0; i < <usize>n; i++) {
    const at = next + (<usize>load<u32>(chosen + (i << 2)) << 2);
    const slot = load<i32>(at);
    store<i32>(at, slot + 1);
    store<i32>(slots + (i << 2), slot);
    store<i32>(tokens + (<usize>slot << 2), token);
    if (++k == topK) {
      k = 0;
      token++;
    }
  }
}

/** out[n] = Σ_k weights[n, k] · y[slots[n, k]], or +=; weights 0: ones. */
export function combineRows(
  out: usize,
  y: usize,
  slots: usize,
  weights: usize,
  rows: i32,
  columns: i32,
  topK: i32,
  accumulate: bool,
): void {
  const bytes = <usize>columns << 2;
  const end4 = <usize>(columns & ~3) << 2;
  for (let n = 0; n < rows; n++) {
    if (topK == 0 && !accumulate) memory.fill(out, 0, bytes);
    for (let k = 0; k < topK; k++) {
      const a = y + <usize>load<u32>(slots) * bytes;
      const w: f32 = weights == 0 ? 1 : load<f32>(weights);
      const add = accumulate || k > 0;
      const w4 = f32x4.splat(w);
      let j: usize = 0;
      if (add) {
        for (; j < end4; j += 16) v128.store(out + j, madd(w4, v128.load(a + j), v128.load(out + j)));
        for (; j < bytes; j += 4) store<f32>(out + j, load<f32>(out + j) + w * load<f32>(a + j));
      } else {
        for (; j < end4; j += 16) v128.store(out + j, f32x4.mul(w4, v128.load(a + j)));
        for (; j < bytes; j += 4) store<f32>(out + j, w * load<f32>(a + j));
      }
      slots += 4;
      if (weights != 0) weights += 4;
    }
    out += bytes;
  }
}

/** dY[slots[n, k]] = weights[n, k] · dOut[n]; dWeights[n, k] = dOut[n] · y[slots[n, k]]. */
export function combineRowsBackward(
  dY: usize,
  dWeights: usize,
  dOut: usize,
  y: usize,
  slots: usize,
  weights: usize,
  rows: i32,
  columns: i32,
  topK: i32,
): void {
  const bytes = <usize>columns << 2;
  const end4 = <usize>(columns & ~3) << 2;
  for (let n = 0; n < rows; n++) {
    for (let k = 0; k < topK; k++) {
      const row = <usize>load<u32>(slots) * bytes;
      const a = y + row;
      const d = dY + row;
      const w = load<f32>(weights);
      const w4 = f32x4.splat(w);
      let sum4 = f32x4.splat(0);
      let j: usize = 0;
      for (; j < end4; j += 16) {
        const g = v128.load(dOut + j);
        sum4 = madd(g, v128.load(a + j), sum4);
        v128.store(d + j, f32x4.mul(w4, g));
      }
      let sum = sumLanes(sum4);
      for (; j < bytes; j += 4) {
        const g = load<f32>(dOut + j);
        sum += g * load<f32>(a + j);
        store<f32>(d + j, w * g);
      }
      store<f32>(dWeights, sum);
      slots += 4;
      weights += 4;
      dWeights += 4;
    }
    dOut += bytes;
  }
}
