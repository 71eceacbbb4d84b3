/**
 * @file FP8 numbers, emulated: what a tensor becomes when it is stored as E4M3 with one scale a
 * block, and read back (DeepSeek-V3, arXiv:2412.19437, section 3.3).
 *
 * E4M3 has three bits of mantissa, exponents from −6 on and subnormals below, and ends at 448. A
 * block's largest absolute value becomes 448. Scales are float32 numbers, so the reference, too,
 * rounds where float32 would: next to a boundary between two E4M3 numbers the rounding of the scale
 * decides.
 */
import { count, declare, f32 } from './declare.js';
import { at, put } from './reference-kernel.js';

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

export const quantizeFp8Operations = {
  /**
   * In blocks of rows × columns (at the edges smaller) numbers are divided by the block's largest
   * absolute value / 448, rounded to the nearest E4M3 number (ties to even, subnormals kept), and
   * multiplied back. A block of zeros stays. `out` may be `a`.
   */
  quantizeFp8: declare({
    args: { out: f32('N', 'D'), a: f32('N', 'D'), blockRows: count(), blockColumns: count() },
    reference({ out, a }, { N, D, blockRows, blockColumns }) {
      for (let top = 0; top < N; top += blockRows) {
        for (let left = 0; left < D; left += blockColumns) {
          const bottom = Math.min(N, top + blockRows);
          const right = Math.min(D, left + blockColumns);
          let largest = 0;
          for (let i = top; i < bottom; i++)
            for (let j = left; j < right; j++) largest = Math.max(largest, Math.abs(at(a, i, j)));
          const scale = Math.fround(Math.fround(largest) / LARGEST);
          for (let i = top; i < bottom; i++) {
            for (let j = left; j < right; j++) {
              const x = Math.fround(at(a, i, j));
              const scaled = scale === 0 ? 0 : Math.fround(x / scale);
              const clamped = Math.max(-LARGEST, Math.min(LARGEST, scaled));
              put(out, i, j, Math.fround(toE4M3(clamped) * scale));
            }
          }
        }
      }
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    quantizeFp8: typeof quantizeFp8Operations.quantizeFp8;
  }
}
