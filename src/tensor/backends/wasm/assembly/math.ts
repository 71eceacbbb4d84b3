/**
 * @file Vector arithmetic that the other kernels share: multiply-add, sums over lanes, exp and log.
 *
 * `RELAXED` is a constant of the build (scripts/build.mjs). Relaxed SIMD's multiply-add is one
 * fused instruction on any processor since 2013; without it the product is rounded first.
 *
 * exp: x = n·ln 2 + r with |r| ≤ ln 2 / 2 (ln 2 in two parts, as in Cephes' `expf`, Moshier), a
 * degree-6 polynomial in r fitted to a relative error of 3e-9 (Lawson's weighted least squares),
 * and n added to the exponent; within 2 units in the last place. log is fdlibm's atanh series in
 * float64: it is taken once a row.
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

/**
 * The largest of n numbers; NaNs are passed over (pmax is one instruction and keeps what it has
 * when the other is NaN).
 */
export function largest(x: usize, n: i32): f32 {
  const end = x + (<usize>n << 2);
  const end4 = x + (<usize>(n & ~3) << 2);
  let max4 = f32x4.splat(-Infinity);
  for (; x < end4; x += 16) max4 = f32x4.pmax(max4, v128.load(x));
  for (; x < end; x += 4) max4 = f32x4.pmax(max4, v128.load32_splat(x));
  max4 = f32x4.pmax(max4, v128.shuffle<f32>(max4, max4, 2, 3, 0, 1));
  max4 = f32x4.pmax(max4, v128.shuffle<f32>(max4, max4, 1, 0, 3, 2));
  return f32x4.extract_lane(max4, 0);
}

const TABLE = memory.data<f32>(
  [
    // 1 / ln 2; 1.5·2²³; −ln 2 in two parts
    1.44269504088896341, 1.44269504088896341, 1.44269504088896341, 1.44269504088896341,
    12582912, 12582912, 12582912, 12582912,
    -0.693359375, -0.693359375, -0.693359375, -0.693359375,
    2.1219444e-4, 2.1219444e-4, 2.1219444e-4, 2.1219444e-4,
    // (eʳ − 1 − r) / r², from the highest power
    0.001381460577249527, 0.001381460577249527, 0.001381460577249527, 0.001381460577249527,
    0.00836871936917305, 0.00836871936917305, 0.00836871936917305, 0.00836871936917305,
    0.04166838899254799, 0.04166838899254799, 0.04166838899254799, 0.04166838899254799,
    0.1666652113199234, 0.1666652113199234, 0.1666652113199234, 0.1666652113199234,
    0.5, 0.5, 0.5, 0.5,
    1, 1, 1, 1,
    // smallest and largest x
    -87.3365, -87.3365, -87.3365, -87.3365,
    88.376, 88.376, 88.376, 88.376,
  ],
  16,
);

/**
 * eᵛ of four numbers. Adding 1.5·2²³ rounds v / ln 2 to the integer m and leaves m in the low bits,
 * so that one shift makes it an exponent. pmin is one instruction and hands a NaN in the first
 * place on.
 */
// @ts-ignore: decorator
@inline
function power(
  x: v128,
  inverseLn2: v128,
  magic: v128,
  ln2High: v128,
  ln2Low: v128,
  p4: v128,
  p3: v128,
  p2: v128,
  p1: v128,
  half: v128,
  one: v128,
  smallest: v128,
  largest: v128,
): v128 {
  const v = f32x4.pmin(x, largest);
  const shifted = madd(v, inverseLn2, magic);
  const m = f32x4.sub(shifted, magic);
  const r = madd(m, ln2Low, madd(m, ln2High, v));
  let p = madd(p4, r, p3);
  p = madd(p, r, p2);
  p = madd(p, r, p1);
  p = madd(p, r, half);
  p = madd(p, f32x4.mul(r, r), f32x4.add(r, one));
  return v128.andnot(i32x4.add(p, i32x4.shl(shifted, 23)), f32x4.lt(v, smallest));
}

/**
 * out[i] = factor · e^(scale · (x[i] − shift)); `out` may be `x`. 0 where the power would not be a
 * normal number, at most e^88.376 = 2.4e38, and NaN stays NaN.
 *
 * One loop for every exp of a row, and constants from a table: V8 builds a vector constant anew at
 * each use, in three or more instructions, so that a loop over constants in the code takes twice as
 * long (1.48 against 0.76 ns a number, Node 20). What is loaded before the loop stays in registers.
 */
export function expRow(out: usize, x: usize, n: i32, scale: f32, shift: f32, factor: f32): void {
  const a = v128.load(TABLE);
  const b = v128.load(TABLE, 16);
  const c = v128.load(TABLE, 32);
  const d = v128.load(TABLE, 48);
  const e = v128.load(TABLE, 64);
  const f = v128.load(TABLE, 80);
  const g = v128.load(TABLE, 96);
  const h = v128.load(TABLE, 112);
  const i = v128.load(TABLE, 128);
  const j = v128.load(TABLE, 144);
  const k = v128.load(TABLE, 160);
  const l = v128.load(TABLE, 176);
  const scale4 = f32x4.splat(scale);
  const shift4 = f32x4.splat(shift);
  const factor4 = f32x4.splat(factor);
  const end = x + (<usize>n << 2);
  const end4 = x + (<usize>(n & ~3) << 2);
  for (; x < end4; x += 16) {
    const v = f32x4.mul(f32x4.sub(v128.load(x), shift4), scale4);
    v128.store(out, f32x4.mul(power(v, a, b, c, d, e, f, g, h, i, j, k, l), factor4));
    out += 16;
  }
  for (; x < end; x += 4) {
    const v = f32x4.mul(f32x4.sub(v128.load32_splat(x), shift4), scale4);
    v128.store32_lane(out, f32x4.mul(power(v, a, b, c, d, e, f, g, h, i, j, k, l), factor4), 0);
    out += 4;
  }
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

/**
 * eˣ in float64, to a relative error of 1e-11 (Taylor to the ninth power); 0 below −708, infinity
 * above 709.
 */
export function exp64(x: f64): f64 {
  if (x > 709) return Infinity;
  if (x < -708) return 0;
  const n = nearest<f64>(x * 1.4426950408889634);
  const r = x - n * 0.69314718036912382 - n * 1.9082149292705877e-10;
  // Estrin's scheme: short chains, where Horner's would wait for each step.
  const r2 = r * r;
  const r4 = r2 * r2;
  const low = 1.0 + r + r2 * (0.5 + r * (1.0 / 6.0));
  const middle = 1.0 / 24.0 + r * (1.0 / 120.0) + r2 * (1.0 / 720.0 + r * (1.0 / 5040.0));
  const high = 1.0 / 40320.0 + r * (1.0 / 362880.0);
  return (low + r4 * (middle + r4 * high)) * reinterpret<f64>((<i64>n + 1023) << 52);
}
