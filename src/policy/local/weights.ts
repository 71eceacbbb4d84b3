/**
 * @file Loads the weights from which a stage starts, and saves the models that it produces.
 */
import { join, resolve } from 'node:path';
import { UserError } from '../../base/errors.js';
import { hashOf } from '../../base/files.js';
import {
  type LoadedModel,
  saveHuggingFace,
  type TokenizerFiles,
} from '../../checkpoints/hugging-face.js';
import { loadModel } from '../../checkpoints/load-model.js';
import { adapterConfig, loadAdapter, readAdapter, saveAdapter } from '../../checkpoints/peft.js';
import { resolveModel } from '../../checkpoints/run-folder.js';
import type { NamedTensor } from '../../checkpoints/safetensors.js';
import { loadParameters } from '../../inference/open.js';
import {
  type AdapterSpec,
  computationOf,
  createModel,
  explicitConfig,
  type Model,
  parametersOf,
  parseModelConfig,
  transformersClass,
} from '../../models/index.js';
import type { Backend, Tensor } from '../../tensor/backend.js';
import type { Tokenizer } from '../../tokenizers/tokenizer.js';

export async function toHost(
  backend: Backend,
  tensors: readonly { name: string; tensor: Tensor }[],
): Promise<NamedTensor[]> {
  const out: NamedTensor[] = [];
  for (const { name, tensor } of tensors) {
    out.push({ name, shape: tensor.shape, data: Float32Array.from(await backend.read(tensor)) });
  }
  return out;
}

/**
 * The parameters as a checkpoint names them, sorted by name so that files do not depend on memory
 * layout.
 */
export function weightsOf(model: Model): { name: string; tensor: Tensor }[] {
  return model.store.parameters
    .map((p) => ({ name: p.spec.name, tensor: p.value }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function restore(
  backend: Backend,
  into: readonly { name: string; tensor: Tensor }[],
  from: readonly NamedTensor[],
  what: string,
): void {
  const byName = new Map(from.map((t) => [t.name, t]));
  for (const { name, tensor } of into) {
    const saved = byName.get(name);
    if (!saved || saved.shape.join() !== tensor.shape.join()) {
      throw new UserError(
        'data',
        `${what}: ${name} is missing or has another shape; the checkpoint is of another recipe`,
      );
    }
    backend.write(tensor, saved.data);
  }
}

/** The folder of a model that a recipe names: a stage's, a run's, or the folder itself. */
export type FolderOf = (from: string) => string;

/** What goes with a model's weights into the folders that are written. */
export interface ModelOrigin {
  recipe: {
    name: string;
    task?: object;
    adapter?: AdapterSpec;
    init?: { from: string };
  };
  tokenizer: Tokenizer;
  tokenizerFiles: TokenizerFiles;
}

/** @throws UserError (data) for another vocabulary than the recipe's */
function open(
  from: string,
  folderOf: FolderOf,
  tokenizer: Tokenizer,
): LoadedModel & { config: Record<string, unknown> } {
  const loaded = loadModel(folderOf(from));
  if (hashOf(loaded.tokenizerJson) === hashOf(tokenizer.toJSON())) return loaded;
  loaded.tensors.close();
  throw new UserError(
    'data',
    `init.from: ${loaded.folder} has another vocabulary than the recipe's tasks`,
    'init.from',
  );
}

/**
 * Starts from the weights of a stage, a run or a model folder. @throws UserError (data) when it is
 * another kind of model
 */
export function loadInitialWeights(
  backend: Backend,
  model: Model,
  tokenizer: Tokenizer,
  from: string,
  folderOf: FolderOf,
): void {
  const loaded = open(from, folderOf, tokenizer);
  try {
    // Weights of one shape may belong to models that compute something else with them.
    const theirs = computationOf(
      parseModelConfig(loaded.config, join(loaded.folder, 'config.json')),
    );
    for (const [field, value] of Object.entries(computationOf(model.config))) {
      if (value === theirs[field]) continue;
      const message = `init.from: ${loaded.folder} has ${field} ${theirs[field]}, and the recipe's model ${value}; make them equal`;
      throw new UserError('data', message, `model.${field}`);
    }
    loadParameters(backend, model, loaded);
  } finally {
    loaded.tensors.close();
  }
}

/** The adapter that an earlier stage left. @throws UserError (data) when it is of another kind */
export function loadTrainedAdapter(
  backend: Backend,
  model: Model,
  stage: string,
  folderOf: FolderOf,
): void {
  const adapter = loadAdapter(folderOf(stage));
  try {
    const tensors = readAdapter(adapter, parametersOf(model.config));
    restore(backend, weightsOf(model), tensors, adapter.folder);
  } finally {
    adapter.tensors.close();
  }
}

/** A whole model beside the recipe's own, on the backend's stack; all ranks call it together. */
export async function loadOtherModel(
  backend: Backend,
  tokenizer: Tokenizer,
  from: string,
  folderOf: FolderOf,
): Promise<Model> {
  const loaded = open(from, folderOf, tokenizer);
  try {
    const model = createModel(
      backend,
      parseModelConfig(loaded.config, join(loaded.folder, 'config.json')),
    );
    if (backend.ranks.rank === 0) loadParameters(backend, model, loaded);
    await backend.ranks.barrier();
    return model;
  } finally {
    loaded.tensors.close();
  }
}

/** Configuration and tokenizer, so that a snapshot, too, can be talked to and exported. */
export function modelFiles(
  model: Model,
  { recipe, tokenizer, tokenizerFiles: files }: ModelOrigin,
) {
  const config: Record<string, unknown> = {
    ...explicitConfig(model.config),
    architectures: [transformersClass(model.config)],
    bos_token_id: tokenizer.special.bos,
    eos_token_id: tokenizer.special.eos,
    pad_token_id: tokenizer.special.pad,
    torch_dtype: 'float32',
    // What the model was trained on, so that `chat` and `eval` know its prompts without the run.
    reckoner: { recipe: recipe.name, task: recipe.task },
  };
  const { tokenizer: json, tokenizerConfig, specialTokensMap } = files;
  return {
    'config.json': config,
    'tokenizer.json': json,
    'tokenizer_config.json': tokenizerConfig,
    'special_tokens_map.json': specialTokensMap,
    ...(recipe.adapter && recipe.init
      ? { 'adapter_config.json': peftConfig(model, recipe.adapter, recipe.init.from) }
      : {}),
  };
}

function peftConfig(model: Model, adapter: AdapterSpec, from: string): Record<string, unknown> {
  return adapterConfig(parametersOf(model.config), adapter, resolve(resolveModel(from).folder));
}

/**
 * Writes the model as a Hugging Face folder, or as PEFT's where an adapter was trained. Returns its
 * size in bytes.
 */
export async function saveModel(
  folder: string,
  backend: Backend,
  model: Model,
  resolved: ModelOrigin,
): Promise<number> {
  if (model.store.adapted) {
    const { 'adapter_config.json': config = {}, ...json } = modelFiles(model, resolved);
    return (
      await saveAdapter(folder, { config, tensors: await toHost(backend, weightsOf(model)), json })
    ).bytes;
  }
  const { bytes } = await saveHuggingFace(folder, {
    config: modelFiles(model, resolved)['config.json'],
    tensors: await toHost(backend, weightsOf(model)),
    ...resolved.tokenizerFiles,
    dtype: 'F32',
  });
  return bytes;
}
