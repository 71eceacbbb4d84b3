/**
 * @file Blocks of frozen weights (../../../forms.ts) to float32, the same numbers to the last bit:
 * whole number times scale is exact, so that adding a minimum rounds once. `n` is whole blocks.
 */

/** A binary16 number: the exponent's bias is put right by a product with 2¹¹². No infinities. */
// @ts-ignore: decorator
@inline
function half(at: usize): f32 {
  const bits = <u32>load<u16>(at);
  const size = reinterpret<f32>((bits & 0x7fff) << 13) * reinterpret<f32>(0x77800000);
  return reinterpret<f32>(reinterpret<u32>(size) | ((bits & 0x8000) << 16));
}

/** Four whole numbers times `d`, plus `m`. */
// @ts-ignore: decorator
@inline
function put(out: usize, q: v128, d: v128, m: v128): void {
  v128.store(out, f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(q), d), m));
}

/** Sixteen unsigned bytes times `d`, plus `m`. */
// @ts-ignore: decorator
@inline
function putUnsigned(out: usize, bytes: v128, d: v128, m: v128): void {
  const low = i16x8.extend_low_i8x16_u(bytes);
  const high = i16x8.extend_high_i8x16_u(bytes);
  put(out, i32x4.extend_low_i16x8_u(low), d, m);
  put(out + 16, i32x4.extend_high_i16x8_u(low), d, m);
  put(out + 32, i32x4.extend_low_i16x8_u(high), d, m);
  put(out + 48, i32x4.extend_high_i16x8_u(high), d, m);
}

/** Sixteen signed bytes times `d`. */
// @ts-ignore: decorator
@inline
function putSigned(out: usize, bytes: v128, d: v128): void {
  const low = i16x8.extend_low_i8x16_s(bytes);
  const high = i16x8.extend_high_i8x16_s(bytes);
  v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), d));
  v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), d), 16);
  v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), d), 32);
  v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), d), 48);
}

// @ts-ignore: decorator
@inline
function lowBits(bytes: v128): v128 {
  return v128.and(bytes, i8x16.splat(15));
}

// @ts-ignore: decorator
@inline
function highBits(bytes: v128): v128 {
  return i8x16.shr_u(bytes, 4);
}

export function expandF32(out: usize, from: usize, n: i32): void {
  memory.copy(out, from, <usize>n << 2);
}

export function expandF16(out: usize, from: usize, n: i32): void {
  const n8 = n & ~7;
  const scale = i32x4.splat(0x77800000);
  const sign = i32x4.splat(0x8000);
  const size = i32x4.splat(0x7fff);
  let i = 0;
  for (; i < n8; i += 8) {
    const b = v128.load(from);
    for (let h = 0; h < 2; h++) {
      const w = h == 0 ? i32x4.extend_low_i16x8_u(b) : i32x4.extend_high_i16x8_u(b);
      const value = f32x4.mul(i32x4.shl(v128.and(w, size), 13), scale);
      v128.store(out + (<usize>h << 4), v128.or(value, i32x4.shl(v128.and(w, sign), 16)));
    }
    from += 16;
    out += 32;
  }
  for (; i < n; i++) {
    store<f32>(out, half(from));
    from += 2;
    out += 4;
  }
}

export function expandQ8_0(out: usize, from: usize, n: i32): void {
  for (; n > 0; n -= 32) {
    const d = f32x4.splat(half(from));
    putSigned(out, v128.load(from + 2), d);
    putSigned(out + 64, v128.load(from + 18), d);
    from += 34;
    out += 128;
  }
}

export function expandQ4_0(out: usize, from: usize, n: i32): void {
  for (; n > 0; n -= 32) {
    const scale = half(from);
    const d = f32x4.splat(scale);
    const m = f32x4.splat(-8 * scale);
    const bytes = v128.load(from + 2);
    putUnsigned(out, lowBits(bytes), d, m);
    putUnsigned(out + 64, highBits(bytes), d, m);
    from += 18;
    out += 128;
  }
}

export function expandQ4_1(out: usize, from: usize, n: i32): void {
  for (; n > 0; n -= 32) {
    const d = f32x4.splat(half(from));
    const m = f32x4.splat(half(from + 2));
    const bytes = v128.load(from + 4);
    putUnsigned(out, lowBits(bytes), d, m);
    putUnsigned(out + 64, highBits(bytes), d, m);
    from += 20;
    out += 128;
  }
}

/** Adds the fifth bits, of value 16: bit i of the word is the bit of number i. */
// @ts-ignore: decorator
@inline
function putFive(out: usize, word: usize, bytes: v128, d: v128, m: v128): void {
  const bits = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  const all = v128.load32_splat(word);
  const zero = i8x16.splat(0);
  const one = i8x16.splat(16);
  const first = v128.shuffle<i8>(all, all, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const second = v128.shuffle<i8>(all, all, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const low = v128.and(i8x16.ne(v128.and(first, bits), zero), one);
  const high = v128.and(i8x16.ne(v128.and(second, bits), zero), one);
  putUnsigned(out, v128.or(lowBits(bytes), low), d, m);
  putUnsigned(out + 64, v128.or(highBits(bytes), high), d, m);
}

export function expandQ5_0(out: usize, from: usize, n: i32): void {
  for (; n > 0; n -= 32) {
    const scale = half(from);
    const d = f32x4.splat(scale);
    const m = f32x4.splat(-16 * scale);
    putFive(out, from + 2, v128.load(from + 6), d, m);
    from += 22;
    out += 128;
  }
}

export function expandQ5_1(out: usize, from: usize, n: i32): void {
  for (; n > 0; n -= 32) {
    const d = f32x4.splat(half(from));
    const m = f32x4.splat(half(from + 2));
    putFive(out, from + 4, v128.load(from + 8), d, m);
    from += 24;
    out += 128;
  }
}

/** Six bits, of the scale (`word` 0) or the minimum (4) of one of eight parts. */
// @ts-ignore: decorator
@inline
function sixBits(at: usize, word: usize, part: i32): f32 {
  const p = <usize>part;
  if (part < 4) return <f32>(load<u8>(at + word + p) & 63);
  const last = <u32>load<u8>(at + 4 + p);
  const top = <u32>load<u8>(at + word + p - 4) >> 6;
  return <f32>((word == 0 ? last & 15 : last >> 4) | (top << 4));
}

export function expandQ4_K(out: usize, from: usize, n: i32): void {
  for (; n > 0; n -= 256) {
    const scale = half(from);
    const minimum = half(from + 2);
    for (let part = 0; part < 8; part++) {
      const d = f32x4.splat(scale * sixBits(from + 4, 0, part));
      const m = f32x4.splat(-(minimum * sixBits(from + 4, 4, part)));
      const at = from + 16 + (<usize>(part >> 1) << 5);
      for (let i: usize = 0; i < 2; i++) {
        const bytes = v128.load(at + (i << 4));
        putUnsigned(out, part & 1 ? highBits(bytes) : lowBits(bytes), d, m);
        out += 64;
      }
    }
    from += 144;
  }
}

export function expandQ5_K(out: usize, from: usize, n: i32): void {
  for (; n > 0; n -= 256) {
    const scale = half(from);
    const minimum = half(from + 2);
    for (let part = 0; part < 8; part++) {
      const d = f32x4.splat(scale * sixBits(from + 4, 0, part));
      const m = f32x4.splat(-(minimum * sixBits(from + 4, 4, part)));
      const at = from + 48 + (<usize>(part >> 1) << 5);
      for (let i: usize = 0; i < 2; i++) {
        const bytes = v128.load(at + (i << 4));
        const fifth = v128.and(i8x16.shr_u(v128.load(from + 16 + (i << 4)), part), i8x16.splat(1));
        const four = part & 1 ? highBits(bytes) : lowBits(bytes);
        putUnsigned(out, v128.or(four, i8x16.shl(fifth, 4)), d, m);
        out += 64;
      }
    }
    from += 176;
  }
}

export function expandQ6_K(out: usize, from: usize, n: i32): void {
  for (; n > 0; n -= 256) {
    const scale = half(from + 208);
    for (let group = 0; group < 16; group++) {
      const part = <usize>(group >> 3);
      const run = (group >> 1) & 3;
      const l = <usize>(group & 1) << 4;
      const bytes = v128.load(from + (part << 6) + l + (<usize>(run & 1) << 5));
      const top = v128.load(from + 128 + (part << 5) + l);
      const high = v128.and(i8x16.shr_u(top, 2 * run), i8x16.splat(3));
      const four = run < 2 ? lowBits(bytes) : highBits(bytes);
      const six = i8x16.sub(v128.or(four, i8x16.shl(high, 4)), i8x16.splat(32));
      const own = scale * <f32>load<i8>(from + 192 + <usize>group);
      putSigned(out, six, f32x4.splat(own));
      out += 64;
    }
    from += 210;
  }
}
