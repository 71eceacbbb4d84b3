/**
 * @file The fields that every `config.json` has that Reckoner reads, and what a body of models
 * (body.ts) knows of a configuration.
 */
import { z } from 'zod';
import { FAMILIES } from '../architecture/index.js';
import { rowOf } from '../base/rows.js';

const positive = z.number().int().positive();

/** Far more than any model has; what is listed layer by layer stays small. */
const MOST_LAYERS = 1000;

export const configFields = z.looseObject({
  model_type: rowOf(FAMILIES, ({ engine }) => engine !== undefined),
  vocab_size: positive,
  hidden_size: positive,
  intermediate_size: positive,
  num_hidden_layers: positive.max(MOST_LAYERS),
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
});

export type ModelConfig = z.infer<typeof configFields>;

/** What is wrong with a field of a configuration. */
export interface Problem {
  path: string[];
  message: string;
}

export interface BodyConfig {
  /** Beyond the types of the fields that every family has. */
  problems: (config: ModelConfig) => Problem[];
  /** The fields that `transformers` has other defaults for, written out. */
  explicit: (config: ModelConfig) => Record<string, unknown>;
  /** The fields that say what is computed and that no tensor's shape shows. */
  computation: (config: ModelConfig) => Record<string, unknown>;
}
