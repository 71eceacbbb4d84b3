/** @file Phi-3 and Phi-4 (Microsoft 2024, arXiv:2404.14219, arXiv:2412.08905): fused weights. */
import { type Family, plain } from '../family.js';

export const phi3: Family = {
  ...plain,
  engine: {
    transformers: 'Phi3ForCausalLM',
    fused: true,
    partialRotary: true,
    gguf: { architecture: 'phi3' },
  },
};
