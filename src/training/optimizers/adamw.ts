/** @file AdamW (Loshchilov and Hutter 2019): of matrices, and of everything that is none. */
import { z } from 'zod';
import { defineRule } from './rule.js';

export const adamw = defineRule({
  options: {
    /** AdamW's learning rate. */
    lr: z.number().positive().default(3e-3),
    beta1: z.number().min(0).lt(1).default(0.9),
    beta2: z.number().min(0).lt(1).default(0.95),
    epsilon: z.number().positive().default(1e-8),
  },
  unit: 'number',
  state: ['first', 'second'],
  update(backend, { state: [firstMoment, secondMoment], ...owned }, spec, { multiplier, step }) {
    const { lr, beta1, beta2, epsilon, weightDecay } = spec;
    const rates = { lr: lr * multiplier, beta1, beta2, epsilon, weightDecay };
    backend.adamw({ ...owned, firstMoment, secondMoment, ...rates, step });
  },
});
