/**
 * @file What a plan needs beside a machine's data sheet: how much of the time makes progress.
 */
import type { Price } from '../schema.js';

export const PLANNING: readonly Price[] = [
  {
    id: 'plan.goodput',
    what: 'share of a training run’s time that makes progress: not failures, restarts, evaluation, waiting',
    value: 0.93,
    low: 0.8,
    high: 0.995,
    unit: 'ratio',
    currency: '',
    region: 'any',
    date: '2024',
    basis: 'derived',
    source:
      'Grattafiori et al. 2024, The Llama 3 herd of models, arXiv:2407.21783; DeepSeek-V3, arXiv:2412.19437, and ISCA 2025, arXiv:2505.09343',
    note: 'Geometric mean of two: Llama 3.1 405B, 3.8e25 FLOP at 400 TFLOP/s is 26.4M hours of the 30.84M that were used, 0.86; DeepSeek-V3, 14.8T tokens at 19.926 s a step is 2.667M hours, and 2.664M were used, 1.0. The ends are assumptions of this catalog.',
  },
];
