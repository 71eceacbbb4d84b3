// Rollouts of random weights, timed: what benchmarks of generation share.
export const PROMPT = 16;
export const COMPLETION = 64;
/** Samples come in groups of up to so many that share their prompt's cache, as in GRPO. */
export const GROUP = 16;

/**
 * A model on one core that samples when asked. `generate(batch, key)` gives tokens per second,
 * prefill in the time.
 */
export async function openGeneration(config, products) {
  const { createWasmBackend } = await import('../dist/tensor/backends/wasm/index.js');
  const { createModel } = await import('../dist/models/index.js');
  const { createSampler } = await import('../dist/inference/index.js');
  const { architectureOf, countParameters } = await import('../dist/architecture/index.js');
  const backend = await createWasmBackend({
    products,
    sharedBytes: 4 * countParameters(architectureOf(config)).stored + 2 ** 20,
  });
  const model = createModel(backend, config);
  model.store.initialize(1);
  const mark = backend.mark();
  return {
    fingerprint: backend.fingerprint,
    async generate(batch, key) {
      const samples = Math.min(GROUP, batch);
      const prompts = Array.from({ length: batch / samples }, (_, i) =>
        Array.from({ length: PROMPT }, (_, j) => (i * 31 + j * 7) % config.vocab_size),
      );
      // A token that is never drawn ends sequences, so none ends early.
      const sampler = createSampler(backend, model, {
        capacity: batch,
        maxPrompt: PROMPT,
        maxTokens: COMPLETION,
        eos: -1,
      });
      const start = performance.now();
      const completions = await sampler.generate(prompts, {
        samples,
        maxTokens: COMPLETION,
        temperature: 1,
        key: [key],
      });
      const seconds = (performance.now() - start) / 1000;
      backend.release(mark);
      return completions.reduce((sum, { tokens }) => sum + tokens.length, 0) / seconds;
    },
    close: () => backend.close(),
  };
}
