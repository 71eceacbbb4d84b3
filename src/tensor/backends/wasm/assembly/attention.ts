/**
 * @file Attention over packed sequences and over caches.
 */

/** Causal attention of sequences [from, to) of `segments`. Strides in elements. `scratch` holds one row of scores. */
export function attentionForward(
  out: usize, outStride: i32, logSumExp: usize,
  q: usize, qStride: i32, k: usize, kStride: i32, v: usize, vStride: i32,
  segments: usize, from: i32, to: i32,
  heads: i32, kvHeads: i32, keyDim: i32, valueDim: i32, scale: f32, scratch: usize,
): void {
  for (let s = from; s < to; s++) {
    const first = load<i32>(segments + (<usize>s << 2));
    const last = load<i32>(segments + (<usize>(s + 1) << 2));
    for (let h = 0; h < heads; h++) {
      const g = h / (heads / kvHeads);
      for (let t = first; t < last; t++) {
        const pq = q + ((<usize>t * qStride + h * keyDim) << 2);
        let largest: f32 = -Infinity;
        for (let j = first; j <= t; j++) {
          const pk = k + ((<usize>j * kStride + g * keyDim) << 2);
          let sum: f32 = 0;
          for (let i = 0; i < keyDim; i++) sum += load<f32>(pq + (<usize>i << 2)) * load<f32>(pk + (<usize>i << 2));
          sum *= scale;
          store<f32>(scratch + (<usize>(j - first) << 2), sum);
          largest = max(largest, sum);
        }
        let total: f32 = 0;
        for (let j = 0; j <= t - first; j++) {
          const e = <f32>Math.exp(load<f32>(scratch + (<usize>j << 2)) - largest);
          store<f32>(scratch + (<usize>j << 2), e);
          total += e;
        }
        store<f32>(logSumExp + ((<usize>t * heads + h) << 2), largest + <f32>Math.log(total));
        const po = out + ((<usize>t * outStride + h * valueDim) << 2);
        for (let i = 0; i < valueDim; i++) {
          let sum: f32 = 0;
          for (let j = first; j <= t; j++) {
            sum += load<f32>(scratch + (<usize>(j - first) << 2)) * load<f32>(v + ((<usize>j * vStride + g * valueDim + i) << 2));
          }
          store<f32>(po + (<usize>i << 2), sum / total);
        }
      }
    }
  }
}

/** Adds the derivatives to dq, dk and dv. */
export function attentionBackward(
  dq: usize, dqStride: i32, dk: usize, dkStride: i32, dv: usize, dvStride: i32,
  dOut: usize, dOutStride: i32, out: usize, outStride: i32, logSumExp: usize,
  q: usize, qStride: i32, k: usize, kStride: i32, v: usize, vStride: i32,
  segments: usize, from: i32, to: i32,
  heads: i32, kvHeads: i32, keyDim: i32, valueDim: i32, scale: f32, scratch: usize,
): void {
  for (let s = from; s < to; s++) {
    const first = load<i32>(segments + (<usize>s << 2));
    const last = load<i32>(segments + (<usize>(s + 1) << 2));
    for (let h = 0; h < heads; h++) {
      const g = h / (heads / kvHeads);
      for (let t = first; t < last; t++) {
        const pq = q + ((<usize>t * qStride + h * keyDim) << 2);
        const pdq = dq + ((<usize>t * dqStride + h * keyDim) << 2);
        const pdo = dOut + ((<usize>t * dOutStride + h * valueDim) << 2);
        const po = out + ((<usize>t * outStride + h * valueDim) << 2);
        const lse = load<f32>(logSumExp + ((<usize>t * heads + h) << 2));
        let delta: f32 = 0;
        for (let i = 0; i < valueDim; i++) delta += load<f32>(pdo + (<usize>i << 2)) * load<f32>(po + (<usize>i << 2));
        for (let j = first; j <= t; j++) {
          const pk = k + ((<usize>j * kStride + g * keyDim) << 2);
          const pdk = dk + ((<usize>j * dkStride + g * keyDim) << 2);
          const pv = v + ((<usize>j * vStride + g * valueDim) << 2);
          const pdv = dv + ((<usize>j * dvStride + g * valueDim) << 2);
          let score: f32 = 0;
          for (let i = 0; i < keyDim; i++) score += load<f32>(pq + (<usize>i << 2)) * load<f32>(pk + (<usize>i << 2));
          const p = <f32>Math.exp(score * scale - lse);
          let dp: f32 = 0;
          for (let i = 0; i < valueDim; i++) {
            const o = <usize>i << 2;
            dp += load<f32>(pdo + o) * load<f32>(pv + o);
            store<f32>(pdv + o, load<f32>(pdv + o) + p * load<f32>(pdo + o));
          }
          const ds = p * (dp - delta) * scale;
          for (let i = 0; i < keyDim; i++) {
            const o = <usize>i << 2;
            store<f32>(pdq + o, load<f32>(pdq + o) + ds * load<f32>(pk + o));
            store<f32>(pdk + o, load<f32>(pdk + o) + ds * load<f32>(pq + o));
          }
        }
      }
    }
  }
}

/** One query a sequence against a prefix and its own rows of a cache. `scratch` holds one row of scores. */
export function attentionCached(
  out: usize, outStride: i32, q: usize, qStride: i32, keys: usize, keysStride: i32, values: usize, valuesStride: i32,
  prefixStart: usize, prefixLength: usize, ownStart: usize, ownLength: usize, batch: i32,
  heads: i32, kvHeads: i32, keyDim: i32, valueDim: i32, scale: f32, scratch: usize,
): void {
  for (let b = 0; b < batch; b++) {
    const at = <usize>b << 2;
    const prefix = load<i32>(prefixLength + at);
    const total = prefix + load<i32>(ownLength + at);
    const prefixRow = load<i32>(prefixStart + at);
    const ownRow = load<i32>(ownStart + at) - prefix;
    for (let h = 0; h < heads; h++) {
      const g = h / (heads / kvHeads);
      const pq = q + ((<usize>b * qStride + h * keyDim) << 2);
      const po = out + ((<usize>b * outStride + h * valueDim) << 2);
      for (let i = 0; i < valueDim; i++) store<f32>(po + (<usize>i << 2), 0);
      let largest: f32 = -Infinity;
      for (let j = 0; j < total; j++) {
        const pk = keys + ((<usize>(j + (j < prefix ? prefixRow : ownRow)) * keysStride + g * keyDim) << 2);
        let sum: f32 = 0;
        for (let i = 0; i < keyDim; i++) sum += load<f32>(pq + (<usize>i << 2)) * load<f32>(pk + (<usize>i << 2));
        sum *= scale;
        store<f32>(scratch + (<usize>j << 2), sum);
        largest = max(largest, sum);
      }
      let weight: f32 = 0;
      for (let j = 0; j < total; j++) {
        const e = <f32>Math.exp(load<f32>(scratch + (<usize>j << 2)) - largest);
        store<f32>(scratch + (<usize>j << 2), e);
        weight += e;
      }
      for (let j = 0; j < total; j++) {
        const e = load<f32>(scratch + (<usize>j << 2)) / weight;
        const pv = values + ((<usize>(j + (j < prefix ? prefixRow : ownRow)) * valuesStride + g * valueDim) << 2);
        for (let i = 0; i < valueDim; i++) {
          const o = <usize>i << 2;
          store<f32>(po + o, load<f32>(po + o) + e * load<f32>(pv + o));
        }
      }
    }
  }
}
