/**
 * @file Published figures that follow from others by arithmetic alone: they test the arithmetic of
 * whoever claims to do it.
 */
import type { ClaimFile, ClaimQuantity } from '../../claim.js';

type Check = NonNullable<ClaimFile['checks']>[number];

const GPT3 = 'Brown et al. 2020, arXiv:2005.14165, table 2.1';
const LLAMA = 'Llama Team, The Llama 3 Herd of Models, arXiv:2407.21783, table 3';
const BENCHMARKS = 'SemiAnalysis, H100 vs GB200 NVL72 (2025-08-20), public part';
const H100 = 'NVIDIA H100 datasheet';

const fact = (
  what: string,
  value: number,
  unit: string,
  source: string,
  date: string,
  basis: 'published' | 'assumed' = 'published',
): ClaimQuantity => ({ what, value, unit, basis, source, date });

/**
 * What the cost of a million tokens needs: a model of N weights trained at an MFU on H100s of a
 * price.
 */
export const tokenCostQuantities: Record<string, ClaimQuantity> = {
  'owned-h100-hour': { catalog: 'owned.h100.hour' },
  'h100.bf16': fact('peak BF16 rate of an H100, dense', 989, 'TFLOP/GPU-s', H100, '2023'),
  'h100.fp8': fact('peak FP8 rate of an H100, dense', 1979, 'TFLOP/GPU-s', H100, '2023'),
  'llama-405b.weights': fact('weights of Llama 3.1 405B', 405.85e9, '1', LLAMA, '2024-07'),
  'llama-405b.layers': fact('layers of Llama 3.1 405B', 126, '1', LLAMA, '2024-07'),
  'llama-405b.hidden': fact('width of Llama 3.1 405B', 16384, '1', LLAMA, '2024-07'),
  'llama-405b.sequence': fact(
    'sequence length of its training benchmark',
    8192,
    '1',
    LLAMA,
    '2024-07',
  ),
  'llama-405b.mfu': fact('its BF16 MFU in training', 0.54, 'ratio', BENCHMARKS, '2025-08'),
  'gpt-3.weights': fact('weights of GPT-3', 175e9, '1', GPT3, '2020'),
  'gpt-3.layers': fact('layers of GPT-3', 96, '1', GPT3, '2020'),
  'gpt-3.hidden': fact('width of GPT-3', 12288, '1', GPT3, '2020'),
  'gpt-3.sequence': fact('sequence length of GPT-3', 2048, '1', GPT3, '2020'),
  'gpt-3.mfu': fact('its FP8 MFU in training', 0.395, 'ratio', BENCHMARKS, '2025-08'),
  'llama-405b.operations': fact(
    'operations of the pretraining of Llama 3.1 405B',
    3.8e25,
    'FLOP',
    LLAMA,
    '2024-07',
  ),
  'llama-405b.rate': fact(
    'model rate of an H100 in it',
    400,
    'TFLOP/GPU-s',
    'Llama Team, arXiv:2407.21783, table 4: 430, 400 and 380 on 8,192 and 16,384 GPUs',
    '2024-07',
  ),
};

/**
 * 6 operations a weight and token, and 12 for each layer, unit of width and token of the sequence
 * (full attention).
 */
const operations = (model: string): string =>
  `(6[FLOP/token] * ${model}.weights + 12[FLOP/token] * ${model}.layers * ${model}.hidden * ${model}.sequence)`;

export const tokenCostChecks: Check[] = [
  {
    id: 'llama-405b-usd-per-mtok',
    what: 'Llama 3.1 405B: dollars a million tokens at 54% MFU',
    formula: `${operations('llama-405b')} / (llama-405b.mfu * h100.bf16) * owned-h100-hour`,
    unit: 'USD/Mtok',
    published: '1.95',
    source: BENCHMARKS,
  },
  {
    id: 'gpt-3-usd-per-mtok',
    what: 'GPT-3 in FP8: dollars a million tokens at 39.5% MFU',
    formula: `${operations('gpt-3')} / (gpt-3.mfu * h100.fp8) * owned-h100-hour`,
    unit: 'USD/Mtok',
    published: '0.542',
    source: BENCHMARKS,
  },
  {
    id: 'llama-405b-hours',
    what: 'Llama 3.1 405B: hours without a lost one',
    formula: 'llama-405b.operations / llama-405b.rate',
    unit: 'GPU-h',
    published: 30_840_000,
    source: 'Meta, Llama 3.1 model card (meta-llama/llama-models, MODEL_CARD.md)',
    note: 'What is missing is goodput: {llama-405b-goodput} of the hours made progress at that rate.',
  },
];

export const goodput = {
  id: 'llama-405b-goodput',
  what: 'hours that its operations need, over hours that were used',
  formula: 'llama-405b.operations / llama-405b.rate / 30.84e6[GPU-h]',
  unit: 'fraction',
  source: 'Llama Team, arXiv:2407.21783; Meta, Llama 3.1 model card',
};
