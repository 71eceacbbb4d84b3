/**
 * @file The table of model families: `model_type` of a `config.json` → constructor. A family is one file and a line here.
 */
import { UserError } from '../base/errors.js';
import type { Backend } from '../tensor/backend.js';
import type { ModelConfig } from './config.js';
import { createLlama } from './llama.js';
import type { Model } from './model.js';

const families: Record<string, { create: (backend: Backend, config: ModelConfig) => Model; architecture: string }> = {
  llama: { create: createLlama, architecture: 'LlamaForCausalLM' },
  qwen3: { create: createLlama, architecture: 'Qwen3ForCausalLM' },
};

export function createModel(backend: Backend, config: ModelConfig): Model {
  const family = families[config.model_type];
  if (!family) {
    const known = Object.keys(families).join(', ');
    throw new UserError('data', `config.json: model_type: ${config.model_type} is not one of ${known}`, 'model_type');
  }
  return family.create(backend, config);
}

/** The class name that Hugging Face's `transformers` gives the family, for `architectures` in `config.json`. */
export function architectureOf(config: ModelConfig): string {
  return families[config.model_type].architecture;
}

export { dimensionsOf, explicitConfig, type ModelConfig, modelConfigSchema, parseModelConfig, ropeThetaOf } from './config.js';
export type { ForwardInput, KvCache, Model } from './model.js';
export { type Parameter, type ParameterSpec, ParameterStore } from './parameters.js';
