// Runs that a benchmark makes by `reckoner train` and reads again: resumable, each in a folder of
// its own.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const eventsOf = (run) =>
  readFileSync(join(run, 'events.jsonl'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/**
 * The run in `folder`, made or gone on with to its end, on one worker; null where there is none and
 * nothing may be run.
 */
export function runIn(folder, recipe, mayRun) {
  mkdirSync(folder, { recursive: true });
  const found = readdirSync(folder).find((entry) => existsSync(join(folder, entry, 'recipe.json')));
  const run = found && join(folder, found);
  if (run && existsSync(join(run, 'model', 'config.json'))) return run;
  if (!mayRun) return null;
  const file = join(folder, 'recipe.json');
  writeFileSync(file, JSON.stringify(recipe, null, 2));
  console.error(`── ${recipe.name}`);
  const args = run ? ['--resume', run] : [file, '--workers', '1'];
  execFileSync(
    process.execPath,
    ['dist/cli/main.js', 'train', ...args, '--runs', folder, '--json'],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, RECKONER_CALIBRATION: 'off' },
    },
  );
  return runIn(folder, recipe, mayRun);
}
