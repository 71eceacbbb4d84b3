/**
 * @file The tensors of a model folder, converted on demand.
 *
 * A folder has one safetensors file, or several with an index that says which tensor is in which.
 * Opening it reads the headers alone. A tensor comes in pieces of a few megabytes, so that a model
 * goes into an engine's memory without ever being in memory twice; as float32; or whole in the form that
 * it is stored in, for weights that stay so. Stored types are F32, F16, BF16, and F8_E4M3 in blocks of 128 × 128
 * with a scale each in `<name>_scale_inv` (DeepSeek-V3 technical report, arXiv:2412.19437, section
 * 3.3, and its released files): such a pair is one tensor here. A weight that is NaN or infinite is
 * an error of the file, and said so.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { type Form, firstBadNumber } from '../tensor/forms.js';
import { fileIn, isPlainName, readObject } from './model-folder.js';
import { FLOAT8_E4M3, firstNotFinite, fromBfloat16, fromFloat16 } from './numbers.js';
import {
  ELEMENT_BYTES,
  elementsOf,
  type NamedTensor,
  openSafetensors,
  type SafetensorsFile,
  show,
  type TensorEntry,
} from './safetensors.js';

/** Tensors of a model, wherever they lie. */
export interface TensorReader {
  /** Without the scales of block-scaled tensors, which are part of them. */
  readonly names: readonly string[];
  has(name: string): boolean;
  /** @throws UserError (data) when there is none of this name, as all methods below. */
  shape(name: string): readonly number[];
  /** As stored: `F32`, `F16`, `BF16`, `F8_E4M3`, or another that cannot be read. */
  dtype(name: string): string;
  /**
   * As float32, row-major, in pieces. A piece is overwritten by the next one: use or copy it first.
   */
  pieces(name: string): Iterable<Float32Array>;
  /** The whole as float32. */
  read(name: string): NamedTensor;
  /** The form in which a matrix can be kept as it is stored; null where it can only be read. */
  form(name: string): Form | null;
  /** Fills `target` with the bytes of all rows of a tensor that has a form. */
  readRows(name: string, target: Uint8Array): void;
  close(): void;
}

/** Elements of a piece: 4 MB of float32. */
const PIECE = 1 << 20;
/** Side of a block of F8_E4M3 that shares a scale. */
const BLOCK = 128;
const SCALE_SUFFIX = '_scale_inv';
/** Types that can be read as they are, and the forms that they are. */
const FORMS_OF: Readonly<Record<string, Form>> = { F32: 'f32', F16: 'f16', BF16: 'bf16' };

interface Located {
  file: SafetensorsFile;
  entry: TensorEntry;
}

/**
 * The files that hold a model's tensors, and what the index says of each tensor (null where there
 * is no index).
 */
export function weightFiles(folder: string): {
  names: string[];
  index: Map<string, string> | null;
} {
  for (const name of ['model.safetensors', 'weights.safetensors']) {
    if (existsSync(join(folder, name))) return { names: [name], index: null };
  }
  const name = 'model.safetensors.index.json';
  const path = join(folder, name);
  if (!existsSync(path)) {
    const pickled = existsSync(join(folder, 'pytorch_model.bin'));
    const why = pickled
      ? 'only pytorch_model.bin, which would run code on loading; convert it to safetensors'
      : 'no model.safetensors';
    throw new UserError('data', `${folder} cannot be loaded: it has ${why}`, folder);
  }
  const { weight_map: map } = readObject(folder, name, 'index');
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new UserError('data', `index ${path} has no weight_map`, path);
  }
  const index = new Map(Object.entries(map as Record<string, unknown>));
  for (const file of index.values()) {
    if (!isPlainName(file) || !file.endsWith('.safetensors')) {
      throw new UserError(
        'data',
        `index ${path} names ${show(file)}, which is not a safetensors file beside it`,
        path,
      );
    }
  }
  return {
    names: [...new Set(index.values() as Iterable<string>)].sort(),
    index: index as Map<string, string>,
  };
}

function locate(folder: string, opened: SafetensorsFile[], only?: string): Map<string, Located> {
  const { names, index } =
    only === undefined ? weightFiles(folder) : { names: [only], index: null };
  const located = new Map<string, Located>();
  for (const name of names) {
    fileIn(folder, name);
    const file = openSafetensors(join(folder, name));
    opened.push(file);
    for (const [tensor, entry] of file.tensors) {
      const other = located.get(tensor);
      if (other) {
        throw new UserError(
          'data',
          `${file.path} has tensor ${show(tensor)}, and so has ${other.file.path}`,
          file.path,
        );
      }
      located.set(tensor, { file, entry });
    }
  }
  for (const [tensor, name] of index ?? []) {
    const there = located.get(tensor);
    if (there?.file.path === join(folder, name)) continue;
    const path = join(folder, 'model.safetensors.index.json');
    throw new UserError(
      'data',
      `index ${path} says that ${show(tensor)} is in ${name}, and it is not`,
      path,
    );
  }
  return located;
}

/**
 * Opens the tensors of a model folder or a snapshot, or of one file in it. @throws UserError (data)
 * that names the file
 */
export function openTensors(folder: string, file?: string): TensorReader {
  const opened: SafetensorsFile[] = [];
  const close = (): void => {
    for (const file of opened) file.close();
  };
  let located: Map<string, Located>;
  try {
    located = locate(folder, opened, file);
  } catch (error) {
    close();
    throw error;
  }

  const find = (name: string): Located => {
    const found = located.get(name);
    if (found) return found;
    throw new UserError(
      'data',
      `${folder} has no tensor ${show(name)}; is config.json of another model?`,
      folder,
    );
  };
  const notFinite = (name: string, at: number): never => {
    const { path } = find(name).file;
    throw new UserError(
      'data',
      `${path}: tensor ${show(name)} has NaN or infinity at element ${at}; the file is damaged`,
      path,
    );
  };

  /** Scales of a block-scaled tensor, row-major over blocks. */
  function scalesOf(name: string, { file, entry }: Located): Float32Array {
    const fail = (why: string): never => {
      throw new UserError(
        'data',
        `${file.path}: tensor ${show(name)} is F8_E4M3, and ${why}`,
        file.path,
      );
    };
    if (!located.has(name + SCALE_SUFFIX))
      return fail(`there is no ${show(name + SCALE_SUFFIX)} to scale it by`);
    if (entry.shape.length !== 2) return fail(`its shape ${show(entry.shape)} is no matrix's`);
    const blocks = entry.shape.map((size) => Math.ceil(size / BLOCK));
    const scale = read(name + SCALE_SUFFIX);
    if (scale.shape.join() !== blocks.join()) {
      return fail(
        `its scales are ${show(scale.shape)} and not ${show(blocks)}, one for each block of ${BLOCK} × ${BLOCK}`,
      );
    }
    return scale.data;
  }

  function* pieces(name: string): Generator<Float32Array> {
    const found = find(name);
    const { file, entry } = found;
    const { dtype, shape } = entry;
    const scales = dtype === 'F8_E4M3' ? scalesOf(name, found) : null;
    if (!scales && !Object.hasOwn(FORMS_OF, dtype)) {
      const known = `${Object.keys(FORMS_OF).join(', ')} and block-scaled F8_E4M3`;
      throw new UserError(
        'data',
        `${file.path}: tensor ${show(name)} is of type ${dtype}; ${known} can be read`,
        file.path,
      );
    }
    const size = elementsOf(shape);
    const columns = shape[shape.length - 1] ?? 1;
    // Rows of a block-scaled tensor are decoded whole.
    const length = Math.min(
      size,
      scales ? Math.max(1, Math.floor(PIECE / columns)) * columns : PIECE,
    );
    const bytes = ELEMENT_BYTES[dtype];
    const out = new Float32Array(length);
    const stored = dtype === 'F32' ? new Uint8Array(out.buffer) : new Uint8Array(length * bytes);
    for (let from = 0; from < size; from += length) {
      const count = Math.min(length, size - from);
      file.readBytes(name, from * bytes, stored.subarray(0, count * bytes));
      const piece = out.subarray(0, count);
      if (scales) dequantize(piece, stored, scales, columns, from / columns);
      else if (dtype === 'BF16') fromBfloat16(new Uint16Array(stored.buffer, 0, count), piece);
      else if (dtype === 'F16') fromFloat16(new Uint16Array(stored.buffer, 0, count), piece);
      const bad = firstNotFinite(piece);
      if (bad >= 0) notFinite(name, from + bad);
      yield piece;
    }
  }

  function read(name: string): NamedTensor {
    const { shape } = find(name).entry;
    const data = new Float32Array(elementsOf(shape));
    let at = 0;
    for (const piece of pieces(name)) {
      data.set(piece, at);
      at += piece.length;
    }
    return { name, shape, data };
  }

  const form = (name: string): Form | null => FORMS_OF[find(name).entry.dtype] ?? null;

  function readRows(name: string, target: Uint8Array): void {
    const { file } = find(name);
    file.readBytes(name, 0, target);
    const bad = firstBadNumber(form(name) as Form, target);
    if (bad >= 0) notFinite(name, bad);
  }

  const isScale = (name: string): boolean =>
    name.endsWith(SCALE_SUFFIX) &&
    located.get(name.slice(0, -SCALE_SUFFIX.length))?.entry.dtype === 'F8_E4M3';
  return {
    names: [...located.keys()].filter((name) => !isScale(name)),
    has: (name) => located.has(name),
    shape: (name) => find(name).entry.shape,
    dtype: (name) => find(name).entry.dtype,
    pieces,
    read,
    form,
    readRows,
    close,
  };
}

/** Rows `firstRow` … of a block-scaled matrix: each number times the scale of its block. */
function dequantize(
  out: Float32Array,
  stored: Uint8Array,
  scales: Float32Array,
  columns: number,
  firstRow: number,
): void {
  const blocksAcross = Math.ceil(columns / BLOCK);
  for (let i = 0, row = firstRow; i < out.length; row++) {
    const rowOfScales = Math.floor(row / BLOCK) * blocksAcross;
    for (let block = 0; block < blocksAcross; block++) {
      const scale = scales[rowOfScales + block];
      const end = i + Math.min(BLOCK, columns - block * BLOCK);
      for (; i < end; i++) out[i] = FLOAT8_E4M3[stored[i]] * scale;
    }
  }
}
