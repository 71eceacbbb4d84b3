/** @file Seed-OSS (ByteDance 2025): Llama with biases on queries, keys and values. */
import { type Family, plain } from '../family.js';

export const seedOss: Family = {
  ...plain,
  bias: 'qkv',
  defaults: { attention_bias: true, head_dim: 128 },
  engine: { transformers: 'SeedOssForCausalLM', gguf: { architecture: 'seed_oss' } },
};
