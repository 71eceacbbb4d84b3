/**
 * @file The task of docs/guides/add-a-task.md is a task.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import type { TaskDefinition } from './definition.js';
import { evaluationProblems, problemAt } from './index.js';

test('the guide’s task generates, demonstrates and grades', async () => {
  const guide = readFileSync(
    fileURLToPath(new URL('../../docs/guides/add-a-task.md', import.meta.url)),
    'utf8',
  );
  const code = (/```ts\n([\s\S]*?)```/.exec(guide) as RegExpExecArray)[1];
  const absolute = (path: string): string =>
    pathToFileURL(fileURLToPath(new URL(path, import.meta.url))).href;
  const folder = mkdtempSync(join(tmpdir(), 'reckoner-guide-'));
  try {
    const file = join(folder, 'largest.ts');
    const linked = code
      .replace(/'\.\/([a-z]+)\.js'/g, (_, name: string) => JSON.stringify(absolute(`./${name}.ts`)))
      .replace("'zod'", JSON.stringify(import.meta.resolve('zod')));
    writeFileSync(file, linked);
    const { largest } = (await import(/* @vite-ignore */ file)) as { largest: TaskDefinition };
    const task = largest.create({ count: 3 });
    const problem = problemAt(task, 1, 'train', 0);
    const numbers = problem.data as number[];
    expect(problem.prompt).toBe(`${numbers.join()}:`);
    expect(task.verify(problem, task.gold(problem) as string)).toMatchObject({
      reward: 1,
      correct: true,
    });
    expect(task.verify(problem, '<think></think><answer>9</answer>')).toMatchObject({
      reward: 0,
      reason: `answers "9", the largest is ${Math.max(...numbers)}`,
    });
    expect(evaluationProblems(task, 1, 1000)).toHaveLength(1000);
    expect(() => largest.create({ counts: 3 })).toThrow('task largest: counts: no such option');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
