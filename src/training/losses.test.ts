import { describe, expect, it } from 'vitest';
import type { PolicyLossOptions } from '../tensor/operations/losses.js';
import { advantages } from './advantages.js';
import { aggregations } from './aggregations.js';
import { losses, type PolicyLossInputs, policyLossOf, policyLossReference } from './losses.js';

const options: PolicyLossOptions = { clipLow: 0.2, clipHigh: 0.28, klCoefficient: 0 };

/** One token of weight 1 with ratio `ratio`. */
const token = (
  ratio: number,
  advantage: number,
  o = options,
): { loss: number; derivative: number; clipped: number } => {
  const result = policyLossReference(
    {
      logProbabilities: [-1 + Math.log(ratio)],
      old: [-1],
      reference: null,
      advantages: [advantage],
      weights: [1],
    },
    o,
  );
  return {
    loss: result.metrics.loss,
    derivative: result.dLogProbabilities[0],
    clipped: result.metrics.clippedTokens,
  };
};

describe('the clipped ratio, one token at a time, by hand', () => {
  const cases: [
    name: string,
    ratio: number,
    advantage: number,
    loss: number,
    derivative: number,
    clipped: number,
  ][] = [
    // inside the bounds: −ρA, derivative −ρA
    ['inside, good', 1.1, 2, -2.2, -2.2, 0],
    ['inside, bad', 0.9, -2, 1.8, 1.8, 0],
    ['on-policy', 1, 0.5, -0.5, -0.5, 0],
    // a good token that has grown enough: held at 1.28, no derivative
    ['above, good', 1.5, 2, -2.56, 0, 1],
    // a bad token that has grown: min(1.5 · −2, 1.28 · −2) = −3, not clipped, pushed down with the
    // full ratio
    ['above, bad', 1.5, -2, 3, 3, 0],
    // a good token that has shrunk: min(0.5 · 2, 0.8 · 2) = 1, not clipped
    ['below, good', 0.5, 2, -1, -1, 0],
    // a bad token that has shrunk enough: held at 0.8, no derivative
    ['below, bad', 0.5, -2, 1.6, 0, 1],
    // nothing to learn
    ['no advantage', 1.5, 0, 0, 0, 0],
  ];
  it.each(cases)('%s', (_name, ratio, advantage, loss, derivative, clipped) => {
    const result = token(ratio, advantage);
    expect(result.loss).toBeCloseTo(loss, 12);
    expect(result.derivative).toBeCloseTo(derivative, 12);
    expect(result.clipped).toBe(clipped);
  });
});

describe('the k3 estimate of the KL divergence, by hand', () => {
  it('adds β·k3 and β·(1 − π_ref/π)', () => {
    // π = 0.5, π_ref = 0.25: π_ref/π = 1/2, k3 = 1/2 − ln(1/2) − 1 = ln 2 − 1/2; derivative 1 −
    // 1/2.
    const result = policyLossReference(
      {
        logProbabilities: [Math.log(0.5)],
        old: [Math.log(0.5)],
        reference: [Math.log(0.25)],
        advantages: [3],
        weights: [0.5],
      },
      { ...options, klCoefficient: 0.1 },
    );
    expect(result.metrics.loss).toBeCloseTo(0.5 * (-3 + 0.1 * (Math.LN2 - 0.5)), 12);
    expect(result.metrics.klWeighted).toBeCloseTo(0.5 * (Math.LN2 - 0.5), 12);
    expect(result.dLogProbabilities[0]).toBeCloseTo(0.5 * (-3 + 0.1 * 0.5), 12);
  });

  it('keeps its derivative where the ratio is clipped', () => {
    // ρ = 2 with A = 1 is clipped; π_ref/π = 4: derivative β(1 − 4).
    const result = policyLossReference(
      {
        logProbabilities: [-2],
        old: [-2 - Math.log(2)],
        reference: [-2 + Math.log(4)],
        advantages: [1],
        weights: [1],
      },
      { ...options, klCoefficient: 0.5 },
    );
    expect(result.dLogProbabilities[0]).toBeCloseTo(-1.5, 12);
    expect(result.metrics.loss).toBeCloseTo(-1.28 + 0.5 * (4 - Math.log(4) - 1), 12);
    expect(result.metrics.clippedTokens).toBe(1);
  });
});

/**
 * A whole batch by hand: one group of two, rewards 1 and 0; completion a has 1 token, completion b
 * has 3. Ratios: a: 1.5; b: 1, 0.5, 1.2. At most 4 tokens a completion.
 */
const ratios = [1.5, 1, 0.5, 1.2];
const rewards = [1, 0];
const lengths = [1, 3];

function batch(advantage: 'group-std' | 'group-mean', aggregation: string): PolicyLossInputs {
  const perSequence = advantages[advantage](rewards);
  const weights = aggregations[aggregation](lengths, { sequences: 2, tokens: 4, groups: 1 }, 4);
  const sequence = [0, 1, 1, 1];
  return {
    logProbabilities: ratios.map((ratio) => -1 + Math.log(ratio)),
    old: [-1, -1, -1, -1],
    reference: null,
    advantages: sequence.map((s) => perSequence[s]),
    weights: sequence.map((s) => weights[s]),
  };
}

describe('whole batches, by hand', () => {
  // rewards 1, 0: mean 1/2, unbiased variance (1/4 + 1/4)/1 = 1/2.
  const A = 0.5 / (Math.sqrt(0.5) + 1e-4);

  it('grpo', () => {
    const { metrics, dLogProbabilities } = policyLossReference(
      batch('group-std', losses.grpo.aggregation),
      {
        ...losses.grpo,
        klCoefficient: 0,
      },
    );
    // a: clipped at 1.2: −1.2A, weight 1/(1·2). b: A is negative: +1A, held at 0.8: +0.8A, +1.2A;
    // weight 1/(3·2).
    expect(metrics.loss).toBeCloseTo((-1.2 * A) / 2 + (A + 0.8 * A + 1.2 * A) / 6, 12);
    expect(metrics.clippedTokens).toBe(2);
    expect(metrics.tokens).toBe(4);
    expect(metrics.absoluteLogRatio).toBeCloseTo(Math.log(1.5) + Math.log(2) + Math.log(1.2), 12);
    [0, A / 6, 0, (1.2 * A) / 6].forEach((expected, n) => {
      expect(dLogProbabilities[n]).toBeCloseTo(expected, 12);
    });
  });

  it('dapo', () => {
    const { metrics, dLogProbabilities } = policyLossReference(
      batch('group-std', losses.dapo.aggregation),
      losses.dapo,
    );
    // a is clipped at 1.28; every token weighs 1/4.
    expect(metrics.loss).toBeCloseTo((-1.28 * A + A + 0.8 * A + 1.2 * A) / 4, 12);
    [0, A / 4, 0, (1.2 * A) / 4].forEach((expected, n) => {
      expect(dLogProbabilities[n]).toBeCloseTo(expected, 12);
    });
  });

  it('dr_grpo', () => {
    const { metrics, dLogProbabilities } = policyLossReference(
      batch('group-mean', losses.dr_grpo.aggregation),
      losses.dr_grpo,
    );
    // advantages ±1/2; every token weighs 1/(4·2).
    expect(metrics.loss).toBeCloseTo((-1.2 + 1 + 0.8 + 1.2) / 2 / 8, 12);
    [0, 0.5 / 8, 0, 0.6 / 8].forEach((expected, n) => {
      expect(dLogProbabilities[n]).toBeCloseTo(expected, 12);
    });
  });
});

it('the derivative passes finite differences away from the clip bounds', () => {
  const inputs: PolicyLossInputs = {
    logProbabilities: [-0.3, -1.2, -2.5, -0.05, -4],
    old: [-0.35, -1.6, -2.1, -0.06, -4.05],
    reference: [-0.2, -1, -3, -0.5, -3],
    advantages: [1.3, 0.7, -0.9, -2, 0.4],
    weights: [0.1, 0.3, 0.2, 0.25, 0.15],
  };
  const o = { clipLow: 0.2, clipHigh: 0.28, klCoefficient: 0.7 };
  const { dLogProbabilities } = policyLossReference(inputs, o);
  const h = 1e-5;
  for (let n = 0; n < inputs.logProbabilities.length; n++) {
    const at = (shift: number): number => {
      const logProbabilities = Array.from(inputs.logProbabilities);
      logProbabilities[n] += shift;
      return policyLossReference({ ...inputs, logProbabilities }, o).metrics.loss;
    };
    expect(dLogProbabilities[n]).toBeCloseTo((at(h) - at(-h)) / (2 * h), 8);
  }
});

describe('one ratio a sequence (GSPO)', () => {
  it('is the geometric mean of the tokens’ ratios, by hand', () => {
    // a: ratio 1.5. b: 1, 0.5, 1.2, so (0.6)^(1/3). Bounds 0.5 and 1.4; advantages 1 and −1; every
    // token weighs 1/4.
    const inputs: PolicyLossInputs = {
      ...batch('group-mean', 'dapo'),
      advantages: [1, -1, -1, -1],
    };
    const { metrics, dLogProbabilities } = policyLossOf(inputs, [0, 1, 4], {
      clipLow: 0.5,
      clipHigh: 0.4,
      klCoefficient: 0,
      ratio: 'sequence',
      surrogate: 'clip',
    });
    const s = 0.6 ** (1 / 3);
    expect(metrics.loss).toBeCloseTo(-1.4 / 4 + (3 / 4) * s, 12);
    expect(metrics.clippedTokens).toBe(1);
    expect(metrics.tokens).toBe(4);
    // a is held at 1.4. Each token of b carries a third of the sequence's derivative.
    [0, s / 4, s / 4, s / 4].forEach((expected, n) => {
      expect(dLogProbabilities[n]).toBeCloseTo(expected, 12);
    });
  });

  it('is the loss by token for sequences of one token', () => {
    const inputs = batch('group-std', 'grpo');
    const form = { ...losses.dapo, ratio: 'sequence' } as const;
    expect(policyLossOf(inputs, [0, 1, 2, 3, 4], form)).toEqual(
      policyLossReference(inputs, losses.dapo),
    );
  });

  it('passes finite differences, with KL', () => {
    const inputs: PolicyLossInputs = {
      logProbabilities: [-0.3, -1.2, -2.5, -0.05, -4, -0.7],
      old: [-0.35, -1.6, -2.1, -0.06, -4.05, -1.1],
      reference: [-0.2, -1, -3, -0.5, -3, -0.7],
      advantages: [1.3, 1.3, -0.9, -0.9, -0.9, 0.4],
      weights: [0.1, 0.3, 0.2, 0.25, 0.15, 0.2],
    };
    const bounds = { clipLow: 0.2, clipHigh: 0.28, klCoefficient: 0.7 };
    const o = { ...bounds, ratio: 'sequence', surrogate: 'clip' } as const;
    const starts = [0, 2, 5, 6];
    const { dLogProbabilities, metrics } = policyLossOf(inputs, starts, o);
    // The last sequence, of ratio e^0.4, is clipped: its derivative is the divergence's alone.
    expect(metrics.clippedTokens).toBe(1);
    const h = 1e-5;
    for (let n = 0; n < 6; n++) {
      const at = (shift: number): number => {
        const logProbabilities = Array.from(inputs.logProbabilities);
        logProbabilities[n] += shift;
        return policyLossOf({ ...inputs, logProbabilities }, starts, o).metrics.loss;
      };
      expect(dLogProbabilities[n]).toBeCloseTo((at(h) - at(-h)) / (2 * h), 8);
    }
  });
});

describe('CISPO', () => {
  // Ratios 8, ½ and 1 with advantages 1, −1 and 2; the upper bound is 5, and there is no lower one.
  const inputs: PolicyLossInputs = {
    logProbabilities: [-1, -2, -0.5],
    old: [-1 - Math.log(8), -2 + Math.log(2), -0.5],
    reference: null,
    advantages: [1, -1, 2],
    weights: [0.5, 0.25, 0.25],
  };

  it('weighs log π by the bounded ratio, and drops no token, by hand', () => {
    const { metrics, dLogProbabilities } = policyLossOf(inputs, [], losses.cispo);
    // −Σ w·min(ρ, 5)·A·log π = −(½·5·1·(−1) + ¼·½·(−1)·(−2) + ¼·1·2·(−½))
    expect(metrics.loss).toBeCloseTo(2.5 - 0.25 + 0.25, 12);
    expect(metrics.clippedTokens).toBe(1);
    [-2.5, 0.125, -0.5].forEach((expected, n) => {
      expect(dLogProbabilities[n]).toBeCloseTo(expected, 12);
    });
    // Where PPO clips, it forgets the token.
    const form = { ...losses.cispo, surrogate: 'clip' } as const;
    expect(policyLossOf(inputs, [], form).dLogProbabilities[0]).toBeCloseTo(0, 12);
  });

  it('takes the ratio for a constant', () => {
    const { dLogProbabilities } = policyLossOf(inputs, [], losses.cispo);
    const h = 1e-5;
    const held = [5, 0.5, 1];
    for (let n = 0; n < 3; n++) {
      const at = (shift: number): number =>
        -inputs.weights[n] * held[n] * inputs.advantages[n] * (inputs.logProbabilities[n] + shift);
      expect(dLogProbabilities[n]).toBeCloseTo((at(h) - at(-h)) / (2 * h), 8);
    }
  });
});
