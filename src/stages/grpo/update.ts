/**
 * @file The optimizer updates of a GRPO step: advantages over each group, weights by the
 * aggregation, and one update a minibatch.
 */
import type { Datum, Policy, Sums } from '../../policy/policy.js';
import { advantages } from '../../training/advantages.js';
import { aggregations } from '../../training/aggregations.js';
import { addNamed, sumNamed } from '../../training/sums.js';
import type { StageContext } from '../stage.js';
import type { GrpoOptions } from './options.js';
import type { Group } from './rollout.js';

/** Sums over this rank's tokens in all updates of a step. */
export interface Learned {
  /** Of `pass`: loss, clippedTokens, klWeighted, tokens, absoluteLogRatio, entropy, modelFlops. */
  sums: Sums;
  /** Tokens that training passes read. */
  tokensIn: number;
  /**
   * Of the first update alone, whose policy is still the one that sampled: what differs is how the
   * two programs computed it.
   */
  first: { absoluteLogRatio: number; tokens: number };
  /** The largest of all updates. */
  gradientNorm: number;
  /** How a mixture of experts was balanced, in the last update. */
  balance: Sums;
}

export function createUpdates(
  { ranks }: StageContext,
  options: GrpoOptions,
  policy: Policy,
  schedule: (step: number) => number,
): (groups: readonly Group[], step: number) => Promise<Learned> {
  const { minibatches, temperature, ratio, surrogate, klCoefficient } = options;
  const { clipLow, clipHigh } = options;
  const form = { ratio, surrogate, clipLow, clipHigh, klCoefficient };
  const loss = { name: 'policy', temperature, ...form } as const;
  const advantageOf = advantages[options.advantage];
  const aggregate = aggregations[options.aggregation];
  const counts = ({ stop }: { stop: string }): boolean =>
    !(options.maskTruncated && stop === 'length');

  /** Which update a slot's group belongs to: the same however many ranks there are. */
  const minibatchOf = (slot: number): number => Math.floor((slot * minibatches) / options.prompts);

  /** What is learned from the groups, and what a token counts in this update. */
  async function dataOf(groups: readonly Group[]): Promise<{ data: Datum[]; tokenWeight: number }> {
    const lengths = groups.map((group) =>
      group.completions.map((c) => (counts(c) ? c.tokens.length : 0)),
    );
    const totals = await sumNamed(ranks, {
      sequences: groups.length * options.samples,
      tokens: lengths.flat().reduce((sum, length) => sum + length, 0),
      groups: groups.length,
    });
    const data = groups.flatMap(({ prompt, completions, rewards }, g) => {
      const advantage = advantageOf(rewards);
      const weight = aggregate(lengths[g], totals, options.maxTokens);
      return completions.flatMap((completion, i): Datum[] =>
        counts(completion)
          ? [
              {
                tokens: [...prompt, ...completion.tokens],
                predictFrom: prompt.length,
                old: completion.logProbabilities,
                advantages: advantage[i],
                weights: weight[i],
              },
            ]
          : [],
      );
    });
    return { data, tokenWeight: 1 / Math.max(1, totals.tokens) };
  }

  /** The data with the reference policy's log-probabilities, where there is a KL term. */
  async function scored(data: Datum[]): Promise<{ data: Datum[]; modelFlops: number }> {
    if (klCoefficient === 0) return { data, modelFlops: 0 };
    const of = 'reference';
    const { logProbabilities, modelFlops } = await policy.score(data, { of, temperature });
    const referenced = data.map((datum, i) => ({ ...datum, reference: logProbabilities[i] }));
    return { data: referenced, modelFlops };
  }

  return async (groups, step) => {
    const sums: Sums = {};
    const first = { absoluteLogRatio: 0, tokens: 0 };
    let tokensIn = 0;
    let largest = 0;
    let balance: Sums = {};
    for (let m = 0; m < minibatches; m++) {
      const part = groups.filter(({ slot }) => minibatchOf(slot) === m);
      const { data: unscored, tokenWeight } = await dataOf(part);
      const { data, modelFlops } = await scored(unscored);
      const passed = await policy.pass(data, { ...loss, tokenWeight });
      const update = (step - 1) * minibatches + m + 1;
      const { gradientNorm, ...balanced } = await policy.step(schedule(step), update);
      addNamed(sums, passed);
      addNamed(sums, { modelFlops });
      tokensIn += data.reduce((sum, { tokens }) => sum + tokens.length - 1, 0);
      largest = Math.max(largest, gradientNorm);
      balance = balanced;
      const { absoluteLogRatio = 0, tokens = 0 } = passed;
      if (m === 0) Object.assign(first, { absoluteLogRatio, tokens });
    }
    return { sums, tokensIn, first, gradientNorm: largest, balance };
  };
}
