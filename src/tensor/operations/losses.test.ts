/** @file The losses against numbers worked out by hand. */
import { expect, it } from 'vitest';
import { POLICY_METRICS } from '../backend.js';
import { crossEntropyLossReference, policyLossReference } from './losses.js';
import { subtract } from './reference-kernel.js';

it('cross-entropy is the weighted sum of −log p', () => {
  const [d, loss] = [new Float64Array(3), new Float64Array(1)];
  crossEntropyLossReference(d, loss, Float64Array.of(-1, -2, -4), Float64Array.of(0.5, 0.25, 0));
  expect(loss[0]).toBe(1); // 0.5·1 + 0.25·2 + 0·4
  expect([...d]).toEqual([-0.5, -0.25, -0]);
});

it('the policy loss clips where clipping makes the objective smaller, and only there', () => {
  // Ratios 2, 2, ½, ½ with advantages 1, −1, 1, −1; the clip range is [0.8, 1.3].
  const [up, down] = [Math.log(2), Math.log(0.5)];
  const now = Float64Array.of(up, up, down, down).map((x) => x - 3);
  const old = new Float64Array(4).fill(-3);
  const [d, metrics] = [new Float64Array(4), new Float64Array(POLICY_METRICS.length)];
  const options = { clipLow: 0.2, clipHigh: 0.3, klCoefficient: 0 };
  const advantages = Float64Array.of(1, -1, 1, -1);
  policyLossReference(
    d,
    metrics,
    now,
    old,
    null,
    advantages,
    new Float64Array(4).fill(0.25),
    options,
    subtract,
  );
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
  const [d, metrics] = [new Float64Array(2), new Float64Array(POLICY_METRICS.length)];
  const now = Float64Array.of(-1, -1);
  const reference = Float64Array.of(-1, -1 + Math.log(2));
  const options = { clipLow: 0.2, clipHigh: 0.2, klCoefficient: 0.5 };
  policyLossReference(
    d,
    metrics,
    now,
    now,
    reference,
    new Float64Array(2),
    Float64Array.of(1, 1),
    options,
    subtract,
  );
  expect(metrics[2]).toBeCloseTo(2 - Math.log(2) - 1, 12);
  expect(metrics[0]).toBeCloseTo(0.5 * (1 - Math.log(2)), 12);
  expect(d[0]).toBeCloseTo(0, 12);
  expect(d[1]).toBeCloseTo(0.5 * (1 - 2), 12); // too unlikely under the policy: descent raises it
});
