/** @file SmolLM3 (Hugging Face 2025): every fourth layer has no rotary positions. */
import { type Family, plain } from '../family.js';

export const smollm3: Family = {
  ...plain,
  tied: true,
  defaults: { rope_theta: 2_000_000, use_sliding_window: false },
  engine: {
    transformers: 'SmolLM3ForCausalLM',
    nope: true,
    gguf: {
      architecture: 'smollm3',
      neighbours: true,
      fixed: { no_rope_layer_interval: 4 },
    },
  },
};
