/**
 * @file Reading GGUF, the one-file format of llama.cpp and Ollama: its keys, and its tensors where
 * they lie.
 *
 * A file may come from a stranger: counts, lengths and offsets are checked against the file's size
 * and against limits before anything of that size is allocated. Layout:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian).
 */
import { closeSync, readSync } from 'node:fs';
import { UserError } from '../../base/errors.js';
import { openRegular } from '../../base/regular.js';
import { elementsOf, show } from '../safetensors.js';
import { type BlockFormat, FORMATS, OTHER_FORMATS } from './blocks.js';

/** Header of the largest models in use: some 20 MB, nearly all of it the vocabulary. */
const MAX_HEADER_BYTES = 256 * 1024 * 1024;
const MAX_TEXT_BYTES = 16 * 1024 * 1024;
/** Items of all lists together; the largest vocabularies have 260,000 tokens and three lists. */
const MAX_ITEMS = 8_000_000;
const MAX_KEYS = 100_000;
const MAX_TENSORS = 1_000_000;
const MAX_DIMENSIONS = 4;
const WINDOW = 1 << 20;

export interface StoredTensor {
  name: string;
  /** Outermost first, as everywhere here; the file has it the other way round. */
  shape: readonly number[];
  format: BlockFormat;
  /** Bytes from the start of the file. */
  offset: number;
}

export interface GgufFile {
  path: string;
  keys: ReadonlyMap<string, unknown>;
  tensors: ReadonlyMap<string, StoredTensor>;
  /** Fills `target` from byte `offset` of the file on. @throws UserError (data) */
  readBytes(offset: number, target: Uint8Array): void;
  close(): void;
}

/** Reads values one after the other through a window on the file. */
class Cursor {
  private window = Buffer.alloc(0);
  private start = 0;
  private items = 0;
  at = 0;

  constructor(
    private readonly size: number,
    private readonly readInto: (offset: number, target: Uint8Array) => void,
    readonly fail: (why: string) => never,
  ) {}

  /** The next bytes, which the next call may overwrite. */
  private take(count: number): Buffer {
    if (count > this.size - this.at) this.fail(`it ends within its header: it is truncated`);
    if (this.at + count > MAX_HEADER_BYTES)
      this.fail(`its header has more than ${MAX_HEADER_BYTES} bytes`);
    if (this.at + count > this.start + this.window.length || this.at < this.start) {
      this.window = Buffer.alloc(Math.min(Math.max(WINDOW, count), this.size - this.at));
      this.start = this.at;
      this.readInto(this.at, this.window);
    }
    const from = this.at - this.start;
    this.at += count;
    return this.window.subarray(from, from + count);
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  u64(what: string): number {
    const value = this.take(8).readBigUInt64LE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.fail(`${what} is ${value}`);
    return Number(value);
  }

  text(): string {
    const length = this.u64('the length of a text');
    if (length > MAX_TEXT_BYTES) this.fail(`a text of it has ${length} bytes`);
    return this.take(length).toString('utf8');
  }

  /** A value by the number of its type; 64-bit numbers beyond 2^53 are rounded. */
  value(type: number, nested = false): unknown {
    const scalar = SCALARS[type];
    if (scalar) return scalar.read(this.take(scalar.bytes));
    if (type === 8) return this.text();
    if (type !== 9 || nested) return this.fail(`it has a value of the unknown type ${type}`);
    const of = this.u32();
    const count = this.u64('the length of a list');
    this.items += count;
    if (this.items > MAX_ITEMS || count > this.size - this.at)
      this.fail(`its lists have more than ${MAX_ITEMS} items`);
    return Array.from({ length: count }, () => this.value(of, true));
  }
}

const SCALARS: Readonly<Record<number, { bytes: number; read: (bytes: Buffer) => unknown }>> = {
  0: { bytes: 1, read: (b) => b.readUInt8() },
  1: { bytes: 1, read: (b) => b.readInt8() },
  2: { bytes: 2, read: (b) => b.readUInt16LE() },
  3: { bytes: 2, read: (b) => b.readInt16LE() },
  4: { bytes: 4, read: (b) => b.readUInt32LE() },
  5: { bytes: 4, read: (b) => b.readInt32LE() },
  6: { bytes: 4, read: (b) => shortest(b.readFloatLE()) },
  7: { bytes: 1, read: (b) => b[0] !== 0 },
  10: { bytes: 8, read: (b) => Number(b.readBigUInt64LE()) },
  11: { bytes: 8, read: (b) => Number(b.readBigInt64LE()) },
  12: { bytes: 8, read: (b) => b.readDoubleLE() },
};

/** The shortest decimal that is this float32: what its writer meant by it (1e-5, not 9.99…e-6). */
function shortest(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === value) return decimal;
  }
  return value;
}

function readKeys(cursor: Cursor, count: number): Map<string, unknown> {
  const keys = new Map<string, unknown>();
  for (let i = 0; i < count; i++) {
    const key = cursor.text();
    if (keys.has(key)) cursor.fail(`the key ${show(key)} occurs twice`);
    keys.set(key, cursor.value(cursor.u32()));
  }
  return keys;
}

/** The description of a tensor; its offset is from the start of the data. */
function readTensor(cursor: Cursor): StoredTensor {
  const name = cursor.text();
  const dimensions = cursor.u32();
  if (dimensions > MAX_DIMENSIONS) cursor.fail(`tensor ${show(name)} has ${dimensions} dimensions`);
  const sizes = Array.from({ length: dimensions }, () => cursor.u64('a size'));
  const type = cursor.u32();
  const offset = cursor.u64('an offset');
  const format = FORMATS.get(type);
  if (!format) {
    const known = [...FORMATS.values()].map((known) => known.name).join(', ');
    const what = OTHER_FORMATS[type] ?? `type ${type}`;
    return cursor.fail(`tensor ${show(name)} is ${what}; ${known} can be read`);
  }
  const shape = sizes.reverse();
  if (!Number.isSafeInteger(elementsOf(shape)) || (shape.at(-1) ?? 1) % format.numbers !== 0)
    cursor.fail(`tensor ${show(name)} of ${format.name} has the impossible shape ${show(shape)}`);
  return { name, shape, format, offset };
}

/** Bytes of a tensor as it is stored. */
export const storedBytes = ({ shape, format }: StoredTensor): number =>
  (elementsOf(shape) / format.numbers) * format.bytes;

function parse(
  path: string,
  size: number,
  readInto: (offset: number, target: Uint8Array) => void,
): Pick<GgufFile, 'keys' | 'tensors'> {
  const fail = (why: string): never => {
    throw new UserError('data', `${path} is not a usable GGUF file: ${why}`, path);
  };
  const cursor = new Cursor(size, readInto, fail);
  const magic = size < 4 ? 0 : cursor.u32();
  if (magic === 0x73726576)
    fail('it is a pointer of Git LFS and not the file itself; fetch it with "git lfs pull"');
  if (magic !== 0x46554747) fail('it does not begin with GGUF');
  const version = cursor.u32();
  if (version !== 2 && version !== 3) fail(`it has version ${version}; 2 and 3 can be read`);
  const tensorCount = cursor.u64('the number of tensors');
  const keyCount = cursor.u64('the number of keys');
  if (tensorCount > MAX_TENSORS || keyCount > MAX_KEYS)
    fail(`it claims ${tensorCount} tensors and ${keyCount} keys`);
  const keys = readKeys(cursor, keyCount);
  const parts = keys.get('split.count');
  if (typeof parts === 'number' && parts > 1)
    fail(`it is one of ${parts} parts of a model; join them with "llama-gguf-split --merge"`);
  const described = Array.from({ length: tensorCount }, () => readTensor(cursor));
  const alignment = keys.get('general.alignment') ?? 32;
  if (typeof alignment !== 'number' || alignment < 1 || alignment % 8 !== 0)
    return fail(`its general.alignment is ${show(alignment)}`);
  const data = Math.ceil(cursor.at / alignment) * alignment;
  const tensors = new Map<string, StoredTensor>();
  for (const tensor of described) {
    if (tensors.has(tensor.name)) fail(`the tensor ${show(tensor.name)} occurs twice`);
    const offset = data + tensor.offset;
    if (tensor.offset % alignment !== 0)
      fail(`tensor ${show(tensor.name)} is not at a multiple of ${alignment} bytes`);
    const end = offset + storedBytes(tensor);
    if (end > size)
      fail(`tensor ${show(tensor.name)} ends at byte ${end} of ${size}: the file is truncated`);
    tensors.set(tensor.name, { ...tensor, offset });
  }
  return { keys, tensors };
}

/**
 * Opens a file and reads its header; close it when done.
 * @throws UserError (data) when it is missing or not a sound GGUF file
 */
export function openGguf(path: string): GgufFile {
  const { handle, size } = openRegular(path, 'model');
  let open = true;
  const readBytes = (offset: number, target: Uint8Array): void => {
    for (let done = 0; done < target.length; ) {
      const wanted = Math.min(target.length - done, 1 << 30);
      const count = readSync(handle, target, done, wanted, offset + done);
      if (count === 0)
        throw new UserError('data', `${path} became shorter while it was read`, path);
      done += count;
    }
  };
  try {
    const close = (): void => {
      if (open) closeSync(handle);
      open = false;
    };
    return { path, ...parse(path, size, readBytes), readBytes, close };
  } catch (error) {
    closeSync(handle);
    throw error;
  }
}
