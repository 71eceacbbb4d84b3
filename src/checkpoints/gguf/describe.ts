/**
 * @file What all models have in GGUF: the common keys, and tensors that are the folder's, as they
 * are or put in another order.
 */
import { type ModelConfig, ropeThetaOf } from '../../models/index.js';
import type { TensorReader } from '../weights.js';
import { commonNames, type TensorName } from './names.js';
import type { GgufDType, GgufTensor, GgufValue } from './write.js';

export interface Described {
  keys: Record<string, GgufValue>;
  tensors: GgufTensor[];
}

export const f32 = (value: number): GgufValue => ({ f32: value });

/** Vectors stay float32: llama.cpp adds and multiplies them as they are. */
const typeOf = (shape: readonly number[], dtype: GgufDType): GgufDType =>
  shape.length < 2 ? 'F32' : dtype;

export function plain(
  tensors: TensorReader,
  name: string,
  from: string,
  dtype: GgufDType,
): GgufTensor {
  const shape = tensors.shape(from);
  return { name, shape, dtype: typeOf(shape, dtype), data: () => tensors.pieces(from) };
}

/** A tensor whose numbers are worked out from one of the folder. */
export function made(
  tensors: TensorReader,
  name: string,
  from: string,
  shape: readonly number[],
  dtype: GgufDType,
  work: (data: Float32Array) => Float32Array,
): GgufTensor {
  return {
    name,
    shape,
    dtype: typeOf(shape, dtype),
    *data() {
      yield work(tensors.read(from).data);
    },
  };
}

/**
 * Rows of each head, but for its first `skip`, from halves to neighbours: (0, d/2), (1, d/2 + 1), …
 */
export function neighbours(
  tensors: TensorReader,
  name: string,
  from: string,
  { heads, skip = 0 }: { heads: number; skip?: number },
  dtype: GgufDType,
): GgufTensor {
  const shape = tensors.shape(from);
  const columns = shape[1] ?? 1;
  const size = shape[0] / heads;
  const d = size - skip;
  return made(tensors, name, from, shape, dtype, (data) => {
    const out = data.slice();
    for (let row = 0; row < shape[0]; row++) {
      const i = (row % size) - skip;
      if (i < 0) continue;
      const source = row - i + (i % 2) * (d / 2) + Math.floor(i / 2);
      out.set(data.subarray(source * columns, (source + 1) * columns), row * columns);
    }
    return out;
  });
}

/** The matrices of a layer's experts as one tensor [experts, rows, columns]. */
export function stacked(
  tensors: TensorReader,
  name: string,
  experts: readonly string[],
  dtype: GgufDType,
): GgufTensor {
  return {
    name,
    shape: [experts.length, ...tensors.shape(experts[0])],
    dtype,
    *data() {
      for (const expert of experts) yield* tensors.pieces(expert);
    },
  };
}

/** A tensor by its row in a table of names. */
export function renamed(
  tensors: TensorReader,
  { gguf, name, heads, experts, plus }: TensorName,
  dtype: GgufDType,
): GgufTensor {
  if (experts) return stacked(tensors, gguf, experts, dtype);
  // A gate stays float32, as llama.cpp's converter leaves it.
  const own = gguf.endsWith('ffn_gate_inp.weight') ? 'F32' : dtype;
  if (plus !== undefined)
    return made(tensors, gguf, name, tensors.shape(name), own, (data) =>
      data.map((number) => number + plus),
    );
  return heads === undefined
    ? plain(tensors, gguf, name, own)
    : neighbours(tensors, gguf, name, { heads }, own);
}

/** Keys and tensors that all architectures have. */
export function common(
  name: string,
  architecture: string,
  config: ModelConfig,
  tensors: TensorReader,
  dtype: GgufDType,
): Described {
  const fileType: Record<GgufDType, number> = { F32: 0, F16: 1, BF16: 32 };
  const keys: Record<string, GgufValue> = {
    'general.architecture': architecture,
    'general.name': name,
    'general.file_type': fileType[dtype],
    [`${architecture}.vocab_size`]: config.vocab_size,
    [`${architecture}.context_length`]: config.max_position_embeddings,
    [`${architecture}.embedding_length`]: config.hidden_size,
    [`${architecture}.block_count`]: config.num_hidden_layers,
    [`${architecture}.feed_forward_length`]: config.intermediate_size,
    [`${architecture}.attention.head_count`]: config.num_attention_heads,
    [`${architecture}.attention.layer_norm_rms_epsilon`]: f32(config.rms_norm_eps),
    [`${architecture}.rope.freq_base`]: f32(ropeThetaOf(config)),
  };
  return { keys, tensors: commonNames(config).map((row) => renamed(tensors, row, dtype)) };
}
