/** @file Gemma (Gemma team 2024, arXiv:2403.08295). */
import { type Family, plain } from '../family.js';

export const gemma: Family = {
  ...plain,
  tied: true,
  engine: {
    transformers: 'GemmaForCausalLM',
    norm: 'one-plus',
    // `gelu` is the older word for it in these configurations.
    activation: { kind: 'gelu-tanh', names: ['gelu_pytorch_tanh', 'gelu'] },
    scaledEmbedding: true,
    gguf: { architecture: 'gemma' },
  },
};
