/**
 * @file A run or a model from a stranger refers to code, and to files: nothing is executed and
 * nothing is read, unless it is the user's own, or `--trust` is given.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { admitReferences, makeTask, stampTask } from '../../src/tasks/index.js';
import { reckoner, writeTinyModel } from '../cli/model.js';

const scratch = mkdtempSync(join(tmpdir(), 'reckoner-code-'));
/** The user's project, and where everything is called. */
const cwd = join(scratch, 'project');
const canary = join(scratch, 'canary');
const model = join(cwd, 'downloads', 'model');
const RUN = '2026-01-01-evil-0000';
const run = join(cwd, 'runs', RUN);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
beforeEach(() => rmSync(canary, { force: true }));

const CODE = `require('node:fs').writeFileSync(${JSON.stringify(canary)}, 'executed');
module.exports = { create() {}, resolve() {} };`;

const write = (path: string, text: string): string => {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
  return path;
};

const json = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, 'utf8'));

beforeAll(async () => {
  await writeTinyModel(model);
  mkdirSync(run, { recursive: true });
  cpSync(model, join(run, 'model'), { recursive: true });
});

/** The task as the model's and the run's. */
function plant(task: Record<string, unknown>): void {
  for (const folder of [model, join(run, 'model')]) {
    const config = json(join(folder, 'config.json'));
    write(join(folder, 'config.json'), JSON.stringify({ ...config, reckoner: { task } }));
  }
  const recipe = {
    schemaVersion: 1,
    name: 'evil',
    task,
    model: json(join(model, 'config.json')),
    stages: [{ id: 'look', kind: 'eval', problems: 1, samples: 1, maxTokens: 1 }],
  };
  write(join(run, 'recipe.json'), JSON.stringify(recipe));
  write(join(run, 'events.jsonl'), '');
}

const here = (path: string): string => join(cwd, path);

describe('a module that came along', () => {
  const inModel = () => write(join(model, 'task.js'), CODE);
  const inRun = () => write(join(run, 'task.js'), CODE);
  const beside = () => write(here('downloads/task.js'), CODE);
  const outside = () => write(join(scratch, 'outside.js'), CODE);
  const linked = () => {
    rmSync(here('link.js'), { force: true });
    symlinkSync(inModel(), here('link.js'));
    return here('link.js');
  };
  const nested = (module: string) => ({
    name: 'mix',
    tasks: [
      { name: 'sums' },
      { name: 'curriculum', task: { name: 'mix', tasks: [{ module }] }, levels: [{}] },
    ],
  });
  it.each([
    ['in the model', model, () => ({ module: inModel() })],
    ['in another folder that is a model', run, () => ({ module: inModel() })],
    ['in the run', run, () => ({ module: inRun() })],
    ['beside the model', model, () => ({ module: beside() })],
    ['outside the project', model, () => ({ module: outside() })],
    ['a link into the model', model, () => ({ module: linked() })],
    ['within mixes', model, () => nested(inModel())],
    [
      'of a scored task',
      run,
      () => ({ name: 'scored', task: { name: 'x', module: inRun() }, reward: '1' }),
    ],
  ])('%s is not admitted', (_, folder, task) => {
    // A stranger knows the hash of his own file.
    const reference = stampTask(task());
    expect(() => admitReferences(reference, { folder, project: cwd })).toThrow(/--trust/);
    expect(() => makeTask(reference)).toThrow();
    expect(existsSync(canary)).toBe(false);
  });

  it('is not executed by any verb', async () => {
    const calls = [
      ['chat', model, '--prompt', '1+1='],
      ['chat', model, '--prompt', 'ABC'],
      ['eval', model, '--problems', '2'],
      ['eval', RUN, '--problems', '2'],
      ['train', '--resume', run],
      ['train', join(run, 'recipe.json')],
      ['plan', join(run, 'recipe.json'), '--on', 'h800x8'],
    ];
    plant(stampTask(nested(inModel())));
    const ended = await Promise.all(calls.map((args) => reckoner(args, { cwd })));
    expect(existsSync(canary)).toBe(false);
    // A conversation does without; the others say what to do.
    expect(ended[0].code, ended[0].stderr).toBe(0);
    for (const { code, stderr } of ended.slice(1)) {
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/--trust/);
      expect(stderr).not.toMatch(/a bug in reckoner/);
    }
  });

  it('is executed where the user says so', async () => {
    plant({ module: outside() });
    await reckoner(['eval', model, '--problems', '2', '--trust'], { cwd });
    expect(existsSync(canary)).toBe(true);
  });
});

describe('the user’s own module', () => {
  const example = fileURLToPath(new URL('../../examples/my-task', import.meta.url));
  const module = here('tasks/palindromes.ts');
  it('goes with the hash that the run recorded, and no other', async () => {
    cpSync(example, here('tasks'), { recursive: true });
    plant(stampTask({ module }));
    const ask = ['eval', RUN, '--problems', '2', '--samples', '1', '--no-greedy'];
    // The tiny model lacks the letters: the task was made.
    expect((await reckoner(ask, { cwd })).stderr).toMatch(/cannot read palindromes/);
    write(module, `${readFileSync(module, 'utf8')}\n// Changed.\n`);
    const changed = await reckoner(ask, { cwd });
    expect(changed.code).toBe(1);
    expect(changed.stderr).toMatch(/SHA-256 [0-9a-f]{64}.*has changed.*--trust/);
    expect((await reckoner([...ask, '--trust'], { cwd })).stderr).toMatch(
      /cannot read palindromes/,
    );
    // What is named on the command line is the user's.
    expect((await reckoner([...ask, '--task', module], { cwd })).stderr).toMatch(
      /cannot read palindromes/,
    );
  });
});

describe('files that a stranger names', () => {
  const SECRET = 'canary-3141592';
  const secret = write(join(scratch, 'secret.jsonl'), `{"prompt": "${SECRET}", "answer": "1"}\n`);
  const link = () => {
    rmSync(join(run, 'rows.jsonl'), { force: true });
    symlinkSync(secret, join(run, 'rows.jsonl'));
    return join(run, 'rows.jsonl');
  };
  it.each([
    ['outside', () => ({ name: 'questions', file: secret })],
    ['of a device', () => ({ name: 'questions', file: '/dev/zero' })],
    ['by a relative path', () => ({ name: 'code', file: '../secret.jsonl' })],
    ['by a link', () => ({ name: 'questions', file: link() })],
    ['for evaluation', () => ({ name: 'mix', tasks: [{ evaluationFile: secret }] })],
    ['to learn from', () => ({ stages: [{ id: 'a', data: secret }] })],
    ['to learn from, in a mixture', () => ({ stages: [{ id: 'a', mix: [{ data: secret }] }] })],
    ['of a model to start from', () => ({ init: { from: scratch } })],
    ['of a teacher', () => ({ stages: [{ id: 'a', teacher: { from: scratch } }] })],
  ])('%s are not admitted', (_, reference) => {
    expect(() => admitReferences(reference(), { folder: run, project: cwd })).toThrow(/--trust/);
  });

  it('are not read by any verb', async () => {
    plant({ name: 'questions', file: link() });
    const calls = [
      ['chat', model, '--prompt', 'ABC'],
      ['eval', model, '--problems', '1'],
      ['train', '--resume', run],
    ];
    const ended = await Promise.all(calls.map((args) => reckoner(args, { cwd })));
    for (const { code, stdout, stderr } of ended) {
      expect(code).not.toBe(0);
      expect(stdout + stderr).not.toContain(SECRET);
      expect(stderr).toMatch(/--trust/);
    }
  });
});

it('a claim names no program', async () => {
  const claim = write(
    here('claim.json'),
    JSON.stringify({ recipe: write(join(scratch, 'r.js'), CODE) }),
  );
  await reckoner(['claim', claim], { cwd });
  expect(existsSync(canary)).toBe(false);
});
