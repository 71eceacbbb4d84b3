import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { createTask, judge } from '../tasks/index.js';
import { completionOf } from './questions.js';

const scratch = mkdtempSync(join(tmpdir(), 'reckoner-choices-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const write = (name: string, rows: readonly unknown[]): string => {
  const file = join(scratch, name);
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return file;
};

describe('choices', () => {
  const cases = (
    name: string,
  ): { row: Record<string, unknown>; reply: unknown; right: boolean }[] =>
    readFileSync(new URL(`../../test/fixtures/choices/${name}.jsonl`, import.meta.url), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  test.each([...cases('field'), ...cases('more'), ...cases('held-out')])(
    '$row.choices $reply $right',
    async ({ row, reply, right }) => {
      const file = write('choice.jsonl', [row]);
      const task = createTask({ name: 'questions', file, evaluationFile: file });
      const [problem] = task.listed?.('evaluation') ?? [];
      const { content, reasoning } =
        typeof reply === 'string'
          ? { content: reply, reasoning: null }
          : (reply as { content: string; reasoning: string });
      const { verdict } = await judge(task, problem, completionOf(content, reasoning));
      expect(verdict.correct).toBe(right);
    },
  );
});
