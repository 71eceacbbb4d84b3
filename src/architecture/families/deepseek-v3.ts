/** @file DeepSeek-V3 and R1 (DeepSeek 2024, arXiv:2412.19437). */
import { type Family, plain } from '../family.js';

export const deepseekV3: Family = {
  ...plain,
  routerBias: true,
  sharedExperts: 1,
  engine: {
    transformers: 'DeepseekV3ForCausalLM',
    latent: true,
    gguf: { architecture: 'deepseek2' },
  },
};
