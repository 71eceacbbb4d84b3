/**
 * @file `npm run soak`: kills a small training run at every pass of every fault point, and at
 * random moments, and resumes it; and does the same to an evaluation, a server, the studio and the
 * training of an adapter (soak-uses.mjs).
 *
 *   npm run soak                                    everything; about half an hour on two cores
 *   npm run soak -- --every 10 --random 20          each tenth pass of a point (the first ones always)
 *   npm run soak -- --workers 2 --every 0           random kills only
 *   npm run soak -- --every 0 --random 0 --uses 25  25 trials each of eval, serve, studio, LoRA
 *   npm run soak -- --every 0 --random 0 --uses 25 --only eval,lora
 *
 * Every run must end with the bits of one that was never stopped; see crash.mjs for what is
 * compared. Prints a table and, as its last line, `N passed, N failed`; the exit code is 1 when
 * anything failed. Runs that failed are kept.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  createRandom,
  onlyRun,
  problemsOf,
  startOrResume,
  TINY,
  uncut,
  writeRecipe,
} from './crash.mjs';
import { makeBase, USES } from './soak-uses.mjs';

const { values: options } = parseArgs({
  options: {
    workers: { type: 'string', default: '1,2' },
    every: { type: 'string', default: '1' },
    random: { type: 'string', default: '20' },
    /** Trials of each kind of use. */
    uses: { type: 'string', default: '10' },
    /** For each of these kinds; no trial begins after them. */
    minutes: { type: 'string', default: '60' },
    only: { type: 'string', default: Object.keys(USES).join() },
    seed: { type: 'string', default: '1' },
    /** Processes at a time. */
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});
const number = (name, low) => {
  const value = Number(options[name]);
  if (Number.isInteger(value) && value >= low) return value;
  console.error(`error: --${name} must be a whole number of at least ${low}, is ${options[name]}`);
  process.exit(2);
};
const every = number('every', 0);
const randomKills = number('random', 0);
const uses = number('uses', 0);
const mostMinutes = number('minutes', 1);
const seed = number('seed', 0);
const jobs = number('jobs', 1);
const workerCounts = options.workers.split(',').map(Number);
if (!workerCounts.every((workers) => Number.isInteger(workers) && workers >= 1)) {
  console.error(`error: --workers must be worker counts with commas, is ${options.workers}`);
  process.exit(2);
}

/** Longer, so that a random moment rarely falls into the start: all stages again, some seconds. */
const SOAK = structuredClone({ ...TINY, name: 'soak', checkpoints: { every: 10, keep: 4 } });
const scale = {
  sft: { steps: 150 },
  before: { problems: 60 },
  grpo: { steps: 30 },
  again: { steps: 60 },
  after: { problems: 60 },
};
for (const stage of SOAK.stages) Object.assign(stage, scale[stage.id]);

const started = performance.now();
const folder = mkdtempSync(join(tmpdir(), 'reckoner-soak-'));
const failures = [];
let passed = 0;
let told = started;
const minutes = () => ((performance.now() - started) / 60_000).toFixed(1);
const tell = (text, now = true) => {
  if (!now && performance.now() - told < 20_000) return;
  told = performance.now();
  console.error(`[${minutes()} min] ${text}`);
};

/** The first passes of a point, each `every`-th, and the last. */
function passesOf(count) {
  if (every === 0) return [];
  const all = Array.from({ length: count }, (_, i) => i + 1);
  return all.filter((pass) => pass === 1 || pass === count || pass % every === 0);
}

/** Runs tasks, some at a time, in order of the list. */
async function inParallel(tasks, width) {
  let next = 0;
  const lane = async () => {
    while (next < tasks.length) await tasks[next++]();
  };
  await Promise.all(Array.from({ length: Math.max(1, width) }, lane));
}

function settle(what, runs, problems) {
  if (problems.length === 0) {
    passed++;
    rmSync(runs, { recursive: true, force: true });
    return;
  }
  failures.push(
    `${what}: ${problems[0]}${problems.length > 1 ? ` (and ${problems.length - 1} more)` : ''}; kept in ${runs}`,
  );
  tell(`FAILED ${failures.at(-1)}`);
}

function printTable(head, rows) {
  const cells = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, i) => Math.max(...cells.map((row) => row[i].length)));
  const line = (row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ');
  console.log(
    [line(cells[0]), widths.map((w) => '-'.repeat(w)).join('  '), ...cells.slice(1).map(line)].join(
      '\n',
    ),
  );
}

/** Every pass of every fault point: one kill, one resume. */
async function soakPoints(workers) {
  const recipe = writeRecipe(folder, TINY);
  const job = { recipe, flags: ['--workers', String(workers)] };
  const reference = await uncut({ ...job, runs: join(folder, `points-${workers}`) });
  const rows = Object.keys(reference.points).map((name) => ({
    name,
    passes: reference.points[name],
    kills: 0,
    equal: 0,
    missed: 0,
  }));
  const tasks = rows.flatMap((row) =>
    passesOf(row.passes).map((pass) => async () => {
      const what = `${row.name}:${pass} on ${workers}`;
      const runs = join(folder, `${workers}-${row.name}-${pass}`);
      mkdirSync(runs);
      const call = await startOrResume({ ...job, runs }, { fault: `kill@${row.name}:${pass}` });
      if (call.signal === 'SIGKILL') row.kills++;
      // The heartbeat's events come by the clock, so the last passes of their points may not
      // happen.
      else if (call.code === 0) row.missed++;
      const end = call.code === 0 ? call : await startOrResume({ ...job, runs });
      const over = end.code === 0 || end.stdout.includes('is complete;');
      const said = `exit ${end.code ?? end.signal}: ${`${end.stdout}${end.stderr}`.trim().slice(-300)}`;
      const problems = over ? problemsOf(onlyRun(runs), reference.result) : [said];
      if (problems.length === 0) row.equal++;
      settle(what, runs, problems);
      tell(
        `${workers} worker${workers > 1 ? 's' : ''}: ${passed} passed, ${failures.length} failed`,
        false,
      );
    }),
  );
  tell(
    `${workers} worker${workers > 1 ? 's' : ''}: ${tasks.length} of ${rows.reduce((sum, { passes }) => sum + passes, 0)} passes of ${rows.length} points`,
  );
  await inParallel(tasks, Math.floor(jobs / workers));
  console.log(`\nKills at fault points, ${workers} worker${workers > 1 ? 's' : ''}`);
  const total = (key) => rows.reduce((sum, row) => sum + row[key], 0);
  printTable(
    ['point', 'passes', 'kills', 'not met', 'same bits'],
    [
      ...rows.map(({ name, passes, kills, missed, equal }) => [name, passes, kills, missed, equal]),
      ['total', total('passes'), total('kills'), total('missed'), total('equal')],
    ],
  );
}

/**
 * Kills at random moments: a run is cut again and again until it is through, then another one is
 * begun.
 */
async function soakRandom(workers, wanted) {
  const random = createRandom(seed * 1000 + workers);
  const recipe = writeRecipe(folder, SOAK);
  const job = { recipe, flags: ['--workers', String(workers)] };
  const from = performance.now();
  const reference = await uncut({ ...job, runs: join(folder, `random-${workers}`) });
  const whole = performance.now() - from;
  const rows = [];
  let kills = 0;
  for (let n = 1; kills < wanted; n++) {
    const runs = join(folder, `random-${workers}-${n}`);
    const delays = [];
    let end = null;
    while (end === null) {
      // Longer than a run takes now and then, so that some come to their end.
      const delay = 0.8 * whole * random();
      const cutting = kills < wanted;
      const call = await startOrResume(
        { ...job, runs },
        cutting ? { whileRunning: (child) => setTimeout(() => child.kill('SIGKILL'), delay) } : {},
      );
      if (call.signal === 'SIGKILL') {
        kills++;
        delays.push(`${(delay / 1000).toFixed(1)} s`);
      } else end = call;
    }
    const over = end.code === 0 || end.stdout.includes('is complete;');
    const said = `exit ${end.code ?? end.signal}: ${`${end.stdout}${end.stderr}`.trim().slice(-300)}`;
    const problems = over ? problemsOf(onlyRun(runs), reference.result) : [said];
    settle(`random run ${n} on ${workers}`, runs, problems);
    rows.push([n, delays.length, problems.length === 0 ? 'yes' : 'NO', delays.join(' ')]);
    tell(`${workers} worker${workers > 1 ? 's' : ''}: ${kills} of ${wanted} random kills`, false);
  }
  console.log(
    `\nKills at random moments, ${workers} worker${workers > 1 ? 's' : ''} (a whole run: ${(whole / 1000).toFixed(1)} s)`,
  );
  printTable(['run', 'kills', 'same bits', 'killed after'], rows);
}

/** Trials of what uses a run. */
async function soakUses() {
  const base = await makeBase(folder);
  const rows = [];
  for (const kind of options.only.split(',')) {
    const own = join(folder, kind);
    mkdirSync(own);
    const from = performance.now();
    const trial = await USES[kind](base, own);
    const whole = performance.now() - from;
    const row = { trials: 0, kills: 0, equal: 0 };
    const tasks = Array.from({ length: uses }, (_, i) => async () => {
      if (performance.now() - from > mostMinutes * 60_000) return;
      row.trials++;
      const random = createRandom(seed * 1_000_000 + i);
      let outcome;
      try {
        outcome = await trial(i, random, Math.min(whole, 10_000));
      } catch (error) {
        outcome = { kills: 0, problems: [String(error?.message ?? error)] };
      }
      row.kills += outcome.kills;
      if (outcome.problems.length === 0) row.equal++;
      settle(`${kind} ${i}`, join(own, `kept-${i}`), outcome.problems);
      tell(`${kind}: ${passed} passed, ${failures.length} failed`, false);
    });
    await inParallel(tasks, jobs);
    rows.push([kind, row.trials, row.kills, row.equal]);
  }
  console.log('\nKills of what uses a run');
  printTable(['kind', 'trials', 'kills', 'as never stopped'], rows);
}

console.log(
  `soak on ${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.version}, seed ${seed}`,
);
if (every > 0) for (const workers of workerCounts) await soakPoints(workers);
const shares = workerCounts.map((_, i) => Math.floor((randomKills + i) / workerCounts.length));
for (const [i, workers] of workerCounts.entries())
  if (shares[i] > 0) await soakRandom(workers, shares[i]);
if (uses > 0) await soakUses();

console.log(`\n${minutes()} minutes`);
for (const failure of failures) console.log(`failed: ${failure}`);
if (failures.length === 0) rmSync(folder, { recursive: true, force: true });
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;
