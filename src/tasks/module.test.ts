import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import {
  anchorTask,
  createTask,
  evaluationProblems,
  problemAt,
  Random,
  stampTask,
} from './index.js';

const scratch = mkdtempSync(join(tmpdir(), 'reckoner-module-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const write = (name: string, text: string): string => {
  const file = join(scratch, name);
  writeFileSync(file, text);
  return file;
};

const taskWith = (rewards: string): string => `
import { defineTask, z } from 'reckoner/tasks';
export default defineTask({
  name: 'echo',
  description: 'Says a number.',
  options: z.strictObject({ most: z.number().default(9999) }),
  create({ most }: { most: number }) {
    return {
      name: 'echo', alphabet: '0123456789:', maxPromptLength: 5, rewardSeconds: 1,
      generate(random) { const n = random.integer(1, most); return { key: String(n), prompt: n + ':', data: n }; },
      demonstrate: ({ data }) => '<think></think><answer>' + data + '</answer>',
      gold: ({ data }) => '<think></think><answer>' + data + '</answer>',
      ${rewards}
    };
  },
});`;

test('rewards add up by weight, and fail one at a time with their reason', async () => {
  const module = write(
    'echo.ts',
    taskWith(`rewards: [
      { name: 'right', weight: 3, score: ({ answer, problem }) => answer === String(problem.data) },
      { name: 'slow', score: async () => { await new Promise((r) => setTimeout(r, 5)); return 0.5; } },
      { name: 'throws', score: ({ answer }) => { if (answer === '1') throw new Error('no\\nway'); return 1; } },
      { name: 'hangs', score: ({ answer }) => { if (answer === '2') for (;;); return 1; } },
      { name: 'waits', score: ({ answer }) => answer === '3' ? new Promise(() => {}) : 1 },
      { name: 'nonsense', score: ({ answer }) => answer === '4' ? NaN : 1 },
      { name: 'exits', score: ({ answer }) => { if (answer === '5') process.exit(1); return 1; } },
      { name: 'memory', score: ({ answer }) => { if (answer === '6') { const a = []; for (;;) a.push(new Array(1e6).fill(a)); } return 1; } },
    ],`),
  );
  const task = createTask({ module });
  expect(task.pooled).toBe(true);
  const problem = { key: '7', prompt: '7:', data: 7 };
  const judge = (answer: string) =>
    task.verify(problem, `<think></think><answer>${answer}</answer>`);
  const verdicts = await Promise.all(['7', '1', '2', '3', '4', '5', '6', '8'].map(judge));
  expect(verdicts.map(({ correct }) => correct)).toEqual([
    true,
    false,
    false,
    false,
    false,
    false,
    false,
    false,
  ]);
  expect(verdicts[0].reward).toBeCloseTo(9.5 / 10);
  for (const verdict of verdicts.slice(1, -1)) expect(verdict.reward).toBeCloseTo(5.5 / 10);
  expect(verdicts[7].reward).toBeCloseTo(6.5 / 10);
  expect(verdicts[1].reason).toContain('throws failed: throws no way');
  const all = (i: number) => judgeAll[i];
  const judgeAll = verdicts.map(({ reason }) => reason);
  expect(all(0)).toMatch(/^right 1, slow 0.5/);
  expect(await task.verify(problem, 'no form')).toMatchObject({
    wellFormed: false,
    correct: false,
  });
  expect((await judge('7')).reward).toBeCloseTo(9.5 / 10);
});

test('no reward says whether a completion is right: that is the gold answer, or `correct`', async () => {
  const problem = { key: '7', prompt: '7:', data: 7 };
  const said = (answer: string): string => `<think></think><answer>${answer}</answer>`;
  const rewards = `rewards: [{ name: 'long', score: ({ completion }) => completion.length }],`;
  const byGold = createTask({ module: write('by-gold.ts', taskWith(rewards)) });
  expect(await byGold.verify(problem, said('8'))).toMatchObject({ reward: 33, correct: false });
  expect(await byGold.verify(problem, said('7.0'))).toMatchObject({ reward: 35, correct: true });
  const own = `correct: ({ answer }) => { if (answer === '3') throw new Error('odd'); return answer === '8'; },`;
  const byOwn = createTask({ module: write('by-own.ts', taskWith(`${own} ${rewards}`)) });
  expect(await byOwn.verify(problem, said('8'))).toMatchObject({ reward: 33, correct: true });
  expect(await byOwn.verify(problem, said('7'))).toMatchObject({ reward: 33, correct: false });
  expect(await byOwn.verify(problem, said('3'))).toMatchObject({
    reward: 33,
    correct: false,
    reason: 'long 33, correct failed: throws odd',
  });
});

test('each failure says what happened', async () => {
  const failing = (score: string) =>
    write(`fail-${score.length}.ts`, taskWith(`rewards: [{ name: 'it', score: ${score} }],`));
  const problem = { key: '7', prompt: '7:', data: 7 };
  const reasonOf = async (score: string) =>
    (await createTask({ module: failing(score) }).verify(problem, 'x')).reason;
  expect(await reasonOf('() => { for (;;); }')).toBe('it failed: took longer than 1 s');
  expect(await reasonOf('() => new Promise(() => {})')).toBe('it failed: took longer than 1 s');
  expect(await reasonOf('() => "1" as never')).toBe('it failed: returns string, not a number');
  expect(await reasonOf('() => { throw new TypeError("bad") }')).toBe('it failed: throws bad');
  expect(await reasonOf('async () => { throw "late" }')).toBe('it failed: throws late');
  expect(await reasonOf('() => process.exit(3)')).toMatch(/^it failed: /);
});

test('a task with its own verify runs in the pool as well', async () => {
  const module = write(
    'own.ts',
    taskWith(`verify({ data }, completion) {
      if (completion === 'hang') for (;;);
      const correct = completion === String(data);
      return { reward: correct ? 1 : 0, correct, wellFormed: true, reason: 'seen' };
    },`),
  );
  const task = createTask({ module });
  const problem = { key: '7', prompt: '7:', data: 7 };
  expect(await task.verify(problem, '7')).toEqual({
    reward: 1,
    correct: true,
    wellFormed: true,
    reason: 'seen',
  });
  expect((await task.verify(problem, 'hang')).reason).toBe('verify failed: took longer than 1 s');
});

test('wrong modules end in one line', () => {
  const refusal =
    (module: string, options = {}) =>
    () =>
      createTask({ module, ...options });
  expect(refusal(join(scratch, 'none.ts'))).toThrow(/^module: .*none\.ts: no such file$/);
  expect(refusal('/dev/zero')).toThrow(/^module: \/dev\/zero: it is no file of TypeScript/);
  expect(refusal(scratch)).toThrow(/it is no file of TypeScript/);
  expect(refusal(write('empty.ts', 'export const x = 1;'))).toThrow(
    /its default export is no task/,
  );
  expect(refusal(write('broken.ts', 'export default {{{'))).toThrow(/^module: .*broken\.ts: /);
  expect(refusal(write('throws.ts', 'throw new Error("not today")'))).toThrow(
    /^module: .*throws\.ts: not today$/,
  );
  expect(
    refusal(write('fine.ts', taskWith('rewards: [{ name: "x", score: () => 1 }],')), { least: 1 }),
  ).toThrow(/^task echo: least: no such option; it has most/);
  expect(
    refusal(write('weight.ts', taskWith('rewards: [{ name: "x", weight: 0, score: () => 1 }],'))),
  ).toThrow(/the weight of x must be above 0/);
});

test('a task that throws is the user’s error, and names the file and the function', () => {
  const body = (part: string): string =>
    taskWith(`rewards: [{ name: 'x', score: () => 1 }], ${part}`);
  const thrower = (name: string, part: string) => createTask({ module: write(name, body(part)) });
  const random = new Random(1, 'x');
  const problem = { key: '7', prompt: '7:', data: 7 };
  expect(() =>
    thrower('a.ts', 'generate() { throw new Error("no\\nluck"); }').generate(random),
  ).toThrow(/^module: .*a\.ts: generate throws no luck$/);
  expect(() => thrower('b.ts', 'generate: () => undefined').generate(random)).toThrow(
    /^module: .*b\.ts: generate gives no problem/,
  );
  expect(() => thrower('c.ts', 'gold() { return x.y; }').gold(problem)).toThrow(
    /^module: .*c\.ts: gold throws x is not defined$/,
  );
  expect(() => thrower('d.ts', 'alphabet: 5')).toThrow(/d\.ts: its task has no alphabet/);
  expect(() => thrower('e.ts', 'demonstrate: null')).toThrow(/e\.ts: its task has no demonstrate/);
  const creates = write('f.ts', 'export default { resolve: (o) => o, create() { throw 7; } };');
  expect(() => createTask({ module: creates })).toThrow(/f\.ts: create throws 7$/);
});

test('a reference is made absolute and stamped with the hash of all that it imports', () => {
  write('helper.ts', 'export const one = 1;');
  write(
    'user.ts',
    `import { one } from './helper.js';\n${taskWith('rewards: [{ name: "x", score: () => one }],')}`,
  );
  const anchored = anchorTask({ name: 'mix', tasks: [{ module: './user.ts', most: 50 }] }, scratch);
  expect(anchored.tasks[0].module).toBe(join(scratch, 'user.ts'));
  const before = stampTask(anchored);
  expect(before.tasks[0]).toMatchObject({
    most: 50,
    sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
  expect(stampTask(before)).toEqual(before);
  write('helper.ts', 'export const one = 2;');
  expect(stampTask(anchored)).not.toEqual(before);
  expect(createTask(before).parts).toEqual(['echo']);
});

test('the example project’s task holds what tasks must hold', async () => {
  const task = createTask({
    module: fileURLToPath(new URL('../../examples/my-task/palindromes.ts', import.meta.url)),
  });
  for (const problem of evaluationProblems(task, 1, 20)) {
    expect(await task.verify(problem, task.gold(problem) as string)).toMatchObject({
      reward: 1,
      correct: true,
    });
    expect(await task.verify(problem, '<think></think><answer>ab</answer>')).toMatchObject({
      reward: 0.2,
      correct: false,
    });
    expect(problem.prompt.length).toBeLessThanOrEqual(task.maxPromptLength);
  }
  expect(problemAt(task, 1, 'train', 0)).toEqual(problemAt(task, 1, 'train', 0));
});
