// What benchmarks of training steps share: our side of the comparison, on worker threads, and the
// turns that sides take.
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { median, sleep, whole } from './harness.mjs';

export const BATCH = 8;
export const SEQUENCE = 256;
/** About how long a side's turn lasts, seconds. */
const TURN_SECONDS = 1;
const WARM_UP_STEPS = 3;

if (!isMainThread) await rank();

/** A worker thread: one rank of a data-parallel group, doing steps on request. */
async function rank() {
  const { openBackend } = await import('../dist/policy/local/backend.js');
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
    const { loss } = await crossEntropyStep(new Tape(backend), model, sequences, {
      weight: 1 / (BATCH * SEQUENCE),
    });
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

/**
 * A group of worker threads that do training steps when asked.
 * @param products what multiplies matrices: `auto`, `blas`, `wasm` …
 */
export async function reckoner(config, workers, products) {
  const { planBackend } = await import('../dist/policy/local/backend.js');
  const plan = await planBackend({ kind: 'wasm', workers, products, models: [config] });
  const threads = Array.from(
    { length: workers },
    (_, rank) => new Worker(fileURLToPath(import.meta.url), { workerData: { config, plan, rank } }),
  );
  /** The next message of every rank. */
  const answer = () =>
    Promise.all(threads.map(async (thread) => (await once(thread, 'message'))[0]));
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

/**
 * Lets sides take turns and sets each side's `tokensPerSecond` (median over steps), `parameters`
 * and `loss`.
 *
 * @param sides `{name, run(steps)}`
 */
export async function interleave(sides, rounds, say) {
  for (const side of sides) {
    await side.run(WARM_UP_STEPS);
    const { seconds, parameters } = await side.run(1);
    side.parameters = parameters;
    side.steps = Math.max(1, Math.min(50, Math.round(TURN_SECONDS / seconds[0])));
    side.seconds = [];
  }
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
  for (const side of sides) side.tokensPerSecond = (BATCH * SEQUENCE) / median(side.seconds);
  say(
    sides
      .map((s) => `${s.name} ${whole(s.tokensPerSecond)} tokens/s (loss ${s.loss.toFixed(3)})`)
      .join(', '),
  );
}
