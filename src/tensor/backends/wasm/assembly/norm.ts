/**
 * @file Root-mean-square norm and its derivative, over blocks of d numbers.
 *
 * y = x · w / r with r = √(mean x² + ε). With g = dy · w: dx = g / r − x · (Σ g·x) / (d · r³), and
 * dw = Σ over blocks of dy · x / r.
 */
import { madd, sumLanes } from './math';

/** x and out: rows of `blocks`·d numbers with strides in elements. inverseRms [rows, blocks]. */
export function rmsNorm(
  out: usize,
  outStride: i32,
  inverseRms: usize,
  x: usize,
  xStride: i32,
  weight: usize,
  rows: i32,
  blocks: i32,
  d: i32,
  epsilon: f32,
): void {
  const d4 = d & ~3;
  const d8 = d & ~7;
  for (let i = 0; i < rows; i++) {
    let p = x + ((<usize>i * <usize>xStride) << 2);
    let o = out + ((<usize>i * <usize>outStride) << 2);
    for (let b = 0; b < blocks; b++) {
      let sum0 = f32x4.splat(0);
      let sum1 = f32x4.splat(0);
      let j = 0;
      let q = p;
      for (; j < d8; j += 8) {
        const v0 = v128.load(q);
        const v1 = v128.load(q, 16);
        sum0 = madd(v0, v0, sum0);
        sum1 = madd(v1, v1, sum1);
        q += 32;
      }
      for (; j < d4; j += 4) {
        const v = v128.load(q);
        sum0 = madd(v, v, sum0);
        q += 16;
      }
      let sum = sumLanes(f32x4.add(sum0, sum1));
      for (; j < d; j++) {
        const v = load<f32>(q);
        sum += v * v;
        q += 4;
      }
      const inverse: f32 = 1 / sqrt<f32>(sum / <f32>d + epsilon);
      store<f32>(inverseRms, inverse);
      inverseRms += 4;
      const scale = f32x4.splat(inverse);
      let w = weight;
      j = 0;
      for (; j < d4; j += 4) {
        v128.store(o, f32x4.mul(f32x4.mul(v128.load(p), scale), v128.load(w)));
        p += 16;
        o += 16;
        w += 16;
      }
      for (; j < d; j++) {
        store<f32>(o, load<f32>(p) * inverse * load<f32>(w));
        p += 4;
        o += 4;
        w += 4;
      }
    }
  }
}

/**
 * dOut contiguous; dx strided like x. `dx` or `dWeight` 0 when not wanted; `dWeight` is added to.
 */
export function rmsNormBackward(
  dx: usize,
  dxStride: i32,
  dWeight: usize,
  dOut: usize,
  x: usize,
  xStride: i32,
  weight: usize,
  inverseRms: usize,
  rows: i32,
  blocks: i32,
  d: i32,
  accumulate: bool,
): void {
  const bytes = <usize>d << 2;
  const end4 = <usize>(d & ~3) << 2;
  for (let i = 0; i < rows; i++) {
    let p = x + ((<usize>i * <usize>xStride) << 2);
    let o = dx + ((<usize>i * <usize>dxStride) << 2);
    for (let b = 0; b < blocks; b++) {
      const inverse = load<f32>(inverseRms);
      inverseRms += 4;
      const scale = f32x4.splat(inverse);
      // One pass for dw and Σ g·x, which read the same numbers; a second one for dx.
      let sum4 = f32x4.splat(0);
      let sum: f32 = 0;
      let j: usize = 0;
      if (dWeight) {
        for (; j < end4; j += 16) {
          const yx = f32x4.mul(v128.load(dOut + j), v128.load(p + j));
          sum4 = madd(yx, v128.load(weight + j), sum4);
          v128.store(dWeight + j, madd(yx, scale, v128.load(dWeight + j)));
        }
        for (; j < bytes; j += 4) {
          const yx = load<f32>(dOut + j) * load<f32>(p + j);
          sum += yx * load<f32>(weight + j);
          store<f32>(dWeight + j, yx * inverse + load<f32>(dWeight + j));
        }
      } else {
        for (; j < end4; j += 16) {
          sum4 = madd(f32x4.mul(v128.load(dOut + j), v128.load(p + j)), v128.load(weight + j), sum4);
        }
        for (; j < bytes; j += 4) sum += load<f32>(dOut + j) * load<f32>(p + j) * load<f32>(weight + j);
      }
      if (dx) {
        sum += sumLanes(sum4);
        const factor: f32 = -(sum * inverse * inverse * inverse) / <f32>d;
        const factor4 = f32x4.splat(factor);
        j = 0;
        if (accumulate) {
          for (; j < end4; j += 16) {
            const g = f32x4.mul(f32x4.mul(v128.load(dOut + j), v128.load(weight + j)), scale);
            v128.store(o + j, f32x4.add(v128.load(o + j), madd(v128.load(p + j), factor4, g)));
          }
          for (; j < bytes; j += 4) {
            const g = load<f32>(dOut + j) * load<f32>(weight + j) * inverse;
            store<f32>(o + j, load<f32>(o + j) + (load<f32>(p + j) * factor + g));
          }
        } else {
          for (; j < end4; j += 16) {
            const g = f32x4.mul(f32x4.mul(v128.load(dOut + j), v128.load(weight + j)), scale);
            v128.store(o + j, madd(v128.load(p + j), factor4, g));
          }
          for (; j < bytes; j += 4) {
            const g = load<f32>(dOut + j) * load<f32>(weight + j) * inverse;
            store<f32>(o + j, load<f32>(p + j) * factor + g);
          }
        }
      }
      p += bytes;
      o += bytes;
      dOut += bytes;
    }
  }
}
