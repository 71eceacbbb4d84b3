/** @file Mistral (Jiang et al. 2023, arXiv:2310.06825): Llama with a sliding window. */
import { type Family, plain } from '../family.js';

export const mistral: Family = {
  ...plain,
  engine: {
    transformers: 'MistralForCausalLM',
    gguf: { architecture: 'llama', neighbours: true },
  },
};
