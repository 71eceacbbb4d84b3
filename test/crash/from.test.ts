/**
 * @file A stage can be run again without the ones before it, and a recipe may be YAML.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { eventsOf, onlyRun, problemsOf, reckoner, resultOf, TINY } from '../../scripts/crash.mjs';

const LONG = 300_000;
const folder = mkdtempSync(join(tmpdir(), 'reckoner-from-'));
const runs = join(folder, 'runs');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let run: string;
let reference: Record<string, string>;
beforeAll(async () => {
  writeFileSync(join(folder, 'tiny.yaml'), stringify(TINY));
  const { code, stderr } = await reckoner([
    'train',
    join(folder, 'tiny.yaml'),
    '--runs',
    runs,
    '--workers',
    '1',
    '--no-blas',
    '--json',
  ]);
  expect(code, stderr).toBe(0);
  run = onlyRun(runs) as string;
  reference = resultOf(run);
}, LONG);

const again = (...args: string[]) =>
  reckoner(['train', '--resume', run, '--runs', runs, '--json', ...args]);

it('keeps the model of every stage that trains, the student in its own shape', () => {
  expect(readdirSync(join(run, 'stages')).sort()).toEqual(['again', 'distill', 'grpo', 'sft']);
  const widthOf = (path: string) =>
    JSON.parse(readFileSync(join(run, path, 'config.json'), 'utf8')).hidden_size;
  expect(['stages/again', 'stages/distill', 'model'].map(widthOf)).toEqual([32, 16, 16]);
  expect(reference['stages/distill/model.safetensors']).toBe(reference['model/model.safetensors']);
});

it.each(['sft', 'grpo', 'again', 'distill', 'after'])(
  'from %s on, with the same bits',
  async (stage) => {
    const before = eventsOf(run).length;
    const { code, stdout, stderr } = await again('--from', stage);
    expect(code, stdout + stderr).toBe(0);
    expect(problemsOf(run, reference)).toEqual([]);
    const started = eventsOf(run)
      .slice(before)
      .filter((event) => event.type === 'stage-started');
    const ids = TINY.stages.map(({ id }) => id);
    expect(started.map((event) => event.stage)).toEqual(ids.slice(ids.indexOf(stage)));
  },
  LONG,
);

it(
  'takes a recipe that was changed from there on, and leaves the earlier stages alone',
  async () => {
    const recipe = JSON.parse(readFileSync(join(run, 'recipe.json'), 'utf8'));
    recipe.stages[5].steps = 7;
    writeFileSync(join(run, 'recipe.json'), JSON.stringify(recipe));
    expect((await again('--from', 'distill')).code).toBe(0);
    const result = resultOf(run);
    expect(result['stages/again/model.safetensors']).toBe(
      reference['stages/again/model.safetensors'],
    );
    expect(result['model/model.safetensors']).not.toBe(reference['model/model.safetensors']);
  },
  LONG,
);

it(
  'refuses a stage that is not there, or whose beginning is not',
  async () => {
    const unknown = await again('--from', 'nobody');
    expect([unknown.code, JSON.parse(unknown.stdout).error.message]).toEqual([
      2,
      expect.stringMatching(/has no stage "nobody"; it has sft/),
    ]);
    rmSync(join(run, 'stages', 'grpo'), { recursive: true });
    const early = await again('--from', 'sample');
    expect([early.code, JSON.parse(early.stdout).error.message]).toEqual([
      1,
      expect.stringMatching(/grpo has left no model/),
    ]);
    expect(existsSync(join(run, 'model'))).toBe(true);
    const { code } = await reckoner(['train', 'r1-mini', '--from', 'sft', '--runs', runs]);
    expect(code).toBe(2);
  },
  LONG,
);
