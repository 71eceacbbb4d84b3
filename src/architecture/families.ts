/**
 * @file Families of models by the `model_type` of their Hugging Face configuration: what their code
 * fixes and their configuration does not write.
 *
 * Rows were checked against the parameters that the family's implementation in Hugging Face
 * transformers 5.24 makes from the same configuration (decision 107).
 */
import type { GroupedQueryAttention } from './architecture.js';

export interface FamilyRow {
  /** Three matrices a feed-forward network, or two. */
  gated: boolean;
  /** Where `attention_bias` is not written. */
  bias: GroupedQueryAttention['bias'];
  /** What `attention_bias: true` means, where it leaves the output projection out. */
  writtenBias?: 'qkv';
  /** Where `tie_word_embeddings` is not written. */
  tied: boolean;
  learned?: boolean;
  qkNorm?: GroupedQueryAttention['qkNorm'];
  routerBias?: boolean;
  /** Where `n_shared_experts` is not written. */
  sharedExperts?: number;
  /** Every so many layers one attends to everything; where `layer_types` is not written. */
  globalEvery?: number;
  sandwichNorms?: true;
  outputGate?: true;
  sinks?: true;
  sharedGate?: true;
  expertBias?: true;
  /** Every so many layers one has attention and the others a gated delta rule. */
  attentionEvery?: number;
  /** Fields that released configurations leave to the family's own defaults. */
  defaults?: Readonly<Record<string, unknown>>;
}

const plain: FamilyRow = { gated: true, bias: 'none', tied: false };
const gpt: FamilyRow = { gated: false, bias: 'all', tied: false };
const deepseek: FamilyRow = { ...plain, routerBias: true, sharedExperts: 1 };
const qwen3: FamilyRow = { ...plain, qkNorm: 'head' };
const deltaNet: FamilyRow = { ...qwen3, outputGate: true, sharedGate: true, attentionEvery: 4 };
const gemma3: FamilyRow = {
  ...plain,
  tied: true,
  qkNorm: 'head',
  sandwichNorms: true,
  globalEvery: 6,
  defaults: {
    vocab_size: 262_208,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    head_dim: 256,
    max_position_embeddings: 131_072,
  },
};

export const FAMILIES: Readonly<Record<string, FamilyRow>> = {
  llama: plain,
  llama4: {
    ...plain,
    sharedExperts: 1,
    globalEvery: 4,
    defaults: { attention_chunk_size: 8192, head_dim: 128, num_experts_per_tok: 1 },
  },
  mistral: plain,
  ministral3: plain,
  mixtral: plain,
  qwen2: { ...plain, bias: 'qkv' },
  qwen2_moe: { ...plain, bias: 'qkv', sharedGate: true },
  qwen3,
  qwen3_moe: qwen3,
  qwen3_vl: qwen3,
  qwen3_vl_moe: qwen3,
  qwen3_next: deltaNet,
  qwen3_5: deltaNet,
  qwen3_5_moe: deltaNet,
  gpt2: { ...gpt, tied: true, learned: true },
  gpt_neox: gpt,
  gpt_oss: {
    ...plain,
    bias: 'all',
    routerBias: true,
    sinks: true,
    expertBias: true,
    globalEvery: 2,
  },
  olmo2: { ...plain, qkNorm: 'all' },
  olmo3: { ...plain, qkNorm: 'all', globalEvery: 4 },
  olmoe: { ...plain, qkNorm: 'all' },
  gemma: { ...plain, tied: true },
  gemma2: { ...plain, tied: true, sandwichNorms: true, globalEvery: 2 },
  gemma3,
  phi3: plain,
  seed_oss: { ...plain, bias: 'qkv' },
  smollm3: { ...plain, tied: true },
  minimax_m2: { ...plain, qkNorm: 'all', routerBias: true },
  deepseek_v2: plain,
  deepseek_v3: deepseek,
  deepseek_v32: {
    ...deepseek,
    defaults: { index_n_heads: 64, index_head_dim: 128, index_topk: 2048 },
  },
  deepseek_v4: deepseek,
  kimi_k2: deepseek,
  glm4_moe: {
    ...deepseek,
    writtenBias: 'qkv',
    qkNorm: 'head',
    defaults: { use_qk_norm: false },
  },
  glm4_moe_lite: deepseek,
  glm_moe_dsa: {
    ...deepseek,
    defaults: { index_n_heads: 32, index_head_dim: 128, index_topk: 2048 },
  },
  nemotron_h: { ...plain, gated: false },
};

/**
 * The row of a `model_type`; the language part of a model of several kinds of input has the name of
 * its family with `_text`.
 */
export function familyOf(type: string): FamilyRow | undefined {
  const name = type.replace(/_text$/, '');
  return Object.hasOwn(FAMILIES, name) ? FAMILIES[name] : undefined;
}
