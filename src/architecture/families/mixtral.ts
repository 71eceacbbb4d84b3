/** @file Mixtral (Jiang et al. 2024, arXiv:2401.04088): Mistral with experts. */
import { type Family, plain } from '../family.js';

export const mixtral: Family = {
  ...plain,
  defaults: { norm_topk_prob: true },
  engine: {
    transformers: 'MixtralForCausalLM',
    experts: { block: 'block_sparse_moe', gate: 'w1', up: 'w3', down: 'w2' },
  },
};
