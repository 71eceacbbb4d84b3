// R1's whole recipe, small, over three seeds: what each stage adds and costs, and whether
// distilling beats RL on the student.
//
//   node bench/full-recipe.mjs [--seeds 1,2,3] [--variants full,student,student-rl,student-rl-long] [--workers 2] [--report] [--smoke]
//
// `full` is recipes/r1-full-mini.yaml. `student` is its student without distillation: the first
// stages of the recipe (pretrain, cold start) on the small model. `student-rl` goes on from there
// with the recipe's last reinforcement learning instead of distillation, `student-rl-long` with ten
// times the steps, which is more operations than distillation takes, the teacher's samples
// included. Resumable: every run is a run folder under bench/results/full-recipe/; finished ones
// are read, torn ones are gone on with. `--report` runs nothing, and shows unfinished runs as far
// as they are. `--smoke` runs every stage for a few steps on an easy task, to see that all of it
// works, in a folder of its own. Writes bench/results/full-recipe.md and .json.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';
import { demandBuild, describe, machine, root, table } from './harness.mjs';

process.chdir(root);
demandBuild();
const { values: flags } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1,2,3' },
    variants: { type: 'string', default: 'full,student,student-rl,student-rl-long' },
    workers: { type: 'string' },
    report: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
  },
});

const results = `bench/results/full-recipe${flags.smoke ? '-smoke' : ''}`;
const shipped = parse(readFileSync('recipes/r1-full-mini.yaml', 'utf8'));
const full = flags.smoke ? small(shipped) : shipped;

/**
 * The same stages, a model of the student's size, and steps enough for a few right answers:
 * rejection sampling must find some.
 */
function small(recipe) {
  const easy = { count: 2, maximum: 9, target: [1, 18] };
  const ease = (task = {}) => {
    if (task.tasks) return { ...task, tasks: task.tasks.map(ease) };
    return task.name === undefined || task.name === 'countdown' ? { ...easy, ...task } : task;
  };
  const easier = ({ mix, task, ...spec }) => {
    const sources = mix?.map((source) =>
      source.task ? { ...source, task: ease(source.task) } : source,
    );
    return { ...spec, task: ease(task), ...(sources ? { mix: sources } : {}) };
  };
  const stages = recipe.stages.map(easier).map((spec) => {
    if (spec.kind === 'eval') return { ...spec, problems: 8, samples: 2, maxTokens: 100 };
    const sampling = { steps: 2, prompts: 16, samples: 4, maxTokens: 100 };
    if (spec.kind === 'rejection-sample') return { ...spec, ...sampling };
    const few = {
      ...spec,
      schedule: { kind: 'constant' },
      steps: spec.kind === 'pretrain' ? 150 : 10,
      batch: 32,
    };
    if (spec.kind === 'distill') return { ...few, sampling };
    if (spec.kind !== 'grpo') return few;
    const { batch, ...rest } = few;
    return { ...rest, steps: 2, prompts: 8, maxTokens: 100 };
  });
  return { ...recipe, model: recipe.stages.find(({ kind }) => kind === 'distill').model, stages };
}

const stage = (id) => full.stages.find((spec) => spec.id === id);
const evaluations = (id) =>
  full.stages.filter((spec) => spec.kind === 'eval' && spec.id.startsWith(`${id}-`));
const student = stage('distill').model;

/** How many times as many steps of reinforcement learning the student gets in `student-rl-long`. */
const LONG = 10;
const lengthen = ({ decay, ...schedule }, times) => ({
  ...schedule,
  ...(decay ? { decay: times * decay } : {}),
});

function recipeOf(variant, seed, runs) {
  const name = `${variant}-${seed}`;
  if (variant === 'full') return { ...full, name, seed };
  const part = (ids) => ids.flatMap((id) => [stage(id), ...evaluations(id)]);
  if (variant === 'student')
    return { ...full, name, seed, model: student, stages: part(['pretrain', 'cold-start']) };
  if (variant.startsWith('student-rl')) {
    const times = variant === 'student-rl-long' ? LONG : 1;
    const longer = (spec) =>
      spec.kind === 'grpo'
        ? { ...spec, steps: times * spec.steps, schedule: lengthen(spec.schedule, times) }
        : spec;
    return {
      ...full,
      name,
      seed,
      model: student,
      init: { from: join(root, runs.student, 'model') },
      stages: part(['rl-all']).map(longer),
    };
  }
  throw new Error(`no variant ${variant}`);
}

const eventsOf = (folder) =>
  readFileSync(join(folder, 'events.jsonl'), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/** The folder of a run, run to its end; with `--report`, of one that has begun. */
function runOf(variant, seed, runs) {
  const folder = join(results, `${variant}-${seed}`);
  mkdirSync(folder, { recursive: true });
  const found = readdirSync(folder).find((entry) => existsSync(join(folder, entry, 'recipe.json')));
  const run = found ? join(folder, found) : null;
  if (flags.report || (run && existsSync(join(run, 'model', 'config.json')))) return run;
  if (variant.startsWith('student-rl') && !runs.student)
    throw new Error(`${variant} goes on from student; name both in --variants`);
  const file = join(folder, 'recipe.json');
  writeFileSync(file, JSON.stringify(recipeOf(variant, seed, runs), null, 2));
  console.error(`── ${variant}, seed ${seed}`);
  const start = performance.now();
  const args = run
    ? ['--resume', run]
    : [file, ...(flags.workers ? ['--workers', flags.workers] : [])];
  execFileSync(process.execPath, ['dist/cli/main.js', 'train', ...args, '--runs', folder], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, RECKONER_CALIBRATION: 'off' },
  });
  console.error(`   ${((performance.now() - start) / 60_000).toFixed(1)} minutes`);
  return runOf(variant, seed, runs);
}

/** The stages of a run in order: what the evaluations after each say, and what it took. */
function stagesOf(run) {
  const events = eventsOf(run);
  const usage = {};
  for (const event of events) {
    if (event.type !== 'usage') continue;
    usage[event.usage.stage] ??= { seconds: 0, flops: 0, coreHours: 0 };
    const own = usage[event.usage.stage];
    own.seconds += event.usage.wallSeconds;
    own.flops += event.usage.modelFlops;
    own.coreHours += event.usage.workerSeconds / 3600;
  }
  const results = Object.fromEntries(
    events.filter(({ type }) => type === 'evaluation').map((e) => [e.stage, e.results]),
  );
  const { stages } = JSON.parse(readFileSync(join(run, 'recipe.json'), 'utf8'));
  return stages
    .filter(({ kind }) => kind !== 'eval')
    .flatMap(({ id }) => {
      if (!usage[id]) return [];
      return [
        { id, ...usage[id], countdown: results[`${id}-countdown`], sums: results[`${id}-sums`] },
      ];
    });
}

const rows = [];
for (const seed of flags.seeds.split(',').map(Number)) {
  const runs = {};
  for (const variant of flags.variants.split(',')) {
    runs[variant] = runOf(variant, seed, runs);
    if (runs[variant])
      for (const row of stagesOf(runs[variant])) rows.push({ variant, seed, ...row });
  }
}

const percent = (x) => `${(100 * x).toFixed(1)}%`;
/** Of a core-hour, as bills have it. */
const { priceOf } = await import('../dist/catalog/catalog.js');
const price = priceOf('cpu.rent.core-hour').value;
const spread = (values, format) => {
  if (values.length === 0) return null;
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  if (values.length === 1) return format(mean);
  return `${format(mean)} (${format(Math.min(...values))} – ${format(Math.max(...values))})`;
};
const keys = [...new Set(rows.map(({ variant, id }) => `${variant} ${id}`))];
const shown = keys.map((key) => {
  const own = rows.filter(({ variant, id }) => `${variant} ${id}` === key);
  const of = (pick, format) =>
    spread(
      own.map(pick).filter((x) => x !== undefined),
      format,
    );
  return [
    key.replace(/^full /, ''),
    String(own.length),
    of(({ countdown }) => countdown?.pass1, percent),
    of(
      ({ countdown }) => countdown?.length,
      (x) => x.toFixed(0),
    ),
    of(({ sums }) => sums?.pass1, percent),
    of(
      ({ sums }) => sums?.length,
      (x) => x.toFixed(0),
    ),
    of(
      ({ flops }) => flops,
      (x) => x.toExponential(1),
    ),
    of(
      ({ seconds }) => seconds / 60,
      (x) => x.toFixed(1),
    ),
    price === undefined
      ? null
      : of(
          ({ coreHours }) => 100 * coreHours * price,
          (x) => x.toFixed(2),
        ),
  ];
});
const header = [
  'stage',
  'seeds',
  'countdown pass@1',
  'tokens',
  'sums pass@1',
  'tokens',
  'model FLOPs',
  'minutes',
  'US cents',
];

/**
 * What a student is in the end, and all that was spent for it. `ids`: of which stages, by variant.
 */
const chains = [
  ['without either', { student: ['pretrain', 'cold-start'] }],
  ['reinforcement learning', { student: ['pretrain', 'cold-start'], 'student-rl': ['rl-all'] }],
  [
    `reinforcement learning, ${LONG} times the steps`,
    { student: ['pretrain', 'cold-start'], 'student-rl-long': ['rl-all'] },
  ],
  ['distillation', { full: ['distill'] }],
  ['distillation, the teacher counted', { full: stages('full') }],
];
function stages(variant) {
  return [...new Set(rows.filter((row) => row.variant === variant).map(({ id }) => id))];
}
const students = chains.flatMap(([name, parts]) => {
  const own = [...new Set(rows.map(({ seed }) => seed))].flatMap((seed) => {
    const chain = Object.entries(parts).flatMap(([variant, ids]) =>
      ids.map((id) =>
        rows.find((row) => row.seed === seed && row.variant === variant && row.id === id),
      ),
    );
    if (chain.length === 0 || chain.includes(undefined)) return [];
    const { countdown, sums } = chain[chain.length - 1];
    const total = (pick) => chain.reduce((sum, row) => sum + pick(row), 0);
    const [flops, seconds, coreHours] = [
      total((row) => row.flops),
      total((row) => row.seconds),
      total((row) => row.coreHours),
    ];
    return countdown && sums
      ? [{ countdown, sums, flops, seconds, cents: 100 * coreHours * price }]
      : [];
  });
  if (own.length === 0) return [];
  const of = (pick, format) => spread(own.map(pick), format);
  return [
    [
      name,
      String(own.length),
      of(({ countdown }) => countdown.pass1, percent),
      of(({ sums }) => sums.pass1, percent),
      of(
        ({ flops }) => flops,
        (x) => x.toExponential(1),
      ),
      of(
        ({ seconds }) => seconds / 60,
        (x) => x.toFixed(1),
      ),
      of(
        ({ cents }) => cents,
        (x) => x.toFixed(2),
      ),
    ],
  ];
});
const text = `${describe(machine(`node bench/full-recipe.mjs --seeds ${flags.seeds}`), false)}

Mean over seeds (lowest – highest); pass@1 at temperature 1, 4 samples of 400 problems. Costs are of the stage alone, evaluations not counted.

${table(header, shown)}

The student, and all that was spent for it:

${table(['student', 'seeds', 'countdown pass@1', 'sums pass@1', 'model FLOPs', 'minutes', 'US cents'], students)}
`;
console.log(text);
writeFileSync(`${results}.md`, text);
writeFileSync(`${results}.json`, `${JSON.stringify(rows, null, 2)}\n`);
