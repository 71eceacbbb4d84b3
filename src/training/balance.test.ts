import { describe, expect, it } from 'vitest';
import { createModel, parseModelConfig } from '../models/index.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { Tape } from '../tensor/tape.js';
import { crossEntropyStep } from './backpropagate.js';
import { balanceSchema, createBalancer, maxViolation } from './balance.js';
import { createOptimizer, optimizerSchema } from './optimizer.js';

const config = parseModelConfig({
  model_type: 'deepseek_v3',
  vocab_size: 12,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  kv_lora_rank: 4,
  qk_nope_head_dim: 4,
  qk_rope_head_dim: 2,
  v_head_dim: 4,
  n_routed_experts: 6,
  num_experts_per_tok: 2,
  moe_intermediate_size: 4,
  first_k_dense_replace: 1,
  num_nextn_predict_layers: 1,
  max_position_embeddings: 32,
  initializer_range: 0.4,
});
const sequences = Array.from({ length: 6 }, (_, s) => ({
  tokens: Array.from({ length: 12 }, (_, i) => (i * (s + 1) + s) % 12),
  predictFrom: 1,
}));

async function setUp(options: object) {
  const backend = createReferenceBackend();
  const model = createModel(backend, config);
  model.store.initialize(3);
  model.store.attachGradients();
  const optimizer = createOptimizer(backend, model.store, optimizerSchema.parse({ muonLr: 0.02 }));
  const balancer = createBalancer(backend, model, balanceSchema(0.001).parse(options));
  if (!balancer || !model.experts) throw new Error('there are experts');
  const { biases } = model.experts;
  let steps = 0;
  return {
    backend,
    model,
    biases: async () => Array.from(await backend.read(biases)),
    async step(mtpWeight = 0.3, parts = [sequences]) {
      model.store.resetGradients();
      for (const part of parts) {
        await crossEntropyStep(new Tape(backend), model, part, {
          weight: 1 / 66,
          mtpWeight,
          balance: balancer.input(1 / 66),
        });
      }
      await optimizer.update(1, ++steps);
      return balancer.endStep();
    },
  };
}

describe('balancing', () => {
  it('moves each bias by γ towards an even load, and by nothing else', async () => {
    const on = await setUp({ speed: 0.01, sequenceWeight: 0 });
    expect(await on.biases()).toEqual(new Array(12).fill(0));
    const values = await on.step();
    const biases = await on.biases();
    for (const bias of biases)
      expect([0, 0.01, -0.01].some((x) => Math.abs(bias - x) < 1e-6)).toBe(true);
    expect(biases.filter((x) => x > 0).length).toBeGreaterThan(0);
    expect(biases.filter((x) => x < 0).length).toBeGreaterThan(0);
    expect(values['max_vio.1']).toBeGreaterThan(0);
    expect(values.max_vio).toBeCloseTo((values['max_vio.1'] + values['max_vio.2']) / 2, 12);
    expect(values.balance_loss).toBe(0);
  });

  it('evens the load out over steps, and leaves it alone without', async () => {
    const last = async (options: object) => {
      const on = await setUp(options);
      let sum = 0;
      for (let i = 0; i < 36; i++) {
        const { max_vio: maxVio } = await on.step();
        if (i >= 24) sum += maxVio / 12;
      }
      return { maxVio: sum, biases: await on.biases() };
    };
    const balanced = await last({ speed: 0.02 });
    const free = await last({ speed: 0, sequenceWeight: 0 });
    expect(free.biases).toEqual(new Array(12).fill(0));
    expect(balanced.maxVio).toBeLessThan(0.7 * free.maxVio);
  });

  it('counts micro-batches together: cut or whole, the same biases', async () => {
    const [whole, cut] = [await setUp({ speed: 0.01 }), await setUp({ speed: 0.01 })];
    await whole.step();
    await cut.step(0.3, [sequences.slice(0, 2), sequences.slice(2)]);
    expect(await cut.biases()).toEqual(await whole.biases());
  });

  it('says how far the busiest expert is above its share', () => {
    expect(maxViolation([4, 4, 4])).toBe(0);
    expect(maxViolation([9, 3, 0])).toBeCloseTo(1.25, 12);
    expect(maxViolation([0, 0])).toBe(0);
  });

  it('is for mixtures alone', () => {
    const dense = {
      hidden_size: 8,
      intermediate_size: 12,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      vocab_size: 5,
    };
    const backend = createReferenceBackend();
    const model = createModel(backend, parseModelConfig({ model_type: 'llama', ...dense }));
    expect(createBalancer(backend, model, balanceSchema(0.001).parse(undefined))).toBeNull();
  });
});

describe('multi-token prediction', () => {
  it('leaves its module without a gradient when it weighs nothing, and adds λ times its own otherwise', async () => {
    const gradientOf = async (mtpWeight: number) => {
      const on = await setUp({ speed: 0, sequenceWeight: 0 });
      on.model.store.resetGradients();
      await crossEntropyStep(new Tape(on.backend), on.model, sequences, {
        weight: 1 / 66,
        mtpWeight,
      });
      on.model.store.completeGradients();
      return Array.from(await on.backend.read(on.model.store.gradients as never));
    };
    const [none, one, three] = [await gradientOf(0), await gradientOf(0.1), await gradientOf(0.3)];
    const { parameters } = (await setUp({})).model.store;
    for (const { spec, offset, size } of parameters) {
      if (!spec.name.startsWith('model.layers.2.') || spec.role === 'buffer') continue;
      expect(Math.max(...none.slice(offset, offset + size).map(Math.abs)), spec.name).toBe(0);
    }
    three.forEach((x, i) => {
      expect(x - none[i]).toBeCloseTo(3 * (one[i] - none[i]), 10);
    });
  });
});
