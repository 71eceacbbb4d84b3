/**
 * @file DeepSeek-V3's part of a `config.json`: latent attention, the mixture of experts,
 * multi-token prediction, YaRN.
 *
 * Sizes must be said. Where a field is missing that `transformers` has a default for, ours is the
 * one that switches a thing off (one group of experts, no dense layers, no prediction layer);
 * `explicitDeepseek` writes all of them out, so that both read the same model.
 */
import { z } from 'zod';
import type { Yarn } from '../tensor/index.js';
import type { Problem } from './config-fields.js';

const positive = z.number().int().positive();
const fraction = z.number().positive();

/** `rope_scaling` of the released configuration, or `rope_parameters` of transformers 5. */
const yarnSchema = z.looseObject({
  factor: fraction,
  original_max_position_embeddings: positive,
  beta_fast: fraction.nullish(),
  beta_slow: fraction.nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  attention_factor: fraction.nullish(),
});

export const deepseekSchema = z.looseObject({
  q_lora_rank: positive.nullish(),
  kv_lora_rank: positive,
  qk_nope_head_dim: positive,
  qk_rope_head_dim: positive.multipleOf(2),
  v_head_dim: positive,
  rope_interleave: z.boolean().nullish(),
  n_routed_experts: positive,
  num_experts_per_tok: positive,
  moe_intermediate_size: positive,
  n_shared_experts: z.number().int().min(1).nullish(),
  n_group: positive.nullish(),
  topk_group: positive.nullish(),
  first_k_dense_replace: z.number().int().min(0).nullish(),
  norm_topk_prob: z.boolean().nullish(),
  routed_scaling_factor: fraction.nullish(),
  scoring_func: z.literal('sigmoid').nullish(),
  topk_method: z.literal('noaux_tc').nullish(),
  moe_layer_freq: z.literal(1).nullish(),
  num_nextn_predict_layers: z.number().int().min(0).max(1, 'must be 0 or 1').nullish(),
  hidden_act: z.literal('silu').optional(),
  attention_bias: z.literal(false).optional(),
  mlp_bias: z.literal(false).optional(),
});

/** What every configuration has (config.ts). */
interface Base {
  hidden_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  vocab_size: number;
  intermediate_size: number;
  [field: string]: unknown;
}

export interface DeepseekDimensions {
  width: number;
  layers: number;
  heads: number;
  vocabulary: number;
  /**
   * Ranks of the compressed queries (null: not compressed) and of the compressed keys and values.
   */
  queryRank: number | null;
  latent: number;
  /** Numbers in a head: of its key without position, of the positional part, of its value. */
  nope: number;
  rope: number;
  value: number;
  interleaved: boolean;
  denseFfn: number;
  expertFfn: number;
  experts: number;
  topK: number;
  sharedExperts: number;
  groups: number;
  topGroups: number;
  normalize: boolean;
  scaling: number;
  /** Layers with a dense network instead of experts, the first ones. */
  denseLayers: number;
  mtpLayers: number;
}

/** Sizes with the defaults filled in. */
export function deepseekDimensions(config: Base): DeepseekDimensions {
  const own = deepseekSchema.parse(config);
  return {
    width: config.hidden_size,
    layers: config.num_hidden_layers,
    heads: config.num_attention_heads,
    vocabulary: config.vocab_size,
    queryRank: own.q_lora_rank ?? null,
    latent: own.kv_lora_rank,
    nope: own.qk_nope_head_dim,
    rope: own.qk_rope_head_dim,
    value: own.v_head_dim,
    interleaved: own.rope_interleave ?? true,
    denseFfn: config.intermediate_size,
    expertFfn: own.moe_intermediate_size,
    experts: own.n_routed_experts,
    topK: own.num_experts_per_tok,
    sharedExperts: own.n_shared_experts ?? 1,
    groups: own.n_group ?? 1,
    topGroups: own.topk_group ?? 1,
    normalize: own.norm_topk_prob ?? true,
    scaling: own.routed_scaling_factor ?? 1,
    denseLayers: Math.min(own.first_k_dense_replace ?? 0, config.num_hidden_layers),
    mtpLayers: own.num_nextn_predict_layers ?? 0,
  };
}

/** The fields that `transformers` has other defaults for, written out. */
export function explicitDeepseek(config: Base): Record<string, unknown> {
  const d = deepseekDimensions(config);
  return {
    num_key_value_heads: d.heads,
    q_lora_rank: d.queryRank,
    rope_interleave: d.interleaved,
    n_shared_experts: d.sharedExperts,
    n_group: d.groups,
    topk_group: d.topGroups,
    first_k_dense_replace: d.denseLayers,
    norm_topk_prob: d.normalize,
    routed_scaling_factor: d.scaling,
    scoring_func: 'sigmoid',
    topk_method: 'noaux_tc',
    num_nextn_predict_layers: d.mtpLayers,
  };
}

/** What is wrong with the fields of a DeepSeek-V3 configuration beyond their own types. */
export function deepseekProblems(config: Record<string, unknown>): Problem[] {
  const parsed = deepseekSchema.safeParse(config);
  if (!parsed.success)
    return parsed.error.issues.map((issue) => ({
      path: issue.path.map(String),
      message: issue.message,
    }));
  const { n_routed_experts: experts, num_experts_per_tok: topK, n_group, topk_group } = parsed.data;
  const [groups, topGroups] = [n_group ?? 1, topk_group ?? 1];
  const problems: Problem[] = [];
  const demand = (right: boolean, path: string, message: string): void =>
    void (right || problems.push({ path: path.split('.'), message }));
  demand(
    experts % groups === 0,
    'n_group',
    `must divide n_routed_experts (${experts}), is ${groups}`,
  );
  demand(topGroups <= groups, 'topk_group', `must be at most n_group (${groups}), is ${topGroups}`);
  const open = (experts / groups) * topGroups;
  demand(
    topK <= open,
    'num_experts_per_tok',
    `must be at most the ${open} experts of topk_group groups, is ${topK}`,
  );
  const scaling = scalingOf(config);
  if (scaling !== null) {
    const type = scaling.type ?? scaling.rope_type;
    demand(type === 'yarn', 'rope_scaling.type', `must be yarn, is ${JSON.stringify(type)}`);
    const yarn = yarnSchema.safeParse(scaling);
    if (!yarn.success) {
      const [issue] = yarn.error.issues;
      demand(false, `rope_scaling.${issue.path.join('.')}`, issue.message);
    }
  }
  return problems;
}

/** The fields that no tensor's shape shows, beside those that every family has. */
export function deepseekComputation(config: Base): Record<string, unknown> {
  const d = deepseekDimensions(config);
  return {
    rope_scaling: JSON.stringify(config.rope_scaling ?? null),
    num_experts_per_tok: d.topK,
    n_group: d.groups,
    topk_group: d.topGroups,
    norm_topk_prob: d.normalize,
    routed_scaling_factor: d.scaling,
    rope_interleave: d.interleaved,
    qk_nope_head_dim: d.nope,
  };
}

/** YaRN's fields, wherever the configuration has them; null without. */
function scalingOf(config: Record<string, unknown>): Record<string, unknown> | null {
  const old = config.rope_scaling as Record<string, unknown> | null | undefined;
  if (old) return old;
  const parameters = config.rope_parameters as Record<string, unknown> | null | undefined;
  return parameters && (parameters.rope_type ?? 'default') !== 'default' ? parameters : null;
}

/** ln(factor) scaled, as YaRN's temperature is (arXiv:2309.00071, equation 22). */
const mscaleOf = (factor: number, mscale: number): number =>
  factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;

/**
 * YaRN's table of angles, and what the attention scores are multiplied by besides; null without
 * YaRN.
 */
export function yarnOf(
  config: Base,
): { yarn: Yarn; scoreFactor: number; mscaleAllDim: number } | null {
  const scaling = scalingOf(config);
  if (scaling === null) return null;
  const y = yarnSchema.parse(scaling);
  const { mscale, mscale_all_dim: all } = y;
  const plain =
    mscale && all ? mscaleOf(y.factor, mscale) / mscaleOf(y.factor, all) : mscaleOf(y.factor, 1);
  return {
    yarn: {
      factor: y.factor,
      originalPositions: y.original_max_position_embeddings,
      betaFast: y.beta_fast ?? 32,
      betaSlow: y.beta_slow ?? 1,
      attentionFactor: y.attention_factor ?? plain,
    },
    scoreFactor: all ? mscaleOf(y.factor, all) ** 2 : 1,
    mscaleAllDim: all ?? 0,
  };
}
