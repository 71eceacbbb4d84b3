/**
 * @file Olmo 3: the one programme of its size whose development was measured, and published with
 * the weights, data and code.
 */
import type { ClaimFile } from '../../claim.js';

const PAGE =
  'Olmo 3 training cost, muxup.com (2025): hours and energy from the published tokens a second';
const LIFE = 'Allen Institute for AI, life-cycle assessment of Olmo 3 (2026), arXiv:2605.01158';
const RENT = 'Epoch AI hardware prices (CC-BY), median of the archived cloud offers (2025-03)';
const EPOCH = 'Cottier et al. 2024 (Epoch AI), arXiv:2405.21015';

const period = {
  kind: 'flow',
  start: '2025',
  end: '2025-11',
  note: 'Released in November 2025; the dates of the runs are not in the sources.',
} as const;

export const OLMO_3: ClaimFile = {
  id: 'olmo-3',
  title: 'The part below the water: what Olmo 3 took, development included',
  said: [
    {
      what: 'Pretraining at 7,700 (7B) and 1,900 (32B) tokens a second and GPU: about 234K and 1.05M H100-hours, 146 and 681 MWh.',
      who: 'muxup.com, from the report of the Allen Institute for AI',
      when: '2025',
      source: PAGE,
    },
    {
      what: '82.2% of all compute was development: experiments, failed runs, ablations. 12.3 GWh in all.',
      who: 'Allen Institute for AI',
      when: '2026',
      source: LIFE,
    },
  ],
  definitions: {
    development: 'compute that is in no released weight: experiments, failed runs, ablations',
    'final runs':
      'pretraining of the two sizes; post-training is not in the hours, but is in the share',
  },
  quantities: {
    rent: { catalog: 'rent.h100' },
    'hours.7b': {
      what: 'pretraining of 7B',
      value: 234_000,
      unit: 'GPU-h',
      basis: 'derived',
      source: PAGE,
      date: '2025',
    },
    'hours.32b': {
      what: 'pretraining of 32B',
      value: 1_050_000,
      unit: 'GPU-h',
      basis: 'derived',
      source: PAGE,
      date: '2025',
    },
    'energy.7b': {
      what: 'energy of the pretraining of 7B',
      value: 146,
      unit: 'MWh',
      basis: 'derived',
      source: PAGE,
      date: '2025',
    },
    'energy.32b': {
      what: 'energy of the pretraining of 32B',
      value: 681,
      unit: 'MWh',
      basis: 'derived',
      source: PAGE,
      date: '2025',
    },
    'energy.all': {
      what: 'energy of the whole programme',
      value: 12.3,
      unit: 'GWh',
      basis: 'published',
      source: LIFE,
      date: '2026',
    },
    development: { catalog: 'programme.development-share.olmo3' },
    'epoch-factor': { catalog: 'programme.total-over-final' },
    electricity: { catalog: 'electricity.us.industrial' },
  },
  figures: [
    {
      id: 'headline-7b',
      what: '7B, pretraining',
      formula: 'hours.7b * rent',
      basis: 'derived',
      scope: 'pretraining of 7B, rented',
      period,
      source: `${PAGE}; ${RENT}`,
    },
    {
      id: 'headline',
      what: '7B and 32B, pretraining',
      formula: '(hours.7b + hours.32b) * rent',
      basis: 'derived',
      scope: 'pretraining of both sizes, rented: what a headline would say',
      period,
      source: `${PAGE}; ${RENT}`,
    },
    {
      id: 'programme',
      what: 'with development, as measured',
      formula: 'headline / (1 - development)',
      basis: 'derived',
      scope:
        'the same hours with those of development, by its share of compute. Post-training is in the share and not in the hours, so this is low',
      period,
      source: `${PAGE}; ${RENT}; ${LIFE}`,
    },
    {
      id: 'programme-by-rule',
      what: 'with development, by rule of thumb',
      formula: 'headline * epoch-factor',
      basis: 'assumed',
      scope: 'what the usual multiplier would have said without a measurement',
      period,
      source: `${PAGE}; ${RENT}; ${EPOCH}`,
    },
    {
      id: 'programme-by-energy',
      what: 'with development, by energy',
      formula: 'headline * energy.all / (energy.7b + energy.32b)',
      basis: 'assumed',
      scope: 'the programme, had every kWh of it cost what a kWh of pretraining cost in rent',
      period,
      source: `${PAGE}; ${RENT}; ${LIFE}`,
    },
    {
      id: 'electricity-bill',
      what: 'electricity of the programme',
      formula: 'energy.all * electricity',
      basis: 'derived',
      scope: '12.3 GWh at an industrial tariff; part of what the rent pays for',
      period,
      source: `${LIFE}; ${EPOCH}`,
    },
  ],
  steps: [
    {
      from: 'headline-7b',
      to: 'headline',
      what: '32B',
      why: '{hours.32b} for the larger model.',
      basis: 'derived',
      source: PAGE,
    },
    {
      from: 'headline',
      to: 'programme',
      what: 'development',
      why: '{development} of the compute is in no released weight: all of it is {total-over-final} the final runs.',
      basis: 'published',
      source: LIFE,
    },
    {
      from: 'headline',
      to: 'programme-by-rule',
      what: 'rule of thumb',
      why: 'The usual multiplier, {epoch-factor} times with an interval of 1.2 to 4, does not reach what was measured.',
      basis: 'assumed',
      source: EPOCH,
    },
    {
      from: 'programme',
      to: 'programme-by-energy',
      what: 'by energy, not by share',
      why: 'The pretraining of both sizes is {pretraining-share-of-energy} of the energy, less than its share of the compute: post-training, data and the building are in the energy.',
      basis: 'assumed',
      source: LIFE,
    },
  ],
  checks: [
    {
      id: 'energy-by-share',
      what: 'energy of the programme from its pretraining',
      formula: '(energy.7b + energy.32b) / (1 - development)',
      unit: 'GWh',
      published: '12.3',
      source: LIFE,
      note: 'Far below. The boundaries differ (pretraining alone here, all stages and the data centre there), and the sources do not say how much of the gap that is. So programme and programme-by-energy bracket the cost.',
    },
  ],
  ratios: [
    {
      id: 'total-over-final',
      what: 'all compute over the final runs',
      formula: '1 / (1 - development)',
      unit: 'x',
      source: LIFE,
    },
    {
      id: 'kw-per-gpu',
      what: 'mean power of a GPU in pretraining',
      formula: '(energy.7b + energy.32b) / (hours.7b + hours.32b)',
      unit: 'kW/GPU',
      source: PAGE,
    },
    {
      id: 'pretraining-share-of-energy',
      what: 'pretraining of both sizes, of all energy',
      formula: '(energy.7b + energy.32b) / energy.all',
      unit: 'fraction',
      source: `${PAGE}; ${LIFE}`,
    },
  ],
  corrections: [
    {
      kind: 'final run against programme',
      told: '“An open 32B model costs three million dollars.”',
      instead:
        'Its pretraining, with that of 7B, costs {headline} in rent; with what led to it, {programme} by its share of compute and {programme-by-energy} by energy.',
    },
    {
      kind: 'multiplier',
      told: '“Development doubles the bill.”',
      instead:
        'Here it was {total-over-final}, measured by those who did it. A rule of thumb would have said {programme-by-rule}.',
    },
  ],
  path: [
    {
      title: 'From the smaller model to the programme',
      figures: ['headline-7b', 'headline', 'programme', 'programme-by-energy'],
    },
    { title: 'By rule of thumb', figures: ['headline', 'programme-by-rule'] },
  ],
};
