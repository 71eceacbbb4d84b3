import { expect, test } from 'vitest';
import { Random } from '../base/random.js';
import { ALPHABET } from './families/family.js';
import { createTask, evaluationProblems, generated, problemAt, splitOf } from './index.js';

test('a mix draws its tasks by weight, and keeps their keys and splits', () => {
  const mix = createTask({ name: 'mix', tasks: [{ name: 'sums' }, { name: 'linear', weight: 3 }] });
  expect(mix.parts).toEqual(['sums', 'linear']);
  const counts: Record<string, number> = {};
  for (let i = 0; i < 4000; i++) {
    const { part = '', key } = problemAt(mix, 1, 'train', i);
    counts[part] = (counts[part] ?? 0) + 1;
    if (splitOf(key) !== 'train') expect.fail(key);
  }
  expect(counts.linear / 4000).toBeCloseTo(0.75, 1);
  const alone = new Set(
    evaluationProblems(createTask({ name: 'linear' }), 3, 300).map(({ key }) => key),
  );
  for (let i = 0; i < 3000; i++) expect(alone.has(problemAt(mix, 9, 'train', i).key)).toBe(false);
});

test('one task twice has two names', () => {
  const mix = createTask({
    name: 'mix',
    tasks: [{ name: 'sums' }, { name: 'sums', terms: [5, 6] }],
  });
  expect(mix.parts).toEqual(['sums', 'sums2']);
});

test('a curriculum goes from its first level to its last, with some review', () => {
  const levels = [1, 2, 3, 4].map((level) => ({ level: [level, level] }));
  const task = createTask({ name: 'curriculum', task: { name: 'sorting' }, levels, review: 0.25 });
  const shares = (progress?: number): number[] => {
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 4000; i++)
      counts[Number(problemAt(task, 2, 'train', i, progress).part?.slice(5)) - 1]++;
    return counts.map((count) => count / 4000);
  };
  expect(shares(0)).toEqual([1, 0, 0, 0]);
  const half = shares(0.5);
  expect(half[2]).toBeCloseTo(0.75, 1);
  expect(half[3]).toBe(0);
  expect(shares(1)[3]).toBeCloseTo(0.75, 1);
  for (const share of shares()) expect(share).toBeCloseTo(0.25, 1);
});

test('wrong parts end in one line that names the field', () => {
  expect(() => createTask({ name: 'mix', tasks: [{ name: 'chess' }] })).toThrow(
    /^tasks\.0: task: name: no task "chess"/,
  );
  expect(() => createTask({ name: 'mix', tasks: [{ name: 'sums', weight: -1 }] })).toThrow(
    /tasks\.0\.weight: must be a number above 0/,
  );
  expect(() => createTask({ name: 'mix', tasks: [] })).toThrow(/tasks/);
  let bomb: Record<string, unknown> = { name: 'sums' };
  for (let i = 0; i < 12; i++) bomb = { name: 'mix', tasks: [bomb, bomb, bomb] };
  expect(() => createTask(bomb)).toThrow(/more than 1024 tasks/);
  const levels = Array.from({ length: 32 }, () => ({}));
  let tower: Record<string, unknown> = { name: 'sums' };
  for (let i = 0; i < 3; i++) tower = { name: 'curriculum', levels, task: tower };
  expect(() => createTask(tower)).toThrow(/more than 1024 tasks/);
});

test('all generated tasks share one small alphabet', () => {
  expect(new Set(ALPHABET).size).toBe(ALPHABET.length);
  for (const [name, definition] of Object.entries(generated)) {
    const foreign = [...definition.create({}).alphabet].filter(
      (character) => !ALPHABET.includes(character),
    );
    expect([name, foreign]).toEqual([name, []]);
  }
});

test('levels are steps of difficulty: each has problems of its own', () => {
  for (const [name, definition] of Object.entries(generated)) {
    if (name === 'sums' || name === 'countdown') continue;
    for (let level = 1; level <= 2; level++) {
      const task = definition.create({ level: [level, level] });
      for (let i = 0; i < 50; i++) {
        const problem = problemAt(task, 1, 'train', i);
        expect(problem.prompt.length, name).toBeLessThanOrEqual(task.maxPromptLength);
        expect(task.gold(problem)).toMatch(/^<think>[\s\S]*<\/think><answer>.+<\/answer>$/);
        expect(task.demonstrate(problem, new Random(i))).toMatch(/<\/answer>$/);
      }
    }
    expect(() => definition.create({ level: [1, 99] }), name).toThrow(/level/);
  }
});
