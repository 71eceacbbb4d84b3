/** @file Granite (IBM 2024): Llama with factors on embeddings, residuals, scores and logits. */
import { type Family, plain } from '../family.js';

export const granite: Family = {
  ...plain,
  engine: {
    transformers: 'GraniteForCausalLM',
    gguf: {
      architecture: 'granite',
      neighbours: true,
      keys: [
        { field: 'embedding_multiplier', key: 'embedding_scale', kind: 'real' },
        { field: 'residual_multiplier', key: 'residual_scale', kind: 'real' },
        { field: 'attention_multiplier', key: 'attention.scale', kind: 'real' },
        { field: 'logits_scaling', key: 'logit_scale', kind: 'real' },
      ],
    },
  },
};
