import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { createTask, evaluationProblems, type Problem, problemAt } from './index.js';
import { readRecords } from './records.js';
import { readCodeProblem, readQuestion } from './rows.js';

const scratch = mkdtempSync(join(tmpdir(), 'reckoner-rows-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const write = (name: string, rows: readonly unknown[]): string => {
  const file = join(scratch, name);
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return file;
};

test('GSM8K: the answer is behind ####, the sums in the margin are left out', () => {
  const row = { question: 'Two and two?', answer: 'Two and two is <<2+2=4>>4.\n#### 1,004' };
  const { prompt, gold, data } = readQuestion(row, 'x:1');
  expect(prompt).toBe('Two and two?\n');
  expect(gold).toBe('<think>Two and two is 4.</think><answer>1,004</answer>');
  expect(data.truth).toBe('1,004');
});

test('questions are graded by meaning', async () => {
  const rows = [
    { question: 'q1', answer: 'so\n#### 1,004' },
    { prompt: 'q2', answer: '1/2' },
    { problem: 'q3', solution: 'It is \\boxed{5}' },
    { question: 'q4', choices: ['3 m', '4 m'], answer: 'B' },
    { question: 'q5', choices: ['3 m', '4 m'], answer: 0 },
    { question: 'q6', answer: '5 km' },
  ];
  const task = createTask({
    name: 'questions',
    file: write('train.jsonl', rows),
    evaluationFile: write('eval.jsonl', rows.slice(0, 2)),
  });
  const seen = new Map<string, Problem>();
  for (let i = 0; i < 200; i++)
    seen.set(problemAt(task, 1, 'train', i).prompt.split('\n')[0], problemAt(task, 1, 'train', i));
  const judge = async (question: string, answer: string) =>
    (await task.verify(seen.get(question) as Problem, `<think></think><answer>${answer}</answer>`))
      .correct;
  expect([...seen.keys()].sort()).toEqual(['q1', 'q2', 'q3', 'q4', 'q5', 'q6']);
  expect(await judge('q1', '$1004.00')).toBe(true);
  expect(await judge('q1', '1005')).toBe(false);
  expect(await judge('q2', '\\frac{1}{2}')).toBe(true);
  expect(await judge('q3', '5')).toBe(true);
  expect(await judge('q4', '(b)')).toBe(true);
  expect(await judge('q4', 'A')).toBe(false);
  expect(await judge('q5', 'A: 3 m')).toBe(true);
  expect(await judge('q6', '5000 m')).toBe(true);
  expect(await judge('q6', '5 kg')).toBe(false);
  for (const problem of seen.values())
    expect((await task.verify(problem, task.gold(problem) as string)).reward).toBe(1);
});

test('HumanEval-X, MultiPL-E and examples are run', async () => {
  const rows = [
    {
      task_id: 'JavaScript/0',
      prompt: '// Adds.\nconst add = (a, b) => {\n',
      declaration: 'const add = (a, b) => {\n',
      canonical_solution: '  return a + b;\n}\n',
      test: 'const testAdd = () => {\n  console.assert(add(1, 2) === 3)\n}\ntestAdd()\n',
    },
    {
      name: 'HumanEval_1',
      prompt: '// Doubles.\nfunction twice(a){\n',
      canonical_solution: '  return 2 * a; }',
      tests:
        "const assert = require('node:assert');\nfunction test() {\n  let candidate = twice;\n  assert.deepEqual(candidate(2), 4);\n}\ntest();",
    },
    {
      prompt: 'Reverse a list.',
      entry: 'f',
      solution: 'const f = (a) => [...a].reverse();',
      tests: [{ args: [[1, 2]], expected: [2, 1] }],
    },
  ];
  const task = createTask({
    name: 'code',
    file: write('code.jsonl', rows),
    evaluationFile: write('code-eval.jsonl', rows),
  });
  for (let i = 0; i < 12; i++) {
    const problem = problemAt(task, 1, 'train', i);
    expect(await task.verify(problem, task.gold(problem) as string)).toMatchObject({
      reward: 1,
      correct: true,
    });
    const wrong = await task.verify(problem, '<think></think><answer>  return 0 }</answer>');
    expect(wrong).toMatchObject({ reward: 0, correct: false, wellFormed: true });
  }
});

test('a wrong row costs that row, and is counted and named', () => {
  const file = join(scratch, 'broken.jsonl');
  const good = '{"question": "a", "answer": "b"}';
  writeFileSync(
    file,
    `${good}\n{oops\n{"question": "c"}\n${good}\n{"question":"a","answer":"d"}\n`,
  );
  const task = createTask({ name: 'questions', file, evaluationFile: file });
  expect(task.listed?.('evaluation')).toHaveLength(2);
  expect(task.notes).toEqual([
    `1 row left out, not a JSON object: ${file}:2`,
    `1 row left out, the same as another: ${file}:4`,
    `1 row left out, has no answer or solution: ${file}:3`,
  ]);
  writeFileSync(file, '{oops\n');
  expect(() => createTask({ name: 'questions', file })).toThrow(
    `file: ${file}:1: is not a JSON object`,
  );
  expect(() => createTask({ name: 'questions', file: join(scratch, 'none') })).toThrow(
    /cannot be read/,
  );
  expect(() => readQuestion({ question: 'a' }, 'f:3')).toThrow(
    'file: f:3: has no answer or solution',
  );
  expect(() => readCodeProblem({ prompt: 'Add.' }, 'f:4')).toThrow(
    'file: f:4: has no entry, the name of the function',
  );
});

test('a list of problems is asked from without repeats, shuffled by the seed', () => {
  const rows = Array.from({ length: 40 }, (_, i) => ({
    question: `q${i % 30}`,
    answer: String(i % 30),
  }));
  const file = write('list.jsonl', rows);
  const task = createTask({ name: 'questions', file, evaluationFile: file });
  const all = evaluationProblems(task, 1, 30);
  expect(new Set(all.map(({ prompt }) => prompt)).size).toBe(30);
  expect(evaluationProblems(task, 1, 5)).toEqual(all.slice(0, 5));
  expect(evaluationProblems(task, 2, 30)).not.toEqual(all);
  expect(() => evaluationProblems(task, 1, 31)).toThrow(
    '31 evaluation problems asked for, but only 30 found',
  );
});

test('files with marks, other encodings and other line ends are read', () => {
  const row = JSON.stringify({ question: 'é?', answer: 123 });
  const big = '{"question": "big", "answer": 123456789123456789}';
  const texts: [string, Buffer][] = [
    ['bom.jsonl', Buffer.from(`\ufeff${row}\r\n${big}\r\n`, 'utf8')],
    ['utf16le.jsonl', Buffer.from(`\ufeff${row}\n${big}\n`, 'utf16le')],
    ['utf16be.jsonl', Buffer.from(`\ufeff${row}\n${big}\n`, 'utf16le').swap16()],
    ['gzip.jsonl.gz', gzipSync(`${row}\n${big}\n`)],
    ['array.json', Buffer.from(`[${row},\n${big}]`, 'utf8')],
  ];
  for (const [name, bytes] of texts) {
    const file = join(scratch, name);
    writeFileSync(file, bytes);
    const { rows } = readRecords(file, 'file');
    expect(
      rows.map((one) => one.row),
      name,
    ).toEqual([
      { question: 'é?', answer: 123 },
      { question: 'big', answer: '123456789123456789' },
    ]);
  }
  const latin = join(scratch, 'latin.jsonl');
  writeFileSync(latin, Buffer.from('{"question": "\xe9"}', 'latin1'));
  expect(() => readRecords(latin, 'file')).toThrow(/neither UTF-8 nor UTF-16 .*Latin-1/);
});

test('a folder of a data set gives its split, Parquet too', () => {
  const folder = join(scratch, 'set');
  mkdirSync(join(folder, 'data'), { recursive: true });
  writeFileSync(join(folder, 'README.md'), 'x');
  writeFileSync(join(folder, 'data', 'train-0.jsonl'), '{"question": "a", "answer": "1"}\n');
  writeFileSync(join(folder, 'data', 'test-0.jsonl'), '{"question": "b", "answer": "2"}\n');
  const asked = (split: 'train' | 'evaluation') =>
    readRecords(folder, 'file', split).rows.map(({ row }) => row.question);
  expect(asked('train')).toEqual(['a']);
  expect(asked('evaluation')).toEqual(['b']);
});

describe('choices', () => {
  test('equal questions with other choices are all asked, and there may be twelve', () => {
    const question = 'Which of the following is true?';
    const rows = [
      { question, choices: ['ice floats', 'iron floats'], answer: 0 },
      { question, choices: ['2>3', '3>2'], answer: 1 },
      { question, choices: ['fish fly', 'birds fly'], answer: 1 },
    ];
    const file = write('same.jsonl', rows);
    const task = createTask({ name: 'questions', file, evaluationFile: file });
    expect(task.listed?.('evaluation')).toHaveLength(3);
    const twelve = [...'abcdefghijkl'].map((letter) => `choice ${letter}`);
    const made = readQuestion({ question, choices: twelve, answer: 10 }, 'f:1');
    expect(made.data.truth).toBe('K');
    expect(made.prompt).toContain('L: choice l');
  });
});
