import { describe, expect, it } from 'vitest';
import { forwardFlops, mfu, modelFlopsPerToken, trainingFlops } from './flops.js';
import { architectureOf } from './from-config.js';
import { countParameters } from './parameters.js';

const LLAMA_3_1_405B = architectureOf({
  model_type: 'llama',
  hidden_size: 16384,
  num_hidden_layers: 126,
  num_attention_heads: 128,
  num_key_value_heads: 8,
  intermediate_size: 53248,
  vocab_size: 128256,
  tie_word_embeddings: false,
});
const QWEN3_0_6B = architectureOf({
  hidden_size: 1024,
  num_hidden_layers: 28,
  num_attention_heads: 16,
  num_key_value_heads: 8,
  head_dim: 128,
  intermediate_size: 3072,
  vocab_size: 151936,
  tie_word_embeddings: true,
  model_type: 'qwen3',
});
const QWEN2_5_0_5B = architectureOf({
  hidden_size: 896,
  num_hidden_layers: 24,
  num_attention_heads: 14,
  num_key_value_heads: 2,
  intermediate_size: 4864,
  vocab_size: 151936,
  tie_word_embeddings: true,
  model_type: 'qwen2',
});

describe('parameters', () => {
  it('equal those of released models', () => {
    // Sums of the tensors in the released safetensors files.
    expect(countParameters(LLAMA_3_1_405B).stored).toBe(405_853_388_800);
    expect(countParameters(QWEN3_0_6B).stored).toBe(596_049_920);
    expect(countParameters(QWEN2_5_0_5B).stored).toBe(494_032_768);
    // The model card of Qwen3-0.6B: 0.44B non-embedding.
    expect(countParameters(QWEN3_0_6B).nonEmbedding / 1e9).toBeCloseTo(0.44, 2);
  });

  it('in matrix products: layers without norms, and the head once', () => {
    const tiny = {
      model_type: 'llama',
      hidden_size: 4,
      num_hidden_layers: 2,
      num_attention_heads: 2,
      num_key_value_heads: 1,
      intermediate_size: 8,
      vocab_size: 10,
      tie_word_embeddings: true,
    };
    // Per layer: q 16, k 8, v 8, o 16, mlp 96; head 40.
    expect(countParameters(architectureOf(tiny))).toMatchObject({
      total: 2 * (144 + 8) + 4 + 40,
      stored: 2 * (144 + 8) + 4 + 40,
      nonEmbedding: 2 * (144 + 8) + 4,
      matmul: 2 * 144 + 40,
      active: 2 * (144 + 8) + 4 + 40,
      mtp: 0,
    });
    const untied = architectureOf({ ...tiny, tie_word_embeddings: false });
    expect(countParameters(untied).matmul).toBe(2 * 144 + 40);
  });
});

describe('a mixture with latent attention', () => {
  const tiny = architectureOf({
    model_type: 'deepseek_v3',
    hidden_size: 4,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 8,
    vocab_size: 10,
    q_lora_rank: 3,
    kv_lora_rank: 5,
    qk_nope_head_dim: 2,
    qk_rope_head_dim: 2,
    v_head_dim: 3,
    n_routed_experts: 4,
    num_experts_per_tok: 2,
    moe_intermediate_size: 6,
    first_k_dense_replace: 1,
    num_nextn_predict_layers: 1,
  });
  // q 3·(4 + 8), latents 4·7 and 5·2·5, o 6·4; dense 96; shared and each expert 72, gate 16.
  const attention = 36 + 28 + 50 + 24;
  const sparse = attention + 72 + 16 + 2 * 72;

  it('counts the experts that a token is sent to', () => {
    const { stored, matmul, active, mtp } = countParameters(tiny);
    expect(matmul).toBe(attention + 96 + sparse + 40);
    const norms = 3 + 5 + 8;
    expect(active).toBe(attention + 96 + sparse + 2 * norms + 4 + 2 * 40);
    expect(mtp).toBe(sparse + 2 * 72 + 4 + norms + 32 + 12);
    expect(stored).toBe(active + 2 * 72 + 4 + mtp);
  });

  it('counts the prediction module where it is trained', () => {
    const part = { tokens: 3, headTokens: 2 };
    const keys = 1 + 2 + 3;
    const next = 2 * (3 * (attention + 96 + sparse) + 2 * 40) + 2 * 2 * 2 * (4 + 3) * keys;
    expect(forwardFlops(tiny, part)).toBe(next);
    const further = 2 * (3 * (sparse + 32) + 1 * 40) + 2 * 2 * (4 + 3) * keys;
    expect(forwardFlops(tiny, { ...part, furtherTokens: 1 })).toBe(next + further);
  });
});

describe('FLOPs', () => {
  const tiny = architectureOf({
    model_type: 'llama',
    hidden_size: 4,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    intermediate_size: 8,
    vocab_size: 10,
  });

  it('forward by hand', () => {
    // Three tokens have 1 + 2 + 3 keys; a key costs 2 (score) + 2 (value) for each of 2 layers × 2
    // heads × 2 dimensions.
    expect(forwardFlops(tiny, { tokens: 3 })).toBe(3 * 2 * 328 + 6 * 4 * 8);
    expect(forwardFlops(tiny, { tokens: 3, attention: 'full' })).toBe(3 * 2 * 328 + 9 * 4 * 8);
    expect(forwardFlops(tiny, { tokens: 3, headTokens: 1 })).toBe(
      3 * 2 * 328 - 2 * 2 * 40 + 6 * 4 * 8,
    );
    expect(forwardFlops(tiny, { tokens: 0 })).toBe(0);
    expect(trainingFlops(tiny, { tokens: 3 })).toBe(3 * forwardFlops(tiny, { tokens: 3 }));
  });

  it('decoding token by token takes what one pass takes', () => {
    let sum = forwardFlops(tiny, { tokens: 5 });
    for (let past = 5; past < 12; past++) sum += forwardFlops(tiny, { tokens: 1, past });
    expect(sum).toBe(forwardFlops(tiny, { tokens: 12 }));
  });

  it('full attention equals 6N + 12·L·h·s of Chowdhery et al., for the matmul parameters', () => {
    const s = 8192;
    const perToken = modelFlopsPerToken(LLAMA_3_1_405B, s, 'full');
    expect(perToken).toBe(6 * countParameters(LLAMA_3_1_405B).matmul + 12 * 126 * 16384 * s);
  });

  it('of Llama 3.1 405B over 15.6T tokens at 8K: the published 3.8e25', () => {
    const perToken = modelFlopsPerToken(LLAMA_3_1_405B, 8192, 'causal');
    expect((perToken * 15.6e12) / 3.8e25).toBeGreaterThan(0.97);
    expect((perToken * 15.6e12) / 3.8e25).toBeLessThan(1.06);
  });

  it('utilisation', () => {
    expect(mfu(4e12, 2, 8e12)).toBe(0.25);
  });
});
