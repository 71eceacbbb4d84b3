// Memory does not grow from step to step: after 500 steps of rollouts, policy updates and supervised updates, the arena's
// high-water mark is what it was after 50, and the process has grown by at most 2% or 16 MB. Exits 1 otherwise.
//
//   node bench/memory.mjs [--steps 500] [--early 50] [--no-blas] [--json]
import { parseArgs } from 'node:util';
import { DECODERS, demandBuild, describe, machine, table } from './harness.mjs';

const { values: flags } = parseArgs({
  options: {
    steps: { type: 'string', default: '500' },
    early: { type: 'string', default: '50' },
    'no-blas': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
demandBuild();
const { createWasmBackend } = await import('../dist/tensor/backends/wasm/index.js');
const { Tape } = await import('../dist/tensor/index.js');
const { createModel, parseModelConfig } = await import('../dist/models/index.js');
const { createSampler } = await import('../dist/inference/index.js');
const { createOptimizer, optimizerSchema } = await import('../dist/training/optimizer.js');
const { crossEntropyStep, policyStep } = await import('../dist/training/backpropagate.js');

const PROMPTS = 4;
const SAMPLES = 8;
const PROMPT = 16;
const COMPLETION = 24;
const config = parseModelConfig({ ...DECODERS[128], num_hidden_layers: 2, vocab_size: 64 });
const steps = Number(flags.steps);
const early = Number(flags.early);

const backend = await createWasmBackend({ blas: !flags['no-blas'] });
const model = createModel(backend, config);
model.store.initialize(1);
model.store.attachGradients();
const optimizer = createOptimizer(backend, model.store, optimizerSchema.parse({ lr: 1e-3, muonLr: 2e-3 }));
const sampler = createSampler(backend, model, {
  capacity: PROMPTS * SAMPLES,
  maxPrompt: PROMPT,
  maxTokens: COMPLETION,
  eos: -1,
});

/** One step as GRPO makes it, then one supervised step; always the same number of tokens. */
async function step(number) {
  const prompts = Array.from({ length: PROMPTS }, (_, i) =>
    Array.from({ length: PROMPT }, (_, j) => (number + i * 5 + j * 7) % 64),
  );
  const completions = await sampler.generate(prompts, {
    samples: SAMPLES,
    maxTokens: COMPLETION,
    temperature: 1,
    key: [number],
  });
  const sequences = completions.map(({ prompt, tokens }) => ({ tokens: [...prompts[prompt], ...tokens], predictFrom: PROMPT }));
  const count = completions.length * COMPLETION;
  const targets = {
    old: Float32Array.from(completions.flatMap(({ logProbabilities }) => logProbabilities)),
    reference: null,
    advantages: Float32Array.from({ length: count }, (_, i) => (Math.floor(i / COMPLETION) % 2 ? 1 : -1)),
    weights: new Float32Array(count).fill(1 / count),
  };
  model.store.resetGradients();
  await policyStep(new Tape(backend), model, sequences, targets, 1, { clipLow: 0.2, clipHigh: 0.28, klCoefficient: 0 });
  await optimizer.update(1, 2 * number - 1);
  model.store.resetGradients();
  const loss = await crossEntropyStep(new Tape(backend), model, sequences, 1 / count);
  await optimizer.update(1, 2 * number);
  if (!Number.isFinite(loss)) throw new Error(`the loss is ${loss} at step ${number}`);
}

const look = (number) => {
  const { localBytes, localHighWaterBytes, sharedHighWaterBytes } = backend.memory();
  return {
    step: number,
    localBytes,
    highWaterBytes: localHighWaterBytes + sharedHighWaterBytes,
    residentBytes: process.memoryUsage.rss(),
    heapBytes: process.memoryUsage().heapTotal,
  };
};
const looks = [];
for (let number = 1; number <= steps; number++) {
  await step(number);
  if (number === early || number === steps || number % 100 === 0) looks.push(look(number));
}
const first = looks.find((l) => l.step === early);
const last = looks.at(-1);
const growth = last.residentBytes - first.residentBytes;
const passed =
  last.highWaterBytes === first.highWaterBytes &&
  last.localBytes === first.localBytes &&
  growth <= Math.max(0.02 * first.residentBytes, 16 * 2 ** 20);
if (!passed) process.exitCode = 1;

const about = machine(`node bench/memory.mjs ${process.argv.slice(2).join(' ')}`.trim());
if (flags.json) {
  console.log(JSON.stringify({ benchmark: 'memory', machine: about, engine: backend.fingerprint, looks, passed }, null, 2));
} else {
  const mb = (bytes) => (bytes / 2 ** 20).toFixed(2);
  console.log('## Memory over steps\n');
  console.log(`${describe(about, false)}\n`);
  console.log(`${backend.fingerprint}. Each step: ${PROMPTS * SAMPLES} rollouts, a policy update, a supervised update.\n`);
  const rows = looks.map((l) => [l.step, mb(l.highWaterBytes), mb(l.localBytes), mb(l.residentBytes), mb(l.heapBytes)]);
  console.log(
    table(['step', 'arena high-water, MB', 'arena between steps, MB', 'resident, MB', 'JavaScript heap in it, MB'], rows),
  );
  const percent = ((100 * growth) / first.residentBytes).toFixed(1);
  console.log(
    `\nStep ${early} to ${steps}: resident ${mb(growth)} MB (${percent}%). ${passed ? 'Passed.' : 'FAILED: memory grows.'}\n`,
  );
}
await backend.close();
