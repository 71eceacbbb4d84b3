/**
 * @file What computes the models of some families: decoders with grouped-query attention
 * (decoder.ts), and those with latent attention (deepseek-v3.ts). A family says which by its facts.
 */
import type { Backend } from '../tensor/backend.js';
import type { ModelConfig } from './config-fields.js';
import type { Model } from './model.js';
import type { ParameterSpec, StoreOptions } from './parameters.js';

export interface Body {
  /** Every parameter, in Hugging Face's names. */
  parameters: (config: ModelConfig) => ParameterSpec[];
  create: (backend: Backend, config: ModelConfig, options?: StoreOptions) => Model;
}
