/**
 * @file GGUF: the one-file format of llama.cpp. Writing only.
 *
 * Layout (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), all little-endian: `GGUF`,
 * version 3, the counts of tensors and of keys; each key with its type and value; each tensor's
 * name, sizes (innermost first), type and offset; then the data, every tensor at a multiple of 32
 * bytes. Texts and lists carry their length in eight bytes. Numbers stream through in pieces.
 */
import { UserError } from '../../base/errors.js';
import { toBfloat16, toFloat16 } from '../numbers.js';

export type GgufDType = 'F32' | 'F16' | 'BF16';

/** Numbers of a tensor type, and of a value type, in the file. */
const TENSOR_TYPE: Record<GgufDType, number> = { F32: 0, F16: 1, BF16: 30 };
const VALUE = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;
const BYTES: Record<GgufDType, number> = { F32: 4, F16: 2, BF16: 2 };
const ALIGNMENT = 32;

/**
 * A key's value: a whole number, `{ f32 }` for one that is not, a text, a truth, or a list of one
 * of these.
 */
export type GgufValue =
  | number
  | { f32: number }
  | string
  | boolean
  | readonly string[]
  | { i32s: readonly number[] };

export interface GgufTensor {
  name: string;
  /** Row-major, outermost first, as everywhere here; the file has it the other way round. */
  shape: readonly number[];
  dtype: GgufDType;
  /** In pieces, in order; each used before the next is asked for. */
  data: () => Iterable<Float32Array>;
}

/** Bytes that grow. */
class Bytes {
  private parts: Buffer[] = [];
  length = 0;

  push(bytes: Buffer): void {
    this.parts.push(bytes);
    this.length += bytes.length;
  }

  u32(value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    this.push(bytes);
  }

  i32(value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    this.push(bytes);
  }

  f32(value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(value);
    this.push(bytes);
  }

  u64(value: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    this.push(bytes);
  }

  text(value: string): void {
    const bytes = Buffer.from(value, 'utf8');
    this.u64(bytes.length);
    this.push(bytes);
  }

  take(): Buffer {
    return Buffer.concat(this.parts);
  }
}

function writeValue(out: Bytes, value: GgufValue): void {
  if (typeof value === 'number') {
    out.u32(VALUE.u32);
    out.u32(value);
  } else if (typeof value === 'string') {
    out.u32(VALUE.string);
    out.text(value);
  } else if (typeof value === 'boolean') {
    out.u32(VALUE.bool);
    out.push(Buffer.from([Number(value)]));
  } else if ('f32' in value) {
    out.u32(VALUE.f32);
    out.f32(value.f32);
  } else {
    const numbers = 'i32s' in value;
    out.u32(VALUE.array);
    out.u32(numbers ? VALUE.i32 : VALUE.string);
    const items = numbers ? value.i32s : value;
    out.u64(items.length);
    for (const item of items) typeof item === 'number' ? out.i32(item) : out.text(item);
  }
}

const elements = (shape: readonly number[]): number =>
  shape.reduce((product, size) => product * size, 1);
const padding = (bytes: number): number => (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT;

/**
 * The bytes of a file, piece by piece. @throws UserError (data) when a number does not fit the type
 */
export function* encodeGguf(
  keys: Record<string, GgufValue>,
  tensors: readonly GgufTensor[],
): Generator<Uint8Array> {
  const header = new Bytes();
  header.push(Buffer.from('GGUF'));
  header.u32(3);
  header.u64(tensors.length);
  const entries = Object.entries(keys);
  header.u64(entries.length);
  for (const [key, value] of entries) {
    header.text(key);
    writeValue(header, value);
  }
  let offset = 0;
  for (const { name, shape, dtype } of tensors) {
    header.text(name);
    header.u32(shape.length);
    for (const size of [...shape].reverse()) header.u64(size);
    header.u32(TENSOR_TYPE[dtype]);
    header.u64(offset);
    const bytes = elements(shape) * BYTES[dtype];
    offset += bytes + padding(bytes);
  }
  header.push(Buffer.alloc(padding(header.length)));
  yield header.take();
  for (const { name, shape, dtype, data } of tensors) {
    let count = 0;
    for (const piece of data()) {
      count += piece.length;
      const stored =
        dtype === 'F32' ? piece : dtype === 'BF16' ? toBfloat16(piece) : halves(name, piece);
      yield new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
    }
    if (count !== elements(shape))
      throw new Error(
        `gguf: ${name} has ${count} numbers, its shape [${shape}] ${elements(shape)}`,
      );
    yield new Uint8Array(padding(count * BYTES[dtype]));
  }
}

function halves(name: string, piece: Float32Array): Uint16Array {
  const bits = toFloat16(piece);
  if (bits.some((x) => (x & 0x7c00) === 0x7c00)) {
    throw new UserError(
      'data',
      `${name} has numbers beyond ±65504, which F16 cannot hold; use bf16 or f32`,
      '--dtype',
    );
  }
  return bits;
}
