import { expect, test } from 'vitest';
import { Random } from '../base/random.js';
import { parseCompletion } from './completion.js';
import type { Sum } from './sums.js';
import { sums } from './sums.js';
import { type Problem, type PureTask, problemAt } from './task.js';

const problem: Problem<Sum> = {
  key: '12+7-5',
  prompt: '12+7-5=',
  data: { operands: [12, 7, 5], subtract: [false, false, true] },
};
const task = sums.create({}) as PureTask<Sum>;

test('verdicts by hand', () => {
  const verify = (completion: string) => task.verify(problem, completion);
  expect(verify('<think>12+7=19\n19-5=14</think><answer>14</answer>')).toEqual({
    reward: 1,
    correct: true,
    wellFormed: true,
    reason: 'equals 14',
  });
  expect(verify('<think></think><answer>13</answer>')).toEqual({
    reward: 0,
    correct: false,
    wellFormed: true,
    reason: 'answers "13", not 14',
  });
  for (const answer of ['', '014', '+14', ' 14', '14.0', '1e1', '14\n', '-14', '1４']) {
    expect(verify(`<think></think><answer>${answer}</answer>`).correct, answer).toBe(false);
  }
  expect(verify('14')).toMatchObject({ reward: 0, wellFormed: false });
});

test('gold works the chain from the left, through negative values too', () => {
  expect(task.gold(problem)).toBe('<think>12+7=19\n19-5=14</think><answer>14</answer>');
  const negative = {
    key: '3-8+2',
    prompt: '3-8+2=',
    data: { operands: [3, 8, 2], subtract: [false, true, false] },
  };
  expect(task.gold(negative)).toBe('<think>3-8=-5\n-5+2=-3</think><answer>-3</answer>');
});

test('a format reward goes to well-formed wrong answers only', () => {
  const lenient = sums.create({ formatReward: 0.1 }) as PureTask;
  expect(lenient.verify(problem, '<think></think><answer>14</answer>').reward).toBe(1);
  expect(lenient.verify(problem, '<think></think><answer>x</answer>').reward).toBe(0.1);
  expect(lenient.verify(problem, '<answer>14</answer>').reward).toBe(0);
});

/**
 * Each step of a careful demonstration, with whether it is right and follows from the one before.
 */
function steps(thinking: string): { right: boolean; follows: boolean }[] {
  let last: number | null = null;
  return thinking.split('\n').map((line) => {
    const [, a, sign, b, c] = /^(-?\d+)([+-])(\d+)=(-?\d+)$/.exec(line) as unknown as string[];
    const follows = last === null || last === Number(a);
    last = Number(c);
    return {
      right: Number(c) === (sign === '+' ? Number(a) + Number(b) : Number(a) - Number(b)),
      follows,
    };
  });
}

test('demonstrations mix as the options say', () => {
  const count = 10_000;
  const seen = { careful: 0, steps: 0, slips: 0, direct: 0, wrong: 0, near: 0 };
  for (let i = 0; i < count; i++) {
    const item = problemAt(task, 3, 'train', i);
    const parsed = parseCompletion(task.demonstrate(item, new Random(3, 'demonstration', i)));
    if (!parsed.wellFormed) throw new Error(parsed.reason);
    const truth = item.data.operands.reduce(
      (total, x, k) => (item.data.subtract[k] ? total - x : total + x),
      0,
    );
    if (parsed.thinking === '') {
      seen.direct++;
      const off = Math.abs(Number(parsed.answer) - truth);
      if (off > 0) seen.wrong++;
      if (off > 0 && off <= 10) seen.near++;
      continue;
    }
    seen.careful++;
    const worked = steps(parsed.thinking);
    expect(worked.length).toBe(item.data.operands.length - 1);
    expect(worked.every(({ follows }) => follows)).toBe(true);
    expect(parsed.thinking.endsWith(`=${parsed.answer}`)).toBe(true);
    seen.steps += worked.length;
    seen.slips += worked.filter(({ right }) => !right).length;
    if (worked.filter(({ right }) => !right).length === 1)
      expect(Number(parsed.answer)).not.toBe(truth);
  }
  // Within four standard deviations of the shares asked for.
  expect(Math.abs(seen.careful / count - 0.5)).toBeLessThan(4 * Math.sqrt(0.25 / count));
  expect(Math.abs(seen.slips / seen.steps - 0.04)).toBeLessThan(
    4 * Math.sqrt((0.04 * 0.96) / seen.steps),
  );
  expect(Math.abs(seen.wrong / seen.direct - 0.8)).toBeLessThan(
    4 * Math.sqrt((0.8 * 0.2) / seen.direct),
  );
  expect(seen.near).toBe(seen.wrong);
});

test('the extremes of the options are exact', () => {
  const careful = sums.create({ stepByStep: 1, slip: 0 }) as PureTask;
  const direct = sums.create({ stepByStep: 0, wrong: 1 }) as PureTask;
  for (let i = 0; i < 500; i++) {
    const item = problemAt(careful, 1, 'train', i);
    expect(careful.demonstrate(item, new Random(i))).toBe(careful.gold(item));
    const verdict = direct.verify(item, direct.demonstrate(item, new Random(i)));
    expect(verdict).toMatchObject({ wellFormed: true, correct: false });
  }
});

test('terms and maximum bound the chains, and longer ones use the same alphabet', () => {
  const longer = sums.create({ terms: [5, 6], maximum: 9 }) as PureTask<Sum>;
  const lengths = new Set<number>();
  for (let i = 0; i < 500; i++) {
    const { operands } = problemAt(longer, 1, 'evaluation', i).data;
    lengths.add(operands.length);
    expect(Math.min(...operands)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...operands)).toBeLessThanOrEqual(9);
  }
  expect([...lengths].sort()).toEqual([5, 6]);
  expect(longer.alphabet).toBe(task.alphabet);
});
