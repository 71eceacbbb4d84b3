import { describe, expect, it } from 'vitest';
import { createModel, modelTypes, parseModelConfig, type StoreOptions } from '../models/index.js';
import { tinyConfig } from '../models/testing.js';
import { createWasmBackend } from '../tensor/backends/wasm/index.js';
import { Tape } from '../tensor/tape.js';
import { crossEntropyStep } from './backpropagate.js';
import { balanceSchema, createBalancer } from './balance.js';

const experts = {
  q_lora_rank: 5,
  kv_lora_rank: 4,
  qk_nope_head_dim: 4,
  qk_rope_head_dim: 2,
  v_head_dim: 3,
  n_routed_experts: 4,
  num_experts_per_tok: 2,
  moe_intermediate_size: 5,
  first_k_dense_replace: 1,
  num_nextn_predict_layers: 1,
};
const adapter = { kind: 'lora', rank: 2, alpha: 3, targets: ['q_b_proj', 'o_proj'] } as const;
const sequences = [
  { tokens: [1, 4, 2, 7, 3], predictFrom: 1 },
  { tokens: [5, 5, 9, 10], predictFrom: 2 },
];

/** Loss, gradients, metrics of balance and peak bytes of activations of one step. */
async function stepOf(modelType: string, recompute: boolean, options: StoreOptions) {
  const backend = await createWasmBackend({
    sharedBytes: 1 << 20,
    localBytes: 1 << 24,
    products: 'wasm',
  });
  const config = parseModelConfig({
    ...tinyConfig,
    vocab_size: 11,
    num_hidden_layers: 4,
    ...(/deepseek|kimi/.test(modelType) ? experts : {}),
    model_type: modelType,
  });
  const model = createModel(backend, config, options);
  if (options.adapter) {
    for (const { value, size, spec } of model.store.frozen) {
      const wave = (_: unknown, i: number): number => Math.sin(7 * i + spec.name.length) / 3;
      backend.write(value, Float32Array.from({ length: size }, wave));
    }
  }
  model.store.initialize(1);
  const flat = model.store.attachGradients();
  const balancer = createBalancer(
    backend,
    model,
    balanceSchema(0.001).parse({ sequenceWeight: 0.5 }),
  );
  const before = backend.memory().localBytes;
  model.store.resetGradients();
  const losses = await crossEntropyStep(new Tape(backend, true, recompute), model, sequences, {
    weight: 0.25,
    mtpWeight: 0.3,
    balance: balancer?.input(0.25),
  });
  model.store.completeGradients();
  const bytes = backend.memory().localHighWaterBytes - before;
  const gradients = Array.from(await backend.read(flat));
  return { bytes, bits: { ...losses, gradients, balance: await balancer?.endStep() } };
}

/** Every family as a whole, and the family of experts in emulated FP8 and under an adapter. */
const cases: [string, string, StoreOptions][] = [
  ...modelTypes().map((type): [string, string, StoreOptions] => [type, 'as a whole', {}]),
  ['llama', 'under an adapter', { adapter: { ...adapter, targets: ['q_proj', 'down_proj'] } }],
  ['deepseek_v3', 'in FP8', { numerics: 'fp8' }],
  ['deepseek_v3', 'under an adapter', { adapter: { ...adapter, targets: [...adapter.targets] } }],
];

describe('recomputing layers', () => {
  it.each(cases)('%s %s: the same bits in half the memory', async (type, _, options) => {
    const kept = await stepOf(type, false, options);
    const again = await stepOf(type, true, options);
    expect(again.bits).toEqual(kept.bits);
    expect(kept.bits.gradients.some((value) => value !== 0)).toBe(true);
    expect(again.bytes).toBeLessThan(kept.bytes / 2);
  });
});
