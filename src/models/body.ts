/**
 * @file What computes the models of some families: decoders with grouped-query attention
 * (decoder.ts), and those with latent attention (deepseek-v3.ts). A family says which by its facts.
 */
import type { Backend } from '../tensor/backend.js';
import type { ModelConfig } from './config.js';
import type { Model } from './model.js';
import type { ParameterSpec, StoreOptions } from './parameters.js';

/** What is wrong with a field of a configuration. */
export interface Problem {
  path: string[];
  message: string;
}

export interface Body {
  /** Every parameter, in Hugging Face's names. */
  parameters: (config: ModelConfig) => ParameterSpec[];
  create: (backend: Backend, config: ModelConfig, options?: StoreOptions) => Model;
}

/** What a body needs of a configuration. */
export interface BodyConfig {
  /** Beyond the types of the fields that every family has. */
  problems: (config: ModelConfig) => Problem[];
  /** The fields that `transformers` has other defaults for, written out. */
  explicit: (config: ModelConfig) => Record<string, unknown>;
  /** The fields that say what is computed and that no tensor's shape shows. */
  computation: (config: ModelConfig) => Record<string, unknown>;
}
