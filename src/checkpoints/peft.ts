/**
 * @file Adapters as PEFT writes them: `adapter_config.json` and `adapter_model.safetensors`.
 *
 * The tensors already have PEFT's names (see `src/models/adapter.ts`). `base_model_name_or_path`
 * says which model the adapter is for; here it must be a folder. What PEFT can do beyond plain LoRA
 * (DoRA, ranks by layer, trained biases) changes the model in ways that this program does not
 * compute, so a file that asks for it is refused. Format: https://huggingface.co/docs/peft,
 * checkpoint format.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { type Written, writeFileDurably, writeFolderAtomic } from '../base/files.js';
import {
  type AdapterSpec,
  ALL_LINEAR,
  adapterNames,
  type ParameterSpec,
  planAdapter,
  targetsOf,
} from '../models/index.js';
import type { LoadedModel } from './hugging-face.js';
import { isModel, loadModel } from './load-model.js';
import { type Json, readObject, readObjectIfAny } from './model-folder.js';
import type { NamedTensor } from './safetensors.js';
import { type SaveDType, type TensorSource, writeSafetensors } from './safetensors-writer.js';
import { openTensors, type TensorReader } from './weights.js';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';

/** What `saveAdapter` writes beside a model's JSON files. */
export const ADAPTER_FILES: readonly string[] = [CONFIG, WEIGHTS];

/** `adapter_config.json` for an adapter of the model in folder `base`. */
export function adapterConfig(
  specs: readonly ParameterSpec[],
  adapter: AdapterSpec,
  base: string,
): Json {
  const targets = adapter.targets === ALL_LINEAR ? targetsOf(specs) : adapter.targets;
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: base,
    r: adapter.rank,
    lora_alpha: adapter.alpha,
    lora_dropout: 0,
    target_modules: targets,
    bias: 'none',
    fan_in_fan_out: false,
    init_lora_weights: true,
    use_rslora: false,
    use_dora: false,
    modules_to_save: null,
    layers_to_transform: null,
    rank_pattern: {},
    alpha_pattern: {},
    inference_mode: true,
  };
}

export interface AdapterContent {
  /** From `adapterConfig`. */
  config: Json;
  tensors: readonly TensorSource[];
  /** More JSON files by name: the model's configuration and tokenizer. */
  json?: Record<string, unknown>;
  dtype?: SaveDType;
}

export interface SavedAdapter extends Written {
  files: Record<string, Written>;
}

/**
 * Writes an adapter's folder in one step; one of the same name is replaced. @throws UserError
 * (disk)
 */
export async function saveAdapter(
  folder: string,
  { config, tensors, json = {}, dtype = 'F32' }: AdapterContent,
): Promise<SavedAdapter> {
  const write = (temporary: string): SavedAdapter => {
    const files: Record<string, Written> = {};
    for (const [name, value] of Object.entries({ [CONFIG]: config, ...json })) {
      files[name] = writeFileDurably(
        join(temporary, name),
        `${JSON.stringify(value, null, 2)}\n`,
        'adapter',
      );
    }
    const weights = writeSafetensors(join(temporary, WEIGHTS), tensors, {
      dtype,
      metadata: { format: 'pt' },
      label: 'adapter',
    });
    files[WEIGHTS] = weights;
    return {
      files,
      bytes: Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0),
      sha256: weights.sha256,
    };
  };
  return writeFolderAtomic(folder, write, 'adapter');
}

const nothing = (value: unknown): boolean =>
  value === null ||
  value === false ||
  (typeof value === 'object' && Object.keys(value as object).length === 0);
const none = (what: string) =>
  z.unknown().refine(nothing, `must be unset: ${what} is not supported`).optional();

const configSchema = z.looseObject({
  peft_type: z.literal('LORA'),
  base_model_name_or_path: z.string().min(1),
  r: z.number().int().positive().max(4096),
  lora_alpha: z.number().positive(),
  /** Last parts of names; or a regular expression, or `all-linear`. */
  target_modules: z.union([z.array(z.string()).min(1), z.string().min(1)]),
  bias: z.literal('none').optional(),
  fan_in_fan_out: z.literal(false).nullish(),
  use_rslora: none('rank-stabilised scaling'),
  use_dora: none('DoRA'),
  modules_to_save: none('training whole modules beside the adapter'),
  layers_to_transform: none('an adapter of some layers'),
  rank_pattern: none('ranks by layer'),
  alpha_pattern: none('alphas by layer'),
});

export interface LoadedAdapter {
  folder: string;
  spec: AdapterSpec;
  /** The folder of the model that it belongs to. */
  base: string;
  config: Json;
  /** Close it when done. */
  tensors: TensorReader;
}

export const isAdapter = (folder: string): boolean => existsSync(join(folder, CONFIG));

/**
 * The modules that an adapter's tensors belong to. A stranger's regular expression is not run: the
 * tensors are what it has matched.
 */
const modulesOf = (tensors: TensorReader): string[] =>
  tensors.names.flatMap(
    (name) => /^base_model\.model\.(.+)\.lora_A\.weight$/.exec(name)?.[1] ?? [],
  );

/**
 * Opens an adapter's folder, or a snapshot of a run that trains one. @throws UserError (data) that
 * names the file
 */
export function loadAdapter(folder: string): LoadedAdapter {
  const path = join(folder, CONFIG);
  const parsed = configSchema.safeParse(readObject(folder, CONFIG, 'adapter configuration'));
  if (!parsed.success) {
    const [{ path: at, message }] = parsed.error.issues;
    throw new UserError('data', `${path}: ${at.join('.') || 'adapter'}: ${message}`, path);
  }
  const {
    r,
    lora_alpha: alpha,
    target_modules: targets,
    base_model_name_or_path: base,
  } = parsed.data;
  if (!isModel(base)) {
    const message = `${path}: base_model_name_or_path: there is no model ${base}; download the model, and write where it is`;
    throw new UserError('data', message, path);
  }
  const file = [WEIGHTS, 'weights.safetensors'].find((name) => existsSync(join(folder, name)));
  if (file === undefined)
    throw new UserError('data', `${folder} cannot be loaded: it has no ${WEIGHTS}`, folder);
  const tensors = openTensors(folder, file);
  const spec: AdapterSpec = {
    kind: 'lora',
    rank: r,
    alpha,
    targets: typeof targets === 'string' ? modulesOf(tensors) : targets,
  };
  return { folder, spec, base, config: parsed.data, tensors };
}

/**
 * All tensors of an adapter of a model with these parameters. @throws UserError (data) when they do
 * not fit
 */
export function readAdapter(
  { folder, spec, tensors }: LoadedAdapter,
  specs: readonly ParameterSpec[],
): NamedTensor[] {
  const wanted = planAdapter(specs, spec).specs;
  const known = new Set(wanted.map(({ name }) => name));
  const extra = tensors.names.find((name) => !known.has(name));
  if (extra !== undefined) {
    throw new UserError(
      'data',
      `${folder}: the adapter has ${JSON.stringify(extra)}, which its configuration does not explain`,
      folder,
    );
  }
  return wanted.map(({ name, shape }) => {
    const tensor = tensors.read(name);
    if (tensor.shape.join() === shape.join()) return tensor;
    const shapes = `[${tensor.shape.join(', ')}], and the model wants [${shape.join(', ')}]`;
    throw new UserError(
      'data',
      `${folder}: ${name} is ${shapes}; the adapter is of another model or rank`,
      folder,
    );
  });
}

export interface ModelWithAdapter {
  /** The base model where there is an adapter. */
  loaded: LoadedModel;
  adapter: LoadedAdapter | null;
  close(): void;
}

/**
 * Opens a model folder, a snapshot or an adapter's folder. An adapter's own tokenizer and origin,
 * where it has them, stand in for the base's.
 * @throws UserError (data)
 */
export function openWithAdapter(folder: string): ModelWithAdapter {
  if (!isAdapter(folder)) {
    const loaded = loadModel(folder);
    return { loaded, adapter: null, close: () => loaded.tensors.close() };
  }
  const adapter = loadAdapter(folder);
  try {
    const base = loadModel(adapter.base);
    const own = (name: string): Json | null => readObjectIfAny(folder, name);
    const origin = own('config.json')?.reckoner;
    const loaded: LoadedModel = {
      ...base,
      config: { ...base.config, ...(origin === undefined ? {} : { reckoner: origin }) },
      tokenizerJson: own('tokenizer.json') ?? base.tokenizerJson,
      tokenizerConfig: own('tokenizer_config.json') ?? base.tokenizerConfig,
      specialTokensMap: own('special_tokens_map.json') ?? base.specialTokensMap,
    };
    return {
      loaded,
      adapter,
      close: () => {
        base.tensors.close();
        adapter.tensors.close();
      },
    };
  } catch (error) {
    adapter.tensors.close();
    throw error;
  }
}

/** Whether an adapter changes the weight of this name. */
export const hasAdapterFor = ({ tensors }: LoadedAdapter, name: string): boolean =>
  tensors.has(adapterNames(name).a);

/** weight + (alpha / rank) · B·A; a weight without an adapter as it is. */
export function mergeAdapter(weight: NamedTensor, adapter: LoadedAdapter): NamedTensor {
  const { a, b } = adapterNames(weight.name);
  if (!hasAdapterFor(adapter, weight.name)) return weight;
  const { tensors, spec } = adapter;
  const [down, up] = [tensors.read(a).data, tensors.read(b).data];
  const [rows, columns] = weight.shape;
  const { rank } = spec;
  const scale = spec.alpha / rank;
  const data = weight.data.slice();
  const sum = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    sum.fill(0);
    for (let r = 0; r < rank; r++) {
      const factor = scale * up[i * rank + r];
      for (let j = 0; j < columns; j++) sum[j] += factor * down[r * columns + j];
    }
    for (let j = 0; j < columns; j++) data[i * columns + j] += sum[j];
  }
  return { ...weight, data };
}
