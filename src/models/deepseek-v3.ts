/**
 * @file DeepSeek-V3 (arXiv:2412.19437): multi-head latent attention, a mixture of experts,
 * multi-token prediction.
 *
 * Comments name the paper's equations. Parameter names are those of the released checkpoint;
 * products of one input are one product (query and key-value down-projections, gate and up, all
 * experts). Attention has two forms that say the same: training and prefill expand keys and values
 * from the latents (equations 1–11), decoding works on the latents themselves, with the
 * up-projections absorbed into queries and outputs (DeepSeek-V2, arXiv:2405.04434, section 2.1.2
 * and appendix C), so that a token's cache is one latent and one rotated key, shared by all heads.
 */
import { architectureOf, cacheWidth } from '../architecture/index.js';
import { type Backend, columns, matrixOf, rows, type Tensor } from '../tensor/backend.js';
import {
  attention,
  concatColumns,
  embedding,
  joinHeads,
  rmsNorm,
  rope,
  ropeInPlace,
  ropeTable,
  splitColumns,
  swiglu,
} from '../tensor/index.js';
import { type Tape, Variable } from '../tensor/tape.js';
import type { Body } from './body.js';
import type { ModelConfig } from './config.js';
import { deepseekDimensions, yarnOf } from './deepseek-v3-config.js';
import { routedExperts } from './experts.js';
import type { ExpertBalance, ForwardInput, KvCache, Model, TokenPredictor } from './model.js';
import { type ParameterSpec, ParameterStore, type StoreOptions } from './parameters.js';
import { project } from './projection.js';
import { ropeThetaOf } from './rope-scaling.js';

/** What a block needs to know of the batch. */
type Context = Omit<ForwardInput, 'ids'>;

/** Name of the gate's bias of a layer, in Hugging Face's words. */
const biasOf = (layer: string): string => `${layer}.mlp.gate.e_score_correction_bias`;

/**
 * ε of the norms of latents, in transformers and in the released code, whatever `rms_norm_eps` is.
 */
const LATENT_EPSILON = 1e-6;

/** Every parameter; projections back into the residual stream start smaller by √(2·layers). */
export function deepseekParameters(config: ModelConfig): ParameterSpec[] {
  const d = deepseekDimensions(config);
  const std = config.initializer_range;
  const stdOut = std / Math.sqrt(2 * d.layers);
  const specs: ParameterSpec[] = [];
  const matrix = (
    name: string,
    height: number,
    breadth: number,
    init: number,
    fuse?: string,
  ): void =>
    void specs.push({
      name: `${name}.weight`,
      shape: [height, breadth],
      role: 'matrix',
      init,
      fuse,
    });
  const norm = (name: string, size: number): void =>
    void specs.push({ name: `${name}.weight`, shape: [size], role: 'norm', init: 'ones' });
  const gated = (name: string, width: number, fuse: string): void => {
    matrix(`${name}.gate_proj`, width, d.width, std, fuse);
    matrix(`${name}.up_proj`, width, d.width, std, fuse);
  };

  /** One transformer block: attention, and experts or a dense network. */
  function block(layer: string, dense: boolean): void {
    const attn = `${layer}.self_attn`;
    const queries = d.heads * (d.nope + d.rope);
    if (d.queryRank === null) matrix(`${attn}.q_proj`, queries, d.width, std);
    else matrix(`${attn}.q_a_proj`, d.queryRank, d.width, std, `${attn}.down`);
    matrix(`${attn}.kv_a_proj_with_mqa`, d.latent + d.rope, d.width, std, `${attn}.down`);
    if (d.queryRank !== null) {
      norm(`${attn}.q_a_layernorm`, d.queryRank);
      matrix(`${attn}.q_b_proj`, queries, d.queryRank, std);
    }
    norm(`${attn}.kv_a_layernorm`, d.latent);
    matrix(`${attn}.kv_b_proj`, d.heads * (d.nope + d.value), d.latent, std);
    matrix(`${attn}.o_proj`, d.width, d.heads * d.value, stdOut);
    norm(`${layer}.input_layernorm`, d.width);
    norm(`${layer}.post_attention_layernorm`, d.width);
    const mlp = `${layer}.mlp`;
    if (dense) {
      gated(mlp, d.denseFfn, `${mlp}.gateUp`);
      matrix(`${mlp}.down_proj`, d.width, d.denseFfn, stdOut);
      return;
    }
    for (let e = 0; e < d.experts; e++)
      gated(`${mlp}.experts.${e}`, d.expertFfn, `${mlp}.experts.gateUp`);
    for (let e = 0; e < d.experts; e++) {
      matrix(`${mlp}.experts.${e}.down_proj`, d.width, d.expertFfn, stdOut, `${mlp}.experts.down`);
    }
    const sharedFfn = d.sharedExperts * d.expertFfn;
    gated(`${mlp}.shared_experts`, sharedFfn, `${mlp}.shared_experts.gateUp`);
    matrix(`${mlp}.shared_experts.down_proj`, d.width, sharedFfn, stdOut);
    specs.push({
      name: `${mlp}.gate.weight`,
      shape: [d.experts, d.width],
      role: 'router',
      init: std,
    });
    specs.push({ name: biasOf(layer), shape: [d.experts], role: 'buffer', init: 0 });
  }

  for (let i = 0; i < d.layers; i++) block(`model.layers.${i}`, i < d.denseLayers);
  norm('model.norm', d.width);
  specs.push({
    name: 'model.embed_tokens.weight',
    shape: [d.vocabulary, d.width],
    role: 'embedding',
    init: std,
  });
  if (!config.tie_word_embeddings) {
    specs.push({
      name: 'lm_head.weight',
      shape: [d.vocabulary, d.width],
      role: 'embedding',
      init: std,
    });
  }
  const main = specs.length;
  for (let i = d.layers; i < d.layers + d.mtpLayers; i++) {
    const layer = `model.layers.${i}`;
    norm(`${layer}.enorm`, d.width);
    norm(`${layer}.hnorm`, d.width);
    matrix(`${layer}.eh_proj`, d.width, 2 * d.width, std);
    block(layer, false);
    norm(`${layer}.shared_head.norm`, d.width);
  }
  // What an adapter of would not load in PEFT: it knows no prediction module, and takes the names
  // of networks for those of experts.
  specs.forEach((spec, i) => {
    if (i >= main || spec.name.includes('.mlp.')) spec.adaptable = false;
  });
  return specs;
}

function createDeepseek(backend: Backend, config: ModelConfig, options: StoreOptions = {}): Model {
  const d = deepseekDimensions(config);
  const architecture = architectureOf(config);
  const store = new ParameterStore(backend, deepseekParameters(config), options);
  const scaled = yarnOf(config);
  const table = ropeTable(backend, {
    headDim: d.rope,
    theta: ropeThetaOf(config),
    positions: config.max_position_embeddings,
    yarn: scaled?.yarn,
  });
  const epsilon = config.rms_norm_eps;
  const scale = (scaled?.scoreFactor ?? 1) / Math.sqrt(d.nope + d.rope);
  const head = store.get(
    config.tie_word_embeddings ? 'model.embed_tokens.weight' : 'lm_head.weight',
  );
  const routing = {
    groups: d.groups,
    topGroups: d.topGroups,
    normalize: d.normalize,
    scale: d.scaling,
  };
  const layerNames = Array.from({ length: d.layers + d.mtpLayers }, (_, i) => `model.layers.${i}`);
  // Under an adapter the gates are frozen, too, and nobody balances.
  const experts: ExpertBalance | undefined =
    store.adapted || layerNames.length === d.denseLayers
      ? undefined
      : {
          count: d.experts,
          topK: d.topK,
          layers: layerNames.slice(d.denseLayers),
          // Buffers lie together, and there are no others.
          biases: backend.view(store.flat, store.trainableSize, [
            layerNames.length - d.denseLayers,
            d.experts,
          ]),
          load: null,
        };
  const norm = (tape: Tape, x: Variable, name: string, e = epsilon): Variable =>
    rmsNorm(tape, x, store.get(`${name}.weight`), e);

  /**
   * Multi-head latent attention (section 2.1.1) of layer `i` on x, added to x. `slot` is the
   * layer's place in the cache.
   */
  function attend(tape: Tape, i: number, slot: number, x: Variable, input: Context): Variable {
    const layer = layerNames[i];
    const attn = `${layer}.self_attn`;
    const h = norm(tape, x, `${layer}.input_layernorm`);
    // Equations 1, 3 and 6: the latents of keys and values, the shared positional key, and the
    // latents of queries.
    const down = project(tape, store, `${attn}.down`, h);
    let q: Variable;
    let latent: Variable;
    let shared: Variable;
    if (d.queryRank === null) {
      q = project(tape, store, `${attn}.q_proj.weight`, h);
      [latent, shared] = splitColumns(tape, down, [d.latent, d.rope]);
    } else {
      let queries: Variable;
      [queries, latent, shared] = splitColumns(tape, down, [d.queryRank, d.latent, d.rope]);
      q = project(
        tape,
        store,
        `${attn}.q_b_proj.weight`,
        norm(tape, queries, `${attn}.q_a_layernorm`, LATENT_EPSILON),
      ); // equations 7 and 8
    }
    const place = { heads: d.heads, from: d.nope, interleaved: d.interleaved };
    q = ropeInPlace(tape, q, input.positions, table, place);
    latent = norm(tape, latent, `${attn}.kv_a_layernorm`, LATENT_EPSILON);
    shared = rope(tape, shared, input.positions, table, d.interleaved);
    if (input.cache && input.cacheRows)
      remember(input.cache.keys[slot], latent.value, shared.value, input.cacheRows);

    let out: Variable;
    if (input.tables && input.cache) {
      out = new Variable(absorbed(`${attn}.kv_b_proj.weight`, q.value, slot, input), false);
    } else {
      const up = project(tape, store, `${attn}.kv_b_proj.weight`, latent); // equations 2 and 5
      const { k, v } = joinHeads(tape, up, shared, d.heads, d.nope); // equation 4
      // equation 10
      out = attention(tape, q, k, v, input, { heads: d.heads, kvHeads: d.heads, scale });
    }
    return project(tape, store, `${attn}.o_proj.weight`, out, { residual: x }); // equation 11
  }

  /** Writes a row [latent | rotated key] of the cache for each token. */
  function remember(cache: Tensor, latent: Tensor, shared: Tensor, cacheRows: Tensor): void {
    const both = backend.allocate('f32', [matrixOf(latent).rows, d.latent + d.rope]);
    backend.copy({ out: columns(backend, both, 0, d.latent), a: latent });
    backend.copy({ out: columns(backend, both, d.latent, d.latent + d.rope), a: shared });
    backend.scatterRows({ out: cache, a: both, rows: cacheRows, accumulate: false });
  }

  /**
   * Attention on latents: with W_UK and W_UV the rows of kv_b_proj that make a head's keys and
   * values, q·(W_UK c) = (W_UKᵀ q)·c and Σ p·(W_UV c) = W_UV Σ p·c. q [B, heads·(nope + rope)],
   * rotated; returns [B, heads·value].
   */
  function absorbed(weight: string, q: Tensor, slot: number, input: Context): Tensor {
    const { cache, tables } = input as Required<Pick<ForwardInput, 'cache' | 'tables'>>;
    const up = store.get(weight).value;
    const batch = matrixOf(q).rows;
    // What an adapter adds to the up-projections: s·B·A beside each head's rows, B's rows for
    // those.
    const adapter = store.adapterOf(weight);
    const low = adapter && {
      down: adapter.down.value,
      up: adapter.ups[0].up.value,
      scale: adapter.scale,
    };
    const inner = low && backend.allocate('f32', [batch, low.down.shape[0]]);
    const wide = d.latent + d.rope;
    const narrow = d.nope + d.rope;
    const queries = backend.allocate('f32', [batch, d.heads * wide]);
    const mixed = backend.allocate('f32', [batch, d.heads * d.latent]);
    const out = backend.allocate('f32', [batch, d.heads * d.value]);
    const ofHeads = (tensor: Tensor, breadth: number, from: number): Tensor =>
      columns(backend, backend.view(tensor, 0, [batch * d.heads, breadth]), from, breadth);
    backend.copy({ out: ofHeads(queries, wide, d.latent), a: ofHeads(q, narrow, d.nope) });
    const block = (tensor: Tensor, h: number, stride: number, size: number): Tensor =>
      columns(backend, tensor, h * stride, h * stride + size);
    for (let h = 0; h < d.heads; h++) {
      const from = h * (d.nope + d.value);
      const [to, of] = [block(queries, h, wide, d.latent), block(q, h, narrow, d.nope)];
      backend.matmul({ out: to, a: of, b: rows(backend, up, from, from + d.nope) });
      if (!low || !inner) continue;
      backend.matmul({ out: inner, a: of, b: rows(backend, low.up, from, from + d.nope) });
      backend.matmul({ out: to, a: inner, b: low.down, accumulate: true, alpha: low.scale });
    }
    const options = { heads: d.heads, kvHeads: 1, scale };
    backend.attentionCached({
      out: mixed,
      q: queries,
      keys: cache.keys[slot],
      values: cache.values[slot],
      ...tables,
      ...options,
    });
    for (let h = 0; h < d.heads; h++) {
      const from = h * (d.nope + d.value) + d.nope;
      const [to, of] = [block(out, h, d.value, d.value), block(mixed, h, d.latent, d.latent)];
      backend.matmul({
        out: to,
        a: of,
        b: rows(backend, up, from, from + d.value),
        transposeB: true,
      });
      if (!low || !inner) continue;
      backend.matmul({ out: inner, a: of, b: low.down, transposeB: true });
      backend.matmul({
        out: to,
        a: inner,
        b: rows(backend, low.up, from, from + d.value),
        transposeB: true,
        accumulate: true,
        alpha: low.scale,
      });
    }
    return out;
  }

  /** A dense network, or the shared experts: x + swiglu(h). */
  function feedForward(tape: Tape, mlp: string, x: Variable, h: Variable): Variable {
    const gatedUp = swiglu(tape, project(tape, store, `${mlp}.gateUp`, h));
    return project(tape, store, `${mlp}.down_proj.weight`, gatedUp, { residual: x });
  }

  /** DeepSeekMoE (section 2.1.2) of layer `i`, added to x. */
  function mixture(tape: Tape, i: number, x: Variable, h: Variable, input: Context): Variable {
    const mlp = `${layerNames[i]}.mlp`;
    const load =
      experts?.load && tape.recording
        ? backend.view(experts.load, (i - d.denseLayers) * d.experts, [d.experts])
        : null;
    const layer = {
      gate: `${mlp}.gate.weight`,
      gateUp: `${mlp}.experts.gateUp`,
      down: `${mlp}.experts.down`,
      bias: store.get(biasOf(layerNames[i])).value,
      experts: d.experts,
      topK: d.topK,
      routing,
    };
    const shared = () => feedForward(tape, `${mlp}.shared_experts`, x, h);
    return routedExperts(tape, store, layer, h, shared, input, load); // equations 12–20
  }

  function block(tape: Tape, i: number, slot: number, x: Variable, input: Context): Variable {
    const attended = attend(tape, i, slot, x, input);
    const h = norm(tape, attended, `${layerNames[i]}.post_attention_layernorm`);
    if (i < d.denseLayers) return feedForward(tape, `${layerNames[i]}.mlp`, attended, h);
    return mixture(tape, i, attended, h, input);
  }

  function forward(tape: Tape, input: ForwardInput): Variable {
    let x = embedding(tape, store.get('model.embed_tokens.weight'), input.ids);
    for (let i = 0; i < d.layers; i++)
      x = tape.segment(x, (inner, h) => block(inner, i, i, h, input));
    return norm(tape, x, 'model.norm');
  }

  /** Latents of `layers` layers; values are the latents in the keys. */
  function latentCache(layers: number, cacheRows: number): KvCache {
    const keys = Array.from({ length: layers }, () =>
      backend.allocate('f32', [cacheRows, d.latent + d.rope]),
    );
    const values = keys.map((tensor) => columns(backend, tensor, 0, d.latent));
    return { rows: cacheRows, keys, values, bytesPerToken: layers * cacheWidth(architecture) * 4 };
  }

  /**
   * Multi-token prediction (section 2.2): from a token's hidden state and the token after it, what
   * comes after that.
   */
  function predictor(): TokenPredictor {
    const layer = layerNames[d.layers];
    return {
      forward(tape, hidden, nextIds, input) {
        const next = norm(
          tape,
          embedding(tape, store.get('model.embed_tokens.weight'), nextIds),
          `${layer}.enorm`,
        );
        const joined = concatColumns(tape, next, norm(tape, hidden, `${layer}.hnorm`)); // equation 21; the checkpoint has the token first
        const x = project(tape, store, `${layer}.eh_proj.weight`, joined);
        const out = tape.segment(x, (inner, h) => block(inner, d.layers, 0, h, input));
        return norm(tape, out, `${layer}.shared_head.norm`); // equations 22 and 23
      },
      createCache: (cacheRows) => latentCache(1, cacheRows),
    };
  }

  return {
    config,
    architecture,
    store,
    forward,
    head,
    createCache: (cacheRows) => latentCache(d.layers, cacheRows),
    experts,
    predictor: d.mtpLayers > 0 ? predictor() : undefined,
  };
}

/** Multi-head latent attention with DeepSeek's experts. */
export const latentBody: Body = { parameters: deepseekParameters, create: createDeepseek };
