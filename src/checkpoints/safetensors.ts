/**
 * @file Safetensors: tensors in a file that can be read without running anything.
 *
 * Layout (https://github.com/huggingface/safetensors): eight bytes of header length N
 * (little-endian), N bytes of JSON
 * `{name: {dtype, shape, data_offsets: [begin, end]}, __metadata__: {text: text}}`, then the data;
 * offsets count from the data's start. The data has no gap and no overlap. We pad the header with
 * spaces to a multiple of eight bytes, so that float32 data is aligned when the file is mapped.
 *
 * A file may come from a stranger. Every figure in its header is checked against the file's size
 * before anything of that size is allocated; nesting is bounded before the JSON is parsed; a fault
 * is a `UserError` that names file and tensor.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { UserError } from '../base/errors.js';
import { findJsonFault } from '../base/json.js';
import { fromBfloat16, fromFloat16 } from './numbers.js';

/** A tensor in memory. `data` is row-major and has as many numbers as `shape` says. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

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
  /**
   * One tensor as float32, from F32, F16 or BF16. @throws UserError (data) when it is missing or of
   * another type.
   */
  read(name: string): NamedTensor;
  /**
   * Fills `target` with a tensor's bytes as they are stored, from byte `from` of the tensor on.
   * @throws UserError (data)
   */
  readBytes(name: string, from: number, target: Uint8Array): void;
  close(): void;
}

/** The limit of the reference implementation. */
const MAX_HEADER_BYTES = 100_000_000;
const MAX_DIMENSIONS = 32;
/** The file, a tensor, its shape, and one to spare. */
const MAX_DEPTH = 4;

/**
 * Bytes of an element of every type whose elements are whole bytes; F32, F16 and BF16 are the ones
 * that `read` takes.
 */
// biome-ignore format: one line a width
export const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  BOOL: 1, U8: 1, I8: 1, F8_E4M3: 1, F8_E5M2: 1, F8_E8M0: 1,
  U16: 2, I16: 2, F16: 2, BF16: 2,
  U32: 4, I32: 4, F32: 4,
  U64: 8, I64: 8, F64: 8, C64: 8,
};

/** Where bytes come from: a file, or memory. `readInto` fills all of `target`. */
interface ByteSource {
  readonly size: number;
  readInto(offset: number, target: Uint8Array): void;
  close(): void;
}

/** The number of elements of a shape. */
export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

/** A stranger's text in our message: quoted, on one line, and short. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

const isCount = (x: unknown): x is number =>
  typeof x === 'number' && Number.isSafeInteger(x) && x >= 0;

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkedEntry(
  name: string,
  raw: unknown,
  dataBytes: number,
  fail: (why: string) => never,
): TensorEntry {
  if (!isPlainObject(raw)) return fail(`tensor ${show(name)} has no description`);
  const { dtype, shape, data_offsets: offsets } = raw;
  if (typeof dtype !== 'string' || !Object.hasOwn(ELEMENT_BYTES, dtype)) {
    return fail(`tensor ${show(name)} has the unknown type ${show(dtype)}`);
  }
  if (!Array.isArray(shape) || shape.length > MAX_DIMENSIONS || !shape.every(isCount)) {
    return fail(`tensor ${show(name)} has the impossible shape ${show(shape)}`);
  }
  if (
    !Array.isArray(offsets) ||
    offsets.length !== 2 ||
    !offsets.every(isCount) ||
    offsets[0] > offsets[1]
  ) {
    return fail(`tensor ${show(name)} has the impossible data_offsets ${show(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  if (end > dataBytes)
    return fail(
      `tensor ${show(name)} ends at byte ${end} of ${dataBytes}: the file is truncated or altered`,
    );
  const elementBytes = ELEMENT_BYTES[dtype];
  const bytes = elementsOf(shape as number[]) * elementBytes;
  if (bytes !== end - begin) {
    return fail(
      `tensor ${show(name)} has shape ${show(shape)} of ${dtype}, which is not the ${end - begin} bytes of its data_offsets`,
    );
  }
  if (begin % elementBytes !== 0)
    return fail(`tensor ${show(name)} starts at byte ${begin}, which is not aligned for ${dtype}`);
  return {
    dtype,
    shape: Object.freeze((shape as number[]).map((dimension) => dimension + 0)),
    begin,
    end,
  };
}

function parse(path: string, source: ByteSource): SafetensorsFile {
  const fail = (why: string): never => {
    throw new UserError('data', `${path} is not a usable safetensors file: ${why}`, path);
  };
  if (source.size < 8) fail(`it has ${source.size} bytes`);
  const read = (offset: number, length: number): Uint8Array<ArrayBuffer> => {
    const bytes = new Uint8Array(length);
    source.readInto(offset, bytes);
    return bytes;
  };
  const start = read(0, 8);
  if (new TextDecoder('latin1').decode(start) === 'version ')
    fail('it is a pointer of Git LFS and not the file itself; fetch it with "git lfs pull"');
  const declared = new DataView(start.buffer).getBigUint64(0, true);
  if (declared > BigInt(MAX_HEADER_BYTES))
    fail(`its header claims ${declared} bytes, more than ${MAX_HEADER_BYTES}`);
  const headerBytes = Number(declared);
  if (8 + headerBytes > source.size)
    fail(
      `its header claims ${headerBytes} bytes, but the file has ${source.size}: it is truncated`,
    );
  const dataStart = 8 + headerBytes;
  const dataBytes = source.size - dataStart;

  let header: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      read(8, headerBytes),
    );
    const fault = findJsonFault(text, MAX_DEPTH);
    if (fault?.kind === 'depth') fail('its header is nested too deeply');
    if (fault?.kind === 'duplicate') fail(`the name ${show(fault.key)} occurs twice`);
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
        if (typeof value !== 'string' || key === '__proto__')
          return fail(`its __metadata__ ${show(key)} is not text`);
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
    if (begin > covered)
      return fail(`there is a gap of ${begin - covered} bytes before tensor ${show(name)}`);
    covered = end;
  }
  if (covered !== dataBytes)
    return fail(`${dataBytes - covered} bytes at its end belong to no tensor`);

  const tensors = new Map(entries);
  const entryOf = (name: string): TensorEntry => {
    const entry = tensors.get(name);
    if (!entry) throw new UserError('data', `${path} has no tensor ${show(name)}`, path);
    return entry;
  };
  return {
    path,
    tensors,
    metadata,
    read(name) {
      const { dtype, shape, begin, end } = entryOf(name);
      if (!['F32', 'F16', 'BF16'].includes(dtype))
        throw new UserError(
          'data',
          `${path}: tensor ${show(name)} is of type ${dtype}; F32, F16 and BF16 can be read`,
          path,
        );
      const { buffer } = read(dataStart + begin, end - begin);
      if (dtype === 'F32') return { name, shape, data: new Float32Array(buffer) };
      return {
        name,
        shape,
        data: (dtype === 'BF16' ? fromBfloat16 : fromFloat16)(new Uint16Array(buffer)),
      };
    },
    readBytes(name, from, target) {
      const { begin, end } = entryOf(name);
      if (from < 0 || begin + from + target.length > end)
        throw new Error(`readBytes: beyond the end of ${name}`);
      source.readInto(dataStart + begin + from, target);
    },
    close: () => source.close(),
  };
}

/** Reads from memory. @param path what to call it in messages. @throws UserError (data) */
export function parseSafetensors(bytes: Uint8Array, path = 'buffer'): SafetensorsFile {
  return parse(path, {
    size: bytes.length,
    readInto: (offset, target) => target.set(bytes.subarray(offset, offset + target.length)),
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
    handle = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    const why =
      (error as { code?: string }).code === 'ENOENT'
        ? 'it does not exist'
        : (error as Error).message;
    throw new UserError('data', `cannot read ${path}: ${why}`, path);
  }
  try {
    const stat = fstatSync(handle);
    if (!stat.isFile()) throw new UserError('data', `cannot read ${path}: it is not a file`, path);
    let open = true;
    return parse(path, {
      size: stat.size,
      readInto(offset, target) {
        let done = 0;
        while (done < target.length) {
          // Linux reads at most 2 GiB − 4 KiB at once.
          const count = readSync(
            handle,
            target,
            done,
            Math.min(target.length - done, 1 << 30),
            offset + done,
          );
          if (count === 0)
            throw new UserError('data', `${path} became shorter while it was read`, path);
          done += count;
        }
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
