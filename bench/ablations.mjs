// What each part of DeepSeek-V3 is worth at small scale: one factor at a time, at equal active
// parameters and tokens, over three seeds.
//
//   node bench/ablations.mjs [--seeds 1,2,3] [--only moe,mtp] [--report]
//
// `moe` is the model that the others differ from: latent attention, 3 of 16 experts and a shared
// one, balanced by biases and a small sequence-wise loss, no prediction of further tokens, float32.
// Every example is drawn once, so that the loss of a step is that of unseen text. Every run has one
// worker and takes at most three minutes. Resumable: every run is a run folder under
// bench/results/ablations/; finished ones are read, torn ones are gone on with. `--report` runs
// nothing. Writes bench/results/ablations.md and .json, and docs/images/ablations-moe.svg and
// -parts.svg.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { lineChart } from './chart.mjs';
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
const { architectureOf, countParameters } = await import('../dist/architecture/index.js');

const results = 'bench/results/ablations';
const LIMIT_MINUTES = 3;
const STEPS = 1000;
/** Losses are means over so many last steps. */
const LAST = 50;

const model = {
  model_type: 'deepseek_v3',
  hidden_size: 96,
  intermediate_size: 256,
  moe_intermediate_size: 64,
  num_hidden_layers: 3,
  first_k_dense_replace: 1,
  n_routed_experts: 16,
  num_experts_per_tok: 3,
  n_shared_experts: 1,
  n_group: 1,
  topk_group: 1,
  num_attention_heads: 6,
  num_key_value_heads: 6,
  q_lora_rank: 64,
  kv_lora_rank: 32,
  qk_nope_head_dim: 16,
  qk_rope_head_dim: 8,
  v_head_dim: 16,
  num_nextn_predict_layers: 0,
  max_position_embeddings: 256,
};
const stage = {
  id: 'pretrain',
  kind: 'pretrain',
  mix: [
    { task: { name: 'sums', maximum: 9, wrong: 0 }, weight: 1 },
    { task: { name: 'countdown', solved: 1 }, weight: 1 },
    { task: { name: 'linear', wrong: 0 }, weight: 1 },
    { task: { name: 'sequence', wrong: 0 }, weight: 1 },
    { task: { name: 'words', wrong: 0 }, weight: 1 },
  ],
  steps: STEPS,
  batch: 32,
  optimizer: { matrices: 'muon', lr: 0.003, muonLr: 0.02 },
  schedule: { kind: 'wsd', warmup: 20, decay: 200, final: 0.05 },
  balance: { speed: 0.001, sequenceWeight: 0.0001 },
};
/** What differs from `moe`, and in nothing else. */
const variants = {
  moe: {},
  dense: { model: { first_k_dense_replace: 3 } },
  'balancing off': { stage: { balance: { speed: 0, sequenceWeight: 0 } } },
  mtp: { model: { num_nextn_predict_layers: 1 } },
  fp8: { recipe: { numerics: 'fp8' } },
};

/** The folder of a run, run to its end; null where nothing may be run. */
const runOf = (name, recipe) => runIn(join(results, name), recipe, !flags.report);

const mean = (values) => values.reduce((sum, x) => sum + x, 0) / values.length;
const rows = [];
for (const seed of flags.seeds.split(',').map(Number)) {
  for (const [name, difference] of Object.entries(variants)) {
    if (flags.only && !flags.only.split(',').includes(name)) continue;
    const slug = `${name.replaceAll(' ', '-')}-${seed}`;
    const run = runOf(slug, {
      name: slug,
      seed,
      model: { ...model, ...difference.model },
      task: { name: 'sums' },
      ...difference.recipe,
      stages: [{ ...stage, ...difference.stage }],
    });
    if (!run) continue;
    const steps = eventsOf(run)
      .filter((event) => event.type === 'metrics')
      .map(({ values }) => values);
    const last = steps.slice(-LAST);
    const of = (key) =>
      last[0][key] === undefined ? null : mean(last.map((values) => values[key]));
    const { active, stored: total } = countParameters(
      architectureOf(JSON.parse(readFileSync(join(run, 'model', 'config.json'), 'utf8'))),
    );
    const seconds = steps.reduce((sum, values) => sum + values.step_time, 0);
    const losses = steps.map(({ loss }) => loss);
    rows.push({
      name,
      seed,
      loss: of('loss'),
      mtpLoss: of('mtp_loss'),
      maxVio: of('max_vio'),
      active,
      total,
      seconds,
      losses,
    });
    if (seconds > 60 * LIMIT_MINUTES)
      console.error(`${slug} took ${seconds.toFixed(0)} s, more than ${LIMIT_MINUTES} minutes`);
  }
}

const spread = (values, digits) => {
  if (values.some((value) => value === null)) return null;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `${mean(values).toFixed(digits)} (${low.toFixed(digits)} – ${high.toFixed(digits)})`;
};
const shown = Object.keys(variants).flatMap((name) => {
  const own = rows.filter((row) => row.name === name);
  if (own.length === 0) return [];
  // The same seed draws the same examples, so that differences are between pairs.
  const gaps = own.flatMap((row) => {
    const base = rows.find((other) => other.name === 'moe' && other.seed === row.seed);
    return base === undefined || name === 'moe' ? [] : [row.loss - base.loss];
  });
  const column = (key, digits) =>
    spread(
      own.map((row) => row[key]),
      digits,
    );
  return [
    [
      name,
      `${(own[0].active / 1e3).toFixed(0)}K of ${(own[0].total / 1e3).toFixed(0)}K`,
      column('loss', 4),
      gaps.length === 0 ? null : spread(gaps, 4),
      column('mtpLoss', 4),
      column('maxVio', 2),
      column('seconds', 0),
    ],
  ];
});
const header = [
  'variant',
  'active parameters',
  'loss',
  'against moe, same seed',
  'MTP loss',
  'MaxVio',
  'seconds',
];
const text = `${describe(machine(`node bench/ablations.mjs --seeds ${flags.seeds}`), false)}

${STEPS} steps; means over the last ${LAST} steps and the seeds (lowest – highest).

${table(header, shown)}
`;
console.log(text);
mkdirSync(results, { recursive: true });
writeFileSync('bench/results/ablations.md', text);
writeFileSync('bench/results/ablations.json', `${JSON.stringify(rows, null, 2)}\n`);

/**
 * The mean loss of the seeds, a point for every 20 steps; the first steps would flatten the rest.
 */
function chart(file, title, names) {
  const series = names.flatMap((name) => {
    const own = rows.filter((row) => row.name === name);
    if (own.length === 0) return [];
    const at = (step) => mean(own.map((row) => mean(row.losses.slice(step - 20, step))));
    const steps = Array.from({ length: STEPS / 20 - 4 }, (_, i) => 20 * (i + 5));
    return [{ name, points: steps.map((step) => [step, at(step)]) }];
  });
  if (series.length > 0) writeFileSync(file, lineChart({ title, xLabel: 'step', series }));
}
chart('docs/images/ablations-moe.svg', 'Loss, nats a token', ['moe', 'dense']);
chart('docs/images/ablations-parts.svg', 'Loss, nats a token', [
  'moe',
  'balancing off',
  'mtp',
  'fp8',
]);
