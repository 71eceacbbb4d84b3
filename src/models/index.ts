/**
 * @file Models by their configuration: what a family is computed by follows from its row
 * (architecture/families).
 */
import { FAMILIES } from '../architecture/index.js';
import type { Backend } from '../tensor/backend.js';
import type { Body } from './body.js';
import type { ModelConfig } from './config.js';
import { decoderBody } from './decoder.js';
import { familyOfConfig } from './decoder-config.js';
import { latentBody } from './deepseek-v3.js';
import type { Model } from './model.js';
import type { ParameterSpec, StoreOptions } from './parameters.js';

/** The values of `model_type` that can be computed here. */
export const modelTypes = (): string[] =>
  Object.keys(FAMILIES).filter((name) => FAMILIES[name].engine !== undefined);

const bodyOf = (config: ModelConfig): Body =>
  familyOfConfig(config).engine.latent ? latentBody : decoderBody;

/**
 * @param options with an adapter, the model's own weights are frozen and the adapter is what is
 * trained
 */
export const createModel = (
  backend: Backend,
  config: ModelConfig,
  options: StoreOptions = {},
): Model => bodyOf(config).create(backend, config, options);

/** The parameters of a model, without making it. */
export const parametersOf = (config: ModelConfig): ParameterSpec[] =>
  bodyOf(config).parameters(config);

/**
 * The class name that Hugging Face's `transformers` gives the family, for `architectures` in
 * `config.json`.
 */
export const transformersClass = (config: ModelConfig): string =>
  familyOfConfig(config).engine.transformers;

export {
  type AdapterSpec,
  ALL_LINEAR,
  adapterNames,
  adapterSchema,
  planAdapter,
  targetsOf,
} from './adapter.js';
export {
  checkModelConfig,
  computationOf,
  dimensionsOf,
  explicitConfig,
  type ModelConfig,
  modelConfigSchema,
  parseModelConfig,
} from './config.js';
export { layerNames, NORMS } from './decoder.js';
export { type DecoderShape, decoderShape, familyOfConfig } from './decoder-config.js';
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
export { ropeScalingOf, ropeThetaOf } from './rope-scaling.js';
