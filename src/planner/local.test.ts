import { describe, expect, it } from 'vitest';
import { addUp, scaled } from '../base/quantity.js';
import { decodeSeconds, type LocalStage, predictStage, rolloutSeconds } from './local.js';

const decoding = {
  prefillSecondsPerPrompt: 0.01,
  decode: [
    { sequences: 1, seconds: 1 },
    { sequences: 4, seconds: 2 },
  ],
  context: 10,
  secondsPerContextToken: 0,
};

describe('decodeSeconds', () => {
  it('is linear between the sizes that were timed and beyond them', () => {
    expect(decodeSeconds(decoding, 1, 10)).toBe(1);
    expect(decodeSeconds(decoding, 2.5, 25)).toBe(1.5);
    expect(decodeSeconds(decoding, 7, 70)).toBe(3);
  });

  it('adds what attention takes beyond the context that was timed', () => {
    expect(decodeSeconds({ ...decoding, secondsPerContextToken: 0.01 }, 4, 4 * 15)).toBeCloseTo(
      2.2,
      12,
    );
  });
});

describe('rolloutSeconds', () => {
  it('shrinks the batch as completions end', () => {
    // First tokens come with the prompt: one step of 4, one of 1.
    const rollout = { promptTokens: 3, lengths: [[2, 2, 2, 3]], capacity: 4 };
    expect(rolloutSeconds(decoding, rollout)).toBeCloseTo(0.01 + 2 + 1, 12);
  });

  it('fills freed slots once a quarter is free', () => {
    // Capacity 4: three of length 2 and one of 4 begin; after one step three slots are free and
    // take the rest.
    const rollout = { promptTokens: 3, lengths: [[2, 2], [2, 4], [2]], capacity: 4 };
    const two = decodeSeconds(decoding, 2, 20);
    expect(rolloutSeconds(decoding, rollout)).toBeCloseTo(0.03 + 2 + two + 1, 12);
  });

  it('takes no step for completions of one token', () => {
    expect(
      rolloutSeconds(decoding, {
        promptTokens: 3,
        lengths: [
          [1, 1],
          [1, 1],
          [1, 1],
        ],
        capacity: 2,
      }),
    ).toBeCloseTo(0.03, 12);
  });
});

describe('predictStage', () => {
  const scenario = { trainedTokens: 1000, scoredTokens: 0, rollouts: [] };
  const stage: LocalStage = {
    steps: 10,
    updates: 2,
    problems: 8,
    grades: 0,
    checkpoints: 3,
    secondsPerCheckpoint: 0.5,
    expected: scenario,
    short: scenario,
    long: { ...scenario, trainedTokens: 2000 },
  };
  const rates = {
    trainingSecondsPerToken: 1e-3,
    secondsPerUpdate: 0.1,
    secondsPerProblem: 0.01,
    secondsPerGrade: 0,
  };

  it('adds passes, updates, problems and checkpoints', () => {
    // 10 × (1 + 0.2 + 0.08) + 1.5
    const { value, low, high } = predictStage(stage, rates);
    expect(value).toBeCloseTo(14.3, 12);
    expect(low).toBeLessThan(value);
    expect(high).toBeGreaterThan(10 * 2.28 + 1.5);
  });

  it('counts a reference policy as a third of forward and backward', () => {
    const scored = { ...stage, expected: { ...scenario, scoredTokens: 1000 } };
    expect(predictStage(scored, rates).value - predictStage(stage, rates).value).toBeCloseTo(
      10 / 3,
      12,
    );
  });

  it('is slower and less sure where others use the machine', () => {
    const busy = predictStage(stage, rates, 2);
    expect(busy.value).toBeCloseTo(2 * 12.8 + 1.5, 12);
    const alone = predictStage(stage, rates);
    expect(busy.high / busy.low).toBeGreaterThan(alone.high / alone.low);
    expect(busy.low).toBeLessThanOrEqual(alone.value);
  });
});

it('quantities add and scale end by end', () => {
  const a = { value: 2, low: 1, high: 4 };
  expect(addUp([a, a])).toEqual({ value: 4, low: 2, high: 8 });
  expect(scaled(a, 0.5)).toEqual({ value: 1, low: 0.5, high: 2 });
});
