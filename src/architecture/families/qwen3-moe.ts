/** @file Qwen3's mixtures of experts (Qwen 2025, arXiv:2505.09388). */
import type { Family } from '../family.js';
import { qwen3 } from './qwen3.js';

export const qwen3Moe: Family = {
  ...qwen3,
  engine: {
    transformers: 'Qwen3MoeForCausalLM',
    gguf: { architecture: 'qwen3moe', fixed: { norm_topk_prob: true, decoder_sparse_step: 1 } },
  },
};
