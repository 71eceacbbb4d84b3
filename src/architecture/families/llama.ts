/** @file Llama (Touvron et al. 2023; Grattafiori et al. 2024), and what shares its code. */
import { type Family, plain } from '../family.js';

export const llama: Family = {
  ...plain,
  engine: {
    transformers: 'LlamaForCausalLM',
    gguf: { architecture: 'llama', neighbours: true },
  },
};
