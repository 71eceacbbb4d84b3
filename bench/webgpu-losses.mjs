// The losses of a recipe's first steps, on WASM and on WebGPU: they must agree. Build first; needs
// the package `webgpu`.
//
// Training amplifies rounding, the more the larger its steps. So it is measured in two ways, and
// with a control: each backend on its own from the first step to the last; WebGPU given WASM's
// weights and optimizer state before each step; and WASM against itself with another library of
// matrix products.
//
//   node bench/webgpu-losses.mjs [--steps 50] [--recipe r1-mini] [--batch N] [--warmup N] [--control] [--minutes 10]
//
// One worker each, with the recipe's own model, data, optimizer and schedule, unless `batch` or
// `warmup` say otherwise. `minutes` ends a run early where a processor plays the GPU; `control`
// leaves WebGPU out. Prints the largest relative difference of losses for each of these, and
// whether WebGPU run twice gives the same bits; exits 1 when one of WebGPU's differences is over
// 1e-3, the bits differ, or a run ended early.
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';

const { values: flags } = parseArgs({
  options: {
    steps: { type: 'string', default: '50' },
    recipe: { type: 'string', default: 'r1-mini' },
    batch: { type: 'string' },
    warmup: { type: 'string' },
    control: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '10' },
  },
});

const { createModel, parseModelConfig } = await import('../dist/models/index.js');
const { openLocalPolicy } = await import('../dist/policy/local/local-policy.js');
const { loadRecipe, resolveRecipe } = await import('../dist/recipe/index.js');
const { createStage } = await import('../dist/stages/index.js');
const { createWasmBackend } = await import('../dist/tensor/backends/wasm/index.js');
const { createWebGpuBackend } = await import('../dist/tensor/backends/webgpu/index.js');

const asked = Number(flags.steps);
const whole = loadRecipe(flags.recipe);
const [first] = whole.stages;
const schedule = { ...first.schedule, ...(flags.warmup && { warmup: Number(flags.warmup) }) };
const resolved = resolveRecipe({
  ...whole,
  stages: [{ ...first, schedule, ...(flags.batch && { batch: Number(flags.batch) }) }],
});

async function open(backend) {
  const { recipe, tokenizer, tasks, taskOf } = resolved;
  const { seed, microBatchTokens, stages } = recipe;
  const model = createModel(backend, parseModelConfig(recipe.model, 'recipe'));
  model.store.initialize(seed);
  const [task] = tasks;
  const parts = { backend, model, eos: tokenizer.special.eos, microBatchTokens };
  const context = {
    ranks: backend.ranks,
    tokenizer,
    task,
    taskOf,
    stage: stages[0].id,
    seed,
    dataFolder: tmpdir(),
    open: async (needs) => openLocalPolicy(parts, needs),
  };
  const stage = await createStage(context, stages, 0);
  return {
    stage,
    backend,
    tensors: [model.store.flat, ...stage.policy.state.map(({ tensor }) => tensor)],
  };
}

/**
 * @param before what happens to a run when it has made `done` steps and before its next, and is not
 * timed
 */
async function lossesOn(backend, name, most, before = async () => {}) {
  const run = await open(backend);
  const losses = [];
  let spent = 0;
  while (losses.length < most && spent < 60 * Number(flags.minutes)) {
    await before(run, losses.length);
    const start = performance.now();
    losses.push((await run.stage.step(losses.length + 1)).values.loss);
    spent += (performance.now() - start) / 1000;
  }
  console.log(
    `${name}: ${losses.length} steps in ${spent.toFixed(1)} s, loss ${losses[0]} … ${losses.at(-1)}`,
  );
  await backend.close();
  return losses;
}

const wasmBackend = (options) =>
  createWasmBackend({ sharedBytes: 2 ** 28, localBytes: 2 ** 29, ...options });
const withBlas = await wasmBackend();
const wasm = await lossesOn(withBlas, withBlas.fingerprint, asked);
const withoutBlas = await wasmBackend({ products: 'wasm' });
const own =
  withBlas.fingerprint === withoutBlas.fingerprint
    ? null
    : await lossesOn(withoutBlas, withoutBlas.fingerprint, asked);

/** WebGPU's losses by itself, again, and from WASM's weights before each step. */
async function onGpu() {
  const backend = await createWebGpuBackend();
  const { fingerprint } = backend;
  const alone = await lossesOn(backend, fingerprint, asked);
  const again = await lossesOn(await createWebGpuBackend(), `${fingerprint}, again`, alone.length);
  const leader = await open(await wasmBackend());
  const stepwise = await lossesOn(
    await createWebGpuBackend(),
    `${fingerprint}, from WASM's weights at each step`,
    asked,
    async (run, done) => {
      if (done > 0) await leader.stage.step(done);
      for (const [i, tensor] of leader.tensors.entries())
        run.backend.write(run.tensors[i], await leader.backend.read(tensor));
    },
  );
  return { alone, stepwise, same: again.every((loss, i) => Object.is(loss, alone[i])) };
}

const differences = (losses) =>
  losses.map((loss, i) => Math.abs(loss - wasm[i]) / Math.abs(wasm[i]));
const worst = (losses) => Math.max(...differences(losses));
const say = (name, losses) => {
  const parted = differences(losses).findIndex((x) => x > 1e-3);
  const text = parted < 0 ? '' : `, over 1e-3 from step ${parted + 1} on`;
  console.log(
    `${name}: largest relative difference ${worst(losses).toExponential(1)} in ${losses.length} steps${text}`,
  );
};
const gpu = flags.control ? null : await onGpu();
if (own) say('WASM with its own products instead of BLAS', own);
else console.log('no BLAS here: WASM has nothing to be compared with');
if (gpu) {
  say("WebGPU from WASM's weights at each step", gpu.stepwise);
  say('WebGPU on its own', gpu.alone);
  console.log(`WebGPU twice gives the same bits: ${gpu.same ? 'yes' : 'no'}`);
}
const agrees = ({ alone, stepwise, same }) =>
  same && [alone, stepwise].every((losses) => losses.length === asked && worst(losses) <= 1e-3);
process.exit(!gpu || agrees(gpu) ? 0 : 1);
