/**
 * @file The number formats that frozen weights stay in: plain ones, and blocks of small whole
 * numbers that share a scale.
 *
 * A quantized matrix is a list of blocks along its rows; a block has a scale, often a minimum, and
 * small whole numbers. The blocks are ggml's `block_q*` structures, and their values those of its
 * `dequantize_row_*` functions (https://github.com/ggml-org/ggml, src/ggml-common.h and
 * src/ggml-quants.c): products of scales are rounded to float32 where ggml rounds them. What a
 * block means is said here; kernels that expand blocks (native/block-code.ts, the WASM kernels'
 * assembly/blocks.ts) give the same float32 numbers, to the last bit.
 */
import { binary16, fromBfloat16, fromFloat16 } from '../base/half.js';

/** Names of forms are ggml's, in small letters. */
export const FORMS = [
  'f32',
  'f16',
  'bf16',
  'q8_0',
  'q4_0',
  'q4_1',
  'q5_0',
  'q5_1',
  'q4_k',
  'q5_k',
  'q6_k',
] as const;
export type Form = (typeof FORMS)[number];

export interface FormLayout {
  /** Numbers in a block, and the bytes that it takes. */
  readonly numbers: number;
  readonly bytes: number;
  /** Where in a block there is a binary16 scale. */
  readonly scales: readonly number[];
  /** Blocks from the start of `stored` to all of `out`; `stored` begins at an even address. */
  readonly decode: (stored: Uint8Array, out: Float32Array) => void;
}

const round = Math.fround;

/** The binary16 number in two bytes. */
const halfAt = (stored: Uint8Array, at: number): number =>
  binary16()[stored[at] | (stored[at + 1] << 8)];

/** Blocks of 32 numbers: a scale, perhaps a minimum, perhaps fifth bits, and sixteen bytes. */
function fourBits(
  stored: Uint8Array,
  out: Float32Array,
  { minimum: hasMinimum, fifth }: { minimum: boolean; fifth: boolean },
): void {
  const zero = hasMinimum ? 0 : fifth ? 16 : 8;
  let at = 0;
  for (let i = 0; i < out.length; i += 32) {
    const scale = halfAt(stored, at);
    const minimum = hasMinimum ? halfAt(stored, at + 2) : 0;
    at += hasMinimum ? 4 : 2;
    const high = at;
    if (fifth) at += 4;
    for (let j = 0; j < 32; j++) {
      const byte = stored[at + (j & 15)];
      let q = j < 16 ? byte & 15 : byte >> 4;
      if (fifth) q |= ((stored[high + (j >> 3)] >> (j & 7)) & 1) << 4;
      out[i + j] = round((q - zero) * scale) + minimum;
    }
    at += 16;
  }
}

function eightBits(stored: Uint8Array, out: Float32Array): void {
  const signed = new Int8Array(stored.buffer, stored.byteOffset, stored.length);
  let at = 0;
  for (let i = 0; i < out.length; i += 32, at += 34) {
    const scale = halfAt(stored, at);
    for (let j = 0; j < 32; j++) out[i + j] = signed[at + 2 + j] * scale;
  }
}

/** Scale and minimum, of six bits each, of the eight parts of a block of Q4_K or Q5_K. */
function sixBits(stored: Uint8Array, at: number, part: number): [number, number] {
  if (part < 4) return [stored[at + part] & 63, stored[at + part + 4] & 63];
  const low = stored[at + part + 4];
  return [
    (low & 15) | ((stored[at + part - 4] >> 6) << 4),
    (low >> 4) | ((stored[at + part] >> 6) << 4),
  ];
}

/** Blocks of 256 numbers in eight parts, each with a scale and a minimum. */
function kBlocks(stored: Uint8Array, out: Float32Array, fifth: boolean): void {
  let at = 0;
  for (let i = 0; i < out.length; i += 256) {
    const scale = halfAt(stored, at);
    const minimum = halfAt(stored, at + 2);
    const scales = at + 4;
    const high = at + 16;
    const low = fifth ? high + 32 : high;
    for (let part = 0; part < 8; part++) {
      const [s, m] = sixBits(stored, scales, part);
      const [d, least] = [round(scale * s), round(minimum * m)];
      const bytes = low + 32 * (part >> 1);
      for (let j = 0; j < 32; j++) {
        const byte = stored[bytes + j];
        let q = part & 1 ? byte >> 4 : byte & 15;
        if (fifth) q |= ((stored[high + j] >> part) & 1) << 4;
        out[i + 32 * part + j] = round(d * q) - least;
      }
    }
    at = low + 128;
  }
}

/** Blocks of 256 numbers of six bits in sixteen parts, each with a scale of eight bits. */
function q6k(stored: Uint8Array, out: Float32Array): void {
  const signed = new Int8Array(stored.buffer, stored.byteOffset, stored.length);
  for (let i = 0, at = 0; i < out.length; i += 256, at += 210) {
    const scale = halfAt(stored, at + 208);
    for (let j = 0; j < 256; j++) {
      // Halves of 128; in each four runs of 32, which share the bytes of their high bits.
      const [part, run, l] = [j >> 7, (j >> 5) & 3, j & 31];
      const byte = stored[at + 64 * part + l + 32 * (run & 1)];
      const high = (stored[at + 128 + 32 * part + l] >> (2 * run)) & 3;
      const q = ((run < 2 ? byte & 15 : byte >> 4) | (high << 4)) - 32;
      out[i + j] = round(scale * signed[at + 192 + (j >> 4)]) * q;
    }
  }
}

const words = (stored: Uint8Array, count: number): Uint16Array =>
  new Uint16Array(stored.buffer, stored.byteOffset, count);

export const LAYOUTS: Readonly<Record<Form, FormLayout>> = {
  f32: {
    numbers: 1,
    bytes: 4,
    scales: [],
    decode: (from, out) => new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(from),
  },
  f16: {
    numbers: 1,
    bytes: 2,
    scales: [0],
    decode: (from, out) => void fromFloat16(words(from, out.length), out),
  },
  bf16: {
    numbers: 1,
    bytes: 2,
    scales: [],
    decode: (from, out) => void fromBfloat16(words(from, out.length), out),
  },
  q8_0: { numbers: 32, bytes: 34, scales: [0], decode: eightBits },
  q4_0: {
    numbers: 32,
    bytes: 18,
    scales: [0],
    decode: (from, out) => fourBits(from, out, { minimum: false, fifth: false }),
  },
  q4_1: {
    numbers: 32,
    bytes: 20,
    scales: [0, 2],
    decode: (from, out) => fourBits(from, out, { minimum: true, fifth: false }),
  },
  q5_0: {
    numbers: 32,
    bytes: 22,
    scales: [0],
    decode: (from, out) => fourBits(from, out, { minimum: false, fifth: true }),
  },
  q5_1: {
    numbers: 32,
    bytes: 24,
    scales: [0, 2],
    decode: (from, out) => fourBits(from, out, { minimum: true, fifth: true }),
  },
  q4_k: {
    numbers: 256,
    bytes: 144,
    scales: [0, 2],
    decode: (from, out) => kBlocks(from, out, false),
  },
  q5_k: {
    numbers: 256,
    bytes: 176,
    scales: [0, 2],
    decode: (from, out) => kBlocks(from, out, true),
  },
  q6_k: { numbers: 256, bytes: 210, scales: [208], decode: q6k },
};

/** Rows of a frozen matrix that are of one form: whole rows of blocks, one after the other. */
export interface FrozenRows {
  readonly form: Form;
  readonly rows: number;
  readonly bytes: Uint8Array;
}

/** Whether a row of that length is whole blocks. */
export const fitsForm = (form: Form, columns: number): boolean =>
  columns % LAYOUTS[form].numbers === 0;

/** Bytes of a row. */
export const rowBytes = (form: Form, columns: number): number =>
  (columns / LAYOUTS[form].numbers) * LAYOUTS[form].bytes;

/** Rows [from, to) of a list of parts, without a copy. */
export function sliceRows(
  parts: readonly FrozenRows[],
  columns: number,
  from: number,
  to: number,
): FrozenRows[] {
  const out: FrozenRows[] = [];
  let first = 0;
  for (const { form, rows, bytes } of parts) {
    const [start, end] = [Math.max(from, first) - first, Math.min(to, first + rows) - first];
    first += rows;
    if (start >= end) continue;
    const size = rowBytes(form, columns);
    out.push({ form, rows: end - start, bytes: bytes.subarray(start * size, end * size) });
  }
  return out;
}

/** All numbers as float32, row by row. */
export function expandRows(parts: readonly FrozenRows[], columns: number): Float32Array {
  const out = new Float32Array(parts.reduce((sum, { rows }) => sum + rows, 0) * columns);
  let at = 0;
  for (const { form, rows, bytes } of parts) {
    // A copy begins at an even address.
    const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
    LAYOUTS[form].decode(aligned, out.subarray(at, at + rows * columns));
    at += rows * columns;
  }
  return out;
}

/** The first number whose block has an infinite or undefined scale or value, or −1. */
export function firstBadNumber(form: Form, bytes: Uint8Array): number {
  const { numbers, bytes: size, scales } = LAYOUTS[form];
  // The upper byte of a number has its exponent, or the most of it.
  if (form === 'f32' || form === 'bf16') {
    for (let at = 0; at < bytes.length; at += size)
      if ((bytes[at + size - 1] & 0x7f) === 0x7f && bytes[at + size - 2] >= 0x80) return at / size;
    return -1;
  }
  for (let at = 0; at < bytes.length; at += size)
    for (const scale of scales)
      if ((bytes[at + scale + 1] & 0x7c) === 0x7c) return (at / size) * numbers;
  return -1;
}
