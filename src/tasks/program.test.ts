import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createTask, judge } from './index.js';
import { readCodeProblem } from './rows.js';

const scratch = mkdtempSync(join(tmpdir(), 'reckoner-code-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

interface Case {
  kind: string;
  row: Record<string, unknown>;
  reply: string;
  right: boolean;
}

async function verdict(row: Record<string, unknown>, reply: string): Promise<boolean> {
  const file = join(scratch, 'row.jsonl');
  writeFileSync(file, `${JSON.stringify(row)}\n`);
  const task = createTask({ name: 'code', file, evaluationFile: file });
  const [problem] = task.listed?.('evaluation') ?? [];
  return (await judge(task, problem, reply)).verdict.correct;
}

const cases = ['field', 'held-out'].flatMap((name) =>
  readFileSync(new URL(`../../test/fixtures/code/${name}.jsonl`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Case),
);

test.each(cases)('$kind $row.prompt: $right', async ({ row, reply, right }) => {
  expect(await verdict(row, reply)).toBe(right);
});

const row = (tests: string, prompt = 'Write f(list).') => ({ prompt, entry: 'f', tests });
const cheats: [string, Record<string, unknown>, string][] = [
  [
    'throws another error',
    row('assert.throws(() => f(), RangeError)'),
    'function f() { throw new TypeError("x"); }',
  ],
  ['a promise is no object', row('assert.deepEqual(f(), {})'), 'async function f() { return {}; }'],
  ['a pattern is no object', row('assert.deepEqual(f(), {})'), 'function f() { return /x/; }'],
  [
    'patches every',
    row('assert(f([1]).every((x) => x === 2))'),
    'Array.prototype.every = () => true; function f() { return [1]; }',
  ],
  [
    'an every of its own',
    row('assert(f([1]).every((x) => x === 2))'),
    'function f() { const a = [1]; a.every = () => true; return a; }',
  ],
  [
    'empties its argument',
    row('const a = [2, 1]; const b = f(a); assert.equal(b.length, a.length)'),
    'function f(a) { a.length = 0; return a; }',
  ],
  [
    'a length that lies',
    row('assert.equal(f([1, 2]).length, 2)'),
    'function f() { return new Proxy([], { get: (o, k) => (k === "length" ? 2 : o[k]) }) && { get length() { throw 1; } }; }',
  ],
  [
    'shadows assert',
    row('assert.equal(f(1), 2)'),
    'globalThis.assert = { equal() {} }; function require() { return assert; } function f() { return 1; }',
  ],
  [
    'its own helpers',
    {
      ...row(
        'assert.equal(g(f("a")), "a")',
        'function g(s) { return s.slice(1); }\nfunction f(s) {\n',
      ),
    },
    'function g(s) { return s; }\nfunction f(s) { return s; }',
  ],
];
test.each(cheats)('no reward: %s', async (_what, problem, program) => {
  expect(await verdict(problem, `<think></think><answer>${program}</answer>`)).toBe(false);
});

test('a loop over nothing meets fewer assertions than the solution does', async () => {
  const tests = 'for (const x of candidate([1, 2])) assert(x > 0)\nassert(true)';
  const solution = 'function f(a) { return a; }';
  const problem = { ...row(tests), solution };
  expect(await verdict(problem, `<answer>${solution}</answer>`)).toBe(true);
  expect(await verdict(problem, '<answer>function f() { return []; }</answer>')).toBe(false);
});

test('errors are told apart by their class', async () => {
  const problem = row('assert.throws(() => f(), RangeError); assert.throws(() => f(), /small/)');
  expect(await verdict(problem, 'function f() { throw new RangeError("too small"); }')).toBe(true);
});

test('rows of Python are refused by name', () => {
  const python = {
    prompt: 'def twice(n):\n    """ Return twice n. """\n',
    entry_point: 'twice',
    test: 'def check(candidate):\n    assert candidate(2) == 4\n',
  };
  expect(() => readCodeProblem(python, 'f:1')).toThrow('file: f:1: is Python');
});
