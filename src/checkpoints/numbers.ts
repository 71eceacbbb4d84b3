/**
 * @file The narrow floating-point formats of checkpoint files, to and from float32.
 *
 * BF16 is the upper half of a float32; rounding is to nearest, ties to even, as PyTorch does. F16
 * (IEEE 754 binary16) and F8_E4M3 (Micikevicius et al. 2022, arXiv:2209.05433: no infinities, one
 * NaN a sign) have few values, so they are read from tables. Values in files are little-endian, and
 * so is every machine that runs Node today.
 */
export { fromBfloat16, fromFloat16 } from '../base/half.js';

/** Float32 → BF16 bits, rounded to nearest, ties to even. NaN stays NaN (made quiet). */
export function toBfloat16(
  values: Float32Array,
  out = new Uint16Array(values.length),
): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    const x = bits[i];
    const notANumber = (x & 0x7fffffff) > 0x7f800000;
    out[i] = notANumber ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return out;
}

/**
 * The value of every pattern of a small format: `count` patterns, `fractionBits` of them fraction,
 * an exponent bias.
 */
function tableOf(
  count: number,
  fractionBits: number,
  bias: number,
  special: (bits: number) => number | null,
): Float32Array {
  const table = new Float32Array(count);
  const half = count / 2;
  for (let bits = 0; bits < half; bits++) {
    const exponent = bits >>> fractionBits;
    const fraction = (bits & ((1 << fractionBits) - 1)) / (1 << fractionBits);
    const value =
      special(bits) ??
      (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
    table[bits] = value;
    table[bits + half] = -value;
  }
  return table;
}

/** Every value of F8_E4M3, by its bits: ±448 at most; 0x7f and 0xff are NaN. */
export const FLOAT8_E4M3: Float32Array = tableOf(256, 3, 7, (x) =>
  x === 0x7f ? Number.NaN : null,
);

/** The first NaN or infinity of `values`, or −1. */
export function firstNotFinite(values: Float32Array): number {
  // x − x is 0 for every finite x and NaN for all else: one addition an element, and a look only
  // where something is wrong.
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] - values[i];
  return sum === 0 ? -1 : values.findIndex((x) => !Number.isFinite(x));
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/**
 * Float32 → IEEE 754 binary16 bits, rounded to nearest, ties to even; beyond 65504 becomes
 * infinity.
 */
export function toFloat16(values: Float32Array, out = new Uint16Array(values.length)): Uint16Array {
  for (let i = 0; i < values.length; i++) {
    scratch[0] = values[i];
    const word = scratchBits[0];
    const sign = (word >>> 16) & 0x8000;
    const size = word & 0x7fffffff;
    if (size > 0x7f800000) out[i] = sign | 0x7e00;
    else if (size >= 0x477ff000) out[i] = sign | 0x7c00;
    else if (size >= 0x38800000) {
      // A normal half: drop 13 bits of the fraction, rounding, and move the exponent's bias from
      // 127 to 15.
      out[i] = sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
    } else {
      // A subnormal half is a multiple of 2⁻²⁴; adding a half rounds to nearest, and the remainder
      // decides a tie.
      const steps = Math.abs(scratch[0]) * 2 ** 24;
      const floor = Math.floor(steps);
      const rest = steps - floor;
      out[i] = sign | (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor);
    }
  }
  return out;
}
