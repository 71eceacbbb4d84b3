/**
 * @file Opening a model to use it: from a folder on disk to something that answers prompts.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { type GenerationDefaults, generationDefaults } from '../checkpoints/generation.js';
import type { LoadedModel } from '../checkpoints/hugging-face.js';
import { openWithAdapter, readAdapter } from '../checkpoints/peft.js';
import {
  createModel,
  elementsBeside,
  type FrozenWeights,
  type Model,
  type ModelConfig,
  parametersOf,
  parseModelConfig,
  reserveFrozen,
} from '../models/index.js';
import { admitReferences, makeTask, type TaskReference } from '../tasks/index.js';
import type { Task } from '../tasks/task.js';
import type { Backend } from '../tensor/backend.js';
import {
  createWasmBackend,
  type GemmChoice,
  type Kernels,
  type Products,
  type WasmMemory,
} from '../tensor/backends/wasm/index.js';
import { openTokenizer } from '../tokenizers/hugging-face.js';
import { type Tokenizer, withUnusedIds } from '../tokenizers/tokenizer.js';

export interface OpenModel {
  folder: string;
  backend: Backend;
  model: Model;
  config: ModelConfig;
  tokenizer: Tokenizer;
  /** What `generation_config.json` says. */
  generation: GenerationDefaults;
  /**
   * What the model was trained on; null for a model that does not say. It may be a stranger's:
   * `taskOf` makes it.
   */
  task: TaskReference | null;
  /** Gives memory back. */
  close(): Promise<void>;
}

export interface OpenModelOptions {
  /** What multiplies matrices. */
  products?: Products;
  /** Threads that compute each product of machine code together, this one included. Default 1. */
  threads?: number;
  /**
   * One of several threads that share the weights (share.ts): rank 0 loads them, all wait for each
   * other.
   */
  share?: { model: SharedModel; rank: number };
}

/**
 * The memory that threads share, and what multiplies matrices in all of them; structured-cloneable.
 */
export interface SharedModel {
  memory: WasmMemory;
  choice: GemmChoice;
  kernels: Kernels;
  /** The matrices that stay in their form. */
  frozen: FrozenWeights;
}

const SHARED_MARGIN_BYTES = 1024 * 1024;

/** What Reckoner writes into the `config.json` of the models that it trains. */
const originSchema = z.object({
  task: z.looseObject({ name: z.string().optional(), module: z.string().optional() }),
});

/** True for a tensor of multi-token prediction: its layer comes after the model's. */
function isBeyond(name: string, { config }: Model): boolean {
  const layer = /^model\.layers\.(\d+)\./.exec(name);
  return layer !== null && Number(layer[1]) >= config.num_hidden_layers;
}

/**
 * What a folder may have and a model not: a tied head again, angles that are computed, and layers
 * of multi-token prediction.
 */
function isExtra(name: string, model: Model): boolean {
  const { config } = model;
  if (isBeyond(name, model)) return true;
  return (
    name.endsWith('.rotary_emb.inv_freq') ||
    (name === 'lm_head.weight' && config.tie_word_embeddings)
  );
}

/** A tensor without a place is a part of the model that would not be computed. */
function refuseStrangers(
  places: readonly { spec: { name: string } }[],
  model: Model,
  folder: string,
  tensors: LoadedModel['tensors'],
): void {
  const known = new Set(places.map(({ spec }) => spec.name));
  const stranger = tensors.names.find((name) => !known.has(name) && !isExtra(name, model));
  if (stranger === undefined) return;
  const message = `${folder} has the tensor ${JSON.stringify(stranger)}, for which a ${model.config.model_type} of this config.json has no place`;
  throw new UserError('data', message, folder);
}

/**
 * Puts a folder's weights into a model; those under an adapter where it has one. @throws UserError
 * (data) when one does not fit
 */
export function loadParameters(
  backend: Backend,
  model: Model,
  { folder, tensors }: LoadedModel,
): void {
  const { store } = model;
  const own = store.adapted ? [] : store.parameters.map((p) => ({ ...p, rows: null }));
  const places = [...store.frozen, ...own];
  refuseStrangers(places, model, folder, tensors);
  for (const { spec, value, rows } of places) {
    if (!tensors.has(spec.name) && isBeyond(spec.name, model)) {
      const promise = `config.json has num_nextn_predict_layers ${model.config.num_nextn_predict_layers}`;
      const message = `${folder}: ${promise}, and the tensor ${JSON.stringify(spec.name)} is missing; set it to 0 to go without`;
      throw new UserError('data', message, 'num_nextn_predict_layers');
    }
    const shape = tensors.shape(spec.name);
    if (shape.join() !== spec.shape.join()) {
      const shapes = `[${shape.join(', ')}], and config.json says [${spec.shape.join(', ')}]`;
      throw new UserError(
        'data',
        `${folder}: ${spec.name} is ${shapes}; they are of different models`,
        folder,
      );
    }
    if (rows) {
      tensors.readRows(spec.name, rows.bytes);
      continue;
    }
    let at = 0;
    for (const piece of tensors.pieces(spec.name)) {
      backend.write(backend.view(value, at, [piece.length]), piece);
      at += piece.length;
    }
  }
}

/** What a folder says before its weights are read. */
export interface Described
  extends Pick<OpenModel, 'folder' | 'config' | 'tokenizer' | 'generation' | 'task'> {
  /** Of the weights in the engine's memory, and of an adapter's. */
  sharedBytes: number;
  /** Room for the matrices that stay in their form. */
  frozen: FrozenWeights;
  trained: ReturnType<typeof readAdapter>;
}

/** @throws UserError (data) when a file is missing, damaged or of another model */
export function describeFolder(
  folder: string,
  { loaded, adapter }: ReturnType<typeof openWithAdapter>,
): Described {
  const config = parseModelConfig(loaded.config);
  if (loaded.tokenizerJson === null)
    throw new UserError(
      'data',
      `${folder} has no tokenizer.json; copy it from where the model came`,
      folder,
    );
  const tokenizer = withUnusedIds(
    openTokenizer({ ...loaded, tokenizerJson: loaded.tokenizerJson }),
  );
  if (tokenizer.vocabularySize > config.vocab_size) {
    const sizes = `${tokenizer.vocabularySize} tokens and config.json ${config.vocab_size}`;
    throw new UserError(
      'data',
      `${folder}: tokenizer.json has ${sizes}; the files are of different models`,
      folder,
    );
  }
  const specs = parametersOf(config);
  const { tensors } = loaded;
  const frozen = reserveFrozen(specs, (name) => (tensors.has(name) ? tensors.form(name) : null));
  const trained = adapter ? readAdapter(adapter, specs) : [];
  const numbers =
    elementsBeside(specs, frozen) + trained.reduce((sum, t) => sum + t.data.length, 0);
  const origin = originSchema.safeParse(loaded.config.reckoner);
  return {
    folder,
    config,
    tokenizer,
    generation: generationDefaults(loaded.generationConfig),
    task: origin.success ? origin.data.task : null,
    sharedBytes: 4 * numbers + SHARED_MARGIN_BYTES,
    frozen,
    trained,
  };
}

/**
 * Loads a model folder, or a run's snapshot, onto one CPU core.
 * @throws UserError (data) when a file is missing, damaged or of another model
 */
export async function openModel(
  folder: string,
  options: OpenModelOptions = {},
): Promise<OpenModel> {
  const files = openWithAdapter(folder);
  try {
    const { loaded, adapter } = files;
    const { config, tokenizer, generation, task, sharedBytes, trained, ...described } =
      describeFolder(folder, files);
    const share = options.share?.model;
    const backend = await createWasmBackend(
      share
        ? { ...share, rank: options.share?.rank }
        : { sharedBytes, products: options.products, helpers: (options.threads ?? 1) - 1 },
    );
    const frozen = share?.frozen ?? described.frozen;
    const model = createModel(backend, config, { adapter: adapter?.spec, frozen });
    if (backend.ranks.rank === 0) {
      loadParameters(backend, model, loaded);
      const byName = new Map(trained.map((tensor) => [tensor.name, tensor.data]));
      if (adapter)
        for (const { spec, value } of model.store.parameters)
          backend.write(value, byName.get(spec.name) ?? []);
    }
    await backend.ranks.barrier();
    const close = () => backend.close();
    return { folder, backend, model, config, tokenizer, generation, task, close };
  } finally {
    files.close();
  }
}

/**
 * The task that a model was trained on.
 * @param trust the user said `--trust`: what the model's task refers to may be read and executed
 * @throws UserError (usage) when there is none; (state) when it refers to what is not the user's
 */
export function taskOf({ task, folder }: Pick<OpenModel, 'task' | 'folder'>, trust = false): Task {
  if (task === null) {
    throw new UserError(
      'usage',
      'the model does not say what it was trained on; name a task with --task',
      '--task',
    );
  }
  admitReferences(task, { folder, trust });
  return makeTask(task);
}
