// Reckoner on a GPU beside PyTorch on the same one; started by bench/gpu.sh, which says what is
// measured and what it needs.
//
//   node bench/gpu.mjs --python PATH [--minutes 7.5] [--smoke]
//
// The two programs take turns on the device, one measurement each; a figure is the best of the
// rounds that its time allows, for a GPU that warms up gets slower and not faster. What does not
// fit into the minutes is left out and said.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import {
  decoder,
  demandBuild,
  describe,
  machine,
  root,
  table,
  times,
  V3,
  whole,
} from './harness.mjs';

const { values: flags } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    minutes: { type: 'string', default: '7.5' },
    smoke: { type: 'boolean', default: false },
  },
});
demandBuild();
const { createWebGpuBackend, describeAdapter, requireAdapter } = await import(
  '../dist/tensor/backends/webgpu/index.js'
);
const { createModel, parseModelConfig } = await import('../dist/models/index.js');
const { createOptimizer, optimizerSchema } = await import('../dist/training/optimizer.js');
const { crossEntropyStep } = await import('../dist/training/backpropagate.js');
const { createSampler } = await import('../dist/inference/index.js');
const { Tape } = await import('../dist/tensor/index.js');
const { architectureOf, countParameters } = await import('../dist/architecture/index.js');

const end = performance.now() + Number(flags.minutes) * 60_000;
const left = () => (end - performance.now()) / 1000;
const { smoke } = flags;
/** Of one measurement, seconds. */
const TURN = smoke ? 0.2 : 2;
const skipped = [];

const SIZES = smoke ? [64] : [1024, 2048, 4096];
/** [what, configuration, sequences, tokens of each]. */
const DECODERS = smoke
  ? [['tiny', decoder(128, 1, 32), 1, 16]]
  : [
      ['10M', decoder(384, 6, 64), 16, 512],
      ['100M', decoder(1024, 8, 64), 8, 512],
      ['500M', decoder(2048, 10, 64), 4, 512],
      ['DeepSeek-V3, small', V3[512], 8, 256],
    ];
const BATCHES = smoke ? [1, 2] : [1, 64, 512];
const TIERS = [
  ['f32', { precision: 'f32' }],
  ['f16', { precision: 'mixed', matrixUnits: false }],
  ['matrix units', { precision: 'mixed', matrixUnits: true }],
];

// ── PyTorch, one JSON line a request ─────────────────────────────────────────────────────────────

const python = spawn(
  flags.python,
  [`${root}bench/peers/gpu_peer.py`, ...(smoke ? ['--any-device'] : [])],
  {
    stdio: ['pipe', 'pipe', 'inherit'],
  },
);
const waiting = [];
createInterface({ input: python.stdout }).on('line', (line) => waiting.shift()?.(JSON.parse(line)));
python.once('exit', () => {
  for (const resolve of waiting.splice(0)) resolve({ error: 'PyTorch ended' });
});
function ask(request) {
  return new Promise((resolve) => {
    waiting.push(resolve);
    python.stdin.write(`${JSON.stringify(request)}\n`, () => {});
  });
}

/** A figure, or null with the reason kept. */
async function attempt(what, seconds, measure) {
  if (left() < seconds) {
    skipped.push(`${what}: no time left`);
    return null;
  }
  try {
    const value = await measure();
    if (value?.error) throw new Error(value.error);
    return value;
  } catch (error) {
    skipped.push(`${what}: ${error.message.split('\n')[0]}`);
    return null;
  }
}

// ── ours ─────────────────────────────────────────────────────────────────────────────────────────

// To be looked at: an adapter gives one device, so each backend asks for its own.
const description = describeAdapter(await requireAdapter());

/** Best units a second of an awaited call that is made again and again for `seconds`. */
async function best(units, call, seconds = TURN) {
  await call();
  let most = 0;
  const stop = performance.now() + seconds * 1000;
  do {
    const start = performance.now();
    await call();
    most = Math.max(most, units / ((performance.now() - start) / 1000));
  } while (performance.now() < stop);
  return most;
}

async function product(side, options) {
  const backend = await createWebGpuBackend(options);
  try {
    const [out, a, b] = [0, 1, 2].map(() => backend.allocate('f32', [side, side]));
    backend.fill({ out: a, value: 0.5 });
    backend.fill({ out: b, value: 0.25 });
    const calls = smoke ? 1 : 10;
    return await best((calls * 2 * side ** 3) / 1e12, async () => {
      for (let i = 0; i < calls; i++) backend.matmul({ out, a, b, transposeB: true });
      await backend.sync();
    });
  } finally {
    await backend.close();
  }
}

async function training(config, batch, length, options) {
  const backend = await createWebGpuBackend(options);
  try {
    const model = createModel(backend, parseModelConfig(config));
    model.store.initialize(1);
    model.store.attachGradients();
    const optimizer = createOptimizer(
      backend,
      model.store,
      optimizerSchema.parse({ matrices: 'adamw', lr: 1e-3 }),
    );
    const sequences = Array.from({ length: batch }, (_, b) => ({
      tokens: Array.from(
        { length: length + 1 },
        (_, t) => (31 * b + 7 * t + ((t * t) % 11)) % config.vocab_size,
      ),
      predictFrom: 1,
    }));
    let step = 0;
    return await best(
      batch * length,
      async () => {
        model.store.resetGradients();
        await crossEntropyStep(new Tape(backend), model, sequences, {
          weight: 1 / (batch * length),
        });
        await optimizer.update(1, ++step);
        await backend.sync();
      },
      2 * TURN,
    );
  } finally {
    await backend.close();
  }
}

async function rollouts(config, batch, options) {
  const backend = await createWebGpuBackend(options);
  try {
    const model = createModel(backend, parseModelConfig(config));
    model.store.initialize(1);
    const [prompt, tokens, samples] = [16, smoke ? 4 : 64, Math.min(16, batch)];
    const prompts = Array.from({ length: batch / samples }, (_, i) =>
      Array.from({ length: prompt }, (_, j) => (31 * i + 7 * j) % config.vocab_size),
    );
    const sampler = createSampler(backend, model, {
      capacity: batch,
      maxPrompt: prompt,
      maxTokens: tokens,
      eos: -1,
    });
    let key = 0;
    return await best(batch * tokens, () =>
      sampler.generate(prompts, { samples, maxTokens: tokens, temperature: 1, key: [key++] }),
    );
  } finally {
    await backend.close();
  }
}

/** A few steps of every stage, in a file. */
function tinyRecipe(folder) {
  const model = {
    model_type: 'llama',
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 1,
    num_attention_heads: 2,
  };
  const schedule = { kind: 'constant' };
  const stages = [
    { id: 'sft', kind: 'sft', steps: 2, batch: 2, schedule },
    { id: 'grpo', kind: 'grpo', steps: 1, prompts: 1, samples: 2, maxTokens: 4, schedule },
    { id: 'after', kind: 'eval', problems: 2, samples: 1, maxTokens: 4 },
  ];
  const file = join(folder, 'tiny.json');
  writeFileSync(
    file,
    JSON.stringify({ name: 'tiny', model, task: { name: 'sums', maximum: 9 }, stages }),
  );
  return file;
}

/** Seconds and accuracies of the shipped recipe. */
function endToEnd() {
  const runs = mkdtempSync(join(tmpdir(), 'reckoner-gpu-'));
  try {
    const minutes = smoke ? 5 : Math.max(0.2, left() / 60 - 0.2);
    const args = [
      'dist/cli/main.js',
      'train',
      smoke ? tinyRecipe(runs) : 'r1-mini',
      '--backend',
      'webgpu',
      '--runs',
      runs,
      '--max-minutes',
      minutes.toFixed(2),
    ];
    const start = performance.now();
    const { status, stderr } = spawnSync(process.execPath, args, {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, RECKONER_CALIBRATION: 'off' },
    });
    if (status !== 0) throw new Error(stderr.trim().split('\n').at(-1));
    const seconds = (performance.now() - start) / 1000;
    const events = readFileSync(
      join(
        runs,
        readdirSync(runs).find((name) => !name.endsWith('.json')),
        'events.jsonl',
      ),
      'utf8',
    )
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const accuracies = events
      .filter(({ type }) => type === 'evaluation')
      .map(({ results }) => results.pass1);
    return { seconds, accuracies, ended: events.at(-1).reason, step: events.at(-1).step };
  } finally {
    rmSync(runs, { recursive: true, force: true });
  }
}

// ── the page ─────────────────────────────────────────────────────────────────────────────────────

const digits = (value) => (value === null || value === undefined ? null : value.toPrecision(3));
const ratio = (ours, theirs) => (ours && theirs ? times(ours / theirs) : null);
const versions = await ask({ kind: 'versions' });
console.log(
  `## On a GPU\n\n${describe(machine('bench/gpu.sh'), false)}; ${description.name}; PyTorch ${versions.torch} on ${versions.device}\n`,
);
if (smoke)
  console.log(
    '**A smoke test: tiny sizes, on whatever device there is. These figures mean nothing.**\n',
  );

const products = [];
for (const side of SIZES) {
  const theirs = {};
  for (const dtype of ['f32', 'f16'])
    theirs[dtype] =
      (
        await attempt(`cuBLAS ${dtype}, ${side}`, TURN, () =>
          ask({ kind: 'matmul', side, dtype, seconds: TURN }),
        )
      )?.tflops ?? null;
  for (const [tier, options] of TIERS) {
    const offered =
      tier === 'f32' || (tier === 'f16' ? description.halfPrecision : description.matrixUnits);
    const ours = offered
      ? await attempt(`product ${side}, ${tier}`, TURN, () => product(side, options))
      : null;
    if (!offered && side === SIZES[0])
      skipped.push(`products, ${tier}: the adapter does not offer it`);
    const peer = theirs[tier === 'f32' ? 'f32' : 'f16'];
    products.push([`${side}³, ${tier}`, digits(ours), digits(peer), ratio(ours, peer)]);
  }
}
console.log(
  `### Matrix products, 10¹² operations a second\n\n${table(['', 'Reckoner', 'cuBLAS', 'ratio'], products)}\n`,
);

const steps = [];
for (const [name, config, batch, length] of DECODERS) {
  const peer = async (compiled) =>
    (
      await attempt(`${name}, PyTorch${compiled ? ' compiled' : ''}`, 4 * TURN, () =>
        ask({ kind: 'train', config, batch, length, compiled, seconds: 2 * TURN }),
      )
    )?.tokensPerSecond ?? null;
  const f32 = await attempt(`${name}, training, f32`, 3 * TURN, () =>
    training(config, batch, length, {}),
  );
  const mixed = description.halfPrecision
    ? await attempt(`${name}, training, mixed`, 3 * TURN, () =>
        training(config, batch, length, { precision: 'mixed' }),
      )
    : null;
  const [eager, compiled] = [await peer(false), await peer(true)];
  const size = `${(countParameters(architectureOf(config)).stored / 1e6).toFixed(0)}M`;
  steps.push([
    `${name} (${size}), ${batch} × ${length}`,
    whole(f32),
    whole(mixed),
    whole(eager),
    whole(compiled),
    ratio(mixed ?? f32, eager),
    ratio(mixed ?? f32, compiled),
  ]);
}
const heads = ['', 'f32', 'mixed', 'PyTorch eager', 'compiled', 'best ÷ eager', 'best ÷ compiled'];
console.log(
  `### Training, tokens/s\n\n${table(heads, steps)}\n\nPyTorch in f32 with TF32 products allowed; forward, backward, AdamW.\n`,
);

const [small, config] = DECODERS[0];
const decoding = [];
for (const batch of BATCHES)
  decoding.push([
    `${small}, batch ${batch}`,
    whole(await attempt(`rollouts, batch ${batch}`, 2 * TURN, () => rollouts(config, batch, {}))),
  ]);
console.log(
  `### Rollouts, tokens/s\n\n${table(['prompt 16, completion 64', 'Reckoner'], decoding)}\n`,
);

python.stdin.end();
const run = await attempt('r1-mini from end to end', smoke ? 0 : 30, async () => endToEnd());
if (run) {
  const accuracy =
    run.accuracies.map((value) => `${(100 * value).toFixed(1)}%`).join(' → ') || 'not measured';
  console.log(
    `### r1-mini from end to end\n\n${run.seconds.toFixed(0)} s, ${run.ended} at step ${run.step}; accuracy, pass@1: ${accuracy}.\n`,
  );
}
if (skipped.length > 0)
  console.log(`Not measured:\n\n${skipped.map((text) => `- ${text}`).join('\n')}`);
process.exit(0);
