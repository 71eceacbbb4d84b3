import { describe, expect, it } from 'vitest';
import { architectureOf } from './from-config.js';
import { countParameters } from './parameters.js';

const deepseekV3 = {
  model_type: 'deepseek_v3',
  hidden_size: 7168,
  num_hidden_layers: 61,
  intermediate_size: 18432,
  moe_intermediate_size: 2048,
  num_attention_heads: 128,
  num_key_value_heads: 128,
  q_lora_rank: 1536,
  kv_lora_rank: 512,
  qk_nope_head_dim: 128,
  qk_rope_head_dim: 64,
  v_head_dim: 128,
  n_routed_experts: 256,
  n_shared_experts: 1,
  num_experts_per_tok: 8,
  n_group: 8,
  topk_group: 4,
  first_k_dense_replace: 3,
  moe_layer_freq: 1,
  vocab_size: 129280,
  num_nextn_predict_layers: 1,
  max_position_embeddings: 163840,
  tie_word_embeddings: false,
};

describe('parameters of published models', () => {
  it('counts DeepSeek-V3 as its checkpoint does', () => {
    const parameters = countParameters(architectureOf(deepseekV3, 'DeepSeek-V3'));
    expect(parameters.total / 1e9).toBeCloseTo(671.03, 2);
    expect(parameters.active / 1e9).toBeCloseTo(37.55, 2);
    expect(parameters.mtp / 1e9).toBeCloseTo(11.6, 1);
  });

  it('counts dense, tied and mixed families to the published figures', () => {
    const llama = {
      model_type: 'llama',
      hidden_size: 4096,
      num_hidden_layers: 32,
      intermediate_size: 14336,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      vocab_size: 128256,
    };
    expect(countParameters(architectureOf(llama)).total).toBe(8_030_261_248);
    const gpt2 = {
      model_type: 'gpt2',
      n_embd: 768,
      n_layer: 12,
      n_head: 12,
      n_positions: 1024,
      vocab_size: 50257,
    };
    expect(countParameters(architectureOf(gpt2)).total).toBe(124_439_808);
    const qwen = {
      model_type: 'qwen2',
      hidden_size: 3584,
      num_hidden_layers: 28,
      intermediate_size: 18944,
      num_attention_heads: 28,
      num_key_value_heads: 4,
      vocab_size: 152064,
      tie_word_embeddings: false,
    };
    expect(countParameters(architectureOf(qwen)).total).toBe(7_615_616_512);
    const mixtral = {
      model_type: 'mixtral',
      hidden_size: 4096,
      num_hidden_layers: 32,
      intermediate_size: 14336,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      vocab_size: 32000,
      num_local_experts: 8,
      num_experts_per_tok: 2,
    };
    const { total, active } = countParameters(architectureOf(mixtral));
    expect(total / 1e9).toBeCloseTo(46.7, 1);
    expect(active / 1e9).toBeCloseTo(12.88, 1);
  });
});

describe('configurations that cannot be read', () => {
  it.each([
    [null, /not an object/],
    [{ model_type: 'mamba' }, /model_type "mamba" is not known/],
    [{ model_type: 'constructor' }, /is not known/],
    [{ ...deepseekV3, hidden_size: '7168' }, /hidden_size is "7168"; it must be a whole number/],
    [{ ...deepseekV3, num_experts_per_tok: 300 }, /exceeds the 256 experts/],
    [{ ...deepseekV3, vocab_size: undefined }, /vocab_size is missing/],
  ])('says what is wrong with it', (config, message) => {
    expect(() => architectureOf(config, 'model')).toThrow(message);
  });
});
