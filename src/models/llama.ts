/**
 * @file The Llama decoder, and Qwen's, which differs by a bias (Qwen2) or a norm on each head
 * (Qwen3) of queries and keys.
 *
 * x ← embedding(ids); for each layer: x ← x + attention(norm(x)); x ← x + swiglu(norm(x)); x ←
 * norm(x). Grouped-query attention (Ainslie et al. 2023), rotary positions (Su et al. 2021),
 * RMSNorm (Zhang and Sennrich 2019), SwiGLU (Shazeer 2020); Llama (Touvron et al. 2023), Qwen2
 * (2024) and Qwen3 (2025) technical reports. Parameter names are Hugging Face's. Query, key and
 * value projections are one matrix product, and so are gate and up.
 */
import { architectureOf, cacheWidth } from '../architecture/index.js';
import type { Backend } from '../tensor/backend.js';
import {
  attention,
  embedding,
  type RopeTable,
  rmsNorm,
  rope,
  ropeTable,
  splitColumns,
  swiglu,
} from '../tensor/index.js';
import { type Tape, Variable } from '../tensor/tape.js';
import { dimensionsOf, type ModelConfig, ropeThetaOf } from './config.js';
import type { ForwardInput, KvCache, Model } from './model.js';
import { type ParameterSpec, ParameterStore, type StoreOptions } from './parameters.js';
import { project } from './projection.js';
import { ropeTableScaling } from './rope-scaling.js';

/**
 * Every parameter, in Hugging Face's names; projections back into the residual stream start smaller
 * by √(2·layers).
 */
export function llamaParameters(config: ModelConfig): ParameterSpec[] {
  const { width, layers, heads, kvHeads, headDim, ffn, vocabulary } = dimensionsOf(config);
  const std = config.initializer_range;
  const stdOut = std / Math.sqrt(2 * layers);
  const specs: ParameterSpec[] = [];
  for (let i = 0; i < layers; i++) {
    const layer = `model.layers.${i}`;
    const matrix = (
      name: string,
      rows: number,
      columns: number,
      init: number,
      fuse?: string,
    ): void => {
      specs.push({
        name: `${layer}.${name}.weight`,
        shape: [rows, columns],
        role: 'matrix',
        init,
        fuse: fuse && `${layer}.${fuse}`,
      });
    };
    matrix('self_attn.q_proj', heads * headDim, width, std, 'qkv');
    matrix('self_attn.k_proj', kvHeads * headDim, width, std, 'qkv');
    matrix('self_attn.v_proj', kvHeads * headDim, width, std, 'qkv');
    matrix('self_attn.o_proj', width, heads * headDim, stdOut);
    matrix('mlp.gate_proj', ffn, width, std, 'gateUp');
    matrix('mlp.up_proj', ffn, width, std, 'gateUp');
    matrix('mlp.down_proj', width, ffn, stdOut);
  }
  // Biases of one product lie next to each other, as its matrices do.
  for (let i = 0; i < layers && config.model_type === 'qwen2'; i++) {
    for (const [name, rows] of [
      ['q', heads],
      ['k', kvHeads],
      ['v', kvHeads],
    ] as const) {
      const bias = {
        shape: [rows * headDim],
        role: 'bias',
        init: 0,
        fuse: `model.layers.${i}.qkvBias`,
      } as const;
      specs.push({ name: `model.layers.${i}.self_attn.${name}_proj.bias`, ...bias });
    }
  }
  const norm = (name: string, size: number): void => {
    specs.push({ name: `${name}.weight`, shape: [size], role: 'norm', init: 'ones' });
  };
  for (let i = 0; i < layers; i++) {
    norm(`model.layers.${i}.input_layernorm`, width);
    norm(`model.layers.${i}.post_attention_layernorm`, width);
    if (config.model_type === 'qwen3') {
      norm(`model.layers.${i}.self_attn.q_norm`, headDim);
      norm(`model.layers.${i}.self_attn.k_norm`, headDim);
    }
  }
  norm('model.norm', width);
  specs.push({
    name: 'model.embed_tokens.weight',
    shape: [vocabulary, width],
    role: 'embedding',
    init: std,
  });
  if (!config.tie_word_embeddings) {
    specs.push({
      name: 'lm_head.weight',
      shape: [vocabulary, width],
      role: 'embedding',
      init: std,
    });
  }
  return specs;
}

export function createLlama(
  backend: Backend,
  config: ModelConfig,
  options: StoreOptions = {},
): Model {
  const { layers, heads, kvHeads, headDim } = dimensionsOf(config);
  const architecture = architectureOf(config);
  const store = new ParameterStore(backend, llamaParameters(config), options);
  const theta = ropeThetaOf(config);
  const positions = config.max_position_embeddings;
  const table: RopeTable = ropeTable(backend, {
    headDim,
    theta,
    positions,
    ...ropeTableScaling(config, headDim, theta),
  });
  const epsilon = config.rms_norm_eps;
  const attentionOptions = { heads, kvHeads, scale: 1 / Math.sqrt(headDim) };
  const head = store.get(
    config.tie_word_embeddings ? 'model.embed_tokens.weight' : 'lm_head.weight',
  );

  /** Self-attention of layer i on normed hidden states h (N, width), added to x. */
  function attend(tape: Tape, i: number, x: Variable, h: Variable, input: ForwardInput): Variable {
    const layer = `model.layers.${i}`;
    const bias = config.model_type === 'qwen2' ? store.get(`${layer}.qkvBias`) : undefined;
    const qkv = project(tape, store, `${layer}.qkv`, h, { bias });
    let [q, k, v] = splitColumns(tape, qkv, [
      heads * headDim,
      kvHeads * headDim,
      kvHeads * headDim,
    ]);
    if (config.model_type === 'qwen3') {
      q = rmsNorm(tape, q, store.get(`${layer}.self_attn.q_norm.weight`), epsilon);
      k = rmsNorm(tape, k, store.get(`${layer}.self_attn.k_norm.weight`), epsilon);
    }
    q = rope(tape, q, input.positions, table);
    k = rope(tape, k, input.positions, table);
    if (input.cache && input.cacheRows) {
      backend.scatterRows({
        out: input.cache.keys[i],
        a: k.value,
        rows: input.cacheRows,
        accumulate: false,
      });
      backend.scatterRows({
        out: input.cache.values[i],
        a: v.value,
        rows: input.cacheRows,
        accumulate: false,
      });
    }
    let out: Variable;
    if (input.tables && input.cache) {
      out = new Variable(backend.allocate('f32', [q.shape[0], heads * headDim]), false);
      backend.attentionCached({
        out: out.value,
        q: q.value,
        keys: input.cache.keys[i],
        values: input.cache.values[i],
        ...input.tables,
        ...attentionOptions,
      });
    } else {
      out = attention(tape, q, k, v, input, attentionOptions);
    }
    return project(tape, store, `${layer}.self_attn.o_proj.weight`, out, { residual: x });
  }

  /** Layer i on hidden states x0 (N, width). */
  function decoderLayer(tape: Tape, i: number, x0: Variable, input: ForwardInput): Variable {
    const layer = `model.layers.${i}`;
    const x = attend(
      tape,
      i,
      x0,
      rmsNorm(tape, x0, store.get(`${layer}.input_layernorm.weight`), epsilon),
      input,
    );
    const h = rmsNorm(tape, x, store.get(`${layer}.post_attention_layernorm.weight`), epsilon);
    const gated = swiglu(tape, project(tape, store, `${layer}.gateUp`, h));
    return project(tape, store, `${layer}.mlp.down_proj.weight`, gated, { residual: x });
  }

  function forward(tape: Tape, input: ForwardInput): Variable {
    let x = embedding(tape, store.get('model.embed_tokens.weight'), input.ids);
    for (let i = 0; i < layers; i++)
      x = tape.segment(x, (inner, h) => decoderLayer(inner, i, h, input));
    return rmsNorm(tape, x, store.get('model.norm.weight'), epsilon);
  }

  function createCache(rows: number): KvCache {
    const make = () =>
      Array.from({ length: layers }, () => backend.allocate('f32', [rows, kvHeads * headDim]));
    return {
      rows,
      keys: make(),
      values: make(),
      bytesPerToken: layers * cacheWidth(architecture) * 4,
    };
  }

  return { config, architecture, store, forward, head, createCache };
}
