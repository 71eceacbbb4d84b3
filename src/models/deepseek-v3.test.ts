import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { architectureOf, countParameters } from '../architecture/index.js';
import { type Backend, sizeOf } from '../tensor/backend.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { Tape, Variable } from '../tensor/tape.js';
import { deepseekParameters } from './deepseek-v3.js';
import { createModel, explicitConfig, type Model, parseModelConfig } from './index.js';
import { logitsOf } from './testing.js';

const VOCABULARY = 11;
const tiny = {
  model_type: 'deepseek_v3',
  vocab_size: VOCABULARY,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 3,
  q_lora_rank: 5,
  kv_lora_rank: 6,
  qk_nope_head_dim: 4,
  qk_rope_head_dim: 2,
  v_head_dim: 3,
  n_routed_experts: 4,
  num_experts_per_tok: 2,
  moe_intermediate_size: 5,
  n_group: 2,
  topk_group: 2,
  first_k_dense_replace: 1,
  routed_scaling_factor: 2.5,
  num_nextn_predict_layers: 1,
  max_position_embeddings: 64,
  initializer_range: 0.4,
};
const config = (more: object = {}) => parseModelConfig({ ...tiny, ...more });

function setUp(more: object = {}) {
  const backend = createReferenceBackend();
  const model = createModel(backend, config(more));
  model.store.initialize(1);
  return { backend, model };
}

const published = (): Record<string, unknown> =>
  JSON.parse(readFileSync(new URL('../../recipes/deepseek-v3.json', import.meta.url), 'utf8'))
    .model;

describe('the published configuration', () => {
  it('has 671.03B parameters, 37.55B of them active, and a prediction module of 11.6B', () => {
    const model = published();
    // The specifications that would allocate the weights; nothing is allocated.
    const specs = deepseekParameters(parseModelConfig(model));
    const total = (pick: (name: string) => boolean): number =>
      specs.reduce((sum, spec) => sum + (pick(spec.name) ? sizeOf(spec) : 0), 0);
    const ofModule = (name: string): boolean => name.startsWith('model.layers.61.');
    const main = total((name) => !ofModule(name));
    expect(main / 1e9).toBeCloseTo(671.03, 2);
    expect(total(ofModule) / 1e9).toBeCloseTo(11.61, 2);
    // A token uses 8 of the 256 experts of each of 58 layers.
    const experts = total((name) => !ofModule(name) && /\.experts\.\d+\./.test(name));
    const buffers = total((name) => !ofModule(name) && name.endsWith('e_score_correction_bias'));
    const active = main - experts * (1 - 8 / 256) - buffers;
    expect(active / 1e9).toBeCloseTo(37.55, 2);
    const counted = countParameters(architectureOf(model));
    expect(counted.stored).toBe(total(() => true));
    expect(counted.mtp).toBe(total(ofModule));
    expect(counted.active).toBeCloseTo(active, 0);
  });

  it('caches 576 numbers a token and layer, 1/71 of multi-head attention and 1/3.6 of 8 grouped heads of 128', () => {
    const m = published() as Record<string, number>;
    const latent = m.kv_lora_rank + m.qk_rope_head_dim;
    expect(latent).toBe(576);
    const multiHead =
      m.num_attention_heads * (m.qk_nope_head_dim + m.qk_rope_head_dim + m.v_head_dim);
    expect(multiHead / latent).toBeCloseTo(71.1, 1);
    expect((2 * 8 * 128) / latent).toBeCloseTo(3.56, 2);
    // Bytes a token in BF16, as in docs/reference/engine.md.
    const bytes = [latent, 2 * 8 * 128, multiHead].map(
      (numbers) => 2 * m.num_hidden_layers * numbers,
    );
    expect(bytes).toEqual([70_272, 249_856, 4_997_120]);
  });
});

describe('the parameters', () => {
  it('have the names of the released checkpoint, and buffers come last and untrained', () => {
    const { model } = setUp();
    const names = model.store.parameters.map(({ spec }) => spec.name);
    for (const name of [
      'model.layers.0.mlp.gate_proj.weight',
      'model.layers.1.self_attn.kv_a_proj_with_mqa.weight',
      'model.layers.1.mlp.experts.3.down_proj.weight',
      'model.layers.1.mlp.shared_experts.up_proj.weight',
      'model.layers.2.eh_proj.weight',
      'model.layers.2.shared_head.norm.weight',
    ]) {
      expect(names).toContain(name);
    }
    expect(names.slice(-2)).toEqual([
      'model.layers.1.mlp.gate.e_score_correction_bias',
      'model.layers.2.mlp.gate.e_score_correction_bias',
    ]);
    expect(model.store.size - model.store.trainableSize).toBe(8);
    expect(sizeOf(model.store.attachGradients())).toBe(model.store.trainableSize);
  });

  it('of all experts are one matrix, gate and up of each together', async () => {
    const { backend, model } = setUp();
    const read = async (name: string) => [
      ...(await backend.read(
        model.store.parameters.find(({ spec }) => spec.name === name)?.value as never,
      )),
    ];
    const fused = [
      ...(await backend.read(model.store.get('model.layers.1.mlp.experts.gateUp').value)),
    ];
    const [gate, up] = [
      await read('model.layers.1.mlp.experts.2.gate_proj.weight'),
      await read('model.layers.1.mlp.experts.2.up_proj.weight'),
    ];
    expect(fused.slice(2 * 80, 3 * 80)).toEqual([...gate, ...up]);
  });
});

/** Integers on the device. */
const upload = (backend: Backend, data: readonly number[]) => {
  const tensor = backend.allocate('i32', [data.length]);
  backend.write(tensor, data);
  return tensor;
};

/**
 * Hidden states of a sequence, of which the last tokens are decoded one by one against a cache that
 * holds the first `prompt`.
 */
async function decoded(
  backend: Backend,
  model: Model,
  tokens: readonly number[],
  prompt: number,
): Promise<number[][]> {
  const cache = model.createCache(40);
  const tape = new Tape(backend, false);
  const positions = (from: number, count: number) =>
    upload(
      backend,
      Array.from({ length: count }, (_, i) => from + i),
    );
  const out: number[][] = [];
  // The prompt lies at row 3, the continuation at row 20.
  model.forward(tape, {
    ids: upload(backend, tokens.slice(0, prompt)),
    positions: positions(0, prompt),
    segments: upload(backend, [0, prompt]),
    cache,
    cacheRows: positions(3, prompt),
  });
  for (let i = prompt; i < tokens.length; i++) {
    const one = (value: number) => upload(backend, [value]);
    const hidden = model.forward(tape, {
      ids: one(tokens[i]),
      positions: one(i),
      cache,
      cacheRows: one(20 + i - prompt),
      tables: {
        prefixStart: one(3),
        prefixLength: one(prompt),
        ownStart: one(20),
        ownLength: one(i - prompt + 1),
      },
    });
    const logits = backend.allocate('f32', [1, model.head.shape[0]]);
    backend.matmul({ out: logits, a: hidden.value, b: model.head.value, transposeB: true });
    out.push([...(await backend.read(logits))]);
  }
  return out;
}

describe('decoding on latents', () => {
  const yarn = {
    type: 'yarn',
    factor: 4,
    original_max_position_embeddings: 16,
    mscale: 1,
    mscale_all_dim: 1,
  };
  it.each([
    {},
    { q_lora_rank: null },
    { rope_scaling: yarn },
    { rope_interleave: false, first_k_dense_replace: 0 },
  ])('says with %o what the training form says', async (more) => {
    const { backend, model } = setUp(more);
    const tokens = [1, 5, 6, 7, 3, 9, 2, 4, 8, 10];
    const whole = await logitsOf({ backend, model }, tokens);
    const steps = await decoded(backend, model, tokens, 4);
    steps.forEach((row, i) => {
      for (const [v, x] of row.entries()) expect(x).toBeCloseTo(whole[4 + i][v], 10);
    });
  });

  it('keeps one latent and one key a token and layer, whatever the heads', () => {
    const { model } = setUp({ num_attention_heads: 16 });
    // Multi-head attention of the same heads would keep 16 · (6 + 3) numbers, grouped-query
    // attention of 2 heads 2 · (6 + 3).
    expect(model.createCache(4).bytesPerToken).toBe(2 * (6 + 2) * 4);
  });
});

describe('multi-token prediction', () => {
  it('sees the next token and nothing after it', async () => {
    const { backend, model } = setUp();
    const further = async (nextIds: readonly number[]) => {
      const positions = upload(backend, [0, 1, 2, 3]);
      const input = { positions, segments: upload(backend, [0, 4]) };
      const tape = new Tape(backend, false);
      const hidden = model.forward(tape, { ...input, ids: upload(backend, [1, 5, 6, 7]) });
      const out = model.predictor?.forward(
        tape,
        new Variable(hidden.value, false),
        upload(backend, nextIds),
        input,
      );
      return [...(await backend.read(out?.value as never))];
    };
    const [a, b] = [await further([5, 6, 7, 2]), await further([5, 6, 9, 2])];
    expect(b.slice(0, 16)).toEqual(a.slice(0, 16));
    expect(b.slice(16, 24)).not.toEqual(a.slice(16, 24));
  });
});

describe('the mixture', () => {
  it('is chosen by the bias and weighed without it', async () => {
    const { backend, model } = setUp({ n_group: 1, topk_group: 1, num_experts_per_tok: 4 });
    const tokens = [1, 5, 6];
    const before = await logitsOf({ backend, model }, tokens);
    // With all experts chosen, a bias changes their order at most.
    backend.write(model.experts?.biases as never, [5, -5, 0, 1, 3, 2, 1, 0]);
    const after = await logitsOf({ backend, model }, tokens);
    for (const [i, x] of after.flat().entries()) expect(x).toBeCloseTo(before.flat()[i], 10);
  });

  it('counts its load while it trains, and not otherwise', async () => {
    const { backend, model } = setUp();
    const experts = model.experts as NonNullable<Model['experts']>;
    experts.load = backend.allocate('f32', [2, 4]);
    backend.fill({ out: experts.load, value: 0 });
    const run = (recording: boolean) =>
      model.forward(new Tape(backend, recording), {
        ids: upload(backend, [1, 2, 3]),
        positions: upload(backend, [0, 1, 2]),
        segments: upload(backend, [0, 3]),
      });
    run(false);
    expect([...(await backend.read(experts.load))]).toEqual(new Array(8).fill(0));
    run(true);
    const load = [...(await backend.read(experts.load))];
    expect(load.slice(0, 4).reduce((a, b) => a + b)).toBe(3 * 2);
    expect(load.slice(4)).toEqual([0, 0, 0, 0]);
  });
});

describe('a configuration', () => {
  it.each([
    ['kv_lora_rank', { kv_lora_rank: undefined }],
    ['qk_rope_head_dim', { qk_rope_head_dim: 3 }],
    ['n_group', { n_group: 3 }],
    ['topk_group', { topk_group: 3 }],
    ['num_experts_per_tok', { num_experts_per_tok: 3, topk_group: 1 }],
    ['scoring_func', { scoring_func: 'softmax' }],
    ['num_nextn_predict_layers', { num_nextn_predict_layers: 2 }],
    [
      'rope_scaling.type',
      { rope_scaling: { type: 'linear', factor: 2, original_max_position_embeddings: 8 } },
    ],
    [
      'rope_scaling.original_max_position_embeddings',
      { rope_scaling: { type: 'yarn', factor: 2 } },
    ],
  ])('that is wrong in %s is refused by that name', (field, more) => {
    try {
      config(more);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'data', field });
    }
  });

  it('writes out what transformers has other defaults for', () => {
    const { n_group: _, topk_group: __, ...rest } = tiny;
    expect(explicitConfig(parseModelConfig({ ...rest, q_lora_rank: undefined }))).toMatchObject({
      q_lora_rank: null,
      n_group: 1,
      topk_group: 1,
      num_key_value_heads: 3,
      rope_interleave: true,
    });
  });
});
