/** @file Gemma 3 (Gemma team 2025, arXiv:2503.19786), its language model. */
import { type Family, plain } from '../family.js';

export const gemma3: Family = {
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
    sliding_window: 4096,
    query_pre_attn_scalar: 256,
    rope_theta: 1_000_000,
    rope_local_base_freq: 10_000,
  },
  engine: {
    transformers: 'Gemma3ForCausalLM',
    norm: 'one-plus',
    activation: { kind: 'gelu-tanh', names: ['gelu_pytorch_tanh'] },
    scaledEmbedding: true,
    localRope: true,
    gguf: {
      architecture: 'gemma3',
      keys: [{ field: 'sliding_window', key: 'attention.sliding_window', kind: 'count' }],
      // Gemma 3 27B.
      widerScalarAt: 62,
      fixed: { sliding_window_pattern: 6, rope_local_base_freq: 10_000 },
    },
  },
};
