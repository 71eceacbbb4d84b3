/**
 * @file The table of model families: `model_type` of a `config.json` → constructor. A family is one
 * file and a line here.
 */
import { UserError } from '../base/errors.js';
import type { Backend } from '../tensor/backend.js';
import type { ModelConfig } from './config.js';
import { createDeepseek, deepseekParameters } from './deepseek-v3.js';
import { createLlama, llamaParameters } from './llama.js';
import type { Model } from './model.js';
import type { ParameterSpec, StoreOptions } from './parameters.js';

interface Family {
  create: (backend: Backend, config: ModelConfig, options?: StoreOptions) => Model;
  parameters: (config: ModelConfig) => ParameterSpec[];
  architecture: string;
}

const families: Record<string, Family> = {
  llama: { create: createLlama, parameters: llamaParameters, architecture: 'LlamaForCausalLM' },
  qwen2: { create: createLlama, parameters: llamaParameters, architecture: 'Qwen2ForCausalLM' },
  qwen3: { create: createLlama, parameters: llamaParameters, architecture: 'Qwen3ForCausalLM' },
  deepseek_v3: {
    create: createDeepseek,
    parameters: deepseekParameters,
    architecture: 'DeepseekV3ForCausalLM',
  },
};

/** The values of `model_type` that can be trained here. */
export const modelTypes = Object.keys(families);

/**
 * @param options with an adapter, the model's own weights are frozen and the adapter is what is
 * trained
 */
export function createModel(
  backend: Backend,
  config: ModelConfig,
  options: StoreOptions = {},
): Model {
  const family = families[config.model_type];
  if (!family) {
    const known = Object.keys(families).join(', ');
    throw new UserError(
      'data',
      `config.json: model_type: ${config.model_type} is not one of ${known}`,
      'model_type',
    );
  }
  return family.create(backend, config, options);
}

/** The parameters of a model, without making it. */
export function parametersOf(config: ModelConfig): ParameterSpec[] {
  return families[config.model_type].parameters(config);
}

/**
 * The class name that Hugging Face's `transformers` gives the family, for `architectures` in
 * `config.json`.
 */
export function transformersClass(config: ModelConfig): string {
  return families[config.model_type].architecture;
}

export {
  type AdapterSpec,
  ALL_LINEAR,
  adapterNames,
  adapterSchema,
  planAdapter,
  targetsOf,
} from './adapter.js';
export {
  dimensionsOf,
  explicitConfig,
  type ModelConfig,
  modelConfigSchema,
  parseModelConfig,
  ropeThetaOf,
} from './config.js';
export type { ExpertBalance, ForwardInput, KvCache, Model, TokenPredictor } from './model.js';
export {
  elementsBeside,
  type FrozenParameter,
  type FrozenWeights,
  type Numerics,
  type Parameter,
  type ParameterSpec,
  ParameterStore,
  reserveFrozen,
  type StoreOptions,
} from './parameters.js';
export { ropeScalingOf } from './rope-scaling.js';
