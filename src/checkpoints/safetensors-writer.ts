/**
 * @file Writing safetensors files (the layout is in safetensors.ts), a tensor at a time and each in
 * pieces, so that a model of any size is written from a few megabytes of memory.
 */
import { type Written, writeFileDurably } from '../base/files.js';
import { toBfloat16 } from './numbers.js';
import { ELEMENT_BYTES, elementsOf } from './safetensors.js';

/**
 * A tensor to write; its numbers may come in pieces, in order, each used before the next is asked
 * for.
 */
export interface TensorSource {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | Iterable<Float32Array>;
}

export type SaveDType = 'F32' | 'BF16';

function headerOf(
  tensors: readonly TensorSource[],
  dtype: SaveDType,
  metadata: Record<string, string>,
): Uint8Array {
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
  return writeFileDurably(
    path,
    encodeSafetensors(tensors, options.dtype, options.metadata),
    options.label ?? 'safetensors',
  );
}
