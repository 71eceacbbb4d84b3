/**
 * @file Models as Hugging Face folders: what `transformers`, vLLM, llama.cpp's converter and
 * everybody else read.
 *
 *   config.json  model.safetensors  tokenizer.json  tokenizer_config.json  special_tokens_map.json  generation_config.json
 *
 * Tensor names and layouts are Hugging Face's already (see `src/models`), so nothing is renamed
 * here. A large model is written in several files with an index, as other programs do; loading
 * takes either, and a run's snapshot (weights.ts).
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { recoverFolder, type Written, writeFileDurably, writeFolderAtomic } from '../base/files.js';
import { type Json, readObject, readObjectIfAny, readText } from './model-folder.js';
import { elementsOf, show } from './safetensors.js';
import { type SaveDType, type TensorSource, writeSafetensors } from './safetensors-writer.js';
import { openTensors, type TensorReader } from './weights.js';

/** The JSON files that say how text becomes tokens. */
export interface TokenizerFiles {
  /** `tokenizer.json`. */
  tokenizer: Json;
  /** `tokenizer_config.json`; by default made from the two others. */
  tokenizerConfig?: Json;
  /**
   * `special_tokens_map.json`; by default made from the special ids in the model's configuration.
   */
  specialTokensMap?: Json;
}

export interface HuggingFaceContent extends Partial<TokenizerFiles> {
  /**
   * `config.json`; should have `architectures` and the ids of special tokens. Its dtype field is
   * set here.
   */
  config: Json;
  tensors: Iterable<TensorSource>;
  /** `chat_template.jinja`, for a template that is not in the tokenizer's configuration. */
  chatTemplate?: string;
  /** `generation_config.json`; by default plain sampling with the configuration's special ids. */
  generationConfig?: Json;
  dtype?: SaveDType;
  /**
   * A model of more bytes is written in several files, each of at most that many or of one tensor.
   * Default 5 GB.
   */
  shardBytes?: number;
}

export interface SavedModel extends Written {
  /**
   * By name; `bytes` of the whole are the sum. `sha256` of the whole is that of the weights, or of
   * their index.
   */
  files: Record<string, Written>;
  tensors: number;
  parameters: number;
}

const BYTES: Record<SaveDType, number> = { F32: 4, BF16: 2 };
const TORCH_DTYPE: Record<SaveDType, string> = { F32: 'float32', BF16: 'bfloat16' };

const TEMPLATE = 'chat_template.jinja';
const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const SHARD_BYTES = 5e9;

const NAMES = [
  'config.json',
  'generation_config.json',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer_config.json',
];

/**
 * True for a file that `saveHuggingFace` may write: a folder with nothing else in it may be
 * replaced.
 */
export function isModelFile(name: string): boolean {
  return (
    [...NAMES, TEMPLATE, WEIGHTS, INDEX].includes(name) ||
    /^model-\d{5}-of-\d{5}\.safetensors$/.test(name)
  );
}

/**
 * Fields that transformers demands to be floats, for whom 1 is none; JavaScript writes 1.0 as 1.
 */
const FLOATS =
  /^( *"(?:routed_scaling_factor|rms_norm_eps|initializer_range|attention_dropout)": -?\d+)(,?)$/gm;

const jsonText = (value: unknown): string =>
  `${JSON.stringify(value, null, 2).replace(FLOATS, '$1.0$2')}\n`;

/** The text of each special token that the configuration names by id, found in `tokenizer.json`. */
function specialTokens(config: Json, tokenizer: Json): Record<string, string> {
  const added = Array.isArray(tokenizer.added_tokens)
    ? (tokenizer.added_tokens as { id?: unknown; content?: unknown }[])
    : [];
  const tokens: Record<string, string> = {};
  for (const role of ['bos', 'eos', 'pad']) {
    const raw = config[`${role}_token_id`];
    const id = Array.isArray(raw) ? raw[0] : raw;
    const content = added.find((token) => token?.id === id)?.content;
    if (typeof content === 'string') tokens[`${role}_token`] = content;
  }
  return tokens;
}

function defaultGenerationConfig(config: Json): Json {
  const ids = ['bos_token_id', 'eos_token_id', 'pad_token_id'].filter(
    (name) => config[name] !== undefined && config[name] !== null,
  );
  return {
    ...Object.fromEntries(ids.map((name) => [name, config[name]])),
    do_sample: true,
    temperature: 1,
  };
}

/**
 * Writes a model folder in one step; one of the same name is replaced.
 * @throws UserError (disk)
 */
export async function saveHuggingFace(
  folder: string,
  content: HuggingFaceContent,
): Promise<SavedModel> {
  const { tokenizer, dtype = 'F32' } = content;
  const config: Json = { ...content.config, torch_dtype: TORCH_DTYPE[dtype] };
  // It would say that the weights still lie in blocks of 8 bits.
  delete config.quantization_config;
  // The newer name of the same field; one of the two would contradict the file.
  if ('dtype' in config) config.dtype = TORCH_DTYPE[dtype];
  const json: Json = {
    'config.json': config,
    'generation_config.json': content.generationConfig ?? defaultGenerationConfig(config),
  };
  if (tokenizer) {
    const special = content.specialTokensMap ?? specialTokens(config, tokenizer);
    json['tokenizer.json'] = tokenizer;
    json['special_tokens_map.json'] = special;
    json['tokenizer_config.json'] = content.tokenizerConfig ?? {
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...special,
      clean_up_tokenization_spaces: false,
      ...(typeof config.max_position_embeddings === 'number'
        ? { model_max_length: config.max_position_embeddings }
        : {}),
    };
  }
  const tensors = [...content.tensors];
  const parameters = tensors.reduce((sum, { shape }) => sum + elementsOf(shape), 0);
  const write = (temporary: string): SavedModel => {
    const files: Record<string, Written> = {};
    const put = (name: string, value: unknown): void => {
      files[name] = writeFileDurably(join(temporary, name), jsonText(value), 'model');
    };
    for (const [name, value] of Object.entries(json)) put(name, value);
    if (content.chatTemplate)
      files[TEMPLATE] = writeFileDurably(join(temporary, TEMPLATE), content.chatTemplate, 'model');
    const shards = shardsOf(tensors, dtype, content.shardBytes ?? SHARD_BYTES);
    for (const { name, tensors: part } of shards) {
      const options = { dtype, metadata: { format: 'pt' }, label: 'model' };
      files[name] = writeSafetensors(join(temporary, name), part, options);
    }
    if (shards.length > 1) {
      const map = shards.flatMap(({ name, tensors: part }) =>
        part.map((tensor) => [tensor.name, name]),
      );
      put(INDEX, {
        metadata: { total_size: parameters * BYTES[dtype] },
        weight_map: Object.fromEntries(map),
      });
    }
    const bytes = Object.values(files).reduce((sum, file) => sum + file.bytes, 0);
    return {
      bytes,
      sha256: files[shards.length > 1 ? INDEX : WEIGHTS].sha256,
      files,
      tensors: tensors.length,
      parameters,
    };
  };
  return writeFolderAtomic(folder, write, 'model');
}

/** Tensors in order, cut where a file would grow beyond `limit` bytes; a tensor is never cut. */
function shardsOf(
  tensors: TensorSource[],
  dtype: SaveDType,
  limit: number,
): { name: string; tensors: TensorSource[] }[] {
  const parts: TensorSource[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    const size = elementsOf(tensor.shape) * BYTES[dtype];
    if (bytes > 0 && bytes + size > limit) {
      parts.push([]);
      bytes = 0;
    }
    parts[parts.length - 1].push(tensor);
    bytes += size;
  }
  if (parts.length === 1) return [{ name: WEIGHTS, tensors }];
  const digits = (n: number): string => String(n).padStart(5, '0');
  return parts.map((part, i) => ({
    name: `model-${digits(i + 1)}-of-${digits(parts.length)}.safetensors`,
    tensors: part,
  }));
}

export interface LoadedModel {
  folder: string;
  config: Json;
  /** Null where the folder has none. */
  tokenizerJson: Json | null;
  tokenizerConfig: Json | null;
  specialTokensMap: Json | null;
  generationConfig: Json | null;
  /** `chat_template.jinja`: what newer folders have beside `tokenizer_config.json`. */
  chatTemplate: string | null;
  /** Close it when done. */
  tensors: TensorReader;
}

/**
 * Opens a model folder or a snapshot; tensors are read when asked for.
 * @throws UserError (data) that names the file.
 */
export function loadHuggingFace(folder: string): LoadedModel {
  recoverFolder(folder);
  if (!existsSync(join(folder, 'config.json')))
    throw new UserError('data', `${folder} is not a model folder: it has no config.json`, folder);
  const config = readObject(folder, 'config.json', 'model configuration');
  checkQuantization(folder, config);
  const optional = (name: string): Json | null => readObjectIfAny(folder, name);
  return {
    folder,
    config,
    tokenizerJson: optional('tokenizer.json'),
    tokenizerConfig: optional('tokenizer_config.json'),
    specialTokensMap: optional('special_tokens_map.json'),
    generationConfig: optional('generation_config.json'),
    chatTemplate: existsSync(join(folder, TEMPLATE))
      ? readText(folder, TEMPLATE, 'chat template')
      : null,
    tensors: openTensors(folder),
  };
}

/**
 * Weights that were packed for one program cannot be read by another; DeepSeek's blocks of FP8 can.
 */
function checkQuantization(folder: string, config: Json): void {
  const quantization = config.quantization_config as
    | { quant_method?: unknown; weight_block_size?: unknown }
    | null
    | undefined;
  if (quantization === undefined || quantization === null) return;
  const { quant_method: method, weight_block_size: block } = quantization;
  if (method === 'fp8' && (block === undefined || String(block) === '128,128')) return;
  const what =
    method === 'fp8' ? `FP8 in blocks of ${show(block)}` : `quantization ${show(method)}`;
  throw new UserError(
    'data',
    `${folder}: its weights are in ${what}; load a model in BF16, or FP8 in blocks of 128 × 128`,
    folder,
  );
}
