/**
 * @file Safetensors: tensors in a file that can be read without running anything.
 *
 * Layout (https://github.com/huggingface/safetensors): eight bytes of header length N (little-endian), N bytes of JSON
 * `{name: {dtype, shape, data_offsets: [begin, end]}, __metadata__: {text: text}}`, then the data; offsets count from the
 * data's start. The data has no gap and no overlap. We pad the header with spaces to a multiple of eight bytes, so that
 * float32 data is aligned when the file is mapped.
 *
 * A file may come from a stranger. Every figure in its header is checked against the file's size before anything of that
 * size is allocated; nesting is bounded before the JSON is parsed; a fault is a `UserError` that names file and tensor.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { UserError } from '../base/errors.js';
import { type Written, writeFileDurably } from '../base/files.js';
import { fromBfloat16, fromFloat16, toBfloat16 } from './numbers.js';

/** A tensor in memory. `data` is row-major and has as many numbers as `shape` says. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A tensor to write; its numbers may come in pieces, in order. */
export interface TensorSource {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | Iterable<Float32Array>;
}

export type SaveDType = 'F32' | 'BF16';

export interface TensorEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Bytes from the start of the data section. */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsFile {
  readonly path: string;
  /** In the order of their data in the file. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
  /** One tensor as float32, from F32, F16 or BF16. @throws UserError (data) when it is missing or of another type. */
  read(name: string): NamedTensor;
  /** The bits of a BF16 tensor as they are, for frozen weights. @throws UserError (data) */
  readBfloat16(name: string): Uint16Array;
  close(): void;
}

/** The limit of the reference implementation. */
const MAX_HEADER_BYTES = 100_000_000;
const MAX_DIMENSIONS = 32;

/** Bytes of an element of every type whose elements are whole bytes; F32, F16 and BF16 are the ones that `read` takes. */
// biome-ignore format: one line a width
const ELEMENT_BYTES: Record<string, number> = {
  BOOL: 1, U8: 1, I8: 1, F8_E4M3: 1, F8_E5M2: 1, F8_E8M0: 1,
  U16: 2, I16: 2, F16: 2, BF16: 2,
  U32: 4, I32: 4, F32: 4,
  U64: 8, I64: 8, F64: 8, C64: 8,
};

// ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

function headerOf(tensors: readonly TensorSource[], dtype: SaveDType, metadata: Record<string, string>): Uint8Array {
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) entries.push(['__metadata__', metadata]);
  const names = new Set<string>(['__metadata__', '__proto__']);
  let offset = 0;
  for (const { name, shape } of tensors) {
    if (names.has(name)) throw new Error(`safetensors: the name ${name} is reserved or used twice`);
    names.add(name);
    const end = offset + elementsOf(shape) * ELEMENT_BYTES[dtype];
    entries.push([name, { dtype, shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)), 'utf8');
  const length = Math.ceil(json.length / 8) * 8;
  const header = Buffer.alloc(8 + length, ' ');
  header.writeBigUInt64LE(BigInt(length), 0);
  json.copy(header, 8);
  return header;
}

/** The bytes of a file, piece by piece. */
export function* encodeSafetensors(
  tensors: readonly TensorSource[],
  dtype: SaveDType = 'F32',
  metadata: Record<string, string> = {},
): Generator<Uint8Array> {
  yield headerOf(tensors, dtype, metadata);
  for (const { name, shape, data } of tensors) {
    let count = 0;
    for (const chunk of data instanceof Float32Array ? [data] : data) {
      count += chunk.length;
      const stored = dtype === 'F32' ? chunk : toBfloat16(chunk);
      yield new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
    }
    if (count !== elementsOf(shape)) {
      throw new Error(
        `safetensors: ${name} has ${count} numbers, but its shape [${shape.join(', ')}] holds ${elementsOf(shape)}`,
      );
    }
  }
}

/**
 * Writes a file and flushes it; not atomic by itself (see `writeFolderAtomic`).
 * @throws UserError (disk)
 */
export function writeSafetensors(
  path: string,
  tensors: readonly TensorSource[],
  options: { dtype?: SaveDType; metadata?: Record<string, string>; label?: string } = {},
): Written {
  return writeFileDurably(path, encodeSafetensors(tensors, options.dtype, options.metadata), options.label ?? 'safetensors');
}

// ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Where bytes come from: a file, or memory. `readAt` returns exactly `length` bytes that nobody else holds. */
interface ByteSource {
  readonly size: number;
  readAt(offset: number, length: number): Uint8Array;
  close(): void;
}

/**
 * Walks the header's text before it is parsed: bounds the nesting and finds keys that occur twice in one object, which
 * `JSON.parse` would silently merge. Leaves everything else to the parser.
 */
function scanHeader(text: string, fail: (why: string) => never): void {
  const keys: (Set<string> | null)[] = [];
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x22) {
      const start = i;
      for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++;
      const seen = keys[keys.length - 1];
      if (!seen) continue;
      let next = i + 1;
      while (next < text.length && ' \t\n\r'.includes(text[next])) next++;
      if (text[next] !== ':') continue;
      let key: unknown;
      try {
        key = JSON.parse(text.slice(start, i + 1));
      } catch {
        fail('its header is not valid JSON');
      }
      if (seen.has(key as string)) fail(`the name ${show(key)} occurs twice`);
      seen.add(key as string);
    } else if (c === 0x7b || c === 0x5b) {
      keys.push(c === 0x7b ? new Set() : null);
      if (keys.length > 4) fail('its header is nested too deeply');
    } else if (c === 0x7d || c === 0x5d) {
      keys.pop();
    }
  }
}

/** A stranger's text in our message: quoted, on one line, and short. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

const isCount = (x: unknown): x is number => typeof x === 'number' && Number.isSafeInteger(x) && x >= 0;

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkedEntry(name: string, raw: unknown, dataBytes: number, fail: (why: string) => never): TensorEntry {
  if (!isPlainObject(raw)) return fail(`tensor ${show(name)} has no description`);
  const { dtype, shape, data_offsets: offsets } = raw;
  if (typeof dtype !== 'string' || !Object.hasOwn(ELEMENT_BYTES, dtype)) {
    return fail(`tensor ${show(name)} has the unknown type ${show(dtype)}`);
  }
  if (!Array.isArray(shape) || shape.length > MAX_DIMENSIONS || !shape.every(isCount)) {
    return fail(`tensor ${show(name)} has the impossible shape ${show(shape)}`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[0] > offsets[1]) {
    return fail(`tensor ${show(name)} has the impossible data_offsets ${show(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  if (end > dataBytes) return fail(`tensor ${show(name)} ends at byte ${end} of ${dataBytes}: the file is truncated or altered`);
  const elementBytes = ELEMENT_BYTES[dtype];
  const bytes = elementsOf(shape as number[]) * elementBytes;
  if (bytes !== end - begin) {
    return fail(
      `tensor ${show(name)} has shape ${show(shape)} of ${dtype}, which is not the ${end - begin} bytes of its data_offsets`,
    );
  }
  if (begin % elementBytes !== 0) return fail(`tensor ${show(name)} starts at byte ${begin}, which is not aligned for ${dtype}`);
  return { dtype, shape: Object.freeze((shape as number[]).map((dimension) => dimension + 0)), begin, end };
}

function parse(path: string, source: ByteSource): SafetensorsFile {
  const fail = (why: string): never => {
    throw new UserError('data', `${path} is not a usable safetensors file: ${why}`, path);
  };
  if (source.size < 8) fail(`it has ${source.size} bytes`);
  const lengthBytes = source.readAt(0, 8);
  const declared = new DataView(lengthBytes.buffer, lengthBytes.byteOffset, 8).getBigUint64(0, true);
  if (declared > BigInt(MAX_HEADER_BYTES)) fail(`its header claims ${declared} bytes, more than ${MAX_HEADER_BYTES}`);
  const headerBytes = Number(declared);
  if (8 + headerBytes > source.size)
    fail(`its header claims ${headerBytes} bytes, but the file has ${source.size}: it is truncated`);
  const dataStart = 8 + headerBytes;
  const dataBytes = source.size - dataStart;

  let header: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(source.readAt(8, headerBytes));
    scanHeader(text, fail);
    header = JSON.parse(text);
  } catch (error) {
    if (error instanceof UserError) throw error;
    fail('its header is not valid JSON');
  }
  if (!isPlainObject(header)) return fail('its header is not a JSON object');

  const metadata = new Map<string, string>();
  const entries: [string, TensorEntry][] = [];
  for (const [name, raw] of Object.entries(header)) {
    if (name === '__proto__') return fail('it has a tensor named __proto__');
    if (name === '__metadata__') {
      if (!isPlainObject(raw)) return fail('its __metadata__ is not an object');
      for (const [key, value] of Object.entries(raw)) {
        if (typeof value !== 'string' || key === '__proto__') return fail(`its __metadata__ ${show(key)} is not text`);
        metadata.set(key, value);
      }
    } else {
      entries.push([name, checkedEntry(name, raw, dataBytes, fail)]);
    }
  }
  entries.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const [name, { begin, end }] of entries) {
    if (begin < covered) return fail(`tensor ${show(name)} overlaps another one`);
    if (begin > covered) return fail(`there is a gap of ${begin - covered} bytes before tensor ${show(name)}`);
    covered = end;
  }
  if (covered !== dataBytes) return fail(`${dataBytes - covered} bytes at its end belong to no tensor`);

  const tensors = new Map(entries);
  const bytesOf = (name: string): { entry: TensorEntry; buffer: ArrayBuffer } => {
    const entry = tensors.get(name);
    if (!entry) throw new UserError('data', `${path} has no tensor ${show(name)}`, path);
    const bytes = source.readAt(dataStart + entry.begin, entry.end - entry.begin);
    return { entry, buffer: bytes.buffer as ArrayBuffer };
  };
  return {
    path,
    tensors,
    metadata,
    read(name) {
      const { entry, buffer } = bytesOf(name);
      const { dtype, shape } = entry;
      if (dtype === 'F32') return { name, shape, data: new Float32Array(buffer) };
      if (dtype === 'BF16') return { name, shape, data: fromBfloat16(new Uint16Array(buffer)) };
      if (dtype === 'F16') return { name, shape, data: fromFloat16(new Uint16Array(buffer)) };
      throw new UserError('data', `${path}: tensor ${show(name)} is of type ${dtype}; F32, F16 and BF16 can be read`, path);
    },
    readBfloat16(name) {
      const { entry, buffer } = bytesOf(name);
      if (entry.dtype !== 'BF16') throw new UserError('data', `${path}: tensor ${show(name)} is ${entry.dtype}, not BF16`, path);
      return new Uint16Array(buffer);
    },
    close: () => source.close(),
  };
}

/** Reads from memory. @param path what to call it in messages. @throws UserError (data) */
export function parseSafetensors(bytes: Uint8Array, path = 'buffer'): SafetensorsFile {
  return parse(path, {
    size: bytes.length,
    // Not `slice`: of a Buffer that would be a view.
    readAt: (offset, length) => new Uint8Array(bytes.subarray(offset, offset + length)),
    close() {},
  });
}

/**
 * Opens a file and checks its header; tensors are read when asked for. Close it when done.
 * @throws UserError (data) when it is missing or not a sound safetensors file.
 */
export function openSafetensors(path: string): SafetensorsFile {
  let handle: number;
  try {
    // Non-blocking, so that a named pipe is refused below instead of being waited for.
    // Non-blocking, so that a named pipe is refused below instead of being waited for.
    handle = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    const why = (error as { code?: string }).code === 'ENOENT' ? 'it does not exist' : (error as Error).message;
    throw new UserError('data', `cannot read ${path}: ${why}`, path);
  }
  try {
    const stat = fstatSync(handle);
    if (!stat.isFile()) throw new UserError('data', `cannot read ${path}: it is not a file`, path);
    let open = true;
    return parse(path, {
      size: stat.size,
      readAt(offset, length) {
        const bytes = new Uint8Array(length);
        let done = 0;
        while (done < length) {
          // Linux reads at most 2 GiB − 4 KiB at once.
          const count = readSync(handle, bytes, done, Math.min(length - done, 1 << 30), offset + done);
          if (count === 0) throw new UserError('data', `${path} became shorter while it was read`, path);
          done += count;
        }
        return bytes;
      },
      close() {
        if (open) closeSync(handle);
        open = false;
      },
    });
  } catch (error) {
    closeSync(handle);
    throw error;
  }
}
