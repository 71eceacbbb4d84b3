/**
 * @file What every task in the table must hold, whatever it is about.
 */
import { describe, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { createCharacterTokenizer } from '../tokenizers/character.js';
import {
  createTask,
  evaluationProblems,
  generated,
  parseCompletion,
  problemAt,
  resolveTask,
  tasks,
  trainingProblem,
} from './index.js';

const references = [
  ...Object.keys(generated).map((name) => ({ name })),
  { name: 'mix', tasks: [{ name: 'linear' }, { name: 'clock', weight: 2 }] },
  { name: 'curriculum', task: { name: 'sorting' }, levels: [{ level: [1, 1] }, { level: [4, 4] }] },
  { name: 'sums', terms: [5, 6] },
  { name: 'countdown', count: 4 },
];

describe.each(references.map((reference) => [JSON.stringify(reference), reference] as const))(
  '%s',
  (_, reference) => {
    const task = createTask(reference);

    test('gold answers score 1 and near-misses do not', async () => {
      // Each verdict of a pool takes milliseconds.
      for (let i = 0; i < (task.pooled ? 30 : 100); i++) {
        const problem = problemAt(task, 7, i % 2 ? 'train' : 'evaluation', i);
        const gold = task.gold(problem);
        if (gold === null) throw new Error(`no gold answer for ${problem.key}`);
        expect(await task.verify(problem, gold)).toMatchObject({
          reward: 1,
          correct: true,
          wellFormed: true,
        });

        const parsed = parseCompletion(gold);
        if (!parsed.wellFormed) throw new Error(parsed.reason);
        const { thinking, answer } = parsed;
        const misses = [
          ...['<think>', '</think>', '<answer>', '</answer>'].flatMap((tag) => [
            gold.replace(tag, ''),
            gold.replace(tag, tag + tag),
          ]),
          `${gold}${answer}`,
          `${gold}\n`,
          ` ${gold}`,
          gold + gold,
          answer,
          `<answer>${answer}</answer>`,
          `<think>${thinking}</think>${answer}`,
          `<think>${thinking}<answer>${answer}</answer></think>`,
        ];
        for (const miss of misses) {
          expect(await task.verify(problem, miss), miss).toMatchObject({
            reward: 0,
            correct: false,
            wellFormed: false,
          });
        }
        for (const wrong of [
          '',
          `${answer}0`,
          `0${answer}1`,
          `${answer}+1`,
          `${answer}-`,
          `(${answer}`,
          `${answer}=${answer}`,
          'x',
        ]) {
          const verdict = await task.verify(
            problem,
            `<think>${thinking}</think><answer>${wrong}</answer>`,
          );
          expect(verdict, wrong).toMatchObject({ reward: 0, correct: false, wellFormed: true });
        }
      }
    });

    test('an answer to another problem is wrong', async () => {
      for (let i = 0; i < 200; i++) {
        const problem = problemAt(task, 8, 'train', i);
        const other = problemAt(task, 8, 'train', i + 1);
        const verdict = await task.verify(problem, task.gold(other) as string);
        // Chains may share a value; then the answer is right for both.
        const shared =
          verdict.correct &&
          verdict.reason === (await task.verify(other, task.gold(other) as string)).reason;
        expect(verdict.correct).toBe(shared);
      }
    });

    test('the verifier survives any text', async () => {
      const random = new Random(9, 'fuzz');
      const problem = problemAt(task, 9, 'train', 0);
      const pieces = [
        '<think>',
        '</think>',
        '<answer>',
        '</answer>',
        '\u0000',
        '\ud83d',
        '😀',
        '٣',
        'NaN',
        '-',
        '(',
        ')',
        ...task.alphabet,
      ];
      for (let i = 0; i < 1000; i++) {
        const noise = Array.from({ length: random.integer(0, 20) }, () => random.pick(pieces)).join(
          '',
        );
        for (const text of [noise, `<think></think><answer>${noise}</answer>`]) {
          const { reward, correct, reason } = await task.verify(problem, text);
          if (correct !== (reward === 1) || reason.length > 120 || reason.includes('\n'))
            expect.fail(`${text}: ${reason}`);
        }
      }
      for (const long of ['(', ')', '9', '1+', ' ', '-', '<answer>', '</answer', '\n', '1/']) {
        const text = long.repeat(1_000_000 / long.length);
        for (const completion of [
          text,
          `<think></think><answer>${text}</answer>`,
          `<think>${text}</think><answer>1</answer>`,
        ]) {
          const verdict = await task.verify(problem, completion);
          expect(verdict.correct).toBe(false);
          expect(verdict.reason.length).toBeLessThan(120);
        }
      }
    });

    test('problems depend on seed, split and index alone', () => {
      const again = createTask(reference);
      const backwards = Array.from({ length: 50 }, (_, i) =>
        problemAt(again, 4, 'train', 49 - i),
      ).reverse();
      const forwards = Array.from({ length: 50 }, (_, i) => trainingProblem(task, 4, i));
      expect(forwards).toEqual(backwards);
      expect(new Set(forwards.map(({ key }) => key)).size).toBeGreaterThan(30);
      const otherSeed = Array.from({ length: 50 }, (_, i) => trainingProblem(task, 5, i));
      expect(otherSeed.map(({ key }) => key)).not.toEqual(forwards.map(({ key }) => key));
      const [one, two] = [task, again].map((t) =>
        t.demonstrate(forwards[0], new Random(1, 'demonstration')),
      );
      expect(one).toBe(two);
    });

    test('no problem is in both splits, whatever the seeds', () => {
      const train = new Set<string>();
      for (let seed = 0; seed < 4; seed++) {
        for (let i = 0; i < 1500; i++) train.add(problemAt(task, seed, 'train', i).key);
      }
      for (let seed = 0; seed < 4; seed++) {
        const shared = Array.from(
          { length: 400 },
          (_, i) => problemAt(task, seed + 2, 'evaluation', i).key,
        ).filter((key) => train.has(key));
        expect(shared).toEqual([]);
      }
    });

    test('a thousand different evaluation problems, in index order', () => {
      const problems = evaluationProblems(task, 11, 1000);
      expect(new Set(problems.map(({ key }) => key)).size).toBe(1000);
      expect(problems[0]).toEqual(problemAt(task, 11, 'evaluation', 0));
      expect(evaluationProblems(task, 11, 10)).toEqual(problems.slice(0, 10));
    });

    test('everything it writes encodes, and its alphabet and prompt length are tight', () => {
      const tokenizer = createCharacterTokenizer(task.alphabet);
      expect(tokenizer.vocabularySize).toBe(7 + [...task.alphabet].length);
      const used = new Set<string>();
      let longest = 0;
      for (let i = 0; i < 1500; i++) {
        const problem = problemAt(task, 12, 'train', i);
        longest = Math.max(longest, problem.prompt.length);
        for (const text of [
          problem.prompt,
          task.demonstrate(problem, new Random(i)),
          task.gold(problem) as string,
        ]) {
          if (tokenizer.decode(tokenizer.encode(text)) !== text) expect.fail(text);
          for (const character of text.replace(/<\/?(think|answer)>/g, '')) used.add(character);
        }
      }
      expect([...used].sort()).toEqual([...task.alphabet].sort());
      expect(longest).toBeLessThanOrEqual(task.maxPromptLength);
      expect(longest).toBeGreaterThanOrEqual(task.maxPromptLength - 1);
    });
  },
);

test('wrong references end in one line that names the field', () => {
  const refusal = (reference: unknown): [string, string | undefined] => {
    try {
      createTask(reference as { name: string });
    } catch (error) {
      if (error instanceof UserError && error.code === 'usage') return [error.message, error.field];
      throw error;
    }
    throw new Error('not refused');
  };
  expect(refusal({ name: 'chess' })).toEqual([
    `task: name: no task "chess"; there are ${Object.keys(tasks).join(', ')}`,
    'name',
  ]);
  expect(refusal({ name: 'toString' })[1]).toBe('name');
  expect(refusal({})[1]).toBe('name');
  expect(refusal({ name: 'sums', slips: 0.1 })).toEqual([
    'task sums: slips: no such option; it has terms, maximum, stepByStep, slip, wrong, formatReward',
    'slips',
  ]);
  expect(refusal({ name: 'sums', slip: 2 })[1]).toBe('slip');
  expect(refusal({ name: 'sums', terms: [4, 2] })).toEqual([
    'task sums: terms: the first number must not be above the second',
    'terms',
  ]);
  expect(refusal({ name: 'sums', terms: [2, 4, 6] })[1]).toBe('terms');
  expect(refusal({ name: 'sums', terms: [1, 4] })[1]).toBe('terms.0');
  expect(refusal({ name: 'sums', formatReward: 1 })[1]).toBe('formatReward');
  expect(refusal({ name: 'countdown', count: '3' })[1]).toBe('count');
  expect(refusal({ name: 'countdown', count: 5 })[0]).not.toContain('\n');
});

test('a resolved reference holds every option and makes the same task', () => {
  expect(resolveTask({ name: 'countdown', attempts: 6 })).toEqual({
    name: 'countdown',
    count: 3,
    maximum: 12,
    target: [1, 99],
    attempts: 6,
    solved: 0.5,
    formatReward: 0,
  });
  expect(resolveTask({ name: 'sums' })).toEqual({
    name: 'sums',
    terms: [2, 4],
    maximum: 20,
    stepByStep: 0.5,
    slip: 0.04,
    wrong: 0.8,
    formatReward: 0,
  });
  expect(resolveTask(resolveTask({ name: 'sums' }))).toEqual(resolveTask({ name: 'sums' }));
});

test('asking for more evaluation problems than a task has is refused', () => {
  const small = createTask({ name: 'sums', terms: [2, 2], maximum: 6 });
  expect(() => evaluationProblems(small, 1, 1000)).toThrow(
    /1000 evaluation problems asked for, but only \d+ found/,
  );
  const none = createTask({ name: 'sums', terms: [2, 2], maximum: 1 });
  expect(() => evaluationProblems(none, 1, 1)).toThrow(UserError);
});
