/** @file Qwen2 and Qwen2.5 (Qwen 2024, arXiv:2407.10671): biases on queries, keys and values. */
import { type Family, plain } from '../family.js';

export const qwen2: Family = {
  ...plain,
  bias: 'qkv',
  // The window that is written is not used.
  defaults: { use_sliding_window: false },
  engine: { transformers: 'Qwen2ForCausalLM', gguf: { architecture: 'qwen2' } },
};
