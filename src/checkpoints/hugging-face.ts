/**
 * @file Models as Hugging Face folders: what `transformers`, vLLM, llama.cpp's converter and everybody else read.
 *
 *   config.json  model.safetensors  tokenizer.json  tokenizer_config.json  special_tokens_map.json  generation_config.json
 *
 * Tensor names and layouts are Hugging Face's already (see `src/models`), so nothing is renamed here. Loading also takes a
 * model in several files (`model.safetensors.index.json`) and a run's snapshot, which has `weights.safetensors`.
 */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { UserError } from '../base/errors.js';
import { readJson, recoverFolder, type Written, writeFileDurably, writeFolderAtomic } from '../base/files.js';
import {
  type NamedTensor,
  openSafetensors,
  type SafetensorsFile,
  type SaveDType,
  type TensorSource,
  writeSafetensors,
} from './safetensors.js';

type Json = Record<string, unknown>;

/** The JSON files that say how text becomes tokens. */
export interface TokenizerFiles {
  /** `tokenizer.json`. */
  tokenizer: Json;
  /** `tokenizer_config.json`; by default made from the two others. */
  tokenizerConfig?: Json;
  /** `special_tokens_map.json`; by default made from the special ids in the model's configuration. */
  specialTokensMap?: Json;
}

export interface HuggingFaceContent extends Partial<TokenizerFiles> {
  /** `config.json`; should have `architectures` and the ids of special tokens. Its dtype field is set here. */
  config: Json;
  tensors: Iterable<TensorSource>;
  /** `generation_config.json`; by default plain sampling with the configuration's special ids. */
  generationConfig?: Json;
  dtype?: SaveDType;
}

export interface SavedModel extends Written {
  /** By name; `bytes` of the whole are the sum. `sha256` of the whole is that of `model.safetensors`. */
  files: Record<string, Written>;
  tensors: number;
  parameters: number;
}

const TORCH_DTYPE: Record<SaveDType, string> = { F32: 'float32', BF16: 'bfloat16' };

/** Every file that `saveHuggingFace` may write: a folder with nothing else in it may be replaced. */
export const MODEL_FILES: readonly string[] = [
  'config.json',
  'generation_config.json',
  'model.safetensors',
  'special_tokens_map.json',
  'tokenizer.json',
  'tokenizer_config.json',
];

/** The text of each special token that the configuration names by id, found in `tokenizer.json`. */
function specialTokens(config: Json, tokenizer: Json): Record<string, string> {
  const added = Array.isArray(tokenizer.added_tokens) ? (tokenizer.added_tokens as { id?: unknown; content?: unknown }[]) : [];
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
  return { ...Object.fromEntries(ids.map((name) => [name, config[name]])), do_sample: true, temperature: 1 };
}

/**
 * Writes a model folder in one step; one of the same name is replaced.
 * @throws UserError (disk)
 */
export async function saveHuggingFace(folder: string, content: HuggingFaceContent): Promise<SavedModel> {
  const { tokenizer, dtype = 'F32' } = content;
  const config: Json = { ...content.config, torch_dtype: TORCH_DTYPE[dtype] };
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
      ...(typeof config.max_position_embeddings === 'number' ? { model_max_length: config.max_position_embeddings } : {}),
    };
  }
  const tensors = [...content.tensors];
  const parameters = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
  const write = (temporary: string): SavedModel => {
    const files: Record<string, Written> = {};
    for (const [name, value] of Object.entries(json)) {
      files[name] = writeFileDurably(join(temporary, name), `${JSON.stringify(value, null, 2)}\n`, 'model');
    }
    const weights = writeSafetensors(join(temporary, 'model.safetensors'), tensors, {
      dtype,
      metadata: { format: 'pt' },
      label: 'model',
    });
    files['model.safetensors'] = weights;
    const bytes = Object.values(files).reduce((sum, file) => sum + file.bytes, 0);
    return { bytes, sha256: weights.sha256, files, tensors: tensors.length, parameters };
  };
  return writeFolderAtomic(folder, write, 'model');
}

/** Tensors of a model, wherever they lie. */
export interface TensorReader {
  readonly names: readonly string[];
  has(name: string): boolean;
  /** @throws UserError (data) when there is none of this name. */
  shape(name: string): readonly number[];
  /** `F32`, `F16`, `BF16`, … @throws UserError (data) */
  dtype(name: string): string;
  /** As float32. @throws UserError (data) */
  read(name: string): NamedTensor;
  /** The bits of a BF16 tensor. @throws UserError (data) */
  readBfloat16(name: string): Uint16Array;
  close(): void;
}

export interface LoadedModel {
  folder: string;
  config: Json;
  /** Null where the folder has none. */
  tokenizerJson: Json | null;
  tokenizerConfig: Json | null;
  specialTokensMap: Json | null;
  generationConfig: Json | null;
  /** Close it when done. */
  tensors: TensorReader;
}

function readObject(path: string, what: string): Json {
  const value = readJson(path, what);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UserError('data', `${what} ${path} is not a JSON object`, path);
  }
  return value as Json;
}

/** The files that hold a model's tensors. */
function weightFiles(folder: string): string[] {
  for (const name of ['model.safetensors', 'weights.safetensors']) {
    if (existsSync(join(folder, name))) return [join(folder, name)];
  }
  const index = join(folder, 'model.safetensors.index.json');
  if (!existsSync(index)) {
    const pickled = existsSync(join(folder, 'pytorch_model.bin'));
    const why = pickled
      ? 'only pytorch_model.bin, which would run code on loading; convert it to safetensors'
      : 'no model.safetensors';
    throw new UserError('data', `${folder} cannot be loaded: it has ${why}`, folder);
  }
  const { weight_map: map } = readObject(index, 'index');
  if (typeof map !== 'object' || map === null) throw new UserError('data', `index ${index} has no weight_map`, index);
  const names = [...new Set(Object.values(map))];
  for (const name of names) {
    if (typeof name !== 'string' || name !== basename(name) || name.includes('\\') || !name.endsWith('.safetensors')) {
      throw new UserError(
        'data',
        `index ${index} names ${JSON.stringify(name)}, which is not a safetensors file beside it`,
        index,
      );
    }
  }
  return (names as string[]).sort().map((name) => join(folder, name));
}

function openTensors(folder: string): TensorReader {
  const opened: SafetensorsFile[] = [];
  const owner = new Map<string, SafetensorsFile>();
  const close = (): void => {
    for (const file of opened) file.close();
  };
  try {
    for (const path of weightFiles(folder)) {
      const file = openSafetensors(path);
      opened.push(file);
      for (const name of file.tensors.keys()) {
        if (owner.has(name)) throw new UserError('data', `${path} has tensor ${name}, and so has ${owner.get(name)?.path}`, path);
        owner.set(name, file);
      }
    }
  } catch (error) {
    close();
    throw error;
  }
  const fileOf = (name: string): SafetensorsFile => {
    const file = owner.get(name);
    if (!file) throw new UserError('data', `${folder} has no tensor ${name}; is config.json of another model?`, folder);
    return file;
  };
  return {
    names: [...owner.keys()],
    has: (name) => owner.has(name),
    shape: (name) => fileOf(name).tensors.get(name)?.shape ?? [],
    dtype: (name) => fileOf(name).tensors.get(name)?.dtype ?? '',
    read: (name) => fileOf(name).read(name),
    readBfloat16: (name) => fileOf(name).readBfloat16(name),
    close,
  };
}

/**
 * Opens a model folder or a snapshot; tensors are read when asked for.
 * @throws UserError (data) that names the file.
 */
export function loadHuggingFace(folder: string): LoadedModel {
  recoverFolder(folder);
  if (!existsSync(join(folder, 'config.json')))
    throw new UserError('data', `${folder} is not a model folder: it has no config.json`, folder);
  const optional = (name: string): Json | null => {
    const path = join(folder, name);
    return existsSync(path) ? readObject(path, name) : null;
  };
  const files = {
    config: readObject(join(folder, 'config.json'), 'model configuration'),
    tokenizerJson: optional('tokenizer.json'),
    tokenizerConfig: optional('tokenizer_config.json'),
    specialTokensMap: optional('special_tokens_map.json'),
    generationConfig: optional('generation_config.json'),
  };
  return { folder, ...files, tensors: openTensors(folder) };
}
