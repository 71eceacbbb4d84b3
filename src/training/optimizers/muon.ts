/** @file Muon (Jordan et al. 2024): of hidden matrices, whole. */
import { z } from 'zod';
import { defineRule } from './rule.js';

export const muon = defineRule({
  options: {
    /** Muon's learning rate. */
    muonLr: z.number().positive().default(0.02),
    muonMomentum: z.number().min(0).lt(1).default(0.95),
  },
  unit: 'matrix',
  state: ['momentum'],
  /** The Newton–Schulz products': min(r, c)²·max(r, c) for an r × c matrix. */
  cost: (rows, columns) => Math.min(rows, columns) * rows * columns,
  update(backend, { state: [momentum], ...owned }, spec, { multiplier }) {
    const { muonLr, muonMomentum: beta, weightDecay } = spec;
    backend.muon({ ...owned, momentum, lr: muonLr * multiplier, beta, weightDecay });
  },
});
