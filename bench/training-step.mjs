// Tokens per second of a full training step (forward, backward, gradient clipping, AdamW), one and two workers, WASM kernels
// and BLAS, against PyTorch on the same cores.
//
//   node bench/training-step.mjs [--widths 128,256,512] [--workers 1,2] [--rounds 7] [--compile] [--python PATH] [--json]
//
// Every side runs in its own process or threads and waits for its turn: a round gives each side a few steps, in an order that
// turns from round to round, so that a machine that slows down slows everybody. The figure is the median over all steps.
// Both sides train the same architecture (the parameter counts are compared) on 8 sequences of 256 random tokens a step.
// PyTorch runs with as many threads as we run workers; it leaves out gradient clipping, which we cannot switch off.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { DECODERS, demandBuild, describe, findPython, machine, median, root, sleep, table, times, whole } from './harness.mjs';

const BATCH = 8;
const SEQUENCE = 256;
/** About how long a side's turn lasts, seconds. */
const TURN_SECONDS = 1;
const WARM_UP_STEPS = 3;

if (isMainThread) await main();
else await rank();

/** A worker thread: one rank of a data-parallel group, doing steps on request. */
async function rank() {
  const { openBackend } = await import('../dist/recipes/backend.js');
  const { createModel } = await import('../dist/models/index.js');
  const { createOptimizer, optimizerSchema } = await import('../dist/training/optimizer.js');
  const { crossEntropyStep } = await import('../dist/training/backpropagate.js');
  const { Tape } = await import('../dist/tensor/index.js');
  const { config, plan, rank } = workerData;
  const backend = await openBackend(plan, rank);
  const { worldSize } = backend.ranks;
  const model = createModel(backend, config);
  if (rank === 0) model.store.initialize(1);
  model.store.attachGradients();
  const optimizer = createOptimizer(
    backend,
    model.store,
    optimizerSchema.parse({ matrices: 'adamw', lr: 1e-3, beta2: 0.95, weightDecay: 0 }),
  );
  await backend.ranks.barrier();
  let state = 12345 + rank;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  };
  const sequences = Array.from({ length: BATCH / worldSize }, () => ({
    tokens: Array.from({ length: SEQUENCE + 1 }, () => random() % config.vocab_size),
    predictFrom: 1,
  }));
  let step = 0;
  const doStep = async () => {
    model.store.resetGradients();
    const { loss } = await crossEntropyStep(new Tape(backend), model, sequences, { weight: 1 / (BATCH * SEQUENCE) });
    await optimizer.update(1, ++step);
    return loss;
  };
  parentPort.on('message', async ({ steps }) => {
    const seconds = [];
    let loss = 0;
    for (let i = 0; i < steps; i++) {
      await backend.ranks.barrier();
      const start = performance.now();
      loss = await doStep();
      seconds.push((performance.now() - start) / 1000);
    }
    [loss] = await backend.ranks.sum([loss]);
    parentPort.postMessage({ seconds, loss, parameters: model.store.size });
  });
  parentPort.postMessage({ ready: true, fingerprint: backend.fingerprint });
}

/** Our side: a group of worker threads. */
async function reckoner(config, workers, blas) {
  const { planBackend } = await import('../dist/recipes/backend.js');
  const plan = await planBackend({ kind: 'wasm', workers, blas, models: [config] });
  const threads = Array.from(
    { length: workers },
    (_, rank) => new Worker(fileURLToPath(import.meta.url), { workerData: { config, plan, rank } }),
  );
  /** The next message of every rank. */
  const answer = () => Promise.all(threads.map(async (thread) => (await once(thread, 'message'))[0]));
  const [{ fingerprint }] = await answer();
  return {
    fingerprint,
    async run(steps) {
      const done = answer();
      for (const thread of threads) thread.postMessage({ steps });
      return (await done)[0];
    },
    close: () => Promise.all(threads.map((thread) => thread.terminate())),
  };
}

/** PyTorch's side: one Python process that answers requests. */
function startPython(python) {
  const child = spawn(python, [`${root}bench/peers/train_step.py`], { stdio: ['pipe', 'pipe', 'ignore'] });
  const waiting = [];
  const fail = (message) => {
    for (const { reject } of waiting.splice(0)) reject(new Error(message));
  };
  createInterface({ input: child.stdout }).on('line', (line) => {
    const answer = JSON.parse(line);
    const { resolve, reject } = waiting.shift();
    if (answer.error) reject(new Error(`PyTorch: ${answer.error}`));
    else resolve(answer);
  });
  child.once('error', (error) => fail(`${python}: ${error.message}`));
  child.once('exit', (code) => fail(`${python} ended with exit code ${code}; is torch installed there?`));
  return {
    ask: (request) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        child.stdin.write(`${JSON.stringify(request)}\n`, () => {});
      }),
    close: () => child.stdin.end(),
  };
}

async function main() {
  const { values: flags } = parseArgs({
    options: {
      widths: { type: 'string', default: '128,256,512' },
      workers: { type: 'string', default: '1,2' },
      rounds: { type: 'string', default: '7' },
      compile: { type: 'boolean', default: false },
      python: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  demandBuild();
  const numbers = (text) => text.split(',').map(Number);
  const python = findPython(flags.python);
  const torch = python === null ? null : startPython(python);
  const versions = torch === null ? null : await torch.ask({ versions: true });
  const results = [];
  const fingerprints = new Set();
  for (const width of numbers(flags.widths)) {
    for (const workers of numbers(flags.workers)) {
      const config = DECODERS[width];
      const ours = { wasm: await reckoner(config, workers, false), blas: await reckoner(config, workers, true) };
      const sides = Object.entries(ours).map(([name, side]) => ({ name, run: side.run }));
      for (const side of Object.values(ours)) fingerprints.add(side.fingerprint);
      for (const compile of torch === null ? [] : flags.compile ? [false, true] : [false]) {
        const request = { config, batch: BATCH, sequence: SEQUENCE, threads: workers, compile };
        sides.push({ name: compile ? 'torchCompile' : 'torch', run: (steps) => torch.ask({ ...request, steps }) });
      }
      const seconds = await interleave(sides, Number(flags.rounds), (text) =>
        process.stderr.write(`width ${width}, ${workers} worker(s): ${text}\n`),
      );
      for (const side of Object.values(ours)) await side.close();
      results.push({ width, layers: config.num_hidden_layers, workers, ...seconds });
    }
  }
  torch?.close();
  report(
    results,
    machine(`node bench/training-step.mjs ${process.argv.slice(2).join(' ')}`.trim()),
    versions,
    fingerprints,
    flags,
  );
}

/** @returns for each side its median tokens per second, and the parameter count, which all must share */
async function interleave(sides, rounds, say) {
  const counts = new Set();
  for (const side of sides) {
    await side.run(WARM_UP_STEPS);
    const { seconds, parameters } = await side.run(1);
    counts.add(parameters);
    side.steps = Math.max(1, Math.min(50, Math.round(TURN_SECONDS / seconds[0])));
    side.seconds = [];
  }
  if (counts.size !== 1) throw new Error(`the sides train different models: ${[...counts].join(', ')} parameters`);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < sides.length; i++) {
      const side = sides[(i + round) % sides.length];
      // Threads of the side before may spin for a moment after their last product.
      await sleep(0.3);
      const { seconds, loss } = await side.run(side.steps);
      if (!Number.isFinite(loss)) throw new Error(`${side.name}: the loss is ${loss}`);
      side.seconds.push(...seconds);
      side.loss = loss;
    }
  }
  const tokens = BATCH * SEQUENCE;
  say(sides.map((s) => `${s.name} ${whole(tokens / median(s.seconds))} tokens/s (loss ${s.loss.toFixed(3)})`).join(', '));
  const perSecond = Object.fromEntries(sides.map((s) => [s.name, tokens / median(s.seconds)]));
  return { parameters: [...counts][0], ...perSecond };
}

function report(results, about, versions, fingerprints, flags) {
  const ratio = (a, b) => (b === undefined ? null : a / b);
  const rows = results.map((r) => ({
    ...r,
    wasmRatio: ratio(r.wasm, r.torch),
    blasRatio: ratio(r.blas, r.torch),
    blasRatioToCompiled: ratio(r.blas, r.torchCompile),
  }));
  const document = { benchmark: 'training-step', machine: about, peer: versions, engines: [...fingerprints], rows };
  if (flags.json) {
    console.log(JSON.stringify(document, null, 2));
    return;
  }
  console.log('## Training step (forward, backward, AdamW), tokens/s\n');
  console.log(`${describe(about)}\n`);
  console.log(`Ours: ${[...fingerprints].join('; ')}. ${BATCH} × ${SEQUENCE} tokens a step, float32.`);
  if (versions) console.log(`PyTorch ${versions.torch} (${versions.capability}), as many threads as workers.`);
  else console.log('No PyTorch here, so there is no ratio; bench/peers/README.md says how to install it.');
  const compiled = rows.some((r) => r.torchCompile !== undefined);
  const header = ['decoder', 'workers', 'WASM', 'BLAS', 'PyTorch', 'WASM/PyTorch', 'BLAS/PyTorch'];
  if (compiled) header.push('torch.compile', 'BLAS/torch.compile');
  const cells = rows.map((r) => [
    `width ${r.width}, ${r.layers} layers, ${(r.parameters / 1e6).toFixed(1)}M`,
    r.workers,
    whole(r.wasm),
    whole(r.blas),
    whole(r.torch),
    times(r.wasmRatio),
    times(r.blasRatio),
    ...(compiled ? [whole(r.torchCompile), times(r.blasRatioToCompiled)] : []),
  ]);
  console.log(`\n${table(header, cells)}\n`);
}
