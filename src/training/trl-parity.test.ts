/**
 * @file Loss and gradient against TRL's, on numbers that bench/peers/trl_losses.py drew and
 * computed.
 */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { POLICY_METRICS } from '../tensor/operations/losses.js';
import { advantages } from './advantages.js';
import { aggregations } from './aggregations.js';
import { type PolicyLossInputs, policyLossOf, type Ratio } from './losses.js';

interface Case {
  loss: 'grpo' | 'bnpo' | 'dr_grpo' | 'dapo';
  ratio: Ratio;
  beta: number;
  clipLow: number;
  clipHigh: number;
  value: number;
  gradient: number[][];
}

const fixture = JSON.parse(
  readFileSync(new URL('../../test/fixtures/trl-losses.json', import.meta.url), 'utf8'),
) as {
  samples: number;
  maxTokens: number;
  rewards: number[];
  logProbabilities: number[][];
  old: number[][];
  reference: number[][];
  cases: Case[];
};
const { samples, maxTokens, rewards } = fixture;
const lengths = fixture.old.map((row) => row.length);
const totals = {
  sequences: lengths.length,
  tokens: lengths.reduce((sum, length) => sum + length, 0),
  groups: lengths.length / samples,
};
const groupsOf = <T>(list: readonly T[]): T[][] =>
  Array.from({ length: totals.groups }, (_, g) => list.slice(g * samples, (g + 1) * samples));
const perToken = (values: readonly number[]): number[] =>
  values.flatMap((value, i) => new Array<number>(lengths[i]).fill(value));

/**
 * What TRL calls `dapo`, and `bnpo` on one device, is our `batch-tokens`: the paper's DAPO divides
 * by the group's tokens.
 */
const AGGREGATION: Record<Case['loss'], string> = {
  grpo: 'grpo',
  dr_grpo: 'dr_grpo',
  bnpo: 'batch-tokens',
  dapo: 'batch-tokens',
};

function inputsOf(loss: Case['loss'], aggregation: string): PolicyLossInputs {
  const advantageOf = advantages[loss === 'dr_grpo' ? 'group-mean' : 'group-std'];
  const weights = groupsOf(lengths).flatMap((own) =>
    aggregations[aggregation](own, totals, maxTokens),
  );
  return {
    logProbabilities: fixture.logProbabilities.flat(),
    old: fixture.old.flat(),
    reference: fixture.reference.flat(),
    advantages: perToken(groupsOf(rewards).flatMap(advantageOf)),
    weights: perToken(weights),
  };
}

async function onReferenceBackend(
  inputs: PolicyLossInputs,
  options: { clipLow: number; clipHigh: number; klCoefficient: number },
) {
  const backend = createReferenceBackend();
  const n = inputs.old.length;
  const upload = (values: ArrayLike<number>) => {
    const tensor = backend.allocate('f32', [n]);
    backend.write(tensor, Float64Array.from(values));
    return tensor;
  };
  const gradient = backend.allocate('f32', [n]);
  const metrics = backend.allocate('f32', [POLICY_METRICS.length]);
  const { logProbabilities, old, reference, weights } = inputs;
  const [now, before, advantage, weight] = [logProbabilities, old, inputs.advantages, weights].map(
    upload,
  );
  backend.policyLoss({
    dLogProbabilities: gradient,
    metrics,
    logProbabilities: now,
    old: before,
    reference: upload(reference ?? []),
    advantages: advantage,
    weights: weight,
    ...options,
  });
  return { loss: (await backend.read(metrics))[0], gradient: [...(await backend.read(gradient))] };
}

it('covers four losses, both ratios, with and without KL, and clips some ratios of each', () => {
  expect(
    new Set(fixture.cases.map(({ loss, ratio, beta }) => `${loss} ${ratio} ${beta > 0}`)).size,
  ).toBe(16);
  expect(lengths).toContain(0);
  for (const { gradient, beta } of fixture.cases) {
    if (beta === 0) expect(gradient.flat().filter((g) => g === 0).length).toBeGreaterThan(4);
  }
});

it.each(fixture.cases.map((c) => [c.loss, c.ratio, c.beta, c] as const))(
  '%s by %s, β %d',
  async (loss, ratio, beta, c) => {
    const inputs = inputsOf(loss, AGGREGATION[loss]);
    const options = { clipLow: c.clipLow, clipHigh: c.clipHigh, klCoefficient: beta };
    const starts = [0];
    for (const length of lengths) starts.push(starts[starts.length - 1] + length);
    const bySequence = policyLossOf(inputs, starts, {
      ...options,
      ratio: 'sequence',
      surrogate: 'clip',
    });
    const ours =
      ratio === 'token'
        ? await onReferenceBackend(inputs, options)
        : { loss: bySequence.metrics.loss, gradient: bySequence.dLogProbabilities };
    expect(Math.abs(ours.loss / c.value - 1)).toBeLessThan(1e-5);
    const theirs = c.gradient.flat();
    const largest = Math.max(...theirs.map(Math.abs));
    expect(ours.gradient).toHaveLength(theirs.length);
    ours.gradient.forEach((g, n) => {
      expect(Math.abs(g - theirs[n]), `token ${n}`).toBeLessThan(
        1e-5 * Math.max(Math.abs(theirs[n]), 1e-6 * largest),
      );
    });
  },
);

it("the paper's DAPO is another loss than TRL's where groups differ in length", () => {
  const options = { clipLow: 0.2, clipHigh: 0.28, klCoefficient: 0 };
  const each = Array.from({ length: totals.tokens + 1 }, (_, n) => n);
  const [a, b] = (['dapo', 'batch-tokens'] as const).map((name) =>
    policyLossOf(inputsOf('dapo', name), each, {
      ...options,
      ratio: 'sequence',
      surrogate: 'clip',
    }),
  );
  expect(Math.abs(a.metrics.loss / b.metrics.loss - 1)).toBeGreaterThan(0.05);
});
