/**
 * @file The stage kind `grpo`: reinforcement learning from verifiable rewards.
 */
import { UserError } from '../../base/errors.js';
import { MAX_CAPACITY } from '../../inference/index.js';
import type { Distribution } from '../../planner/distribution.js';
import { createSchedule } from '../../training/schedules.js';
import { createLengthLimit } from '../../training/shaping.js';
import type { Facts, Texts } from '../facts.js';
import { defineStage, needPositions, refuseWhere, type Spec } from '../kind.js';
import {
  at,
  type Course,
  eachPart,
  type Lengths,
  mapCourse,
  middleOf,
  valuesOf,
  type Work,
} from '../work.js';
import { createGrpo } from './grpo.js';
import { type GrpoOptions, grpoSchema, resolvePreset } from './options.js';

export type { GrpoOptions } from './options.js';

/**
 * Sequences a step, and their lengths, once those are out that were cut off. A length at the limit
 * counts as cut off: lengths do not tell whether a completion ended there.
 * @param limitAt the limit at a share of the stage's steps
 */
function notCutOff(
  sequences: Course<number>,
  { each }: Lengths,
  limitAt: (share: number) => number,
): { sequences: Course<number>; each: Lengths['each'] } {
  const ended = (lengths: Distribution, share: number): number[] =>
    valuesOf(lengths).filter((n) => n < limitAt(share));
  const share = eachPart(
    each,
    (lengths, share) => ended(lengths, share).length / valuesOf(lengths).length,
  );
  const kept = eachPart(each, (lengths, share) => {
    const own = ended(lengths, share);
    return { empirical: own.length > 0 ? own : [limitAt(share)] };
  });
  return { sequences: product(sequences, share), each: kept };
}

/** Two courses multiplied, step by step. */
function product(a: Course<number>, b: Course<number>): Course<number> {
  const times = (x: readonly number[], y: readonly number[]): number[] => {
    const parts = Math.max(x.length, y.length);
    return Array.from({ length: parts }, (_, i) => {
      const share = middleOf(i, parts);
      return at(x, share) * at(y, share);
    });
  };
  return {
    expected: times(a.expected, b.expected),
    short: times(a.short, b.short),
    long: times(a.long, b.long),
  };
}

function work(spec: Spec<GrpoOptions>, facts: Facts): Work[] {
  const { steps, prompts, samples, maxTokens, resample, minibatches, optimizer } = spec;
  const limitOf = createLengthLimit(spec.lengthSchedule, maxTokens);
  const limitAt = (share: number): number =>
    limitOf(Math.min(steps, 1 + Math.floor(share * steps)));
  const sampled = facts.sampling({
    maxTokens,
    ...(spec.lengthSchedule ? { limit: limitAt } : {}),
    learns: true,
    evaluation: null,
  });
  const { promptTokens, completionTokens } = sampled;
  const rounds = 1 + resample;
  const replaced = mapCourse(sampled.zeroAdvantage(samples), (share) => (rounds > 1 ? share : 0));
  // Where groups are replaced, those without signal after the last round are left out.
  let sequences = mapCourse(replaced, (share) => prompts * samples * (1 - share ** rounds));
  let each = completionTokens.each;
  if (spec.maskTruncated) ({ sequences, each } = notCutOff(sequences, completionTokens, limitAt));
  const texts: Texts = { promptTokens, completionTokens: { ...completionTokens, each } };
  const trained = { model: 'stage', sequences, ...texts } as const;
  const draft = spec.draft ?? null;
  const rollout = { model: 'stage', prompts, samples, rounds, replaced, maxTokens, draft } as const;
  return [
    {
      phase: '',
      steps,
      purpose: 'training',
      rollouts: [{ ...rollout, promptTokens, completionTokens, capacity: MAX_CAPACITY }],
      scores: spec.klCoefficient > 0 ? [{ ...trained, by: 'reference' }] : [],
      passes: [
        {
          ...trained,
          loss: 'policy',
          source: 'rollout',
          predicts: 'completion',
          further: false,
          trains: facts.adapter ? 'adapter' : 'all',
          optimizer,
          updates: minibatches,
        },
      ],
    },
  ];
}

export const grpo = defineStage<GrpoOptions>({
  kind: 'grpo',
  schema: grpoSchema,
  trains: true,
  purpose: 'training',
  resolve: resolvePreset,
  steps: ({ steps }) => steps,
  check(spec, around) {
    const { refuse, adapter } = around;
    refuseWhere(around, () => createLengthLimit(spec.lengthSchedule, spec.maxTokens));
    refuseWhere(around, () => createSchedule(spec.schedule, spec.steps));
    if (spec.replaceReference && spec.klCoefficient === 0)
      refuse(['replaceReference'], 'needs a KL weight; without one there is no reference policy');
    if (spec.replaceReference && adapter)
      refuse(
        ['replaceReference'],
        'under an adapter the reference policy is the base model; leave it out',
      );
    if (spec.minibatches > spec.prompts)
      refuse(['minibatches'], `must be at most prompts (${spec.prompts}), is ${spec.minibatches}`);
  },
  fits(spec, made) {
    if (spec.draft && !made.model.num_nextn_predict_layers)
      throw new UserError(
        'usage',
        '"mtp" needs a model with num_nextn_predict_layers: 1; leave it out',
        'draft',
      );
    needPositions(made, spec.maxTokens, 'maxTokens');
  },
  work,
  create: createGrpo,
});
