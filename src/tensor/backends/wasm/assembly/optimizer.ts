/**
 * @file AdamW and the sum of squares behind gradient clipping.
 */
import { madd } from './math';

/** Σ x² in float64, two accumulators of two lanes. */
export function sumSquares(x: usize, n: i32): f64 {
  const n4 = n & ~3;
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  let i = 0;
  for (; i < n4; i += 4) {
    const v = v128.load(x);
    const a = f64x2.promote_low_f32x4(v);
    const b = f64x2.promote_low_f32x4(v128.shuffle<f32>(v, v, 2, 3, 2, 3));
    low = f64x2.add(low, f64x2.mul(a, a));
    high = f64x2.add(high, f64x2.mul(b, b));
    x += 16;
  }
  const both = f64x2.add(low, high);
  let sum = f64x2.extract_lane(both, 0) + f64x2.extract_lane(both, 1);
  for (; i < n; i++) {
    const v = <f64>load<f32>(x);
    sum += v * v;
    x += 4;
  }
  return sum;
}

/**
 * m = β₁m + (1 − β₁)g, v = β₂v + (1 − β₂)g², p = keep·p − rate · m / (√v·correction + ε), where
 * keep = 1 − lr·weightDecay, rate = lr / (1 − β₁ᵗ) and correction = 1 / √(1 − β₂ᵗ). The tail runs
 * the same vector code on one number.
 */
export function adamw(
  parameter: usize,
  firstMoment: usize,
  secondMoment: usize,
  gradient: usize,
  n: i32,
  gradientScale: f32,
  beta1: f32,
  oneMinusBeta1: f32,
  beta2: f32,
  oneMinusBeta2: f32,
  keep: f32,
  rate: f32,
  correction: f32,
  epsilon: f32,
): void {
  const scale4 = f32x4.splat(gradientScale);
  const beta14 = f32x4.splat(beta1);
  const rest14 = f32x4.splat(oneMinusBeta1);
  const beta24 = f32x4.splat(beta2);
  const rest24 = f32x4.splat(oneMinusBeta2);
  const keep4 = f32x4.splat(keep);
  const minusRate4 = f32x4.splat(-rate);
  const correction4 = f32x4.splat(correction);
  const epsilon4 = f32x4.splat(epsilon);
  const bytes = <usize>n << 2;
  const end4 = <usize>(n & ~3) << 2;
  let j: usize = 0;
  for (; j < end4; j += 16) {
    const g = f32x4.mul(v128.load(gradient + j), scale4);
    const m = madd(v128.load(firstMoment + j), beta14, f32x4.mul(g, rest14));
    const v = madd(v128.load(secondMoment + j), beta24, f32x4.mul(f32x4.mul(g, g), rest24));
    v128.store(firstMoment + j, m);
    v128.store(secondMoment + j, v);
    const step = f32x4.div(m, madd(f32x4.sqrt(v), correction4, epsilon4));
    v128.store(parameter + j, madd(step, minusRate4, f32x4.mul(v128.load(parameter + j), keep4)));
  }
  for (; j < bytes; j += 4) {
    const g = f32x4.mul(v128.load32_splat(gradient + j), scale4);
    const m = madd(v128.load32_splat(firstMoment + j), beta14, f32x4.mul(g, rest14));
    const v = madd(v128.load32_splat(secondMoment + j), beta24, f32x4.mul(f32x4.mul(g, g), rest24));
    v128.store32_lane(firstMoment + j, m, 0);
    v128.store32_lane(secondMoment + j, v, 0);
    const step = f32x4.div(m, madd(f32x4.sqrt(v), correction4, epsilon4));
    v128.store32_lane(parameter + j, madd(step, minusRate4, f32x4.mul(v128.load32_splat(parameter + j), keep4)), 0);
  }
}
