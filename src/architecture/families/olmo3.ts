/** @file Olmo 3 (Olmo team 2025): OLMo 2 with a sliding window in three layers of four. */
import type { Family } from '../family.js';
import { olmo2 } from './olmo2.js';

export const olmo3: Family = {
  ...olmo2,
  globalEvery: 4,
  defaults: { rope_theta: 500_000, rms_norm_eps: 1e-5, sliding_window: 4096 },
  engine: { transformers: 'Olmo3ForCausalLM', norms: 'after', localRope: true },
};
