// Memory does not grow from step to step: after 500 steps of rollouts, policy updates and
// supervised updates, the arena's high-water mark is what it was after 50, and the process has
// grown by at most 2% or 16 MB. Exits 1 otherwise. The steps are made in a worker thread, with the
// limits that `train` gives its own.
//
//   node bench/memory.mjs [--steps 500] [--early 50] [--no-blas] [--json]
import { parseArgs } from 'node:util';
import { isMainThread, parentPort } from 'node:worker_threads';
import { DECODERS, demandBuild, describe, machine, table } from './harness.mjs';

const { values: flags } = parseArgs({
  options: {
    steps: { type: 'string', default: '500' },
    early: { type: 'string', default: '50' },
    'no-blas': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const PROMPTS = 4;
const SAMPLES = 8;
const PROMPT = 16;
const COMPLETION = 24;
const steps = Number(flags.steps);
const early = Number(flags.early);

if (isMainThread) await report();
else await work();

/** Makes the steps; sends looks at the memory, then the backend's fingerprint. */
async function work() {
  const { createWasmBackend } = await import('../dist/tensor/backends/wasm/index.js');
  const { Tape } = await import('../dist/tensor/index.js');
  const { createModel, parseModelConfig } = await import('../dist/models/index.js');
  const { createSampler } = await import('../dist/inference/index.js');
  const { createOptimizer, optimizerSchema } = await import('../dist/training/optimizer.js');
  const { crossEntropyStep, policyStep } = await import('../dist/training/backpropagate.js');

  const config = parseModelConfig({ ...DECODERS[128], num_hidden_layers: 2, vocab_size: 64 });
  const backend = await createWasmBackend({ products: flags['no-blas'] ? 'wasm' : 'auto' });
  const model = createModel(backend, config);
  model.store.initialize(1);
  model.store.attachGradients();
  const optimizer = createOptimizer(
    backend,
    model.store,
    optimizerSchema.parse({ lr: 1e-3, muonLr: 2e-3 }),
  );
  const capacity = PROMPTS * SAMPLES;
  const sampler = createSampler(backend, model, {
    capacity,
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
    const sequences = completions.map(({ prompt, tokens }) => ({
      tokens: [...prompts[prompt], ...tokens],
      predictFrom: PROMPT,
    }));
    const count = completions.length * COMPLETION;
    const targets = {
      old: Float32Array.from(completions.flatMap(({ logProbabilities }) => logProbabilities)),
      reference: null,
      advantages: Float32Array.from({ length: count }, (_, i) =>
        Math.floor(i / COMPLETION) % 2 ? 1 : -1,
      ),
      weights: new Float32Array(count).fill(1 / count),
    };
    model.store.resetGradients();
    await policyStep(new Tape(backend), model, sequences, targets, 1, {
      clipLow: 0.2,
      clipHigh: 0.28,
      klCoefficient: 0,
    });
    await optimizer.update(1, 2 * number - 1);
    model.store.resetGradients();
    const { loss } = await crossEntropyStep(new Tape(backend), model, sequences, {
      weight: 1 / count,
    });
    await optimizer.update(1, 2 * number);
    if (!Number.isFinite(loss)) throw new Error(`the loss is ${loss} at step ${number}`);
  }

  for (let number = 1; number <= steps; number++) {
    await step(number);
    if (number !== early && number !== steps && number % 100 !== 0) continue;
    const { localBytes, localHighWaterBytes, sharedHighWaterBytes } = backend.memory();
    parentPort.postMessage({
      step: number,
      localBytes,
      highWaterBytes: localHighWaterBytes + sharedHighWaterBytes,
      residentBytes: process.memoryUsage.rss(),
      heapBytes: process.memoryUsage().heapTotal,
    });
  }
  await backend.close();
  parentPort.postMessage(backend.fingerprint);
}

/** Runs the steps in a worker and says how the memory grew. */
async function report() {
  demandBuild();
  const { startThread } = await import('../dist/policy/local/thread.js');
  // As `train` does: the main thread opens the BLAS first, because the library reads its settings
  // then.
  const { openBlas } = await import('../dist/tensor/backends/wasm/blas.js');
  if (!flags['no-blas']) openBlas();
  const messages = await new Promise((resolve, reject) => {
    const received = [];
    const worker = startThread(new URL(import.meta.url), { argv: process.argv.slice(2) });
    worker.on('message', (message) => received.push(message));
    worker.on('error', reject);
    worker.on('exit', () => resolve(received));
  });
  const engine = messages.at(-1);
  const looks = messages.slice(0, -1);
  const first = looks.find((look) => look.step === early);
  const last = looks.at(-1);
  const growth = last.residentBytes - first.residentBytes;
  const passed =
    last.highWaterBytes === first.highWaterBytes &&
    last.localBytes === first.localBytes &&
    growth <= Math.max(0.02 * first.residentBytes, 16 * 2 ** 20);
  if (!passed) process.exitCode = 1;

  const about = machine(`node bench/memory.mjs ${process.argv.slice(2).join(' ')}`.trim());
  if (flags.json) {
    console.log(
      JSON.stringify({ benchmark: 'memory', machine: about, engine, looks, passed }, null, 2),
    );
    return;
  }
  const mb = (bytes) => (bytes / 2 ** 20).toFixed(2);
  console.log('## Memory over steps\n');
  console.log(`${describe(about, false)}\n`);
  console.log(
    `${engine}. Each step: ${PROMPTS * SAMPLES} rollouts, a policy update, a supervised update.\n`,
  );
  const rows = looks.map((l) => [
    l.step,
    mb(l.highWaterBytes),
    mb(l.localBytes),
    mb(l.residentBytes),
    mb(l.heapBytes),
  ]);
  console.log(
    table(
      [
        'step',
        'arena high-water, MB',
        'arena between steps, MB',
        'resident, MB',
        "the thread's JavaScript heap in it, MB",
      ],
      rows,
    ),
  );
  const percent = ((100 * growth) / first.residentBytes).toFixed(1);
  console.log(
    `\nStep ${early} to ${steps}: resident ${mb(growth)} MB (${percent}%). ${passed ? 'Passed.' : 'FAILED: memory grows.'}\n`,
  );
}
