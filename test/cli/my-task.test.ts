/**
 * @file The example project examples/my-task: its task trains, its hash is in the run, and a resume
 * with a changed file is refused.
 */
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { reckoner } from './model.js';

const scratch = mkdtempSync(join(tmpdir(), 'reckoner-my-task-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

it('takes Reckoner from the clone that it lies in, which no registry needs to have', () => {
  const folder = fileURLToPath(new URL('../../examples/my-task/', import.meta.url));
  const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const [, path] = /^file:(.+)$/.exec(dependencies.reckoner) as RegExpExecArray;
  const { name, bin } = JSON.parse(readFileSync(join(folder, path, 'package.json'), 'utf8'));
  expect(name).toBe('reckoner');
  expect(existsSync(join(folder, path, bin.reckoner))).toBe(true);
});

it('trains, records the hash of its files, and notices when they change', async () => {
  cpSync(fileURLToPath(new URL('../../examples/my-task', import.meta.url)), scratch, {
    recursive: true,
  });
  const recipe = JSON.parse(readFileSync(join(scratch, 'recipe.json'), 'utf8'));
  for (const stage of recipe.stages) {
    if (stage.kind === 'eval') stage.problems = 8;
    else
      Object.assign(stage, {
        steps: stage.kind === 'grpo' ? 2 : 4,
        schedule: { kind: 'constant' },
      });
  }
  recipe.checkpoints = { every: 1 };
  // A recipe may be a program.
  writeFileSync(
    join(scratch, 'recipe.ts'),
    `const recipe: object = ${JSON.stringify(recipe)};\nexport default recipe;\n`,
  );
  const env = { RECKONER_CALIBRATION: 'off' };
  const runs = join(scratch, 'runs');
  const first = await reckoner(
    ['train', join(scratch, 'recipe.ts'), '--runs', runs, '--workers', '2'],
    { env },
  );
  expect(first.code, first.stderr).toBe(0);
  const run = join(runs, readdirSync(runs)[0]);
  const resolved = JSON.parse(readFileSync(join(run, 'recipe.json'), 'utf8'));
  expect(resolved.task.module).toBe(join(scratch, 'palindromes.ts'));
  expect(resolved.task.sha256).toMatch(/^[0-9a-f]{64}$/);
  const samples = readFileSync(join(run, 'samples.jsonl'), 'utf8');
  expect(samples).toMatch(/right [01], form [01]/);

  rmSync(join(run, 'model'), { recursive: true });
  appendFileSync(join(scratch, 'text.ts'), '\n// Changed.\n');
  const second = await reckoner(['train', '--resume', run], { env, cwd: scratch });
  expect(second.code).toBe(1);
  expect(second.stderr).toMatch(/its content has changed; add --trust/);
  const third = await reckoner(['train', '--resume', run, '--trust'], { env, cwd: scratch });
  expect(third.code).toBe(1);
  expect(third.stderr).toMatch(/recipe.*--allow-drift/);
}, 120_000);
