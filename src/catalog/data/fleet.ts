/**
 * @file The accelerators of DeepSeek and High-Flyer, as an analyst counted and priced them in
 * January 2025.
 *
 * The totals are text of the article; what one column of its table holds was read off an image, and
 * each row says so. The columns are kept because they add up to every published total: $1.6 billion
 * and $944 million in the corrected edition, $1.3 billion and $715 million in the first, which left
 * the H100s out.
 */
import type { Price } from '../schema.js';

const ARTICLE = 'SemiAnalysis, DeepSeek Debates (2025-01-31)';
const COLUMN = `${ARTICLE}, a column of the table image, recalled and not retrievable as text`;
const TOTALS = 'Together the columns reproduce the published totals.';
const REGION = 'China';

const count = (id: string, what: string, date: string, value: number, note = ''): Price => ({
  id: `fleet.deepseek.${id}.count`,
  what,
  value,
  low: value,
  high: value,
  unit: 'GPU',
  currency: '',
  region: REGION,
  date,
  basis: 'published',
  source: ARTICLE,
  note: `${note}${note ? ' ' : ''}An estimate; fleet.quantity-factor is its interval.`,
});

const column = (id: string, what: string, value: number, unit: string, note = TOTALS): Price => ({
  id: `fleet.deepseek.${id}`,
  what,
  value,
  low: value,
  high: value,
  unit,
  currency: 'USD',
  region: REGION,
  date: '2025-01',
  basis: 'assumed',
  source: COLUMN,
  note,
});

const total = (id: string, what: string, value: number, unit: string, note: string): Price => ({
  ...column(id, what, value, unit, note),
  basis: 'published',
  source: ARTICLE,
});

const EPOCH =
  'Cottier et al. 2024, The rising costs of training frontier AI models (Epoch AI), arXiv:2405.21015';

export const FLEET: readonly Price[] = [
  count('a100', 'A100s bought in 2021', '2021', 10_000),
  count(
    'h20',
    'H20s',
    '2025',
    30_000,
    'What remains of about 50,000 Hoppers; the article speaks of orders for many more.',
  ),
  count('h800', 'H800s', '2023', 10_000),
  count('h100', 'H100s', '2023', 10_000),
  column('a100.asp', 'purchase price of an A100', 13_500, 'USD/GPU'),
  column('h20.asp', 'purchase price of an H20', 12_500, 'USD/GPU'),
  column('h800.asp', 'purchase price of an H800', 20_000, 'USD/GPU'),
  column('h100.asp', 'purchase price of an H100', 23_000, 'USD/GPU'),
  column(
    'hopper.server',
    'everything of a Hopper server but the accelerator, for each accelerator',
    11_728,
    'USD/GPU',
    `The difference of server capex and purchase price, the same in the three Hopper columns. ${TOTALS}`,
  ),
  column(
    'a100.server',
    'everything of an A100 server but the accelerator, for each accelerator',
    10_216,
    'USD/GPU',
    `The difference of server capex and purchase price. ${TOTALS}`,
  ),
  column('a100.operation-4y', 'operating the A100s for four years', 157e6, 'USD'),
  column('h20.operation-4y', 'operating the H20s for four years', 387e6, 'USD'),
  column('h800.operation-4y', 'operating the H800s for four years', 170e6, 'USD'),
  column('h100.operation-4y', 'operating the H100s for four years', 230e6, 'USD'),
  total(
    'capex',
    'server capex, all 60,000',
    1.6e9,
    'USD',
    'Rounded by the source; the columns add up to $1,629 million.',
  ),
  total(
    'operation-4y',
    'operation, all 60,000, over four years',
    944e6,
    'USD',
    'Four years of ownership, not one.',
  ),
  total(
    'capex.first-edition',
    'server capex in the first edition',
    1.3e9,
    'USD',
    'Without the H100s.',
  ),
  total(
    'operation-4y.first-edition',
    'operation in the first edition',
    715e6,
    'USD',
    'Without the H100s.',
  ),
  {
    ...total(
      'gpu-investment',
      'invested in GPUs, at least',
      500e6,
      'USD',
      'A lower bound: more than that. High: purchase prices times numbers of the columns.',
    ),
    high: 940e6,
  },
  {
    id: 'fleet.ownership-years',
    what: 'years of ownership over which servers are written off',
    value: 4,
    low: 4,
    high: 4,
    unit: 'year',
    currency: '',
    region: 'any',
    date: '2025-01',
    basis: 'published',
    source: `${ARTICLE}: cost to operate over four years`,
    note: 'A definition: the $944 million are of these four years.',
  },
  {
    id: 'fleet.acquisition-factor',
    what: 'what a fleet really cost, over what is estimated',
    value: 1,
    low: 0.46,
    high: 2.1,
    unit: 'ratio',
    currency: '',
    region: 'any',
    date: '2024',
    basis: 'published',
    source: `${EPOCH}: 90% interval of hardware acquisition cost`,
    note: 'Prices and numbers together.',
  },
  {
    id: 'fleet.quantity-factor',
    what: 'accelerators that there really are, over what is estimated',
    value: 1,
    low: 0.8,
    high: 1.25,
    unit: 'ratio',
    currency: '',
    region: 'any',
    date: '2024',
    basis: 'published',
    source: `${EPOCH}: 90% interval of the quantity of hardware`,
    note: '',
  },
  {
    id: 'fleet.operation-factor',
    what: 'what operation really costs, over what is estimated',
    value: 1,
    low: 0.66,
    high: 1.45,
    unit: 'ratio',
    currency: '',
    region: 'any',
    date: '2025',
    basis: 'derived',
    source:
      'SemiAnalysis, GPU Cloud Economics Explained (2023-12), and DeepSeek Debates (2025-01-31)',
    note: 'Low: hosting at $1,871 a month for an H100 server of 10.2 kW ($183 a kW and month) over the $277 that the H800 and H20 columns imply. High: the $403 that the A100 column implies, over $277.',
  },
  {
    id: 'fleet.utilisation',
    what: 'utilization of an owned fleet: the share of its hours in which it does useful work',
    value: 0.7,
    low: 0.5,
    high: 0.9,
    unit: 'fraction',
    currency: '',
    region: 'any',
    date: '2025',
    basis: 'assumed',
    source: 'Assumption of this catalog',
    note: 'None is published of DeepSeek’s fleet. At about 70% an owned H800 costs the $2.00 an hour at which DeepSeek prices it. The interval is an assumption, too.',
  },
  {
    id: 'rent.h800',
    what: 'renting an H800 for an hour',
    value: 2,
    low: 1.39,
    high: 3.42,
    unit: 'USD/GPU-h',
    currency: 'USD',
    region: 'China',
    date: '2024-12',
    basis: 'assumed',
    source:
      'DeepSeek-AI, DeepSeek-V3 Technical Report, arXiv:2412.19437, table 1: assumed by the authors',
    note: 'Low: what an owned H800 costs at full use by the columns of fleet.deepseek. High: the one archived offer, CR8DL on demand, 2024-08 and 2025-03 (Epoch AI hardware prices, CC-BY).',
  },
  {
    id: 'rent.h100',
    what: 'renting an H100 for an hour',
    value: 2.49,
    low: 1.3,
    high: 4.78,
    unit: 'USD/GPU-h',
    currency: 'USD',
    region: 'US',
    date: '2025-03',
    basis: 'derived',
    source: 'Epoch AI hardware prices (CC-BY), median of the archived cloud offers',
    note: 'Low: external three-year contract, SemiAnalysis InferenceX constants (2026-04). High: the dearest offer but for hyperscalers’ list prices.',
  },
];
