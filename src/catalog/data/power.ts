/**
 * @file Power of accelerator servers, nameplate and measured; of the building; and its price.
 */
import type { Price } from '../schema.js';

const EPOCH =
  'Cottier et al. 2024, The rising costs of training frontier AI models (Epoch AI), arXiv:2405.21015';
const DGX = 'NVIDIA DGX datasheet, maximum system power';

const kilowatts = (
  id: string,
  what: string,
  servers: number,
  source: string,
  basis: Price['basis'],
  note: string,
): Price => ({
  id: `power.${id}`,
  what,
  value: servers / 8,
  low: servers / 8,
  high: servers / 8,
  unit: 'kW/GPU',
  currency: '',
  region: 'any',
  date: '2024',
  basis,
  source,
  note,
});

export const POWER: readonly Price[] = [
  kilowatts(
    'a100.nameplate',
    'nameplate power of an A100 with its share of the server',
    6.5,
    DGX,
    'derived',
    '6.5 kW / 8',
  ),
  kilowatts(
    'h100.nameplate',
    'nameplate power of an H100 with its share of the server',
    10.2,
    DGX,
    'derived',
    '10.2 kW / 8',
  ),
  kilowatts(
    'h800.nameplate',
    'nameplate power of an H800 with its share of the server',
    10.2,
    `${DGX} (H100)`,
    'derived',
    '10.2 kW / 8: the same board power as the H100',
  ),
  kilowatts(
    'h20.nameplate',
    'nameplate power of an H20 with its share of the server',
    7.8,
    `${DGX} (H100), less the difference of the boards`,
    'derived',
    '(10.2 − 8 × (0.7 − 0.4)) kW / 8',
  ),
  kilowatts(
    'b200.nameplate',
    'nameplate power of a B200 with its share of the server',
    14.3,
    DGX,
    'derived',
    '14.3 kW / 8',
  ),
  {
    id: 'power.load-factor',
    what: 'mean draw over nameplate while training',
    value: 0.686,
    low: 0.647,
    high: 0.75,
    unit: 'ratio',
    currency: '',
    region: 'any',
    date: '2024-11',
    basis: 'derived',
    source:
      'MLCommons, training_results_v4.1 power logs: Dell XE9680 with eight H100s, Llama 2 70B LoRA',
    note: `7.0 kW (6.6 to 7.3) measured at the wall over 10.2 kW nameplate. High: average draw over TDP, ${EPOCH}.`,
  },
  {
    id: 'pue.cluster',
    what: 'power usage effectiveness of a building for accelerators',
    value: 1.25,
    low: 1.1,
    high: 1.4,
    unit: 'ratio',
    currency: '',
    region: 'any',
    date: '2023-12',
    basis: 'published',
    source: 'SemiAnalysis, GPU Cloud Economics Explained (2023-12), new sites',
    note: `Low: hyperscalers, ${EPOCH}. High: older colocation, same source as the value.`,
  },
  {
    id: 'electricity.us.industrial',
    what: 'electricity for industry',
    value: 0.0826,
    low: 0.0771,
    high: 0.0826,
    unit: 'USD/kWh',
    currency: 'USD',
    region: 'US average',
    date: '2025',
    basis: 'published',
    source: EPOCH,
    note: 'Low: the value for 2024 in the same source.',
  },
];
