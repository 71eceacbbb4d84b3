import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { createTask, evaluationProblems, judge } from './index.js';

const file = fileURLToPath(new URL('../../bench/data/word-problems.jsonl', import.meta.url));

it('fifty problems in the form of GSM8K are read, asked and graded by the number after ####', async () => {
  const task = createTask({
    name: 'questions',
    file,
    evaluationFile: file,
    format: 'last-number',
    prompting: { instruction: 'Think step by step and end with the number.' },
  });
  const problems = evaluationProblems(task, 1, 50);
  const answers = new Map(
    readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { question: string; answer: string })
      .map(({ question, answer }) => [question, answer.split('#### ')[1]]),
  );
  expect(answers.size).toBe(50);
  for (const problem of problems) {
    const truth = answers.get(problem.prompt.trim()) as string;
    for (const [reply, right] of [
      [`So it is ${truth}.`, true],
      [`First 3, then ${truth.replace(',', '')}`, true],
      [`${truth} is wrong, it is 77001`, false],
      ['I do not know.', false],
    ] as const)
      expect((await judge(task, problem, reply)).verdict.correct, reply).toBe(right);
    expect(task.gold(problem)).not.toMatch(/<<|####/);
  }
});
