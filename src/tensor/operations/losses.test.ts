/** @file The losses against numbers worked out by hand. */
import { expect, it } from 'vitest';
import { lossOperations } from './losses.js';
import { subtract } from './reference-kernel.js';

const { crossEntropyLoss, policyLoss } = lossOperations;

/** Runs the reference kernel; every list has one entry a token. */
function policyLossOf(
  lists: Record<'logProbabilities' | 'old' | 'advantages' | 'weights', readonly number[]>,
  reference: readonly number[] | null,
  klCoefficient: number,
  clipHigh = 0.2,
) {
  const N = lists.old.length;
  const [dLogProbabilities, metrics] = [new Float64Array(N), new Float64Array(5)];
  const tensors = {
    dLogProbabilities,
    metrics,
    logProbabilities: Float64Array.from(lists.logProbabilities),
    old: Float64Array.from(lists.old),
    reference: reference && Float64Array.from(reference),
    advantages: Float64Array.from(lists.advantages),
    weights: Float64Array.from(lists.weights),
  };
  policyLoss.reference?.(tensors, { N, clipLow: 0.2, clipHigh, klCoefficient }, subtract);
  return { d: dLogProbabilities, metrics };
}

it('cross-entropy is the weighted sum of −log p', () => {
  const [d, loss] = [new Float64Array(3), new Float64Array(1)];
  const tensors = {
    dLogProbabilities: d,
    loss,
    logProbabilities: Float64Array.of(-1, -2, -4),
    weights: Float64Array.of(0.5, 0.25, 0),
  };
  crossEntropyLoss.reference?.(tensors, { N: 3 }, subtract);
  expect(loss[0]).toBe(1); // 0.5·1 + 0.25·2 + 0·4
  expect([...d]).toEqual([-0.5, -0.25, -0]);
});

it('the policy loss clips where clipping makes the objective smaller, and only there', () => {
  // Ratios 2, 2, ½, ½ with advantages 1, −1, 1, −1; the clip range is [0.8, 1.3].
  const [up, down] = [Math.log(2), Math.log(0.5)];
  const lists = {
    logProbabilities: [up, up, down, down].map((x) => x - 3),
    old: [-3, -3, -3, -3],
    advantages: [1, -1, 1, -1],
    weights: [0.25, 0.25, 0.25, 0.25],
  };
  const { d, metrics } = policyLossOf(lists, null, 0, 0.3);
  const [loss, clippedTokens, klWeighted, tokens, absoluteLogRatio] = metrics;
  // min(ρA, clip(ρ)A) = 1.3 (clipped), −2, 0.5, −0.8 (clipped); the loss is minus their mean.
  expect(loss).toBeCloseTo(-(1.3 - 2 + 0.5 - 0.8) / 4, 12);
  expect([clippedTokens, klWeighted, tokens]).toEqual([2, 0, 4]);
  expect(absoluteLogRatio).toBeCloseTo(4 * up, 12);
  const expected = [0, 0.5, -0.125, 0];
  d.forEach((value, n) => {
    expect(value).toBeCloseTo(expected[n], 12);
  });
});

it('k3 is zero where policy and reference agree, and positive elsewhere', () => {
  const lists = {
    logProbabilities: [-1, -1],
    old: [-1, -1],
    advantages: [0, 0],
    weights: [1, 1],
  };
  const { d, metrics } = policyLossOf(lists, [-1, -1 + Math.log(2)], 0.5);
  expect(metrics[2]).toBeCloseTo(2 - Math.log(2) - 1, 12);
  expect(metrics[0]).toBeCloseTo(0.5 * (1 - Math.log(2)), 12);
  expect(d[0]).toBeCloseTo(0, 12);
  expect(d[1]).toBeCloseTo(0.5 * (1 - 2), 12); // too unlikely under the policy: descent raises it
});
