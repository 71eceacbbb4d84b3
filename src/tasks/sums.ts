/**
 * @file sums: chains of additions and subtractions, `12+7-5=`.
 *
 * The smallest task in which thinking pays. Demonstrations mix two manners: careful ones work a
 * chain from the left, one operation a line, and now and then slip; direct ones answer at once, and
 * mostly wrong. A model that imitates both is right about half of the time when sampled, and
 * reinforcement learning from the answer alone has to find out which manner earns the reward. What
 * a careful model still gets wrong is its slips.
 *
 * All options share one alphabet, so chains longer than any demonstrated one (`terms: [5, 6]`) need
 * no other vocabulary.
 */
import { z } from 'zod';
import type { Random } from '../base/random.js';
import { gradeCompletion, quote, writeCompletion } from './completion.js';
import { defineTask, formatReward, integerRange, share } from './definition.js';
import type { Task } from './task.js';

const options = z.strictObject({
  /** Fewest and most operands of a chain. */
  terms: integerRange(2, 12).default([2, 4]),
  /** Operands are 1 … maximum. */
  maximum: z.number().int().min(1).max(999).default(20),
  /** Share of demonstrations that work step by step; the others answer at once. */
  stepByStep: share.default(0.5),
  /**
   * Probability that a step of a careful demonstration comes out wrong; later steps go on from the
   * wrong value.
   */
  slip: share.default(0.04),
  /** Share of direct demonstrations whose answer is wrong. */
  wrong: share.default(0.8),
  formatReward,
});

/**
 * A chain: `operands[0]`, then each operand added or, where `subtract` says so, subtracted
 * (`subtract[0]` is false).
 */
export interface Sum {
  readonly operands: readonly number[];
  readonly subtract: readonly boolean[];
}

const expression = ({ operands, subtract }: Sum): string =>
  operands.map((operand, i) => `${i === 0 ? '' : subtract[i] ? '-' : '+'}${operand}`).join('');

const valueOfSum = ({ operands, subtract }: Sum): number =>
  operands.reduce((total, x, i) => total + (subtract[i] ? -x : x), 0);

/**
 * One line an operation, `12+7=19`; each line's result is off by a little with probability `slip`.
 */
function workThrough(
  { operands, subtract }: Sum,
  slip: number,
  random: Random | null,
): { lines: string[]; result: number } {
  const lines: string[] = [];
  let result = operands[0];
  for (let i = 1; i < operands.length; i++) {
    const right = subtract[i] ? result - operands[i] : result + operands[i];
    const next = random?.chance(slip) ? nearMiss(right, random) : right;
    lines.push(`${result}${subtract[i] ? '-' : '+'}${operands[i]}=${next}`);
    result = next;
  }
  return { lines, result };
}

/** A wrong value as a hasty person gets it: off by one or two, or in the tens. */
function nearMiss(value: number, random: Random): number {
  const off = random.pick([1, 1, 1, 2, 2, 10]);
  return random.chance(0.5) ? value + off : value - off;
}

export const sums = defineTask({
  name: 'sums',
  description: 'Chains of additions and subtractions, worked from the left.',
  options,
  create({ terms, maximum, stepByStep, slip, wrong, formatReward }): Task<Sum> {
    return {
      name: 'sums',
      alphabet: '\n+-0123456789=',
      maxPromptLength: terms[1] * (String(maximum).length + 1),

      generate(random) {
        const length = random.integer(terms[0], terms[1]);
        const operands = Array.from({ length }, () => random.integer(1, maximum));
        const subtract = operands.map((_, i) => i > 0 && random.chance(0.5));
        const data = { operands, subtract };
        const key = expression(data);
        return { key, prompt: `${key}=`, data };
      },

      verify({ data }, completion) {
        return gradeCompletion(completion, formatReward, (answer) => {
          const truth = String(valueOfSum(data));
          if (answer === truth) return { correct: true, reason: `equals ${truth}` };
          return { correct: false, reason: `answers ${quote(answer)}, not ${truth}` };
        });
      },

      demonstrate({ data }, random) {
        if (random.chance(stepByStep)) {
          const { lines, result } = workThrough(data, slip, random);
          return writeCompletion(lines.join('\n'), String(result));
        }
        const truth = valueOfSum(data);
        return writeCompletion('', String(random.chance(wrong) ? nearMiss(truth, random) : truth));
      },

      gold({ data }) {
        const { lines, result } = workThrough(data, 0, null);
        return writeCompletion(lines.join('\n'), String(result));
      },
    };
  },
});
