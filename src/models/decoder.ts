/**
 * @file A decoder with grouped-query attention: Llama, and the families that differ from it by a
 * few options (decoder-config.ts).
 *
 * x ← embedding(ids); for each layer: x ← x + attention(norm(x)); x ← x + network(norm(x)); x ←
 * norm(x). Grouped-query attention (Ainslie et al. 2023), rotary positions (Su et al. 2021),
 * RMSNorm (Zhang and Sennrich 2019), SwiGLU or GeGLU (Shazeer 2020), experts (experts.ts). Norms
 * may stand after a block instead (OLMo 2), or on both sides (Gemma 3). Parameter names are Hugging
 * Face's. Query, key and value projections are one matrix product, and so are gate and up.
 */
import { architectureOf, cacheWidth } from '../architecture/index.js';
import type { Backend, Tensor } from '../tensor/backend.js';
import {
  add,
  attention,
  embedding,
  geglu,
  type RopeTable,
  rmsNorm,
  rope,
  ropeInPlace,
  ropeTable,
  scaled,
  splitColumns,
  swiglu,
} from '../tensor/index.js';
import { type Tape, Variable } from '../tensor/tape.js';
import type { Body } from './body.js';
import type { ModelConfig } from './config.js';
import { type DecoderShape, decoderShape, familyOfConfig } from './decoder-config.js';
import { type MixtureLayer, routedExperts } from './experts.js';
import type { ForwardInput, KvCache, Model } from './model.js';
import { type ParameterSpec, ParameterStore, type StoreOptions } from './parameters.js';
import { project } from './projection.js';
import { type RopeKind, ropeTableScaling, ropeThetaOf } from './rope-scaling.js';

/** Names of a layer's norms by what they stand before or after, as transformers has them. */
export const NORMS: Record<
  DecoderShape['norms'],
  { before?: [attention: string, network: string]; after?: [attention: string, network: string] }
> = {
  before: { before: ['input_layernorm', 'post_attention_layernorm'] },
  after: { after: ['post_attention_layernorm', 'post_feedforward_layernorm'] },
  around: {
    before: ['input_layernorm', 'pre_feedforward_layernorm'],
    after: ['post_attention_layernorm', 'post_feedforward_layernorm'],
  },
};

/** Names of a family's weights in a layer, and of the variables that they form. */
export function layerNames(config: ModelConfig) {
  const { fused, experts } = familyOfConfig(config).engine;
  const part = experts ?? { block: 'mlp', gate: 'gate_proj', up: 'up_proj', down: 'down_proj' };
  return {
    qkv: fused ? 'self_attn.qkv_proj.weight' : 'qkv',
    gateUp: fused ? 'mlp.gate_up_proj.weight' : 'gateUp',
    fused: fused === true,
    router: `${part.block}.gate.weight`,
    /** One part of expert e. */
    expert: (e: number, kind: 'gate' | 'up' | 'down') =>
      `${part.block}.experts.${e}.${part[kind]}.weight`,
    expertGateUp: `${part.block}.experts.gateUp`,
    expertDown: `${part.block}.experts.down`,
  };
}

/**
 * Every parameter, in Hugging Face's names; projections back into the residual stream start smaller
 * by √(2·layers).
 */
export function decoderParameters(config: ModelConfig): ParameterSpec[] {
  const shape = decoderShape(config);
  const { width, heads, kvHeads, headDim, ffn, vocabulary, layers, experts } = shape;
  const { norm: normKind } = familyOfConfig(config).engine;
  const names = layerNames(config);
  const std = config.initializer_range;
  const stdOut = std / Math.sqrt(2 * layers.length);
  const specs: ParameterSpec[] = [];
  layers.forEach(({ sparse }, i) => {
    const layer = `model.layers.${i}`;
    const matrix = (
      name: string,
      rows: number,
      columns: number,
      init: number,
      fuse?: string,
    ): void => {
      specs.push({
        name: `${layer}.${name}`,
        shape: [rows, columns],
        role: 'matrix',
        init,
        fuse: fuse && `${layer}.${fuse}`,
        // What an adapter of would not load in PEFT, which takes the names of networks for those of
        // experts.
        ...(experts && !name.startsWith('self_attn') && { adaptable: false }),
      });
    };
    if (names.fused) matrix(names.qkv, (heads + 2 * kvHeads) * headDim, width, std);
    else {
      matrix('self_attn.q_proj.weight', heads * headDim, width, std, names.qkv);
      matrix('self_attn.k_proj.weight', kvHeads * headDim, width, std, names.qkv);
      matrix('self_attn.v_proj.weight', kvHeads * headDim, width, std, names.qkv);
    }
    matrix('self_attn.o_proj.weight', width, heads * headDim, stdOut);
    if (sparse && experts) {
      const each = Array.from({ length: experts.count }, (_, e) => e);
      for (const e of each)
        for (const kind of ['gate', 'up'] as const)
          matrix(names.expert(e, kind), experts.ffn, width, std, names.expertGateUp);
      for (const e of each)
        matrix(names.expert(e, 'down'), width, experts.ffn, stdOut, names.expertDown);
      return;
    }
    if (names.fused) matrix(names.gateUp, 2 * ffn, width, std);
    else {
      matrix('mlp.gate_proj.weight', ffn, width, std, names.gateUp);
      matrix('mlp.up_proj.weight', ffn, width, std, names.gateUp);
    }
    matrix('mlp.down_proj.weight', width, ffn, stdOut);
  });
  layers.forEach(({ sparse }, i) => {
    const layer = `model.layers.${i}`;
    // Biases of one product lie next to each other, as its matrices do.
    const bias = (name: string, size: number, fuse?: string): void => {
      specs.push({
        name: `${layer}.self_attn.${name}.bias`,
        shape: [size],
        role: 'bias',
        init: 0,
        fuse,
      });
    };
    if (shape.bias !== 'none') {
      bias('q_proj', heads * headDim, `${layer}.qkvBias`);
      bias('k_proj', kvHeads * headDim, `${layer}.qkvBias`);
      bias('v_proj', kvHeads * headDim, `${layer}.qkvBias`);
    }
    if (shape.bias === 'all') bias('o_proj', width);
    if (sparse && experts) {
      const router = { shape: [experts.count, width], role: 'router', init: std } as const;
      specs.push({ name: `${layer}.${names.router}`, ...router });
    }
  });
  const norm = (name: string, size: number): void => {
    const init = normKind === 'one-plus' ? 0 : 'ones';
    specs.push({ name: `${name}.weight`, shape: [size], role: 'norm', init });
  };
  const { before = [], after = [] } = NORMS[shape.norms];
  layers.forEach((_, i) => {
    const layer = `model.layers.${i}`;
    for (const name of [...before, ...after]) norm(`${layer}.${name}`, width);
    if (shape.qkNorm === 'none') return;
    const whole = shape.qkNorm === 'all';
    norm(`${layer}.self_attn.q_norm`, whole ? heads * headDim : headDim);
    norm(`${layer}.self_attn.k_norm`, whole ? kvHeads * headDim : headDim);
  });
  norm('model.norm', width);
  const table = { shape: [vocabulary, width], role: 'embedding', init: std } as const;
  specs.push({ name: 'model.embed_tokens.weight', ...table });
  if (!config.tie_word_embeddings) specs.push({ name: 'lm_head.weight', ...table });
  return specs;
}

/** Softmax over all experts, in no groups. */
const ANY_EXPERT = { groups: 1, topGroups: 1, scale: 1, softmax: true };

/** Angles for each kind of layer. */
function ropeTables(
  backend: Backend,
  config: ModelConfig,
  { layers, rotary }: DecoderShape,
): Map<RopeKind, RopeTable> {
  const tables = new Map<RopeKind, RopeTable>();
  for (const { rope: kind } of layers) {
    if (kind === null || tables.has(kind)) continue;
    const theta = ropeThetaOf(config, kind);
    const positions = config.max_position_embeddings;
    const scaling = ropeTableScaling(config, rotary, theta, kind);
    tables.set(kind, ropeTable(backend, { headDim: rotary, theta, positions, ...scaling }));
  }
  return tables;
}

function cacheOf(
  backend: Backend,
  { layers, kvHeads, headDim }: DecoderShape,
  rows: number,
  width: number,
): KvCache {
  const make = () => layers.map(() => backend.allocate('f32', [rows, kvHeads * headDim]));
  return { rows, keys: make(), values: make(), bytesPerToken: layers.length * width * 4 };
}

function constant(backend: Backend, size: number, value: number): Tensor {
  const tensor = backend.allocate('f32', [size]);
  backend.fill({ out: tensor, value });
  return tensor;
}

/** What all layers do alike: norms, additions to the residual stream, rotations. */
function partsOf(
  backend: Backend,
  store: ParameterStore,
  config: ModelConfig,
  shape: DecoderShape,
) {
  const { width, headDim, rotary } = shape;
  const { engine } = familyOfConfig(config);
  const epsilon = config.rms_norm_eps;
  const tables = ropeTables(backend, config, shape);
  const ones = engine.norm === 'one-plus' ? constant(backend, Math.max(width, headDim), 1) : null;

  function norm(tape: Tape, x: Variable, name: string): Variable {
    const weight = store.get(`${name}.weight`);
    if (!ones) return rmsNorm(tape, x, weight, epsilon);
    const one = new Variable(backend.view(ones, 0, weight.shape), false);
    return rmsNorm(tape, x, add(tape, weight, one), epsilon);
  }

  /** x plus what a block made, whose last product this is, normed and scaled by the family. */
  function residual(
    tape: Tape,
    x: Variable,
    last: (onto?: Variable) => Variable,
    after: string | undefined,
  ): Variable {
    if (after === undefined && shape.residualScale === 1) return last(x);
    let out = last();
    if (after !== undefined) out = norm(tape, out, after);
    if (shape.residualScale !== 1) out = scaled(tape, out, shape.residualScale);
    return add(tape, x, out);
  }

  function rotate(tape: Tape, x: Variable, count: number, kind: RopeKind, input: ForwardInput) {
    const table = tables.get(kind) as RopeTable;
    if (rotary === headDim) return rope(tape, x, input.positions, table);
    const place = { heads: count, from: 0, interleaved: false };
    return ropeInPlace(tape, scaled(tape, x, 1), input.positions, table, place);
  }

  return { norm, residual, rotate };
}

function createDecoder(backend: Backend, config: ModelConfig, options: StoreOptions = {}): Model {
  const shape = decoderShape(config);
  const { heads, kvHeads, headDim, layers, scale } = shape;
  const { engine } = familyOfConfig(config);
  const architecture = architectureOf(config);
  const store = new ParameterStore(backend, decoderParameters(config), options);
  const attentionOptions = { heads, kvHeads, scale };
  const names = layerNames(config);
  const { before, after } = NORMS[shape.norms];
  const head = store.get(
    config.tie_word_embeddings ? 'model.embed_tokens.weight' : 'lm_head.weight',
  );
  const { norm, residual, rotate } = partsOf(backend, store, config, shape);
  const gateBias = shape.experts && constant(backend, shape.experts.count, 0);

  /** Self-attention of layer i on h (N, width), the hidden states x or their norm, added to x. */
  function attend(tape: Tape, i: number, x: Variable, h: Variable, input: ForwardInput): Variable {
    const layer = `model.layers.${i}`;
    const bias = shape.bias === 'none' ? undefined : store.get(`${layer}.qkvBias`);
    const qkv = project(tape, store, `${layer}.${names.qkv}`, h, { bias });
    let [q, k, v] = splitColumns(tape, qkv, [
      heads * headDim,
      kvHeads * headDim,
      kvHeads * headDim,
    ]);
    if (shape.qkNorm !== 'none') {
      q = norm(tape, q, `${layer}.self_attn.q_norm`);
      k = norm(tape, k, `${layer}.self_attn.k_norm`);
    }
    const { rope: kind } = layers[i];
    if (kind !== null) {
      q = rotate(tape, q, heads, kind, input);
      k = rotate(tape, k, kvHeads, kind, input);
    }
    if (input.cache && input.cacheRows) {
      const { cache, cacheRows: rows } = input;
      backend.scatterRows({ out: cache.keys[i], a: k.value, rows, accumulate: false });
      backend.scatterRows({ out: cache.values[i], a: v.value, rows, accumulate: false });
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
    const outBias = shape.bias === 'all' ? store.get(`${layer}.self_attn.o_proj.bias`) : undefined;
    const last = (onto?: Variable): Variable =>
      project(tape, store, `${layer}.self_attn.o_proj.weight`, out, {
        residual: onto,
        bias: outBias,
      });
    return residual(tape, x, last, after && `${layer}.${after[0]}`);
  }

  /** A dense network, or experts, on h, added to x. */
  function network(tape: Tape, i: number, x: Variable, h: Variable, input: ForwardInput): Variable {
    const layer = `model.layers.${i}`;
    const { experts } = shape;
    if (layers[i].sparse && experts && gateBias) {
      const { count, topK, normalize } = experts;
      const mixture: MixtureLayer = {
        gate: `${layer}.${names.router}`,
        gateUp: `${layer}.${names.expertGateUp}`,
        down: `${layer}.${names.expertDown}`,
        bias: gateBias,
        experts: count,
        topK,
        routing: { ...ANY_EXPERT, normalize },
      };
      return routedExperts(tape, store, mixture, h, () => x, input);
    }
    const gateUp = project(tape, store, `${layer}.${names.gateUp}`, h);
    const gated = engine.activation ? geglu(tape, gateUp) : swiglu(tape, gateUp);
    const last = (onto?: Variable): Variable =>
      project(tape, store, `${layer}.mlp.down_proj.weight`, gated, { residual: onto });
    return residual(tape, x, last, after && `${layer}.${after[1]}`);
  }

  /** Layer i on hidden states x0 (N, width). */
  function decoderLayer(tape: Tape, i: number, x0: Variable, input: ForwardInput): Variable {
    const normed = (x: Variable, name: string | undefined): Variable =>
      name === undefined ? x : norm(tape, x, `model.layers.${i}.${name}`);
    const x = attend(tape, i, x0, normed(x0, before?.[0]), input);
    return network(tape, i, x, normed(x, before?.[1]), input);
  }

  function forward(tape: Tape, input: ForwardInput): Variable {
    let x = embedding(tape, store.get('model.embed_tokens.weight'), input.ids);
    if (shape.embeddingScale !== 1) x = scaled(tape, x, shape.embeddingScale);
    for (let i = 0; i < layers.length; i++)
      x = tape.segment(x, (inner, h) => decoderLayer(inner, i, h, input));
    const out = norm(tape, x, 'model.norm');
    return shape.logitScale === 1 ? out : scaled(tape, out, shape.logitScale);
  }

  return {
    config,
    architecture,
    store,
    forward,
    head,
    createCache: (rows) => cacheOf(backend, shape, rows, cacheWidth(architecture)),
  };
}

/** Decoders with grouped-query attention. */
export const decoderBody: Body = { parameters: decoderParameters, create: createDecoder };
