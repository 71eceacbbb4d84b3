// Steps a second of two checkouts of Reckoner, in turns: did a change make training slower?
//
//   node bench/checkouts.mjs BASE [NEW, default this one] [--rounds 4] [--workers 2]
//
// Both must be built. Each runs r1-mini's model and stages for few steps in a process of its own, on
// the WASM kernels without a BLAS or machine code, so that both multiply alike; their losses and
// rewards must be the same numbers, or they do not do the same work. Beside the clock stands the
// processor time of the whole process, which other programs on the machine change less.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describe, machine, median, root, table, whole } from './harness.mjs';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '4' },
    workers: { type: 'string', default: '2' },
  },
});
if (positionals.length < 1)
  throw new Error('name the checkout to compare with: node bench/checkouts.mjs BASE [NEW]');
const sides = { before: resolve(positionals[0]), after: resolve(positionals[1] ?? root) };

/** Steps of each stage, and how many of them warm up the process. */
const STEPS = { sft: 40, grpo: 14 };
const WARM = { sft: 8, grpo: 3 };
const r1mini = JSON.parse(readFileSync(join(root, 'recipes/r1-mini.json'), 'utf8'));
const stages = r1mini.stages
  .filter(({ id }) => id in STEPS)
  .map((stage) => ({ ...stage, steps: STEPS[stage.id], schedule: { kind: 'constant' } }));
const recipe = { ...r1mini, stages, checkpoints: { every: 1000, keep: 2 } };
const folder = mkdtempSync(join(tmpdir(), 'reckoner-checkouts-'));
const recipeFile = join(folder, 'recipe.json');
writeFileSync(recipeFile, JSON.stringify(recipe));

/** Writes the processor time of a process when it ends. */
const METER = `data:text/javascript,${encodeURIComponent(
  "import { writeFileSync } from 'node:fs'; process.on('exit', () => writeFileSync(process.env.METER, JSON.stringify(process.cpuUsage())));",
)}`;

function run(side, round) {
  const runs = join(folder, `${side}-${round}`);
  const command = join(sides[side], 'dist/cli/main.js');
  const help = spawnSync(process.execPath, [command, 'train', '--help'], { encoding: 'utf8' });
  const plain = ['--no-native', '--no-blas'].filter((flag) => help.stdout.includes(flag));
  const args = ['train', recipeFile, '--runs', runs, '--workers', flags.workers, ...plain];
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--import', METER, command, ...args, '--json'],
    {
      encoding: 'utf8',
      env: { ...process.env, METER: `${runs}.cpu`, RECKONER_CALIBRATION: 'off' },
    },
  );
  if (status !== 0) throw new Error(`${side}: ${stderr}`);
  const [name] = readdirSync(runs);
  const lines = readFileSync(join(runs, name, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n');
  const metrics = lines.map((line) => JSON.parse(line)).filter(({ type }) => type === 'metrics');
  const { user, system } = JSON.parse(readFileSync(`${runs}.cpu`, 'utf8'));
  return { metrics, processorSeconds: (user + system) / 1e6 };
}

const results = { before: [], after: [] };
for (let round = 0; round < Number(flags.rounds); round++) {
  const order = round % 2 === 0 ? ['before', 'after'] : ['after', 'before'];
  for (const side of order) results[side].push(run(side, round));
}
rmSync(folder, { recursive: true, force: true });

const judgedBy = ({ values }) => values.reward ?? values.loss;
const numbers = (side) => results[side][0].metrics.map(judgedBy);
if (JSON.stringify(numbers('before')) !== JSON.stringify(numbers('after')))
  throw new Error('losses or rewards differ, so the two do not do the same work');

const about = machine(`node bench/checkouts.mjs BASE --rounds ${flags.rounds}`);
console.log(`${describe(about)}\n`);
const secondsOf = (side, id) =>
  results[side].flatMap(({ metrics }) =>
    metrics
      .filter(({ stage, stageStep }) => stage === id && stageStep > WARM[id])
      .map(({ values }) => values.step_time ?? values.seconds),
  );
const rows = Object.keys(STEPS).map((id) => {
  const [before, after] = ['before', 'after'].map((side) => median(secondsOf(side, id)));
  return [
    `${id}, steps a second`,
    (1 / before).toFixed(3),
    (1 / after).toFixed(3),
    (before / after).toFixed(3),
  ];
});
const [before, after] = ['before', 'after'].map((side) =>
  median(results[side].map(({ processorSeconds }) => processorSeconds)),
);
rows.push([
  'whole run, processor seconds',
  before.toFixed(2),
  after.toFixed(2),
  (before / after).toFixed(3),
]);
console.log(table(['', 'before', 'after', 'speed after ÷ before'], rows));
console.log(
  `\nMedians of ${whole(secondsOf('before', 'sft').length)} and ${whole(secondsOf('before', 'grpo').length)} steps a side.`,
);
