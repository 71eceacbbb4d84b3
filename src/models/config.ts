/**
 * @file Model configuration: the fields of a Hugging Face `config.json` that Reckoner reads,
 * validated.
 *
 * Unknown fields are kept, so that a folder that was loaded can be saved again without loss.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { deepseekProblems, explicitDeepseek } from './deepseek-v3-config.js';
import { ropeScalingProblem } from './rope-scaling.js';

const positive = z.number().int().positive();

export const modelConfigSchema = z
  .looseObject({
    model_type: z.enum(['llama', 'qwen2', 'qwen3', 'deepseek_v3']),
    vocab_size: positive,
    hidden_size: positive,
    intermediate_size: positive,
    num_hidden_layers: positive,
    num_attention_heads: positive,
    /** Grouped-query attention; defaults to multi-head. */
    num_key_value_heads: positive.optional(),
    /** Defaults to hidden_size / num_attention_heads. */
    head_dim: positive.optional(),
    max_position_embeddings: positive.default(2048),
    rms_norm_eps: z.number().positive().default(1e-6),
    rope_theta: z.number().positive().default(10_000),
    /** Where transformers 5 writes `rope_theta`; it wins over the field above. */
    rope_parameters: z.looseObject({ rope_theta: z.number().positive().optional() }).nullish(),
    /** How positions are stretched over a longer context (rope-scaling.ts). */
    rope_scaling: z.looseObject({}).nullish(),
    tie_word_embeddings: z.boolean().default(false),
    /** Standard deviation of the initial weights. */
    initializer_range: z.number().positive().default(0.02),
    hidden_act: z.literal('silu').default('silu'),
    /**
     * Of Llama and Qwen3; that Qwen2 has biases on queries, keys and values is not said anywhere.
     */
    attention_bias: z.literal(false).default(false),
    mlp_bias: z.literal(false).default(false),
  })
  .superRefine((config, context) => {
    if (config.model_type === 'deepseek_v3') {
      for (const { path, message } of deepseekProblems(config)) {
        context.addIssue({ code: 'custom', path: path.split('.'), message });
      }
      return;
    }
    const headDim = config.head_dim ?? config.hidden_size / config.num_attention_heads;
    const kvHeads = config.num_key_value_heads ?? config.num_attention_heads;
    if (!Number.isInteger(headDim) || headDim % 2 !== 0) {
      context.addIssue({
        code: 'custom',
        path: ['head_dim'],
        message: `must be an even integer, is ${headDim}`,
      });
    }
    if (config.model_type === 'llama' && config.hidden_size % config.num_attention_heads !== 0) {
      // Ours would run, but transformers loads no such Llama, whatever its head_dim.
      const message = `must be a multiple of num_attention_heads (${config.num_attention_heads}), is ${config.hidden_size}`;
      context.addIssue({ code: 'custom', path: ['hidden_size'], message });
    }
    const scaling = ropeScalingProblem(config);
    if (scaling) context.addIssue({ code: 'custom', ...scaling });
    // Qwen's; its attention would then see a part of the past only.
    if (
      Array.isArray(config.layer_types) &&
      config.layer_types.some((type) => type !== 'full_attention')
    ) {
      context.addIssue({
        code: 'custom',
        path: ['layer_types'],
        message: 'must all be "full_attention"',
      });
    }
    if (config.use_sliding_window) {
      context.addIssue({
        code: 'custom',
        path: ['use_sliding_window'],
        message: 'must be false; attention is over the whole past',
      });
    }
    if (config.num_attention_heads % kvHeads !== 0) {
      context.addIssue({
        code: 'custom',
        path: ['num_key_value_heads'],
        message: `must divide num_attention_heads (${config.num_attention_heads}), is ${kvHeads}`,
      });
    }
  });

export type ModelConfig = z.infer<typeof modelConfigSchema>;

/** @throws UserError (data) that names the first wrong field. */
export function parseModelConfig(value: unknown, where = 'config.json'): ModelConfig {
  const result = modelConfigSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = issue.path.join('.');
  throw new UserError('data', `${where}: ${field || 'model'}: ${issue.message}`, field);
}

/** The base of the rotary frequencies, wherever the configuration says it. */
export function ropeThetaOf(config: ModelConfig): number {
  return config.rope_parameters?.rope_theta ?? config.rope_theta;
}

/**
 * The configuration with the sizes written out whose defaults differ between families:
 * `transformers` takes 128 for a missing
 * `head_dim` of Qwen3, and 32 for missing `num_key_value_heads`, whatever the other sizes are.
 */
export function explicitConfig(config: ModelConfig): ModelConfig {
  if (config.model_type === 'deepseek_v3') return { ...config, ...explicitDeepseek(config) };
  const { kvHeads, headDim } = dimensionsOf(config);
  return { ...config, num_key_value_heads: kvHeads, head_dim: headDim };
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
