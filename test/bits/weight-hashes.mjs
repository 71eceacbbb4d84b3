// Trains small versions of every stage kind and prints a hash of every file of weights and samples
// that the stages leave: what a refactoring must not change.
//
//   node test/bits/weight-hashes.mjs [checkout, default this one]
//
// same-bits.test.ts holds the sources to the hashes in weight-hashes.json, which this script
// printed for commit 3a27261. The kernels are the plain build, so the processor does not matter;
// ranks share one thread, as in tests. Steps are fewer than 60 where a step samples.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** The model and task of r1-mini. */
const recipe = JSON.parse(
  readFileSync(new URL('../../recipes/r1-mini.json', import.meta.url), 'utf8'),
);
const { name, model, task } = recipe;
const constant = { kind: 'constant' };
const muon = { matrices: 'muon', lr: 0.003, muonLr: 0.02 };
const adamw = { matrices: 'adamw', lr: 0.0008 };
const rollout = { prompts: 2, samples: 4, maxTokens: 16, optimizer: adamw, schedule: constant };

/** Every kind for 60 steps, but for those that only sample. */
export const everyKind = {
  name,
  seed: 1,
  model,
  task,
  microBatchTokens: 128,
  checkpoints: { every: 50, keep: 8 },
  stages: [
    { id: 'pretrain', kind: 'pretrain', steps: 60, batch: 4, optimizer: muon, schedule: constant },
    { id: 'sft', kind: 'sft', steps: 60, batch: 8, optimizer: muon, schedule: constant },
    { id: 'sample', kind: 'rejection-sample', steps: 2, prompts: 6, samples: 4, maxTokens: 24 },
    { id: 'grpo', kind: 'grpo', steps: 20, ...rollout, loss: 'dapo', resample: 1 },
    {
      id: 'kl',
      kind: 'grpo',
      steps: 6,
      ...rollout,
      klCoefficient: 0.05,
      replaceReference: 2,
      minibatches: 2,
      maskTruncated: true,
      consistency: 0.1,
      draft: 'mtp',
      overlong: { cacheTokens: 4 },
      lengthSchedule: [{ fromStep: 3, maxTokens: 12 }],
    },
    { id: 'gspo', kind: 'grpo', steps: 4, ...rollout, loss: 'gspo' },
    { id: 'after', kind: 'eval', problems: 4, samples: 2, maxTokens: 16 },
    {
      id: 'student',
      kind: 'distill',
      steps: 20,
      batch: 4,
      teacher: { from: 'sft' },
      task: { terms: [2, 2] },
      sampling: { steps: 2, prompts: 16, samples: 8, maxTokens: 16 },
      model: { ...model, num_hidden_layers: 2, moe_intermediate_size: 32 },
      optimizer: muon,
      schedule: constant,
    },
  ],
};

/** @param from folder of the model that the adapter is of */
export const adapter = (from) => ({
  name: 'lora',
  seed: 1,
  task,
  init: { from },
  adapter: { kind: 'lora', rank: 4, alpha: 8, targets: 'all-linear' },
  checkpoints: { every: 20, keep: 2 },
  stages: [
    { id: 'sft', kind: 'sft', steps: 10, batch: 4, optimizer: adamw, schedule: constant },
    { id: 'grpo', kind: 'grpo', steps: 5, ...rollout, klCoefficient: 0.05 },
  ],
});

/** What stages leave, by the path in the run. */
function hashesOf(run, prefix) {
  const hashes = {};
  for (const folder of ['data', 'stages']) {
    if (!existsSync(join(run, folder))) continue;
    const files = readdirSync(join(run, folder), { recursive: true, withFileTypes: true });
    for (const file of files) {
      if (!/\.(safetensors|jsonl)$/.test(file.name)) continue;
      const path = join(file.parentPath, file.name);
      const key = `${prefix}${path.slice(run.length)}`.replaceAll('\\', '/');
      hashes[key] = createHash('sha256').update(readFileSync(path)).digest('hex').slice(0, 16);
    }
  }
  return hashes;
}

/**
 * Runs everything on so many ranks.
 * @param runRanks runs a recipe in a folder: `(recipe, runFolder, workers, {resume, stopAt})`
 */
export async function weightHashes(runRanks, workers) {
  const root = mkdtempSync(join(tmpdir(), 'reckoner-bits-'));
  try {
    const hashes = {};
    const whole = join(root, 'whole');
    // Stopped in the middle of reinforcement learning, and resumed.
    await runRanks(everyKind, whole, workers, { stopAt: 130 });
    await runRanks(everyKind, whole, workers, { resume: true });
    Object.assign(hashes, hashesOf(whole, 'r1-mini'));
    const lora = join(root, 'lora');
    await runRanks(adapter(join(whole, 'stages', 'sft')), lora, workers, {});
    Object.assign(hashes, hashesOf(lora, 'lora'));
    return Object.fromEntries(Object.entries(hashes).sort(([a], [b]) => (a < b ? -1 : 1)));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** `runRanks` from the modules of a checkout. */
export function ranksOf({ parseRecipe, openedPlan, runRank, latestSnapshot, patience }) {
  return async (given, runFolder, workers, { resume = false, stopAt = 0 }) => {
    const plan = await openedPlan(workers);
    const control = new SharedArrayBuffer(4);
    const foundation = {
      version: '0',
      recipeHash: '',
      seed: 1,
      workers,
      fingerprint: plan.fingerprint,
    };
    const resumeFrom = resume
      ? (latestSnapshot(join(runFolder, 'checkpoints'), () => {})?.folder ?? null)
      : null;
    const copy = structuredClone(given);
    // A policy of random weights earns nothing for long; the field is younger than 3a27261.
    if (patience) for (const stage of copy.stages) if (stage.kind === 'grpo') stage.patience = 0;
    const parsed = parseRecipe(copy, 'recipe.json');
    await Promise.all(
      Array.from({ length: workers }, (_, rank) => {
        const job = {
          rank,
          backend: plan,
          recipe: parsed,
          runFolder,
          attempt: 0,
          resumeFrom,
          fromStage: null,
          foundation,
          control,
        };
        let listener = () => {};
        return runRank(job, {
          send: (message) => {
            if (message.kind === 'failed') throw new Error(message.error.stack);
            if (message.kind === 'flush') queueMicrotask(() => listener({ kind: 'flushed' }));
            if (message.kind === 'spent' && message.step === stopAt)
              Atomics.store(new Int32Array(control), 0, 1);
          },
          receive: (listen) => {
            listener = listen;
          },
        });
      }),
    );
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const checkout = resolve(process.argv[2] ?? fileURLToPath(new URL('../..', import.meta.url)));
  const load = async (...paths) => {
    const path = paths.map((one) => join(checkout, 'dist', one)).find((one) => existsSync(one));
    return import(pathToFileURL(path).href);
  };
  const { parseRecipe } = await load('recipe/index.js', 'recipe/index.js', 'recipes/schema.js');
  const { runRank } = await load('train/rank.js', 'recipes/rank.js');
  const { latestSnapshot } = await load('checkpoints/snapshot.js');
  const { createWasmMemory, probeGemm } = await load('tensor/backends/wasm/index.js');
  const { loadKernels } = await load('tensor/backends/wasm/load.js');
  const openedPlan = async (workers) => {
    const kernels = loadKernels('plain');
    const choice = await probeGemm({ blas: false, products: 'wasm', kernels });
    const memory = createWasmMemory({ worldSize: workers, sharedBytes: 1 << 26 });
    const fingerprint = `wasm plain ${kernels.id}, ${choice.name}`;
    return { kind: 'wasm', fingerprint, memory, choice, kernels };
  };
  const runRanks = ranksOf({
    parseRecipe,
    openedPlan,
    runRank,
    latestSnapshot,
    patience: existsSync(join(checkout, 'dist/stages')),
  });
  const out = {};
  for (const workers of [1, 2]) {
    const started = performance.now();
    out[workers] = await weightHashes(runRanks, workers);
    console.error(`${workers} ranks: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
  console.log(JSON.stringify(out, null, 2));
}
