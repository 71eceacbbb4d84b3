import { expect, test } from 'vitest';
import { Random } from '../base/random.js';
import { parseCompletion } from './completion.js';
import { allAttempts, type Countdown, countdown } from './countdown.js';
import { evaluateExpression, fractionText } from './expression.js';
import { type Problem, type PureTask, problemAt, splitOf } from './task.js';

const task = countdown.create({}) as PureTask<Countdown>;
const problem = (numbers: number[], target: number): Problem<Countdown> => {
  const key = `${numbers.join()}:${target}`;
  return { key, prompt: `${key}=`, data: { numbers, target } };
};
const judge = (item: Problem<Countdown>, answer: string) =>
  task.verify(item, `<think></think><answer>${answer}</answer>`);

test.each([
  ['5*3+7', 1, 'equals 22'],
  ['(5*3)+7', 1, 'equals 22'],
  ['7+3*5', 1, 'equals 22'],
  ['7*3', 0, 'equals 21, not 22'],
  ['7*3/5', 0, 'equals 21/5, not 22'],
  ['5+5+5+7', 0, 'uses 5 twice'],
  ['22', 0, 'uses 22, which is not given'],
  ['7*3+1', 0, 'uses 1, which is not given'],
  ['35-7', 0, 'uses 35, which is not given'],
  ['5**3', 0, 'not an expression at character 3'],
  ['5*3+', 0, 'the expression ends too early'],
  ['7/(5-5)', 0, 'uses 5 twice'],
  ['', 0, 'the expression ends too early'],
])('3,5,7:22 by %s: reward %d, %s', (answer, reward, reason) => {
  expect(judge(problem([3, 5, 7], 22), answer)).toMatchObject({
    reward,
    correct: reward === 1,
    wellFormed: true,
    reason,
  });
});

test('numbers given twice may be used twice and not three times', () => {
  expect(judge(problem([5, 5, 7], 17), '5+5+7').reason).toBe('equals 17');
  expect(judge(problem([5, 5, 7], 15), '5+5+5').reason).toBe('uses 5 3 times');
});

test('the verifier is exact arithmetic: fractions and negative values on the way are fine', () => {
  expect(judge(problem([3, 6, 7], 14), '7/3*6').reason).toBe('equals 14');
  expect(judge(problem([3, 5, 9], 7), '3-5+9').reason).toBe('equals 7');
  expect(judge(problem([1, 3, 3], 1), '1/3*3').reason).toBe('equals 1');
  expect(judge(problem([4, 4, 7], 7), '7/(4-4)').reason).toBe('divides by zero');
});

test('the search finds what a person finds, and its own sums are right', () => {
  expect(allAttempts([2, 4]).map(({ steps }) => steps)).toEqual([
    '4+2=6',
    '4-2=2',
    '4*2=8',
    '4/2=2',
  ]);
  for (const numbers of [
    [3, 5, 7],
    [1, 1, 12],
    [5, 5, 10],
    [2, 3, 6, 12],
  ]) {
    const attempts = allAttempts(numbers);
    expect(new Set(attempts.map(({ expression }) => expression)).size).toBe(attempts.length);
    for (const { steps, expression, value } of attempts) {
      const uses = new Map<number, number>();
      const result = evaluateExpression(expression, (n) => {
        uses.set(n, (uses.get(n) ?? 0) + 1);
        return null;
      });
      if ('reason' in result) throw new Error(`${expression}: ${result.reason}`);
      expect(fractionText(result.value)).toBe(String(value));
      expect(steps.endsWith(`=${value}`)).toBe(true);
      for (const [n, used] of uses)
        expect(used).toBeLessThanOrEqual(numbers.filter((x) => x === n).length);
    }
  }
});

test('every whole number above zero that brute force reaches, the search reaches', () => {
  // Brute force over ordered pairs with every intermediate allowed that is a whole number, negative
  // ones included.
  const reach = (values: number[], out: Set<number>): Set<number> => {
    for (const v of values) if (Number.isInteger(v) && v > 0) out.add(v);
    for (let i = 0; i < values.length; i++) {
      for (let j = 0; j < values.length; j++) {
        if (i === j) continue;
        const rest = values.filter((_, k) => k !== i && k !== j);
        const [a, b] = [values[i], values[j]];
        for (const v of [a + b, a - b, a * b, a / b])
          if (Number.isInteger(v)) reach([...rest, v], out);
      }
    }
    return out;
  };
  for (const numbers of [
    [3, 5, 7],
    [2, 2, 9],
    [1, 4, 12],
    [6, 10, 11],
  ]) {
    const found = new Set([...numbers, ...allAttempts(numbers).map(({ value }) => value)]);
    expect([...found].sort((a, b) => a - b)).toEqual(
      [...reach(numbers, new Set())].sort((a, b) => a - b),
    );
  }
});

test('the default options have 5,879 problems, enough of them for evaluation', () => {
  const keys: string[] = [];
  for (let a = 1; a <= 12; a++) {
    for (let b = a; b <= 12; b++) {
      for (let c = b; c <= 12; c++) {
        const values = new Set(allAttempts([a, b, c]).map(({ value }) => value));
        for (const v of values)
          if (v <= 99 && ![a, b, c].includes(v)) keys.push(`${a},${b},${c}:${v}`);
      }
    }
  }
  expect(keys.length).toBe(5879);
  expect(keys.filter((key) => splitOf(key) === 'evaluation').length).toBe(1214);
});

test('problems are drawn in order, in range, and over all numbers evenly', () => {
  const sets = new Map<string, number>();
  for (let i = 0; i < 20_000; i++) {
    const { numbers, target } = task.generate(new Random(5, i)).data;
    // One comparison a draw: 20,000 assertions of four each would take seconds.
    const [a, b, c] = numbers;
    const inRange =
      1 <= a &&
      a <= b &&
      b <= c &&
      c <= 12 &&
      target >= 1 &&
      target <= 99 &&
      !numbers.includes(target);
    if (!inRange) expect.fail(`${numbers}:${target}`);
    sets.set(numbers.join(), (sets.get(numbers.join()) ?? 0) + 1);
  }
  // 364 multisets, 55 draws each on average; (1,1,1) as likely as any other.
  expect(sets.size).toBe(364);
  expect(Math.min(...sets.values())).toBeGreaterThan(20);
  expect(Math.max(...sets.values())).toBeLessThan(100);
});

test('a demonstration is sound in every line, and solved as often as asked', () => {
  const count = 2000;
  let solved = 0;
  const lengths = [0, 0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const item = problemAt(task, 2, 'train', i);
    const { numbers, target } = item.data;
    const completion = task.demonstrate(item, new Random(2, i));
    const parsed = parseCompletion(completion);
    if (!parsed.wellFormed) throw new Error(parsed.reason);
    const tries = parsed.thinking.split(/\n|(?<=!)/).filter((line) => line !== '');
    lengths[tries.length]++;
    const expressions: string[] = [];
    tries.forEach((line, k) => {
      const [work, echoed] = line.replace('!', '').split(':');
      expect(Number(echoed)).toBe(target);
      const steps = work.split(',');
      const pool = numbers.map(String);
      let last = '';
      for (const step of steps) {
        const [, a, operator, b, c] = /^(\d+)([-+*/])(\d+)=(\d+)$/.exec(
          step,
        ) as unknown as string[];
        const value = { '+': +a + +b, '-': +a - +b, '*': +a * +b, '/': +a / +b }[operator];
        expect(Number(c)).toBe(value);
        expect(+a).toBeGreaterThanOrEqual(+b);
        for (const used of [a, b]) {
          expect(pool).toContain(used);
          pool.splice(pool.indexOf(used), 1);
        }
        pool.push(c);
        last = c;
      }
      expressions.push(line);
      expect(line.endsWith('!')).toBe(Number(last) === target);
      if (line.endsWith('!')) expect(k).toBe(tries.length - 1);
    });
    expect(new Set(expressions).size).toBe(expressions.length);
    const hit = parsed.thinking.endsWith('!');
    if (hit) solved++;
    expect(task.verify(item, completion).correct).toBe(hit);
  }
  expect(Math.abs(solved / count - 0.5)).toBeLessThan(4 * Math.sqrt(0.25 / count));
  expect(lengths[0]).toBe(0);
  for (const share of lengths.slice(1))
    expect(Math.abs(share / count - 0.25)).toBeLessThan(4 * Math.sqrt((0.25 * 0.75) / count));
});

test('the answer of an unsolved demonstration is its last try', () => {
  const giveUp = countdown.create({ solved: 0 }) as PureTask;
  for (let i = 0; i < 300; i++) {
    const item = problemAt(giveUp, 1, 'train', i);
    const parsed = parseCompletion(giveUp.demonstrate(item, new Random(i)));
    if (!parsed.wellFormed) throw new Error(parsed.reason);
    const last = /=(\d+):\d+\n$/.exec(parsed.thinking) as RegExpExecArray;
    const verdict = giveUp.verify(item, `<think></think><answer>${parsed.answer}</answer>`);
    expect(verdict.reason).toBe(`equals ${last[1]}, not ${(item.data as Countdown).target}`);
  }
});

test('where nothing misses, every demonstration succeeds; where nothing is in reach, the error names the field', () => {
  const tiny = countdown.create({ count: 2, maximum: 2, solved: 0 }) as PureTask<Countdown>;
  expect(tiny.demonstrate(problem([1, 1], 2), new Random(1))).toBe(
    '<think>1+1=2:2!</think><answer>1+1</answer>',
  );
  const impossible = countdown.create({ count: 2, maximum: 3, target: [1000, 2000] });
  expect(() => impossible.generate(new Random(1))).toThrow(
    'task countdown: target: nothing from 1000 to 2000 is in reach',
  );
});

test('four numbers work as well', () => {
  const four = countdown.create({ count: 4, maximum: 9 }) as PureTask;
  for (let i = 0; i < 20; i++) {
    const item = problemAt(four, 1, 'evaluation', i);
    expect(four.verify(item, four.gold(item) as string).reward).toBe(1);
  }
});
