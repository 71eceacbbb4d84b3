/**
 * @file Fill, copy, add, scale, and the sum over ranks.
 *
 * Matrices are (address, row stride in elements); the caller passes one long row when everything is
 * contiguous. Loops take eight numbers, then four, then one at a time.
 */
import { madd } from './math';

export function fill(out: usize, n: i32, value: f32): void {
  const v = f32x4.splat(value);
  const end = out + (<usize>n << 2);
  const end4 = out + (<usize>(n & ~3) << 2);
  for (; out < end4; out += 16) v128.store(out, v);
  for (; out < end; out += 4) store<f32>(out, value);
}

export function fillInteger(out: usize, n: i32, value: i32): void {
  const v = i32x4.splat(value);
  const end = out + (<usize>n << 2);
  const end4 = out + (<usize>(n & ~3) << 2);
  for (; out < end4; out += 16) v128.store(out, v);
  for (; out < end; out += 4) store<i32>(out, value);
}

export function copyRows(out: usize, outStride: i32, a: usize, aStride: i32, rows: i32, columns: i32): void {
  const bytes = <usize>columns << 2;
  for (let i = 0; i < rows; i++) {
    memory.copy(out, a, bytes);
    out += <usize>outStride << 2;
    a += <usize>aStride << 2;
  }
}

export function add(out: usize, a: usize, b: usize, n: i32): void {
  const n4 = n & ~3;
  let i = 0;
  for (; i < n4; i += 4) {
    v128.store(out, f32x4.add(v128.load(a), v128.load(b)));
    out += 16;
    a += 16;
    b += 16;
  }
  for (; i < n; i++) {
    store<f32>(out, load<f32>(a) + load<f32>(b));
    out += 4;
    a += 4;
    b += 4;
  }
}

/** out = scale·a, or out += scale·a. */
export function scaleRows(
  out: usize,
  outStride: i32,
  a: usize,
  aStride: i32,
  rows: i32,
  columns: i32,
  scale: f32,
  accumulate: bool,
): void {
  const s = f32x4.splat(scale);
  const n4 = columns & ~3;
  for (let i = 0; i < rows; i++) {
    let p = out;
    let q = a;
    let j = 0;
    if (accumulate) {
      for (; j < n4; j += 4) {
        v128.store(p, madd(v128.load(q), s, v128.load(p)));
        p += 16;
        q += 16;
      }
      for (; j < columns; j++) {
        store<f32>(p, load<f32>(q) * scale + load<f32>(p));
        p += 4;
        q += 4;
      }
    } else {
      for (; j < n4; j += 4) {
        v128.store(p, f32x4.mul(v128.load(q), s));
        p += 16;
        q += 16;
      }
      for (; j < columns; j++) {
        store<f32>(p, load<f32>(q) * scale);
        p += 4;
        q += 4;
      }
    }
    out += <usize>outStride << 2;
    a += <usize>aStride << 2;
  }
}

/**
 * out[i] = Σ over ranks of the copy at first + rank·stride bytes, added in rank order. `out` may be
 * one of the copies.
 */
export function sumCopies(out: usize, first: usize, stride: usize, copies: i32, n: i32): void {
  const n4 = n & ~3;
  let i = 0;
  for (; i < n4; i += 4) {
    let sum = v128.load(first);
    let p = first;
    for (let r = 1; r < copies; r++) {
      p += stride;
      sum = f32x4.add(sum, v128.load(p));
    }
    v128.store(out, sum);
    first += 16;
    out += 16;
  }
  for (; i < n; i++) {
    let sum = load<f32>(first);
    let p = first;
    for (let r = 1; r < copies; r++) {
      p += stride;
      sum += load<f32>(p);
    }
    store<f32>(out, sum);
    first += 4;
    out += 4;
  }
}

/** n bfloat16 numbers to float32: a bfloat16 is the upper half of a float32. */
export function expandBf16(out: usize, bits: usize, n: i32): void {
  const n8 = n & ~7;
  let i = 0;
  for (; i < n8; i += 8) {
    const b = v128.load(bits);
    v128.store(out, i32x4.shl(i32x4.extend_low_i16x8_u(b), 16));
    v128.store(out, i32x4.shl(i32x4.extend_high_i16x8_u(b), 16), 16);
    bits += 16;
    out += 32;
  }
  for (; i < n; i++) {
    store<u32>(out, <u32>load<u16>(bits) << 16);
    bits += 2;
    out += 4;
  }
}
