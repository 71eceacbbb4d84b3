/**
 * @file Llama 3.1 405B: a model whose maker published hours and never a price.
 */
import type { ClaimFile } from '../../claim.js';
import { goodput, tokenCostChecks, tokenCostQuantities } from './checks.js';

const CARD = 'Meta, Llama 3.1 model card (meta-llama/llama-models, MODEL_CARD.md)';
const PAPER = 'Llama Team, The Llama 3 Herd of Models, arXiv:2407.21783';
const EPOCH = 'Cottier et al. 2024 (Epoch AI), arXiv:2405.21015';
const RENT = 'Epoch AI hardware prices (CC-BY), median of the archived cloud offers (2025-03)';

const run = {
  kind: 'flow',
  start: '2024',
  end: '2024-07',
  note: 'Released in July 2024; the dates of the run are not published.',
} as const;
const family = {
  kind: 'flow',
  start: '2024',
  end: '2024-07',
  note: 'Released in July 2024; the dates of the runs are not published.',
} as const;

const hours = (what: string, value: number) =>
  ({ what, value, unit: 'GPU-h', basis: 'published', source: CARD, date: '2024-07' }) as const;

export const LLAMA_405B: ClaimFile = {
  id: 'llama-3.1-405b',
  title: 'Hours without a price: what Llama 3.1 405B cost',
  said: [
    {
      what: '30.84M H100-hours for 405B, 7.0M for 70B, 1.46M for 8B.',
      who: 'Meta',
      when: '2024-07-23',
      source: CARD,
    },
    {
      what: '3.8e25 operations on 15.6T tokens, 380 to 430 TFLOP/s a GPU; 466 interruptions in 54 days on 16,384 GPUs, and more than 90% effective time.',
      who: 'Meta',
      when: '2024-07-31',
      source: PAPER,
    },
  ],
  definitions: {
    goodput:
      'hours that the operations of the model need at the speed reported, over the hours that were used',
    headline:
      'all hours of the final run at a rental price, as DeepSeek counted; Meta named no price',
    lost: 'hours without progress at that speed: restarts, slower phases of the run, waiting',
  },
  quantities: {
    rent: { catalog: 'rent.h100' },
    'hours.405b': hours('405B', 30_840_000),
    'hours.70b': hours('70B', 7_000_000),
    'hours.8b': hours('8B', 1_460_000),
    'needed-hours': {
      what: 'hours that its operations need',
      formula: 'llama-405b.operations / llama-405b.rate',
      unit: 'GPU-h',
    },
    'programme-factor': { catalog: 'programme.total-over-final' },
    'v3.hours': {
      what: 'all of DeepSeek-V3',
      value: 2_788_000,
      unit: 'GPU-h',
      basis: 'published',
      source: 'DeepSeek-AI, arXiv:2412.19437, table 1',
      date: '2024-12',
    },
    'energy.board': {
      what: 'board power of an H100',
      value: 0.7,
      unit: 'kW/GPU',
      basis: 'published',
      source: CARD,
      date: '2024-07',
    },
    ...tokenCostQuantities,
  },
  figures: [
    {
      id: 'needed',
      what: '405B, hours that it needs',
      formula: 'needed-hours * rent',
      basis: 'derived',
      scope: 'the operations of the final run at 400 TFLOP/s, rented; nothing lost',
      period: run,
      source: `${PAPER}; ${RENT}`,
    },
    {
      id: 'headline',
      what: '405B, the headline',
      formula: 'hours.405b * rent',
      basis: 'derived',
      scope: 'the hours that Meta counted for 405B, rented; no research, people or data',
      period: run,
      source: `${CARD}; ${RENT}`,
    },
    {
      id: 'owned',
      what: '405B, at the cost of an owner',
      formula: 'hours.405b * owned-h100-hour',
      basis: 'derived',
      scope: 'the same hours without a landlord’s margin',
      period: run,
      source: `${CARD}; SemiAnalysis, H100 vs GB200 NVL72 (2025-08-20), public part`,
    },
    {
      id: 'with-70b',
      what: '405B and 70B',
      formula: '(hours.405b + hours.70b) * rent',
      basis: 'derived',
      scope: 'the final runs of two sizes, rented',
      period: family,
      source: `${CARD}; ${RENT}`,
    },
    {
      id: 'family',
      what: 'Llama 3.1, three sizes',
      formula: '(hours.405b + hours.70b + hours.8b) * rent',
      basis: 'derived',
      scope: 'the final runs of the three sizes, rented',
      period: family,
      source: `${CARD}; ${RENT}`,
    },
    {
      id: 'programme',
      what: 'with research and failed runs',
      formula: 'family * programme-factor',
      basis: 'assumed',
      scope: 'all accelerator-hours behind the three, rented',
      period: family,
      source: `${CARD}; ${RENT}; ${EPOCH}`,
    },
  ],
  steps: [
    {
      from: 'needed',
      to: 'headline',
      what: 'lost hours',
      why: 'The hours counted are more than the operations need: goodput is {llama-405b-goodput}. 419 of 466 interruptions in 54 days were unexpected.',
      basis: 'derived',
      source: `${PAPER}, section 3.3.4; ${CARD}`,
    },
    {
      from: 'headline',
      to: 'owned',
      what: 'owned, not rented',
      why: 'Meta owns its GPUs: {owned-h100-hour} against {rent}.',
      basis: 'derived',
      source: 'SemiAnalysis, H100 vs GB200 NVL72 (2025-08-20), public part',
    },
    {
      from: 'headline',
      to: 'with-70b',
      what: '70B',
      why: '{hours.70b} for the middle size.',
      basis: 'published',
      source: CARD,
    },
    {
      from: 'with-70b',
      to: 'family',
      what: '8B',
      why: '{hours.8b} for the small one.',
      basis: 'published',
      source: CARD,
    },
    {
      from: 'family',
      to: 'programme',
      what: 'research, failed runs',
      why: 'Meta publishes none of it. Where both are known, everything together took 1.2 to 4 times the final run.',
      basis: 'assumed',
      source: EPOCH,
    },
  ],
  checks: tokenCostChecks,
  ratios: [
    goodput,
    {
      id: 'hours-over-v3',
      what: 'hours of 405B over hours of DeepSeek-V3',
      formula: 'hours.405b / v3.hours',
      unit: 'x',
      source: `${CARD}; DeepSeek-AI, arXiv:2412.19437, table 1`,
    },
    {
      id: 'board-energy',
      what: 'energy of the boards at 700 W, all hours',
      formula: 'hours.405b * energy.board',
      unit: 'GWh',
      source: CARD,
    },
  ],
  corrections: [
    {
      kind: 'hours against dollars',
      told: '“DeepSeek did it for a tenth of Llama’s cost.”',
      instead:
        'Hours differ by {hours-over-v3}, of two different GPUs. In dollars it is whatever price is put on an H100-hour: {owned} at an owner’s cost, {headline} at a middling rent.',
    },
    {
      kind: 'peak against goodput',
      told: '“3.8e25 operations at 400 TFLOP/s: 26 million hours.”',
      instead:
        'It took 30.84 million: {llama-405b-goodput} of the hours made progress at that speed.',
    },
  ],
  path: [
    { title: 'One model: from operations to hours', figures: ['needed', 'headline'] },
    {
      title: 'The family, and what stood behind it',
      figures: ['headline', 'with-70b', 'family', 'programme'],
    },
    { title: 'Rent against ownership', figures: ['headline', 'owned'] },
  ],
};
