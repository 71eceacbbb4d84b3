/**
 * @file countdown: reach a target from given numbers, each used at most once, with + − × ÷.
 * `3,5,7:22=`
 *
 * The game of the French and British television shows, and the task on which TinyZero (Pan et al.
 * 2025) reproduced R1-Zero's behaviour. It rewards search: a demonstration tries expressions until
 * one fits or it gives up,
 *
 *     <think>7*3=21,21-5=16:22
 *     7*3=21,21*5=105:22
 *     5*3=15,15+7=22:22!</think><answer>(5*3)+7</answer>
 *
 * One line is one try, one operation at a time, larger operand first; then the target, and `!` for
 * a hit or the end of the line for a miss. The next operation is chosen with the last result
 * already written, so a character-level model need not see the whole expression before it starts;
 * and result and target stand side by side, because a small model that had to compare with the
 * prompt called one try in five a hit, whatever it had reached. The answer composes the last try's
 * steps, each inner result in parentheses.
 *
 * Tries follow one fixed order (`allAttempts`), from a random place in it, round and round: a line
 * is the one before it with the next operator or operand. With tries drawn at random, a model had
 * no reason not to repeat itself, and its greedy decoding wrote one line over and over. Where to
 * begin, and how long to keep looking, are left to be learned.
 *
 * Rules. Generated problems and demonstrations keep to the game's: every intermediate result is a
 * whole number above zero, so a division must come out even. The verifier is exact arithmetic and
 * nothing more: an answer that passes through a fraction, zero or a negative number is right if it
 * equals the target. A target is never one of the numbers themselves.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { gradeCompletion, writeCompletion } from './completion.js';
import { defineTask, formatReward, integerRange, share } from './definition.js';
import { evaluateExpression, fractionText } from './expression.js';
import type { Problem, Task } from './task.js';

const options = z.strictObject({
  /**
   * How many numbers. Four is the most: the search visits every expression, about 600 for four
   * numbers.
   */
  count: z.number().int().min(2).max(4).default(3),
  /**
   * Numbers are 1 … maximum. Three numbers up to 9 make only 2,503 problems with targets below 100;
   * up to 12, 5,879.
   */
  maximum: z.number().int().min(2).max(99).default(12),
  /** Lowest and highest target. */
  target: integerRange(1, 9999).default([1, 99]),
  /**
   * Most expressions that a demonstration tries; how many it tries is drawn evenly from 1 …
   * attempts.
   */
  attempts: z.number().int().min(1).max(16).default(4),
  /**
   * Share of demonstrations that end in a solution; the others give up and answer with their last
   * try.
   */
  solved: share.default(0.5),
  formatReward,
});

export interface Countdown {
  /** In ascending order. */
  readonly numbers: readonly number[];
  readonly target: number;
}

/**
 * One way to combine numbers: its operations in order, `7*3=21,21+1=22`, and the same as one
 * expression.
 */
export interface Attempt {
  readonly steps: string;
  readonly expression: string;
  readonly value: number;
}

interface Operand {
  readonly value: number;
  readonly text: string;
}

/**
 * a ∘ b for a ≥ b > 0 under the game's rules; null where the result is no whole number above zero,
 * or is a again.
 */
function combine(operator: string, a: number, b: number): number | null {
  if (operator === '+') return a + b;
  if (operator === '-') return a > b ? a - b : null;
  if (b === 1) return null;
  if (operator === '*') return a * b;
  return a % b === 0 ? a / b : null;
}

/**
 * Every attempt over two or more of `numbers`, once each; larger operand first, so `3*7` is only
 * ever `7*3`.
 */
export function allAttempts(numbers: readonly number[]): Attempt[] {
  const found = new Map<string, Attempt>();
  const reduce = (operands: readonly Operand[], steps: string): void => {
    if (operands.length === 1) {
      const { value, text } = operands[0];
      if (steps !== '' && !found.has(text)) found.set(text, { steps, expression: text, value });
      return;
    }
    for (let i = 0; i < operands.length; i++) {
      for (let j = i + 1; j < operands.length; j++) {
        const [a, b] =
          operands[i].value >= operands[j].value
            ? [operands[i], operands[j]]
            : [operands[j], operands[i]];
        const others = operands.filter((_, k) => k !== i && k !== j);
        for (const operator of '+-*/') {
          const value = combine(operator, a.value, b.value);
          if (value === null) continue;
          const inner = `${parenthesise(a.text)}${operator}${parenthesise(b.text)}`;
          const step = `${a.value}${operator}${b.value}=${value}`;
          reduce([...others, { value, text: inner }], steps === '' ? step : `${steps},${step}`);
        }
      }
    }
  };
  for (let mask = 1; mask < 1 << numbers.length; mask++) {
    const chosen = numbers.filter((_, i) => (mask >> i) & 1);
    reduce(
      chosen.map((value) => ({ value, text: String(value) })),
      '',
    );
  }
  return [...found.values()];
}

/** `7` stays `7`; a compound expression gets parentheses. */
const parenthesise = (text: string): string => (/^\d+$/.test(text) ? text : `(${text})`);

/**
 * A multiset of `count` numbers from 1 … maximum, every multiset equally likely, in ascending
 * order.
 */
function drawNumbers(count: number, maximum: number, random: Random): number[] {
  // Multisets of size k from n values are the k-subsets of n + k - 1 values, each shifted down by
  // its rank.
  const chosen = new Set<number>();
  while (chosen.size < count) chosen.add(random.integer(1, maximum + count - 1));
  return [...chosen].sort((a, b) => a - b).map((value, rank) => value - rank);
}

/**
 * `list(numbers)`, kept for the next time until `limit` items are held: training draws the same few
 * hundred sets for ever, and four numbers take a millisecond.
 */
function remember<T>(
  limit: number,
  list: (numbers: readonly number[]) => T[],
): (numbers: readonly number[]) => T[] {
  const kept = new Map<string, T[]>();
  let held = 0;
  return (numbers) => {
    const name = numbers.join();
    let result = kept.get(name);
    if (!result) {
      result = list(numbers);
      held += result.length + 1;
      if (held > limit) {
        kept.clear();
        held = result.length + 1;
      }
      kept.set(name, result);
    }
    return result;
  };
}

const times = (n: number): string => (n === 2 ? 'twice' : `${n} times`);

/**
 * Whether `answer` reaches the target, and why not. Exact, linear in the length of `answer`; never
 * throws.
 */
function checkAnswer(
  { numbers, target }: Countdown,
  answer: string,
): { correct: boolean; reason: string } {
  const uses = new Map<number, number>();
  const result = evaluateExpression(answer, (number) => {
    const given = numbers.filter((n) => n === number).length;
    if (given === 0) return `uses ${number}, which is not given`;
    const used = (uses.get(number) ?? 0) + 1;
    uses.set(number, used);
    return used > given ? `uses ${number} ${times(used)}` : null;
  });
  if ('reason' in result) return { correct: false, reason: result.reason };
  const { value } = result;
  const correct = value.denominator === 1n && value.numerator === BigInt(target);
  return {
    correct,
    reason: correct ? `equals ${target}` : `equals ${fractionText(value)}, not ${target}`,
  };
}

export const countdown = defineTask({
  name: 'countdown',
  description: 'Reach a target from the numbers, each used at most once, with + - * /.',
  options,
  create({
    count,
    maximum,
    target: [lowest, highest],
    attempts,
    solved,
    formatReward,
  }): Task<Countdown> {
    const attemptsOver = remember(200_000, allAttempts);
    /** Results in the target range that are none of the numbers, ascending. */
    const targetsOver = remember(1_000_000, (numbers) => {
      const values = new Set(allAttempts(numbers).map(({ value }) => value));
      return [...values]
        .filter((v) => v >= lowest && v <= highest && !numbers.includes(v))
        .sort((a, b) => a - b);
    });

    const write = (tries: readonly Attempt[], target: number): string => {
      const lines = tries.map(
        ({ steps, value }) => `${steps}:${target}${value === target ? '!' : '\n'}`,
      );
      return writeCompletion(lines.join(''), tries[tries.length - 1].expression);
    };

    const problem = (numbers: readonly number[], target: number): Problem<Countdown> => {
      const key = `${numbers.join()}:${target}`;
      return { key, prompt: `${key}=`, data: { numbers, target } };
    };

    return {
      name: 'countdown',
      alphabet: '\n!()*+,-/0123456789:=',
      maxPromptLength: count * (String(maximum).length + 1) + String(highest).length + 1,

      generate(random) {
        for (let draw = 0; draw < 1000; draw++) {
          const numbers = drawNumbers(count, maximum, random);
          const targets = targetsOver(numbers);
          if (targets.length > 0) return problem(numbers, random.pick(targets));
        }
        throw new UserError(
          'usage',
          `task countdown: target: nothing from ${lowest} to ${highest} is in reach`,
          'target',
        );
      },

      verify({ data }, completion) {
        return gradeCompletion(completion, formatReward, (answer) => checkAnswer(data, answer));
      },

      demonstrate({ data: { numbers, target } }, random) {
        const all = attemptsOver(numbers);
        const at = (i: number): Attempt => all[i % all.length];
        const hits = all.flatMap(({ value }, i) => (value === target ? [i] : []));
        const length = Math.min(random.integer(1, attempts), all.length);
        const reaches = (start: number): boolean =>
          hits.some((hit) => (hit - start + all.length) % all.length < length);
        // Starts from which `length` tries in a row miss; where there are none, every demonstration
        // succeeds.
        const misses = all.flatMap((_, i) => (reaches(i) ? [] : [i]));
        if (random.chance(solved) || misses.length === 0) {
          // Ends at a hit after at most `length` tries; an earlier hit on the way ends it sooner.
          const start = random.pick(hits) - (length - 1) + all.length;
          let end = start;
          while (at(end).value !== target) end++;
          return write(
            Array.from({ length: end - start + 1 }, (_, i) => at(start + i)),
            target,
          );
        }
        const start = random.pick(misses);
        return write(
          Array.from({ length }, (_, i) => at(start + i)),
          target,
        );
      },

      gold({ data: { numbers, target } }) {
        const hit = attemptsOver(numbers).find(({ value }) => value === target);
        return hit ? write([hit], target) : null;
      },
    };
  },
});
