/** @file OLMoE (Muennighoff et al. 2024, arXiv:2409.02060): experts, and norms of whole queries. */
import { type Family, plain } from '../family.js';

export const olmoe: Family = {
  ...plain,
  qkNorm: 'all',
  engine: {
    transformers: 'OlmoeForCausalLM',
    gguf: { architecture: 'olmoe', fixed: { norm_topk_prob: false } },
  },
};
