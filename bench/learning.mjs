// Does reinforcement learning teach anything? The shipped recipes over three seeds, with controls
// at equal compute.
//
//   node bench/learning.mjs [--only sums,countdown] [--seeds 1,2,3] [--variants base,grpo,more-sft,…]
//                           [--workers 1] [--report]
//
// Resumable: every run is a run folder under bench/results/learning/; finished ones are read, torn
// ones are gone on with. `--report` runs nothing. Writes bench/results/learning.json and .md, and
// docs/images/<task>-length.svg.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { accuracyInterval } from '../dist/base/intervals.js';
import { lineChart } from './chart.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
const results = 'bench/results';
const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: 'sums,countdown' },
    seeds: { type: 'string', default: '1,2,3' },
    variants: { type: 'string', default: 'base,grpo,more-sft,rejection-sampling,clean-base' },
    workers: { type: 'string', default: '' },
    report: { type: 'boolean', default: false },
  },
});

/** The recipes by the name of their task. */
const recipes = { sums: 'r1-mini', countdown: 'countdown' };
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));
const eventsOf = (folder) =>
  readFileSync(join(folder, 'events.jsonl'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/** An evaluation with 4 samples for pass@1, and one with 16 for pass@16, on the same problems. */
function evaluations(base, label) {
  const { maxTokens, problems } = base.stages.find((stage) => stage.kind === 'eval');
  const common = { kind: 'eval', problems, maxTokens };
  return [
    { ...common, id: label, samples: 4 },
    { ...common, id: `${label}-16`, samples: 16, passAt: 16 },
  ];
}

/** FLOPs that each stage of a finished run used. */
function flopsOf(folder) {
  const flops = {};
  for (const event of eventsOf(folder)) {
    if (event.type === 'usage')
      flops[event.usage.stage] = (flops[event.usage.stage] ?? 0) + event.usage.modelFlops;
  }
  return flops;
}

/**
 * The recipe of a variant. `base` is the recipe up to its reinforcement learning; the others start
 * from the base's weights, and the controls get as many FLOPs as GRPO used. (A stage's random
 * numbers depend on seed, stage and step alone, so base and
 * `grpo` together are the shipped recipe, to the bit.)
 */
function recipeOf(task, variant, seed, runs) {
  const shipped = read(`recipes/${recipes[task]}.json`);
  const sft = shipped.stages.find((stage) => stage.id === 'sft');
  const grpo = shipped.stages.find((stage) => stage.id === 'grpo');
  const before = evaluations(shipped, 'before');
  const after = evaluations(shipped, 'after');
  const name = `${task}-${variant}`;
  if (variant === 'base') return { ...shipped, name, seed, stages: [sft, ...before] };
  if (variant === 'clean-base') {
    const clean = task === 'sums' ? { wrong: 0, slip: 0 } : { solved: 1 };
    return { ...shipped, name, seed, stages: [{ ...sft, task: clean }, ...before] };
  }
  const fromBase = (stages) => ({
    ...shipped,
    name,
    seed,
    init: { from: join(runs.base, 'model') },
    stages: [...stages, ...after],
  });
  if (variant === 'grpo') return fromBase([grpo]);
  const budget = flopsOf(runs.grpo).grpo;
  const perSftStep = flopsOf(runs.base).sft / sft.steps;
  const finish = (steps) => ({
    kind: 'wsd',
    warmup: 10,
    decay: Math.max(1, Math.round(steps / 4)),
    final: 0.1,
  });
  if (variant === 'more-sft') {
    const steps = Math.round(budget / perSftStep);
    return fromBase([{ ...sft, id: 'more-sft', steps, schedule: finish(steps) }]);
  }
  if (variant === 'rejection-sampling') {
    // As many completions as GRPO samples, about a quarter of its compute; the rest goes into
    // imitating the right ones.
    const steps = Math.round((budget * 0.75) / perSftStep);
    const { prompts, samples, maxTokens } = grpo;
    return fromBase([
      {
        kind: 'rejection-sample',
        id: 'sample',
        steps: grpo.steps,
        prompts,
        samples,
        keep: samples,
        maxTokens,
      },
      { ...sft, id: 'imitate', from: 'sample', steps, schedule: finish(steps) },
    ]);
  }
  throw new Error(`no variant ${variant}`);
}

/** The run folder of a variant, run to its end. */
function runOf(task, variant, seed, runs) {
  const folder = join(results, 'learning', `${task}-${variant}-${seed}`);
  mkdirSync(folder, { recursive: true });
  const existing = readdirSync(folder).filter((name) =>
    existsSync(join(folder, name, 'recipe.json')),
  );
  const run = existing.length > 0 ? join(folder, existing[0]) : null;
  if (run && existsSync(join(run, 'model', 'config.json'))) return run;
  if (flags.report) return null;
  const recipeFile = join(folder, 'recipe.json');
  writeFileSync(recipeFile, JSON.stringify(recipeOf(task, variant, seed, runs), null, 2));
  console.error(`\n── ${task} ${variant} seed ${seed}`);
  const args = run ? ['--resume', run] : [recipeFile];
  if (flags.workers && !run) args.push('--workers', flags.workers);
  execFileSync(
    process.execPath,
    ['dist/cli/main.js', 'train', ...args, '--runs', folder, '--json'],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  return runOf(task, variant, seed, runs);
}

const rows = [];
const curves = {};
for (const task of flags.only.split(',')) {
  for (const seed of flags.seeds.split(',').map(Number)) {
    const runs = {};
    for (const variant of flags.variants.split(',')) {
      const folder = runOf(task, variant, seed, runs);
      if (!folder) continue;
      runs[variant] = folder;
      const events = eventsOf(folder);
      const evaluationOf = (label) =>
        events.findLast((e) => e.type === 'evaluation' && e.stage === label)?.results;
      const flops = flopsOf(folder);
      const seconds = {};
      for (const { type, usage } of events) {
        if (type === 'usage')
          seconds[usage.stage] = (seconds[usage.stage] ?? 0) + usage.wallSeconds;
      }
      for (const label of ['before', 'after']) {
        const four = evaluationOf(label);
        if (!four) continue;
        const stages = Object.keys(flops).filter((stage) =>
          ['grpo', 'more-sft', 'sample', 'imitate'].includes(stage),
        );
        rows.push({
          task,
          variant,
          seed,
          label,
          pass1: four.pass1,
          interval: accuracyInterval(four),
          greedy: four.greedy,
          pass16: evaluationOf(`${label}-16`)?.pass16,
          length: four.length,
          extraFlops: label === 'after' ? stages.reduce((sum, stage) => sum + flops[stage], 0) : 0,
          seconds,
        });
      }
      if (variant === 'grpo') {
        const steps = events.filter((e) => e.type === 'metrics' && e.stage === 'grpo');
        curves[task] ??= [];
        curves[task].push({
          name: `seed ${seed}`,
          length: steps.map((e) => [e.stageStep, e.values['completions/mean_length']]),
          accuracy: steps.map((e) => [e.stageStep, e.values.accuracy]),
        });
      }
    }
  }
}

const percent = (x) => (x === undefined ? '' : `${(100 * x).toFixed(1)}%`);
const lines = [
  `Machine: ${cpus()[0].model.trim()}, ${cpus().length} cores; Node ${process.version}; \`node bench/learning.mjs\``,
  '',
  '| task | variant | seed | when | pass@1 (T=1, 4 samples) | greedy | pass@16 | mean tokens | extra model FLOPs | seconds |',
  '|---|---|---:|---|---:|---:|---:|---:|---:|---:|',
];
for (const row of rows) {
  const total = Object.values(row.seconds).reduce((sum, x) => sum + x, 0);
  lines.push(
    `| ${row.task} | ${row.variant} | ${row.seed} | ${row.label} | ${percent(row.pass1)} (${percent(row.interval.low)} to ${percent(row.interval.high)}) | ${percent(row.greedy)} | ` +
      `${percent(row.pass16)} | ${row.length.toFixed(1)} | ${row.extraFlops ? row.extraFlops.toExponential(2) : ''} | ${total.toFixed(0)} |`,
  );
}
const text = `${lines.join('\n')}\n`;
console.log(text);
mkdirSync(results, { recursive: true });
writeFileSync(join(results, 'learning.md'), text);
writeFileSync(join(results, 'learning.json'), `${JSON.stringify(rows, null, 2)}\n`);
mkdirSync('docs/images', { recursive: true });
for (const [task, series] of Object.entries(curves)) {
  const chart = (what, title) =>
    lineChart({
      title,
      xLabel: 'GRPO step',
      series: series.map((s) => ({ name: s.name, points: s[what] })),
    });
  writeFileSync(
    `docs/images/${task}-length.svg`,
    chart('length', `${task}: mean response length, tokens`),
  );
  writeFileSync(
    `docs/images/${task}-accuracy.svg`,
    chart('accuracy', `${task}: share of right rollouts`),
  );
}
