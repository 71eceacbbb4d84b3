/**
 * @file A GGUF file as a model: its keys as a `config.json`, its tensors under Hugging Face's names
 * as float32, its tokenizer and chat template.
 */
import { FAMILIES, type GgufFacts } from '../../architecture/index.js';
import { UserError } from '../../base/errors.js';
import { parseModelConfig, transformersClass } from '../../models/index.js';
import { divisorOf } from '../../models/rope-scaling.js';
import { firstBadNumber } from '../../tensor/forms.js';
import { ropeFrequencies } from '../../tensor/operations/rope.js';
import type { LoadedModel } from '../hugging-face.js';
import type { Json } from '../model-folder.js';
import { firstNotFinite } from '../numbers.js';
import { elementsOf, show } from '../safetensors.js';
import type { TensorReader } from '../weights.js';
import { Keys } from './keys.js';
import { decoderNames, fixedFields, type TensorName } from './names.js';
import { type GgufFile, openGguf, type StoredTensor } from './read.js';
import { tokenizerOf } from './tokenizer-in.js';

/** Numbers of a piece: 4 MB of float32. */
const PIECE = 1 << 20;

export const isGguf = (path: string): boolean => /\.gguf$/i.test(path);

/** The families that can be read: the first of those with one `general.architecture`. */
function readable(): Map<string, { type: string; facts: GgufFacts; partialRotary?: true }> {
  const found: ReturnType<typeof readable> = new Map();
  for (const [type, { engine }] of Object.entries(FAMILIES)) {
    if (!engine?.gguf || engine.latent || found.has(engine.gguf.architecture)) continue;
    const { gguf: facts, partialRotary } = engine;
    found.set(facts.architecture, { type, facts, partialRotary });
  }
  return found;
}

type Readable = NonNullable<ReturnType<ReturnType<typeof readable>['get']>>;

/** The fields of `config.json` of a decoder. */
function decoderConfig(keys: Keys, file: GgufFile, family: Readable): Json {
  const width = keys.size('embedding_length');
  const heads = keys.size('attention.head_count');
  const headDim = keys.sizeOr('attention.key_length', width / heads);
  const rotary = keys.sizeOr('rope.dimension_count', headDim);
  const theta = keys.numberOr('rope.freq_base', 10_000);
  const layers = keys.size('block_count');
  if (layers > file.tensors.size)
    keys.fail(`it has ${file.tensors.size} tensors, too few for ${layers} layers`);
  const experts = keys.numberOr('expert_count', 0);
  const stack = file.tensors.get('blk.0.ffn_gate_exps.weight')?.shape[0] ?? 0;
  if (experts !== stack) keys.fail(`it has ${stack} experts, and its expert_count is ${experts}`);
  if (experts > 0 && family.facts.fixed?.norm_topk_prob === undefined)
    keys.fail('it has experts, which are not read from this architecture');
  const whole = rotary === headDim || family.partialRotary === true;
  if (keys.sizeOr('attention.value_length', headDim) !== headDim || !whole)
    keys.fail('its heads have keys, values and rotary parts of different sizes');
  const scaling = ropeScaling(keys, file, rotary, theta);
  const own = (family.facts.keys ?? []).map(({ field, key, kind }) => [
    field,
    kind === 'count' ? keys.size(key) : keys.number(key),
  ]);
  return {
    model_type: family.type,
    vocab_size: file.tensors.get('token_embd.weight')?.shape[0] ?? 0,
    hidden_size: width,
    intermediate_size: keys.size('feed_forward_length'),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: keys.sizeOr('attention.head_count_kv', heads),
    head_dim: headDim,
    max_position_embeddings: keys.size('context_length'),
    rms_norm_eps: keys.number('attention.layer_norm_rms_epsilon'),
    rope_theta: theta,
    rope_scaling: scaling,
    ...(scaling?.rope_type === 'longrope' && {
      original_max_position_embeddings: scaling.original_max_position_embeddings,
    }),
    tie_word_embeddings: !file.tensors.has('output.weight'),
    ...(rotary === headDim ? {} : { partial_rotary_factor: rotary / headDim }),
    ...(file.tensors.has('blk.0.attn_output.bias') ? { attention_bias: true } : {}),
    ...(experts > 0 && {
      num_experts: keys.size('expert_count'),
      num_experts_per_tok: keys.size('expert_used_count'),
      moe_intermediate_size: keys.size('expert_feed_forward_length'),
    }),
    ...fixedFields(family.facts, { layers, width, heads, headDim }),
    ...Object.fromEntries(own),
  };
}

/** `rope_scaling`: from its keys, or from the divisors that a tensor has. */
function ropeScaling(keys: Keys, file: GgufFile, headDim: number, theta: number): Json | null {
  const divisors = file.tensors.get('rope_freqs.weight');
  if (divisors) return llama3Scaling(keys, file, divisors, headDim, theta);
  const [short, long] = ['short', 'long'].map((kind) =>
    file.tensors.get(`rope_factors_${kind}.weight`),
  );
  if (short && long)
    return {
      rope_type: 'longrope',
      short_factor: Array.from(readWhole(file, short)),
      long_factor: Array.from(readWhole(file, long)),
      original_max_position_embeddings: keys.size('rope.scaling.original_context_length'),
      attention_factor: keys.numberOr('rope.scaling.attn_factor', 1),
    };
  const type = keys.textOr('rope.scaling.type', 'none');
  if (type === 'none') return null;
  const factor = keys.numberOr('rope.scaling.factor', 1);
  if (type === 'linear') return { rope_type: 'linear', factor };
  if (type !== 'yarn') return keys.fail(`its rope.scaling.type is ${show(type)}`);
  return {
    rope_type: 'yarn',
    factor,
    original_max_position_embeddings: keys.size('rope.scaling.original_context_length'),
    beta_fast: keys.numberOr('rope.scaling.yarn_beta_fast', 32),
    beta_slow: keys.numberOr('rope.scaling.yarn_beta_slow', 1),
  };
}

/**
 * GGUF has the divisors of Llama 3's scaling and not the rule that they come from; the released
 * models share one rule but for its factor, which is the largest divisor.
 */
function llama3Scaling(
  keys: Keys,
  file: GgufFile,
  tensor: StoredTensor,
  headDim: number,
  theta: number,
): Json | null {
  const divisors = readWhole(file, tensor);
  if (divisors.every((divisor) => divisor === 1)) return null;
  const rule = {
    factor: Math.max(...divisors),
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const fields = { factor: rule.factor, low: 1, high: 4, original: 8192 };
  const expected = ropeFrequencies(headDim, theta).map((w) => divisorOf('llama3', fields, w));
  const differs = (divisor: number, i: number): boolean =>
    !(Math.abs(divisor - expected[i]) <= 1e-4 * expected[i]);
  if (divisors.length !== expected.length || divisors.some(differs))
    keys.fail('its rope_freqs.weight does not follow the rule of Llama 3');
  return { rope_type: 'llama3', ...rule };
}

/**
 * The row of the file that holds row `row` of the model: llama.cpp keeps the two numbers that turn
 * together side by side, Hugging Face half a head apart.
 */
function storedRow(row: number, rowsOfHead: number): number {
  const inHead = row % rowsOfHead;
  const half = rowsOfHead / 2;
  return row - inHead + (inHead < half ? 2 * inHead : 2 * (inHead - half) + 1);
}

function notFinite(file: GgufFile, { name }: StoredTensor, at: number): never {
  const message = `${file.path}: tensor ${show(name)} has NaN or infinity at element ${at}; the file is damaged`;
  throw new UserError('data', message, file.path);
}

/** Numbers of a row; one in a vector whose numbers belong to heads, a bias. */
const columnsOf = (shape: readonly number[], heads: number | undefined): number =>
  heads !== undefined && shape.length === 1 ? 1 : (shape.at(-1) ?? 1);

/** The stored bytes of the model's rows from row `from` on, as many as fill `target`. */
function readStored(
  file: GgufFile,
  { shape, format, offset }: StoredTensor,
  from: number,
  target: Uint8Array,
  heads?: number,
): void {
  const columns = columnsOf(shape, heads);
  const rows = elementsOf(shape) / columns;
  const size = (columns / format.numbers) * format.bytes;
  if (heads === undefined) {
    file.readBytes(offset + from * size, target);
    return;
  }
  for (let at = 0; at < target.length; at += size) {
    const row = storedRow(from + at / size, rows / heads);
    file.readBytes(offset + row * size, target.subarray(at, at + size));
  }
}

/** What a name of the model stands for: a stored tensor, or an expert's part of one. */
interface Located {
  tensor: StoredTensor;
  heads?: number;
  /** Is taken from each number that is read. */
  plus?: number;
}

/** A tensor's numbers in pieces of whole rows; a piece is overwritten by the next. */
function* pieces(file: GgufFile, { tensor, heads, plus }: Located): Generator<Float32Array> {
  const { shape, format } = tensor;
  const size = elementsOf(shape);
  const columns = columnsOf(shape, heads);
  const rows = size / columns;
  const rowBytes = (columns / format.numbers) * format.bytes;
  const most = Math.max(1, Math.min(rows, Math.floor(PIECE / columns)));
  const stored = new Uint8Array(most * rowBytes);
  const out = new Float32Array(most * columns);
  for (let from = 0; from < rows; from += most) {
    const count = Math.min(most, rows - from);
    readStored(file, tensor, from, stored.subarray(0, count * rowBytes), heads);
    const piece = out.subarray(0, count * columns);
    format.decode(stored.subarray(0, count * rowBytes), piece);
    if (plus !== undefined) for (let i = 0; i < piece.length; i++) piece[i] -= plus;
    const bad = firstNotFinite(piece);
    if (bad >= 0) notFinite(file, tensor, from * columns + bad);
    yield piece;
  }
}

function readWhole(file: GgufFile, tensor: StoredTensor, more?: Omit<Located, 'tensor'>) {
  const data = new Float32Array(elementsOf(tensor.shape));
  let at = 0;
  for (const piece of pieces(file, { tensor, ...more })) {
    data.set(piece, at);
    at += piece.length;
  }
  return data;
}

/** Expert e's part of a tensor [experts, rows, columns]. */
function expertOf(tensor: StoredTensor, e: number, experts: number): StoredTensor {
  const shape = tensor.shape.slice(1);
  if (tensor.shape.length !== 3 || tensor.shape[0] !== experts) return tensor;
  const bytes = (elementsOf(shape) / tensor.format.numbers) * tensor.format.bytes;
  return { ...tensor, shape, offset: tensor.offset + e * bytes };
}

/** The file's tensors under their names in a Hugging Face folder. */
function readerOf(file: GgufFile, names: readonly TensorName[]): TensorReader {
  const located = new Map<string, Located>();
  const used = new Set(['rope_freqs.weight']);
  for (const kind of ['short', 'long']) used.add(`rope_factors_${kind}.weight`);
  for (const { gguf, name, heads, experts, plus } of names) {
    const tensor = file.tensors.get(gguf);
    used.add(gguf);
    if (!tensor) continue;
    if (!experts) located.set(name, { tensor, heads, plus });
    experts?.forEach((expert, e) => {
      located.set(expert, { tensor: expertOf(tensor, e, experts.length) });
    });
  }
  // A tensor without a place is a part of the model that would not be computed.
  for (const [name, tensor] of file.tensors) if (!used.has(name)) located.set(name, { tensor });
  const find = (name: string): Located => {
    const found = located.get(name);
    if (found) return found;
    throw new UserError('data', `${file.path} has no tensor for ${show(name)}`, file.path);
  };
  const read: TensorReader['read'] = (name) => {
    const found = find(name);
    return { name, shape: found.tensor.shape, data: readWhole(file, found.tensor, found) };
  };
  return {
    names: [...located.keys()],
    has: (name) => located.has(name),
    shape: (name) => find(name).tensor.shape,
    dtype: (name) => find(name).tensor.format.name,
    pieces: (name) => pieces(file, find(name)),
    read,
    form: (name) => find(name).tensor.format.form,
    readRows(name, target) {
      const { tensor, heads } = find(name);
      readStored(file, tensor, 0, target, heads);
      const bad = firstBadNumber(tensor.format.form, target);
      if (bad >= 0) notFinite(file, tensor, bad);
    },
    close: () => file.close(),
  };
}

/**
 * Opens a GGUF file as a model; tensors are read when asked for.
 * @throws UserError (data) that names the file, and what of it cannot be read
 */
export function loadGguf(path: string): LoadedModel {
  const file = openGguf(path);
  try {
    const keys = new Keys(file);
    const families = readable();
    const family =
      families.get(keys.architecture) ??
      keys.fail(
        `its architecture is ${show(keys.architecture)}; ${[...families.keys()].join(', ')} can be read`,
      );
    const { tokenizerJson, tokenizerConfig, ids } = tokenizerOf(file.keys, keys.fail);
    const sizes = decoderConfig(keys, file, family);
    const config = parseModelConfig({ ...sizes, ...ids }, path);
    return {
      folder: path,
      config: { architectures: [transformersClass(config)], ...sizes, ...ids },
      tokenizerJson,
      tokenizerConfig,
      specialTokensMap: null,
      generationConfig: null,
      chatTemplate: null,
      tensors: readerOf(file, decoderNames(config)),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}
