import { describe, expect, it } from 'vitest';
import { aggregations, type BatchTotals } from './aggregations.js';

// Two groups of two completions: lengths 2 and 6, and 4 and 12. 24 tokens, 4 sequences, 2 groups,
// at most 16 tokens each.
const groups = [
  [2, 6],
  [4, 12],
];
const totals: BatchTotals = { sequences: 4, tokens: 24, groups: 2 };
const weights = (name: string): number[][] =>
  groups.map((lengths) => aggregations[name](lengths, totals, 16));

describe('aggregations, by hand', () => {
  it('grpo: mean over a sequence, then over sequences', () => {
    expect(weights('grpo')).toEqual([
      [1 / 8, 1 / 24],
      [1 / 16, 1 / 48],
    ]);
  });
  it('dapo: by the tokens of the group, then over groups', () => {
    // 8 tokens in the first group, 16 in the second, 2 groups
    expect(weights('dapo')).toEqual([
      [1 / 16, 1 / 16],
      [1 / 32, 1 / 32],
    ]);
  });
  it('batch-tokens: every token of the global batch alike', () => {
    expect(weights('batch-tokens').flat()).toEqual([1 / 24, 1 / 24, 1 / 24, 1 / 24]);
  });
  it('dr_grpo: a constant', () => {
    expect(weights('dr_grpo').flat()).toEqual([1 / 64, 1 / 64, 1 / 64, 1 / 64]);
  });

  it('all but dr_grpo are means: the weights of all tokens sum to 1', () => {
    for (const name of ['grpo', 'dapo', 'batch-tokens'] as const) {
      let sum = 0;
      weights(name).forEach((group, g) => {
        group.forEach((weight, i) => {
          sum += weight * groups[g][i];
        });
      });
      expect(sum).toBeCloseTo(1, 12);
    }
  });

  it('a completion without tokens has weight 0, not infinity', () => {
    for (const name of Object.keys(aggregations)) {
      expect(aggregations[name]([0, 3], { sequences: 2, tokens: 3, groups: 1 }, 8)[0]).toBe(0);
      expect(aggregations[name]([0, 0], { sequences: 2, tokens: 0, groups: 1 }, 8)).toEqual([0, 0]);
    }
  });
});
