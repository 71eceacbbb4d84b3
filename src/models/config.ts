/**
 * @file Model configuration: the fields of a Hugging Face `config.json` that Reckoner reads,
 * validated.
 *
 * Unknown fields are kept, so that a folder that was loaded can be saved again without loss.
 */
import { familyOf } from '../architecture/index.js';
import { UserError } from '../base/errors.js';
import { type BodyConfig, configFields, type ModelConfig } from './config-fields.js';
import {
  decoderComputation,
  decoderProblems,
  explicitDecoder,
  familyOfConfig,
} from './decoder-config.js';
import { deepseekComputation, deepseekProblems, explicitDeepseek } from './deepseek-v3-config.js';
import { ropeThetaOf, withinLongrope } from './rope-scaling.js';

export const modelConfigSchema = configFields.superRefine((config, context) => {
  if (familyOf(config.model_type)?.engine === undefined) return;
  try {
    for (const problem of bodyConfig(config).problems(config))
      context.addIssue({ code: 'custom', ...problem });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const path = error.field?.split('.') ?? [];
    context.addIssue({ code: 'custom', path, message: error.message });
  }
});

export type { ModelConfig };

const decoder: BodyConfig = {
  problems: decoderProblems,
  explicit: explicitDecoder,
  computation: decoderComputation,
};
const latent: BodyConfig = {
  problems: deepseekProblems,
  explicit: explicitDeepseek,
  computation: deepseekComputation,
};

const bodyConfig = (config: { model_type: string }): BodyConfig =>
  familyOfConfig(config).engine.latent ? latent : decoder;

/** Fields that may be null, which means that they are left out. */
const NULLABLE = ['head_dim', 'num_key_value_heads'];

/**
 * The configuration of the language model, with its family's own defaults: what a `config.json` has
 * for a model of several kinds of input stands in its `text_config`.
 */
function languageModel(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const { text_config: text, vision_config: _, ...outer } = value as Record<string, unknown>;
  const written: Record<string, unknown> =
    typeof text === 'object' && text !== null ? { ...outer, ...text } : { ...outer };
  const family = familyOf(String(written.model_type));
  if (!family?.engine) return value;
  for (const field of NULLABLE) if (written[field] === null) delete written[field];
  return withinLongrope({
    ...family.defaults,
    ...(family.tied && { tie_word_embeddings: true }),
    ...written,
  });
}

/** A configuration, or what is wrong with it, as zod says it. */
export const checkModelConfig = (value: unknown) =>
  modelConfigSchema.safeParse(languageModel(value));

/** @throws UserError (data) that names the first wrong field. */
export function parseModelConfig(value: unknown, where = 'config.json'): ModelConfig {
  const result = checkModelConfig(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = issue.path.join('.');
  throw new UserError('data', `${where}: ${field || 'model'}: ${issue.message}`, field);
}

/**
 * The configuration with the sizes written out whose defaults differ between families:
 * `transformers` takes 128 for a missing
 * `head_dim` of Qwen3, and 32 for missing `num_key_value_heads`, whatever the other sizes are.
 */
export function explicitConfig(config: ModelConfig): ModelConfig {
  const usual = { hidden_act: 'silu', attention_bias: false, mlp_bias: false };
  return { ...usual, ...config, ...bodyConfig(config).explicit(config) };
}

/**
 * The fields that say what is computed, with defaults filled in; layers and widths show in the
 * tensors' shapes.
 */
export function computationOf(config: ModelConfig): Record<string, unknown> {
  const explicit = explicitConfig(config);
  const { model_type, num_attention_heads, num_key_value_heads, head_dim } = explicit;
  const { rms_norm_eps, tie_word_embeddings } = explicit;
  return {
    model_type,
    num_attention_heads,
    num_key_value_heads,
    head_dim,
    rms_norm_eps,
    rope_theta: ropeThetaOf(config),
    tie_word_embeddings,
    ...bodyConfig(config).computation(config),
  };
}

/** Sizes with the defaults filled in. */
export function dimensionsOf(config: ModelConfig): {
  width: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  ffn: number;
  vocabulary: number;
} {
  const heads = config.num_attention_heads;
  return {
    width: config.hidden_size,
    layers: config.num_hidden_layers,
    heads,
    kvHeads: config.num_key_value_heads ?? heads,
    headDim: config.head_dim ?? config.hidden_size / heads,
    ffn: config.intermediate_size,
    vocabulary: config.vocab_size,
  };
}
