/**
 * @file The number formats of GGUF tensors: how many bytes a block takes, and its numbers as
 * float32.
 *
 * A quantized tensor is a list of blocks along its rows; a block has a scale, often a minimum, and
 * small whole numbers. Formats: ggml's `block_q*` structures and `dequantize_row_*` functions
 * (https://github.com/ggml-org/ggml, src/ggml-common.h and src/ggml-quants.c). Products of scales
 * are rounded to float32 where ggml rounds them.
 */
import { fromBfloat16, fromFloat16 } from '../numbers.js';

export interface BlockFormat {
  name: string;
  /** Numbers in a block, and the bytes that it takes. */
  numbers: number;
  bytes: number;
  /** Blocks from the start of `stored` to all of `out`; `stored` begins at an even address. */
  decode: (stored: Uint8Array, out: Float32Array) => void;
}

const round = Math.fround;
const half = new Uint16Array(1);
const single = new Float32Array(1);

/** The binary16 number in two bytes. */
function halfAt(stored: Uint8Array, at: number): number {
  half[0] = stored[at] | (stored[at + 1] << 8);
  return fromFloat16(half, single)[0];
}

/** Blocks of 32 numbers: a scale, perhaps a minimum, perhaps fifth bits, and sixteen bytes. */
function fourBits(
  stored: Uint8Array,
  out: Float32Array,
  form: { minimum: boolean; fifth: boolean },
): void {
  const zero = form.minimum ? 0 : form.fifth ? 16 : 8;
  let at = 0;
  for (let i = 0; i < out.length; i += 32) {
    const scale = halfAt(stored, at);
    const minimum = form.minimum ? halfAt(stored, at + 2) : 0;
    at += form.minimum ? 4 : 2;
    const high = at;
    if (form.fifth) at += 4;
    for (let j = 0; j < 32; j++) {
      const byte = stored[at + (j & 15)];
      let q = j < 16 ? byte & 15 : byte >> 4;
      if (form.fifth) q |= ((stored[high + (j >> 3)] >> (j & 7)) & 1) << 4;
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

/** By ggml's number of the type. */
export const FORMATS: ReadonlyMap<number, BlockFormat> = new Map(
  (
    [
      [0, 'F32', 1, 4, (from, out) => new Uint8Array(out.buffer, out.byteOffset).set(from)],
      [
        1,
        'F16',
        1,
        2,
        (from, out: Float32Array<ArrayBuffer>) => void fromFloat16(words(from, out.length), out),
      ],
      [2, 'Q4_0', 32, 18, (from, out) => fourBits(from, out, { minimum: false, fifth: false })],
      [3, 'Q4_1', 32, 20, (from, out) => fourBits(from, out, { minimum: true, fifth: false })],
      [6, 'Q5_0', 32, 22, (from, out) => fourBits(from, out, { minimum: false, fifth: true })],
      [7, 'Q5_1', 32, 24, (from, out) => fourBits(from, out, { minimum: true, fifth: true })],
      [8, 'Q8_0', 32, 34, eightBits],
      [12, 'Q4_K', 256, 144, (from, out) => kBlocks(from, out, false)],
      [13, 'Q5_K', 256, 176, (from, out) => kBlocks(from, out, true)],
      [14, 'Q6_K', 256, 210, q6k],
      [
        30,
        'BF16',
        1,
        2,
        (from, out: Float32Array<ArrayBuffer>) => void fromBfloat16(words(from, out.length), out),
      ],
    ] as [number, string, number, number, BlockFormat['decode']][]
  ).map(([type, name, numbers, bytes, decode]) => [type, { name, numbers, bytes, decode }]),
);

/** Names of types that are known and not read, for messages. */
export const OTHER_FORMATS: Readonly<Record<number, string>> = {
  9: 'Q8_1',
  10: 'Q2_K',
  11: 'Q3_K',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
};
