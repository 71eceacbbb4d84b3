/** @file Qwen3 (Qwen 2025, arXiv:2505.09388): norms on each head of queries and keys. */
import { type Family, plain } from '../family.js';

export const qwen3: Family = {
  ...plain,
  qkNorm: 'head',
  defaults: { use_sliding_window: false },
  engine: { transformers: 'Qwen3ForCausalLM', gguf: { architecture: 'qwen3' } },
};
