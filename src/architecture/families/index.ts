/**
 * @file The table of families by the `model_type` of their Hugging Face configuration: one row for
 * each, of those that can be loaded and of those that are only counted and planned.
 *
 * Rows were checked against the parameters that the family's implementation in Hugging Face
 * transformers 5.24 makes from the same configuration (decision 107). The table is open: a program
 * adds a family by assigning a row (decision 100).
 */
import { type Family, plain } from '../family.js';
import { deepseekV3 } from './deepseek-v3.js';
import { gemma } from './gemma.js';
import { gemma3 } from './gemma3.js';
import { granite } from './granite.js';
import { llama } from './llama.js';
import { mistral } from './mistral.js';
import { mixtral } from './mixtral.js';
import { olmo2 } from './olmo2.js';
import { olmo3 } from './olmo3.js';
import { olmoe } from './olmoe.js';
import { phi3 } from './phi3.js';
import { qwen2 } from './qwen2.js';
import { qwen3 } from './qwen3.js';
import { qwen3Moe } from './qwen3-moe.js';
import { seedOss } from './seed-oss.js';
import { smollm3 } from './smollm3.js';

/** The same without what the engine needs: for relatives that it cannot compute. */
const counted = ({ engine: _, ...facts }: Family): Family => facts;

const gpt: Family = { gated: false, bias: 'all', tied: false };
const deepseek = counted(deepseekV3);
const deltaNet: Family = {
  ...counted(qwen3),
  outputGate: true,
  sharedGate: true,
  attentionEvery: 4,
};

export const FAMILIES: Record<string, Family> = {
  llama,
  mistral,
  mixtral,
  qwen2,
  qwen3,
  qwen3_moe: qwen3Moe,
  deepseek_v3: deepseekV3,
  kimi_k2: deepseekV3,
  phi3,
  smollm3,
  gemma,
  gemma3_text: gemma3,
  olmo2,
  olmo3,
  olmoe,
  granite,
  seed_oss: seedOss,

  gemma3: counted(gemma3),
  llama4: {
    ...plain,
    sharedExperts: 1,
    globalEvery: 4,
    defaults: { attention_chunk_size: 8192, head_dim: 128, num_experts_per_tok: 1 },
  },
  ministral3: plain,
  qwen2_moe: { ...plain, bias: 'qkv', sharedGate: true },
  qwen3_vl: counted(qwen3),
  qwen3_vl_moe: counted(qwen3),
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
  gemma2: { ...plain, tied: true, sandwichNorms: true, globalEvery: 2 },
  minimax_m2: { ...plain, qkNorm: 'all', routerBias: true },
  deepseek_v2: plain,
  deepseek_v32: {
    ...deepseek,
    defaults: { index_n_heads: 64, index_head_dim: 128, index_topk: 2048 },
  },
  deepseek_v4: deepseek,
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
export function familyOf(type: string): Family | undefined {
  const name = [type, type.replace(/_text$/, '')].find((key) => Object.hasOwn(FAMILIES, key));
  return name === undefined ? undefined : FAMILIES[name];
}
