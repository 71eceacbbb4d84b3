/**
 * @file Data and recipes from the field, tried with the built command: Parquet in a folder of a data
 * set, columns that are not known, thinking apart, a question that is too long, completions that are
 * all cut off.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { reckoner } from './model.js';

const cwd = mkdtempSync(join(tmpdir(), 'reckoner-field-'));
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

const model = {
  model_type: 'llama',
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  max_position_embeddings: 64,
};
const optimizer = { matrices: 'adamw', lr: 0.001 };
const schedule = { kind: 'constant' };
const sft = { id: 'sft', kind: 'sft', steps: 2, batch: 4, optimizer, schedule };
const sums = { name: 'sums', maximum: 5, terms: [2, 2] };

const train = (name: string, recipe: object) => {
  writeFileSync(join(cwd, `${name}.json`), JSON.stringify({ name, ...recipe }));
  return reckoner(['train', `${name}.json`, '--workers', '1'], { cwd });
};
const warningsOf = (name: string): string[] => {
  const run = readdirSync(join(cwd, 'runs')).find((folder) => folder.includes(`-${name}-`));
  return readFileSync(join(cwd, 'runs', run as string, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ type }) => type === 'warning')
    .map(({ message }) => message);
};

/** Rows as Parquet, written by DuckDB. */
async function parquet(file: string, select: string): Promise<void> {
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  await connection.run(`COPY (${select}) TO '${join(cwd, file)}' (FORMAT parquet)`);
  connection.closeSync();
}

beforeAll(async () => {
  const base = await train('base', { model, task: sums, stages: [sft] });
  expect(base.code, base.stderr).toBe(0);
}, 120_000);

it('trains on the Parquet files of a data set, and counts the rows that it leaves out', async () => {
  mkdirSync(join(cwd, 'set', 'data'), { recursive: true });
  writeFileSync(join(cwd, 'set', 'README.md'), '---\nlicense: mit\n---\n');
  await parquet(
    'set/data/train-00000-of-00001.parquet',
    `SELECT i || '+1=' AS question, CASE WHEN i = 7 THEN NULL ELSE (i + 1)::VARCHAR END AS answer,
       i AS id FROM range(20) t(i) UNION ALL SELECT '3+1=', '4', 99`,
  );
  await parquet(
    'set/data/test-00000-of-00001.parquet',
    "SELECT i || '+2=' AS question, i + 9007199254740993 AS answer FROM range(5) t(i)",
  );
  const task = { name: 'questions', file: './set', evaluationFile: './set' };
  const evaluation = { id: 'eval', kind: 'eval', problems: 5, samples: 1, maxTokens: 8 };
  const { code, stderr } = await train('parquet', { model, task, stages: [sft, evaluation] });
  expect(code, stderr).toBe(0);
  const said = stderr + warningsOf('parquet').join('\n');
  expect(said).toMatch(/1 row left out, has no answer or solution: .*train-00000.*:8/);
  expect(said).toMatch(/1 row left out, the same as another: .*train-00000/);
}, 120_000);

it('trains on chats with thinking apart and on rows with columns that it does not read', async () => {
  const chats = [
    {
      messages: [
        { role: 'user', content: '1+2=' },
        { role: 'assistant', reasoning_content: '1+2', content: '3' },
      ],
    },
  ];
  const rows = [{ prompt: '1+2=', answer: '3', id: 1, source: 'x', meta: { a: 1 } }];
  writeFileSync(join(cwd, 'chats.jsonl'), chats.map((row) => `${JSON.stringify(row)}\n`).join(''));
  writeFileSync(join(cwd, 'rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  for (const data of ['chats', 'rows']) {
    const stage = { ...sft, data: `./${data}.jsonl` };
    const recipe = { init: { from: 'base' }, task: sums, stages: [stage] };
    const { code, stderr } = await train(data, recipe);
    expect(code, stderr).toBe(0);
    if (data === 'rows')
      expect(stderr + warningsOf('rows').join('\n')).toContain('not read: id, source, meta');
  }
}, 120_000);

it('says of completions that are all cut off that no reward is ever earned', async () => {
  const grpo = { id: 'grpo', kind: 'grpo', steps: 2, prompts: 2, samples: 2, maxTokens: 1 };
  const stage = { ...grpo, schedule, optimizer };
  const { code, stderr } = await train('cut', {
    init: { from: 'base' },
    task: sums,
    stages: [stage],
  });
  expect(code, stderr).toBe(0);
  const said = /2 steps in a row without a signal: none of 4 completions was right.*4 were cut off/;
  expect(stderr).toMatch(said);
  expect(warningsOf('cut').join('\n')).toMatch(said);
}, 120_000);

it('counts a question that is longer than the context as wrong, and lists it', async () => {
  const long = `1+3=${'1+3='.repeat(100)}`;
  const rows = [
    { question: '1+2=', answer: '3' },
    { question: long, answer: '4' },
  ];
  writeFileSync(join(cwd, 'long.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  const args = ['--samples', '1', '--max-tokens', '8', '--out', 'long-out.jsonl', '--json'];
  const { code, stdout, stderr } = await reckoner(
    ['eval', 'base', '--task', 'long.jsonl', ...args],
    {
      cwd,
    },
  );
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ problems: 2 });
  const lines = readFileSync(join(cwd, 'long-out.jsonl'), 'utf8').trim().split('\n').slice(1);
  const refused = lines.map((line) => JSON.parse(line)).filter(({ stop }) => stop === 'refused');
  expect(refused).toHaveLength(2);
  expect(refused[0]).toMatchObject({ correct: false, reason: expect.stringMatching(/token/) });
}, 120_000);

it('refuses a reward that cannot be read before anything is trained', async () => {
  const task = { name: 'scored', task: sums, reward: '({ correct }) => correct ? 1 :' };
  const { code, stderr } = await train('syntax', { model, task, stages: [sft] });
  expect(code).toBe(2);
  expect(stderr).toContain('reward: ');
  expect(readdirSync(join(cwd, 'runs')).filter((run) => run.includes('syntax'))).toEqual([]);
}, 60_000);
