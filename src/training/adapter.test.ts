import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { toBfloat16 } from '../checkpoints/numbers.js';
import { createSampler } from '../inference/index.js';
import {
  type AdapterSpec,
  createModel,
  type FrozenWeights,
  type Model,
  parametersOf,
  parseModelConfig,
  planAdapter,
  reserveFrozen,
} from '../models/index.js';
import { logitsOf, scoresOf, tinyConfig } from '../models/testing.js';
import type { Backend, FrozenRows } from '../tensor/backend.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { createWasmBackend } from '../tensor/backends/wasm/index.js';
import { expandRows, FORMS, fitsForm } from '../tensor/forms.js';
import { Tape } from '../tensor/tape.js';
import { frozenPart } from '../tensor/testing/problem.js';
import { crossEntropyStep } from './backpropagate.js';

const config = (more: object = {}) =>
  parseModelConfig({ ...tinyConfig, vocab_size: 11, num_hidden_layers: 2, ...more });
const lora = (targets: AdapterSpec['targets'], more: object = {}): AdapterSpec => ({
  kind: 'lora',
  rank: 2,
  alpha: 3,
  targets,
  ...more,
});
/** A DeepSeek-V3, with a module of multi-token prediction. */
const latent = {
  model_type: 'deepseek_v3',
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
const sequences = [
  { tokens: [1, 4, 2, 7, 3], predictFrom: 1 },
  { tokens: [5, 5, 9, 10], predictFrom: 2 },
];

/** A model of seeded weights, frozen under an adapter whose B matrices are no longer zero. */
async function adaptedModel(
  backend: Backend,
  adapter: AdapterSpec,
  more: object = {},
  frozen?: FrozenWeights,
): Promise<Model> {
  const plain = createModel(backend, config(more));
  plain.store.initialize(1);
  const model = createModel(backend, config(more), { adapter, frozen });
  const values = new Map(plain.store.parameters.map((p) => [p.spec.name, p.value]));
  for (const { spec, value, rows } of model.store.frozen) {
    const data = Float32Array.from(await backend.read(values.get(spec.name) as never));
    if (rows) rows.bytes.set(new Uint8Array(toBfloat16(data).buffer));
    else backend.write(value, data);
  }
  model.store.initialize(2);
  model.store.parameters.forEach(({ spec, value, size }, i) => {
    if (spec.init === 0)
      backend.write(
        value,
        Float32Array.from({ length: size }, (_, j) => Math.sin(i + 3 * j) / 2),
      );
  });
  return model;
}

describe('the parameters of an adapter', () => {
  it('are A and B of each target, with the names of PEFT, and the A of one product lie together', () => {
    const { specs, plans } = planAdapter(
      parametersOf(config({ num_hidden_layers: 1 })),
      lora(['q_proj', 'v_proj', 'o_proj']),
    );
    const at = 'base_model.model.model.layers.0.self_attn';
    expect(specs.map(({ name, shape, fuse }) => [name, shape, fuse])).toEqual([
      [`${at}.q_proj.lora_A.weight`, [2, 8], 'model.layers.0.qkv.lora_A'],
      [`${at}.v_proj.lora_A.weight`, [2, 8], 'model.layers.0.qkv.lora_A'],
      [`${at}.q_proj.lora_B.weight`, [8, 2], undefined],
      [`${at}.v_proj.lora_B.weight`, [4, 2], undefined],
      [`${at}.o_proj.lora_A.weight`, [2, 8], 'model.layers.0.self_attn.o_proj.weight.lora_A'],
      [`${at}.o_proj.lora_B.weight`, [8, 2], undefined],
    ]);
    // Values follow 8 rows of queries and 4 of keys.
    expect(plans.get('model.layers.0.qkv')?.ups.map(({ column }) => column)).toEqual([0, 12]);
  });

  it('all-linear is every weight matrix but embedding and head; others are refused by name', () => {
    const all = planAdapter(
      parametersOf(config({ num_hidden_layers: 1 })),
      lora('all-linear'),
    ).specs;
    const names = all
      .filter(({ name }) => name.includes('lora_A'))
      .map(({ name }) => name.split('.').at(-3));
    expect(names.sort()).toEqual([
      'down_proj',
      'gate_proj',
      'k_proj',
      'o_proj',
      'q_proj',
      'up_proj',
      'v_proj',
    ]);
    const refused = () => planAdapter(parametersOf(config()), lora(['q_proj', 'lm_head']));
    expect(refused).toThrow(/adapter\.targets: the model has no lm_head; choose from q_proj, /);
  });
});

describe('a model with an adapter', () => {
  it('begins as the model is, and is it again without the adapter', async () => {
    const backend = createReferenceBackend();
    const plain = createModel(backend, config());
    plain.store.initialize(1);
    const model = await adaptedModel(backend, lora('all-linear'));
    const without = await model.store.withoutAdapter(() => logitsOf({ backend, model }, [1, 2, 3]));
    expect(without).toEqual(await logitsOf({ backend, model: plain }, [1, 2, 3]));
    expect(await logitsOf({ backend, model }, [1, 2, 3])).not.toEqual(without);
    model.store.initialize(2);
    expect(await logitsOf({ backend, model }, [1, 2, 3])).toEqual(without);
  });

  const qwen = { model_type: 'qwen3', tie_word_embeddings: true };
  it.each([
    [['q_proj', 'v_proj'] as string[], qwen],
    ['all-linear' as const, qwen],
    [['up_proj'] as string[], qwen],
    ['all-linear' as const, latent],
  ])('has the derivatives of finite differences for %o', async (targets, more) => {
    const backend = createReferenceBackend();
    const model = await adaptedModel(backend, lora(targets), more);
    const { store } = model;
    const gradients = store.attachGradients();
    store.resetGradients();
    await crossEntropyStep(new Tape(backend), model, sequences, { weight: 0.5 });
    store.completeGradients();
    const claimed = await backend.read(gradients);
    const start = Float64Array.from(await backend.read(store.flat));
    const lossAt = async (i: number, h: number): Promise<number> => {
      const moved = start.slice();
      moved[i] += h;
      backend.write(store.flat, moved);
      let sum = 0;
      for (const { tokens, predictFrom } of sequences) {
        for (const score of await scoresOf({ backend, model }, tokens, predictFrom))
          sum -= 0.5 * score;
      }
      return sum;
    };
    expect(store.size).toBe(claimed.length);
    for (let i = 0; i < store.size; i += 5) {
      const difference = ((await lossAt(i, 1e-4)) - (await lossAt(i, -1e-4))) / 2e-4;
      expect(Math.abs(difference - claimed[i]), `number ${i}`).toBeLessThan(1e-6);
    }
  });

  it.each([{}, latent])(
    'over a BF16 base gives what it gives over the same numbers as float32, on both backends: %o',
    async (more) => {
      const wasm = await createWasmBackend({
        sharedBytes: 1 << 20,
        localBytes: 1 << 24,
        products: 'wasm',
      });
      const losses: number[] = [];
      const gradients: number[][] = [];
      for (const backend of [createReferenceBackend(), wasm]) {
        const model = await adaptedModel(
          backend,
          lora('all-linear'),
          more,
          reserveFrozen(parametersOf(config(more)), () => 'bf16'),
        );
        expect(new Set(model.store.frozen.map(({ value }) => value.dtype))).toEqual(
          new Set(['frozen', 'f32']),
        );
        const flat = model.store.attachGradients();
        losses.push(
          (await crossEntropyStep(new Tape(backend), model, sequences, { weight: 0.25 })).loss,
        );
        gradients.push(Array.from(await backend.read(flat)));
      }
      expect(losses[1]).toBeCloseTo(losses[0], 5);
      gradients[0].forEach((value, i) => {
        expect(gradients[1][i]).toBeCloseTo(value, 5);
      });
    },
  );
});

describe('an adapter over blocks', () => {
  const wide = { hidden_size: 64, intermediate_size: 256, head_dim: 16 };
  const specs = parametersOf(config(wide));
  const random = new Random('adapter over blocks');
  /** Rows of every form that fits, by turns, so that one product has parts of several forms. */
  const forms = FORMS.filter((form) => form !== 'f32');
  let turn = 0;
  const blocks = new Map<string, FrozenRows>();
  const frozen = reserveFrozen(specs, (name) => {
    const { shape } = specs.find((spec) => spec.name === name) as { shape: readonly number[] };
    const fitting = forms.filter((form) => shape.length === 2 && fitsForm(form, shape[1]));
    if (fitting.length === 0) return null;
    const form = fitting[turn++ % fitting.length];
    blocks.set(name, frozenPart(random, form, shape[0], shape[1]));
    return form;
  });
  for (const [name, { bytes }] of frozen) bytes.set((blocks.get(name) as FrozenRows).bytes);

  it('gives the loss and the gradients that it gives over their float32', async () => {
    expect(new Set([...frozen.values()].map(({ form }) => form)).size).toBeGreaterThan(6);
    const products = ['auto', 'wasm'] as const;
    for (const product of products) {
      const size = { sharedBytes: 1 << 22, localBytes: 1 << 24 };
      const backend = await createWasmBackend({ ...size, products: product });
      const results: { loss: number; gradient: number[] }[] = [];
      for (const kept of [frozen, undefined]) {
        const adapter = lora('all-linear');
        const model = createModel(backend, config(wide), { adapter, frozen: kept });
        for (const { spec, value, rows } of model.store.frozen) {
          if (rows) continue;
          const part = blocks.get(spec.name);
          const ones = new Float32Array(value.shape.reduce((a, b) => a * b, 1)).fill(1);
          backend.write(value, part ? expandRows([part], spec.shape[1]) : ones);
        }
        model.store.initialize(2);
        for (const { spec, value, size: numbers } of model.store.parameters)
          if (spec.init === 0)
            backend.write(
              value,
              Float32Array.from({ length: numbers }, (_, j) => Math.sin(3 * j) / 9),
            );
        const flat = model.store.attachGradients();
        const step = await crossEntropyStep(new Tape(backend), model, sequences, { weight: 0.25 });
        results.push({ loss: step.loss, gradient: Array.from(await backend.read(flat)) });
      }
      const [blocked, plain] = results;
      expect(blocked.loss).toBeCloseTo(plain.loss, 5);
      const largest = Math.max(...plain.gradient.map(Math.abs));
      expect(largest).toBeGreaterThan(0);
      blocked.gradient.forEach((value, i) => {
        expect(Math.abs(value - plain.gradient[i]) / largest).toBeLessThan(1e-5);
      });
      await backend.close();
    }
  });
});

describe('an adapter of DeepSeek-V3', () => {
  it('is of its attention, as in PEFT', () => {
    const { specs } = planAdapter(parametersOf(config(latent)), lora('all-linear'));
    const adapted = specs
      .filter(({ name }) => name.endsWith('lora_A.weight'))
      .map(({ name }) => name.split('.').slice(3, -2).join('.'));
    const attention = ['q_a_proj', 'q_b_proj', 'kv_a_proj_with_mqa', 'kv_b_proj', 'o_proj'].map(
      (p) => `self_attn.${p}`,
    );
    expect(adapted.sort()).toEqual(
      [0, 1].flatMap((i) => attention.map((name) => `layers.${i}.${name}`)).sort(),
    );
    const refused = () => planAdapter(parametersOf(config(latent)), lora(['up_proj']));
    expect(refused).toThrow(/the model has no up_proj; choose from q_a_proj/);
  });

  it('decodes on latents as it trains, and with a draft', async () => {
    const wasm = await createWasmBackend({
      sharedBytes: 1 << 20,
      localBytes: 1 << 24,
      products: 'wasm',
    });
    for (const [backend, digits] of [
      [createReferenceBackend(), 10],
      [wasm, 4],
    ] as const) {
      const frozen = reserveFrozen(parametersOf(config(latent)), () => 'bf16');
      const model = await adaptedModel(backend, lora('all-linear'), latent, frozen);
      for (const draft of [undefined, 'mtp'] as const) {
        const sampler = createSampler(backend, model, {
          capacity: 8,
          maxPrompt: 4,
          maxTokens: 8,
          eos: -1,
          draft,
        });
        const completions = await sampler.generate([[1, 4, 2]], {
          samples: 4,
          maxTokens: 8,
          temperature: 1,
          key: [1],
        });
        for (const { tokens, logProbabilities } of completions) {
          const expected = await scoresOf({ backend, model }, [1, 4, 2, ...tokens], 3);
          for (const [i, value] of logProbabilities.entries())
            expect(value).toBeCloseTo(expected[i], digits);
        }
      }
    }
  });
});
