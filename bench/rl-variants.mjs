// Which variant of GRPO? From one shared supervised checkpoint, one factor at a time, over three
// seeds.
//
//   node bench/rl-variants.mjs [--seeds 1,2,3] [--only grpo,gspo] [--report]
//
// The loss first (GRPO, Dr. GRPO, DAPO, GSPO; groups of 8, no KL), then a KL weight, then groups of
// 4 and 16 with as many completions a step. Every run has one worker, takes at most three minutes,
// and has two optimizer updates a rollout: with one, ratios are 1, nothing is clipped, and GSPO is
// GRPO. Resumable: every run is a run folder under bench/results/rl-variants/; finished ones are
// read, torn ones are gone on with. `--report` runs nothing. Writes bench/results/rl-variants.md
// and .json.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { demandBuild, describe, machine, root, table } from './harness.mjs';
import { eventsOf, runIn } from './runs.mjs';

process.chdir(root);
demandBuild();
const { values: flags } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1,2,3' },
    only: { type: 'string' },
    report: { type: 'boolean', default: false },
  },
});

const results = 'bench/results/rl-variants';
const shared = {
  model: {
    model_type: 'llama',
    hidden_size: 96,
    intermediate_size: 256,
    num_hidden_layers: 3,
    num_attention_heads: 6,
    head_dim: 16,
    max_position_embeddings: 128,
  },
  task: { name: 'sums', maximum: 9 },
};
const sft = {
  id: 'sft',
  kind: 'sft',
  steps: 1400,
  batch: 64,
  optimizer: { matrices: 'muon', lr: 0.003, muonLr: 0.02 },
  schedule: { kind: 'wsd', warmup: 20, decay: 400, final: 0.05 },
};
const evaluation = { kind: 'eval', problems: 1000, samples: 4, maxTokens: 48 };
const LIMIT_MINUTES = 3;

const common = {
  id: 'grpo',
  kind: 'grpo',
  steps: 100,
  prompts: 16,
  samples: 8,
  maxTokens: 48,
  klCoefficient: 0,
  resample: 0,
  minibatches: 2,
  optimizer: { matrices: 'adamw', lr: 0.0004 },
  schedule: { kind: 'wsd', warmup: 3, decay: 50, final: 0.1 },
};
// What differs from the row `grpo`, and in nothing else.
const variants = {
  grpo: { loss: 'grpo' },
  dr_grpo: { loss: 'dr_grpo' },
  dapo: { loss: 'dapo' },
  gspo: { loss: 'gspo' },
  'gspo, clip 0.05': { loss: 'gspo', clipLow: 0.05, clipHigh: 0.05 },
  'KL 0.001': { loss: 'grpo', klCoefficient: 0.001 },
  'KL 0.04': { loss: 'grpo', klCoefficient: 0.04 },
  'groups of 4': { loss: 'grpo', samples: 4, prompts: 32 },
  'groups of 16': { loss: 'grpo', samples: 16, prompts: 8 },
};

/** The folder of a run, run to its end; null where nothing may be run. */
const runOf = (name, recipe) => runIn(join(results, name), recipe, !flags.report);

// One checkpoint for all, with the evaluation that all start from.
const base = runOf('base', {
  ...shared,
  name: 'base',
  seed: 1,
  stages: [sft, { ...evaluation, id: 'before' }],
});
if (!base) throw new Error('there is no base yet; run without --report');
const before = eventsOf(base).findLast((event) => event.type === 'evaluation').results;

const rows = [];
for (const seed of flags.seeds.split(',').map(Number)) {
  for (const [name, difference] of Object.entries(variants)) {
    if (flags.only && !flags.only.split(',').includes(name)) continue;
    const slug = `${name.replaceAll(/[^a-z0-9]+/gi, '-').toLowerCase()}-${seed}`;
    const recipe = {
      ...shared,
      name: slug,
      seed,
      init: { from: join(base, 'model') },
      stages: [
        { ...common, ...difference },
        { ...evaluation, id: 'after' },
      ],
    };
    const run = runOf(slug, recipe);
    if (!run) continue;
    const events = eventsOf(run);
    const steps = events
      .filter((event) => event.type === 'metrics' && event.stage === 'grpo')
      .map(({ values }) => values);
    const seconds = steps.reduce((sum, { seconds }) => sum + seconds, 0);
    const last = steps.slice(-10);
    const mean = (of) => last.reduce((sum, values) => sum + values[of], 0) / last.length;
    const { pass1, greedy, length } = events.findLast(
      (event) => event.type === 'evaluation',
    ).results;
    const clipped = steps.reduce((sum, values) => sum + values.clip_ratio, 0) / steps.length;
    const over = steps.reduce((sum, { accuracy }) => sum + accuracy, 0) / steps.length;
    rows.push({
      name,
      seed,
      over,
      pass1,
      greedy,
      length,
      entropy: mean('entropy'),
      clipped,
      seconds,
    });
    if (seconds > 60 * LIMIT_MINUTES)
      console.error(
        `${slug} took ${seconds.toFixed(0)} s of GRPO, more than ${LIMIT_MINUTES} minutes`,
      );
  }
}

const percent = (x) => `${(100 * x).toFixed(1)}%`;
const spread = (values, format) => {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  return `${format(mean)} (${format(Math.min(...values))} – ${format(Math.max(...values))})`;
};
const shown = Object.keys(variants).flatMap((name) => {
  const own = rows.filter((row) => row.name === name);
  if (own.length === 0) return [];
  const of = (key, format) =>
    spread(
      own.map((row) => row[key]),
      format,
    );
  const fixed = (digits) => (x) => x.toFixed(digits);
  return [
    [
      name,
      of('over', percent),
      of('pass1', percent),
      of('greedy', percent),
      of('length', fixed(0)),
      of('entropy', fixed(2)),
      of('clipped', percent),
      of('seconds', fixed(0)),
    ],
  ];
});
const text = `${describe(machine(`node bench/rl-variants.mjs --seeds ${flags.seeds}`), false)}

Start of all: pass@1 ${percent(before.pass1)}, greedy ${percent(before.greedy)}, ${before.length.toFixed(0)} tokens.
Mean over seeds (lowest – highest).

${table(['variant', 'right, mean over steps', 'pass@1', 'greedy', 'tokens', 'entropy, last 10 steps', 'tokens clipped', 'seconds of GRPO'], shown)}
`;
console.log(text);
writeFileSync('bench/results/rl-variants.md', text);
writeFileSync('bench/results/rl-variants.json', `${JSON.stringify({ before, rows }, null, 2)}\n`);
