/**
 * @file FP8 numbers, emulated: what a tensor becomes when it is stored as E4M3 with one scale a
 * block, and read back (DeepSeek-V3, arXiv:2412.19437, section 3.3).
 *
 * E4M3 has three bits of mantissa, exponents from −6 on and subnormals below, and ends at 448. A
 * block's largest absolute value becomes 448. Scales are float32 numbers, so the reference, too,
 * rounds where float32 would: next to a boundary between two E4M3 numbers the rounding of the scale
 * decides.
 */
import { type Matrix, put } from './reference-kernel.js';

const LARGEST = 448;
const SMALLEST_EXPONENT = -6;
const MANTISSA_BITS = 3;

/** To the nearest E4M3 number, ties to even; |x| ≤ 448. */
function toE4M3(x: number): number {
  if (x === 0) return x;
  const exponent = Math.max(SMALLEST_EXPONENT, Math.floor(Math.log2(Math.abs(x))));
  const step = 2 ** (exponent - MANTISSA_BITS);
  const quotient = x / step;
  const low = Math.floor(quotient);
  const rest = quotient - low;
  const up = rest > 0.5 || (rest === 0.5 && low % 2 !== 0);
  return (low + (up ? 1 : 0)) * step;
}

export function quantizeFp8Reference(
  out: Matrix,
  a: Matrix,
  block: { rows: number; columns: number },
): void {
  for (let top = 0; top < a.rows; top += block.rows) {
    for (let left = 0; left < a.columns; left += block.columns) {
      const bottom = Math.min(a.rows, top + block.rows);
      const right = Math.min(a.columns, left + block.columns);
      let largest = 0;
      for (let i = top; i < bottom; i++) {
        for (let j = left; j < right; j++)
          largest = Math.max(largest, Math.abs(a.data[a.offset + i * a.stride + j]));
      }
      const scale = Math.fround(Math.fround(largest) / LARGEST);
      for (let i = top; i < bottom; i++) {
        for (let j = left; j < right; j++) {
          const x = a.data[a.offset + i * a.stride + j];
          const scaled = scale === 0 ? 0 : Math.fround(Math.fround(x) / scale);
          put(
            out,
            i,
            j,
            Math.fround(toE4M3(Math.max(-LARGEST, Math.min(LARGEST, scaled))) * scale),
          );
        }
      }
    }
  }
}
