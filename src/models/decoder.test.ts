import { describe, expect, it } from 'vitest';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { decoderParameters } from './decoder.js';
import { createModel, explicitConfig, parseModelConfig } from './index.js';
import { logitsOf, tinyConfig } from './testing.js';

const VOCABULARY = 11;
const config = (more: object = {}) =>
  parseModelConfig({ ...tinyConfig, vocab_size: VOCABULARY, ...more });

function setUp(more: object = {}, seed = 1) {
  const backend = createReferenceBackend();
  const model = createModel(backend, config(more));
  model.store.initialize(seed);
  return { backend, model };
}

describe('the parameters', () => {
  it('have the names and shapes of Hugging Face', () => {
    const shapes = Object.fromEntries(
      decoderParameters(config({ model_type: 'qwen3', head_dim: 6 })).map((p) => [p.name, p.shape]),
    );
    expect(shapes).toEqual({
      'model.layers.0.self_attn.q_proj.weight': [12, 8],
      'model.layers.0.self_attn.k_proj.weight': [6, 8],
      'model.layers.0.self_attn.v_proj.weight': [6, 8],
      'model.layers.0.self_attn.o_proj.weight': [8, 12],
      'model.layers.0.self_attn.q_norm.weight': [6],
      'model.layers.0.self_attn.k_norm.weight': [6],
      'model.layers.0.mlp.gate_proj.weight': [12, 8],
      'model.layers.0.mlp.up_proj.weight': [12, 8],
      'model.layers.0.mlp.down_proj.weight': [8, 12],
      'model.layers.0.input_layernorm.weight': [8],
      'model.layers.0.post_attention_layernorm.weight': [8],
      'model.norm.weight': [8],
      'model.embed_tokens.weight': [VOCABULARY, 8],
      'lm_head.weight': [VOCABULARY, 8],
    });
    const tied = decoderParameters(config({ tie_word_embeddings: true })).map(({ name }) => name);
    expect(tied).not.toContain('lm_head.weight');
    expect(tied.filter((name) => name.includes('q_norm'))).toEqual([]);
  });

  it('are one block, hidden matrices first, and projections that are multiplied together lie together', async () => {
    const { backend, model } = setUp({ num_hidden_layers: 2 });
    const { parameters, matrixSize, flat } = model.store;
    let offset = 0;
    for (const parameter of parameters) {
      expect(parameter.offset).toBe(offset);
      expect(parameter.offset < matrixSize).toBe(parameter.spec.role === 'matrix');
      offset += parameter.size;
    }
    const named = (name: string) =>
      parameters.find(({ spec }) => spec.name === `model.layers.1.${name}.weight`)?.value;
    const read = async (names: string[]) =>
      (
        await Promise.all(names.map(async (n) => [...(await backend.read(named(n) as never))]))
      ).flat();
    const qkv = model.store.get('model.layers.1.qkv');
    expect(qkv.shape).toEqual([8 + 4 + 4, 8]);
    expect([...(await backend.read(qkv.value))]).toEqual(
      await read(['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj']),
    );
    const gateUp = model.store.get('model.layers.1.gateUp');
    expect([...(await backend.read(gateUp.value))]).toEqual(
      await read(['mlp.gate_proj', 'mlp.up_proj']),
    );
    // A write through a fused view is seen in the block.
    backend.fill({ out: qkv.value, value: 7 });
    expect((await backend.read(flat)).filter((x) => x === 7)).toHaveLength(16 * 8);
  });

  it('start where seed and name say: norms at one, matrices at the configured spread, outputs smaller', async () => {
    const { backend, model } = setUp({
      hidden_size: 64,
      intermediate_size: 96,
      head_dim: 32,
      num_hidden_layers: 2,
    });
    const spread = async (name: string): Promise<number> => {
      const value = model.store.parameters.find(({ spec }) => spec.name === name)?.value;
      const numbers = Array.from(await backend.read(value as never));
      return Math.sqrt(numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length);
    };
    expect(await spread('model.layers.0.input_layernorm.weight')).toBe(1);
    expect(await spread('model.layers.0.self_attn.q_proj.weight')).toBeCloseTo(0.4, 1);
    expect(await spread('model.layers.1.self_attn.o_proj.weight')).toBeCloseTo(0.2, 1);
    expect(await spread('model.layers.1.mlp.down_proj.weight')).toBeCloseTo(0.2, 1);
    const same = setUp({ tie_word_embeddings: true }, 5);
    const [a, b, c] = [setUp({}, 5), setUp({}, 5), setUp({}, 6)];
    expect(await a.backend.read(a.model.store.flat)).toEqual(
      await b.backend.read(b.model.store.flat),
    );
    expect(await a.backend.read(a.model.store.flat)).not.toEqual(
      await c.backend.read(c.model.store.flat),
    );
    // Without the head the other parameters stay the same.
    const { size } = same.model.store;
    expect((await a.backend.read(a.model.store.flat)).slice(0, size)).toEqual(
      await same.backend.read(same.model.store.flat),
    );
  });
});

describe('the forward pass', () => {
  it('is causal: later tokens change nothing before them', async () => {
    for (const more of [{}, { model_type: 'qwen3' }]) {
      const on = setUp({ ...more, num_hidden_layers: 2 });
      const whole = await logitsOf(on, [1, 5, 6, 7, 3]);
      const other = await logitsOf(on, [1, 5, 6, 9, 9]);
      expect(other.slice(0, 3)).toEqual(whole.slice(0, 3));
      expect(other[3]).not.toEqual(whole[3]);
    }
  });

  it('sees the order of what came before', async () => {
    const on = setUp({ num_hidden_layers: 2 });
    expect((await logitsOf(on, [1, 5, 6, 7]))[3]).not.toEqual(
      (await logitsOf(on, [1, 6, 5, 7]))[3],
    );
  });

  it('norms the queries and keys of qwen3: their scale does not matter', async () => {
    for (const [model_type, changes] of [
      ['llama', true],
      ['qwen3', false],
    ] as const) {
      const on = setUp({ model_type });
      const before = await logitsOf(on, [1, 5, 6, 7]);
      const projections = on.model.store.parameters.filter(({ spec }) =>
        /[qk]_proj/.test(spec.name),
      );
      expect(projections).toHaveLength(2);
      for (const { value } of projections)
        on.backend.scale({ out: value, a: value, scale: 3, accumulate: false });
      const after = await logitsOf(on, [1, 5, 6, 7]);
      const largest = Math.max(...after.flat().map((x, i) => Math.abs(x - before.flat()[i])));
      if (changes) expect(largest).toBeGreaterThan(0.01);
      else expect(largest).toBeLessThan(1e-4);
    }
  });

  it('reads its answer off the embedding when tied', async () => {
    const on = setUp({ tie_word_embeddings: true });
    expect(on.model.head).toBe(on.model.store.get('model.embed_tokens.weight'));
    expect(setUp().model.head).not.toBe(setUp().model.store.get('model.embed_tokens.weight'));
  });
});

describe('a configuration', () => {
  it.each([
    ['model_type', { model_type: 'gpt2' }],
    ['vocab_size', { vocab_size: 0 }],
    ['hidden_size', { hidden_size: 2.5 }],
    ['head_dim', { model_type: 'qwen3', hidden_size: 8, num_attention_heads: 3 }],
    [
      'hidden_size',
      { hidden_size: 8, num_attention_heads: 3, num_key_value_heads: 1, head_dim: 4 },
    ],
    ['head_dim', { head_dim: 5 }],
    [
      'num_key_value_heads',
      { hidden_size: 12, num_attention_heads: 6, num_key_value_heads: 4, head_dim: 4 },
    ],
    ['attention_bias', { model_type: 'phi3', attention_bias: true }],
    ['hidden_act', { hidden_act: 'gelu' }],
    ['rope_scaling', { rope_scaling: { type: 'dynamic', factor: 2 } }],
    ['rope_scaling', { rope_scaling: { rope_type: 'toString', factor: 2 } }],
    ['rope_scaling.factor', { rope_scaling: { type: 'linear', factor: 0 } }],
    ['rope_parameters.low_freq_factor', { rope_parameters: { rope_type: 'llama3', factor: 2 } }],
    ['rope_scaling.truncate', { rope_scaling: { type: 'yarn', factor: 2, truncate: false } }],
    ['rope_parameters.partial_rotary_factor', { rope_parameters: { partial_rotary_factor: 0.5 } }],
    ['layer_types', { layer_types: ['sliding_attention'] }],
    ['use_sliding_window', { use_sliding_window: true }],
  ])('that is wrong in %s is refused by that name', (field, more) => {
    try {
      config(more);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: 'data', field });
      expect((error as Error).message).toContain(`config.json: ${field}: `);
    }
  });

  it('takes the base of the angles from either field, and keeps what it does not know', () => {
    expect(config({ rope_theta: 500, rope_parameters: { rope_theta: 700 } })).toMatchObject({
      rope_theta: 500,
    });
    expect(config({ torch_dtype: 'float32', use_sliding_window: false })).toMatchObject({
      torch_dtype: 'float32',
    });
  });

  it('writes out the sizes whose defaults families do not share', () => {
    const { num_key_value_heads: _, ...rest } = config();
    expect(explicitConfig(rest)).toMatchObject({ num_key_value_heads: 2, head_dim: 4 });
    expect(explicitConfig(config({ head_dim: 6 }))).toMatchObject({
      num_key_value_heads: 1,
      head_dim: 6,
    });
  });
});
