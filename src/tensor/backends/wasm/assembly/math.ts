/**
 * @file Vector arithmetic that the other kernels share: multiply-add, sums over lanes, exp and log.
 *
 * `RELAXED` is a constant of the build (scripts/build.mjs). Relaxed SIMD's multiply-add is one fused instruction on any
 * processor since 2013; without it the product is rounded first.
 *
 * exp follows Cephes' `expf` (Moshier): x = n·ln 2 + r with |r| ≤ ln 2 / 2, a degree-6 polynomial in r, and 2ⁿ built from its
 * bits; within 2 units in the last place. Below −87.3365 (where the result is no longer a normal number) it is 0, above
 * 88.376 it is infinity, and NaN stays NaN. log follows the atanh series of fdlibm in float64: it is taken once a row.
 */

/** a·b + c */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  // @ts-ignore: given by the build
  if (RELAXED) {
    return f32x4.relaxed_madd(a, b, c);
  }
  return f32x4.add(f32x4.mul(a, b), c);
}

/** The sum of the four lanes. */
// @ts-ignore: decorator
@inline
export function sumLanes(a: v128): f32 {
  const pairs = f32x4.add(a, v128.shuffle<f32>(a, a, 2, 3, 0, 1));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/** The largest of the four lanes; NaN when one is. */
// @ts-ignore: decorator
@inline
export function maxLanes(a: v128): f32 {
  const pairs = f32x4.max(a, v128.shuffle<f32>(a, a, 2, 3, 0, 1));
  return max<f32>(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

/** eˣ of four numbers. */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(1.44269504088896341)));
  let r = madd(n, f32x4.splat(-0.693359375), x);
  r = madd(n, f32x4.splat(2.12194440e-4), r);
  let p = f32x4.splat(1.9875691500e-4);
  p = madd(p, r, f32x4.splat(1.3981999507e-3));
  p = madd(p, r, f32x4.splat(8.3334519073e-3));
  p = madd(p, r, f32x4.splat(4.1665795894e-2));
  p = madd(p, r, f32x4.splat(1.6666665459e-1));
  p = madd(p, r, f32x4.splat(5.0000001201e-1));
  p = madd(p, f32x4.mul(r, r), f32x4.add(r, f32x4.splat(1)));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  p = v128.andnot(f32x4.mul(p, power), f32x4.lt(x, f32x4.splat(-87.3365)));
  return v128.bitselect(f32x4.splat(Infinity), p, f32x4.gt(x, f32x4.splat(88.376)));
}

/** eˣ, the same bits as a lane of `exp4`. */
// @ts-ignore: decorator
@inline
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

/** The natural logarithm of a positive number, in float64. */
export function log1(x: f64): f64 {
  if (!(x > 0) || x == Infinity) return x == 0 ? -Infinity : x > 0 ? x : NaN;
  let bits = reinterpret<i64>(x);
  let exponent = <i32>(bits >> 52) - 1023;
  if (exponent == -1023) {
    bits = reinterpret<i64>(x * 18014398509481984.0);
    exponent = <i32>(bits >> 52) - 1023 - 54;
  }
  let m = reinterpret<f64>((bits & 0x000fffffffffffff) | 0x3ff0000000000000);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent++;
  }
  const s = (m - 1) / (m + 1);
  const z = s * s;
  // 2·atanh(s) = 2s·(1 + z/3 + z²/5 + …); |s| ≤ 0.172, so that ten terms leave less than 1e-16.
  let series: f64 = 1.0 / 21.0;
  series = series * z + 1.0 / 19.0;
  series = series * z + 1.0 / 17.0;
  series = series * z + 1.0 / 15.0;
  series = series * z + 1.0 / 13.0;
  series = series * z + 1.0 / 11.0;
  series = series * z + 1.0 / 9.0;
  series = series * z + 1.0 / 7.0;
  series = series * z + 1.0 / 5.0;
  series = series * z + 1.0 / 3.0;
  return <f64>exponent * 0.6931471805599453 + 2 * s * (1 + z * series);
}

/** eˣ in float64, within 2 units in the last place; 0 below −708, infinity above 709. */
export function exp64(x: f64): f64 {
  if (x > 709) return Infinity;
  if (x < -708) return 0;
  const n = nearest<f64>(x * 1.4426950408889634);
  const r = x - n * 0.693147180369123816490 - n * 1.90821492927058770002e-10;
  let p: f64 = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return p * reinterpret<f64>((<i64>n + 1023) << 52);
}
