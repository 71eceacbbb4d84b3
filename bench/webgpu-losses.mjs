// The losses of a recipe's first steps, on WASM and on WebGPU: they must agree. Build first; needs the package `webgpu`.
//
//   node bench/webgpu-losses.mjs [--steps 50] [--batch 8] [--recipe r1-mini] [--minutes 10]
//
// One worker each, with the recipe's own model, data and optimizer. `batch` makes the steps smaller and `minutes` ends a run early where
// a processor plays the GPU. Prints how many steps were compared, the largest relative difference, and whether WebGPU run twice gives the
// same bits; exits 1 when the difference is over 1e-3 or the bits differ.
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';

const text = (value) => ({ type: 'string', default: value });
const { values: flags } = parseArgs({
  options: { steps: text('50'), batch: text('8'), recipe: text('r1-mini'), minutes: text('10') },
});

const { createModel, parseModelConfig } = await import('../dist/models/index.js');
const { loadRecipe, resolveRecipe } = await import('../dist/recipes/schema.js');
const { createStage } = await import('../dist/recipes/stages.js');
const { createWasmBackend } = await import('../dist/tensor/backends/wasm/index.js');
const { createWebGpuBackend } = await import('../dist/tensor/backends/webgpu/index.js');

const asked = Number(flags.steps);
const whole = loadRecipe(flags.recipe);
const [first] = whole.stages;
// Only the beginning: the schedule's end would not fit.
const schedule = { ...first.schedule, warmup: Math.min(20, asked >> 1), decay: 1 };
const resolved = resolveRecipe({ ...whole, stages: [{ ...first, schedule, steps: asked, batch: Number(flags.batch) }] });

async function lossesOn(backend, most) {
  const { recipe, tokenizer, tasks, taskOf } = resolved;
  const { seed, microBatchTokens, stages } = recipe;
  const model = createModel(backend, parseModelConfig(recipe.model, 'recipe'));
  model.store.initialize(seed);
  const [task] = tasks;
  const context = { backend, model, tokenizer, task, taskOf, stage: stages[0].id, seed, microBatchTokens, dataFolder: tmpdir() };
  const stage = createStage(context, stages, 0);
  const losses = [];
  const start = performance.now();
  const spent = () => (performance.now() - start) / 1000;
  while (losses.length < most && spent() < 60 * Number(flags.minutes))
    losses.push((await stage.step(losses.length + 1)).values.loss);
  console.log(`${backend.fingerprint}: ${losses.length} steps in ${spent().toFixed(1)} s, loss ${losses[0]} … ${losses.at(-1)}`);
  await backend.close();
  return losses;
}

const wasm = await lossesOn(await createWasmBackend({ sharedBytes: 2 ** 28, localBytes: 2 ** 29 }), asked);
const gpu = await lossesOn(await createWebGpuBackend(), asked);
const again = await lossesOn(await createWebGpuBackend(), gpu.length);
const worst = Math.max(...gpu.map((loss, i) => Math.abs(loss - wasm[i]) / Math.abs(wasm[i])));
const same = again.every((loss, i) => Object.is(loss, gpu[i]));
console.log(
  `${gpu.length} steps: largest relative difference ${worst.toExponential(2)}; twice the same bits: ${same ? 'yes' : 'no'}`,
);
process.exit(gpu.length > 0 && worst <= 1e-3 && same ? 0 : 1);
