/** @file OLMo 2 (OLMo team 2024, arXiv:2501.00656): norms after attention and network. */
import { type Family, plain } from '../family.js';

export const olmo2: Family = {
  ...plain,
  qkNorm: 'all',
  engine: {
    transformers: 'Olmo2ForCausalLM',
    norms: 'after',
    gguf: { architecture: 'olmo2' },
  },
};
