/**
 * @file The sizes and options of a decoder with grouped-query attention: what its family fixes and
 * its configuration writes, in one form for every family.
 */
import {
  architectureOf,
  type EngineFacts,
  type Family,
  familyOf,
  type GroupedQueryAttention,
  localLayers,
} from '../architecture/index.js';
import type { ModelConfig, Problem } from './config-fields.js';
import { type RopeKind, ropeScalingOf, ropeScalingProblem } from './rope-scaling.js';

export interface DecoderLayer {
  /** Which angles its queries and keys are rotated by; null: by none. */
  rope: RopeKind | null;
  /** Tokens that it sees, its own included; null: all. */
  window: number | null;
  /** Experts instead of a dense network. */
  sparse: boolean;
}

export interface DecoderShape {
  width: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Numbers of a head that are rotated, its first. */
  rotary: number;
  ffn: number;
  vocabulary: number;
  bias: GroupedQueryAttention['bias'];
  qkNorm: GroupedQueryAttention['qkNorm'];
  norms: 'before' | 'after' | 'around';
  /** What multiplies scores, embeddings, what a block adds, and the last hidden states. */
  scale: number;
  embeddingScale: number;
  residualScale: number;
  logitScale: number;
  experts: { count: number; topK: number; ffn: number; normalize: boolean } | null;
  layers: readonly DecoderLayer[];
}

/** The family of a configuration that was parsed. */
export const familyOfConfig = (config: { model_type: string }): Family & { engine: EngineFacts } =>
  familyOf(config.model_type) as Family & { engine: EngineFacts };

const numberIn = (config: ModelConfig, name: string): number | undefined => {
  const value = config[name];
  return typeof value === 'number' ? value : undefined;
};

/** Where a family's layers have no rotary positions: `no_rope_layers`, else every fourth. */
function isRotated(config: ModelConfig, i: number): boolean {
  const { no_rope_layers: listed } = config;
  if (Array.isArray(listed)) return listed[i] !== 0;
  const interval = numberIn(config, 'no_rope_layer_interval') ?? 4;
  return (i + 1) % interval !== 0;
}

/** Sizes with the defaults filled in. */
export function decoderShape(config: ModelConfig): DecoderShape {
  const { engine, ...family } = familyOfConfig(config);
  const architecture = architectureOf(config);
  const attention = architecture.attention as GroupedQueryAttention;
  const { heads, kvHeads, headDim, bias, qkNorm, window } = attention;
  const { moe } = architecture;
  const local = localLayers(config, config.num_hidden_layers, family);
  const layers = local.map((isLocal, i): DecoderLayer => {
    const kind = isLocal && engine.localRope ? 'local' : 'global';
    const dense = config.mlp_only_layers;
    const step = numberIn(config, 'decoder_sparse_step') ?? 1;
    return {
      rope: engine.nope && !isRotated(config, i) ? null : kind,
      window: isLocal && window ? window.tokens : null,
      sparse: moe !== null && !(Array.isArray(dense) && dense.includes(i)) && (i + 1) % step === 0,
    };
  });
  const width = config.hidden_size;
  return {
    width,
    heads,
    kvHeads,
    headDim,
    rotary: Math.floor(headDim * (engine.partialRotary ? partialOf(config) : 1)),
    ffn: config.intermediate_size,
    vocabulary: config.vocab_size,
    bias,
    qkNorm,
    norms: engine.norms ?? (family.sandwichNorms ? 'around' : 'before'),
    scale:
      numberIn(config, 'attention_multiplier') ??
      1 / Math.sqrt(numberIn(config, 'query_pre_attn_scalar') ?? headDim),
    embeddingScale:
      numberIn(config, 'embedding_multiplier') ?? (engine.scaledEmbedding ? Math.sqrt(width) : 1),
    residualScale: numberIn(config, 'residual_multiplier') ?? 1,
    logitScale: 1 / (numberIn(config, 'logits_scaling') ?? 1),
    experts: moe && {
      count: moe.experts,
      topK: moe.topK,
      ffn: moe.expertIntermediate,
      normalize: config.norm_topk_prob === true,
    },
    layers,
  };
}

/** The share of a head that is rotated. */
function partialOf(config: ModelConfig): number {
  const parameters = config.rope_parameters as
    | { partial_rotary_factor?: unknown }
    | null
    | undefined;
  const partial = config.partial_rotary_factor ?? parameters?.partial_rotary_factor ?? 1;
  return typeof partial === 'number' ? partial : Number.NaN;
}

/** Fields that would change what is computed, and the values that change nothing. */
const IDLE: Readonly<Record<string, readonly unknown[]>> = {
  mlp_bias: [false],
  attention_out_bias: [false],
  clip_qkv: [null],
  attn_logit_softcapping: [null],
  final_logit_softcapping: [null],
  use_bidirectional_attention: [false, null],
  use_sliding_window: [false],
};

/** What is wrong with the fields of a decoder's configuration beyond their own types. */
export function decoderProblems(config: ModelConfig): Problem[] {
  const { engine } = familyOfConfig(config);
  const problems: Problem[] = [];
  const demand = (right: boolean, path: string | string[], message: string): void =>
    void (right || problems.push({ path: [path].flat(), message }));
  const { hidden_size: width, num_attention_heads: heads } = config;
  const headDim = config.head_dim ?? width / heads;
  const kvHeads = config.num_key_value_heads ?? heads;
  demand(
    Number.isInteger(headDim) && headDim % 2 === 0,
    'head_dim',
    `must be an even integer, is ${headDim}`,
  );
  // Ours would run, but transformers loads no such model, whatever its head_dim.
  if (engine.transformers === 'LlamaForCausalLM')
    demand(
      width % heads === 0,
      'hidden_size',
      `must be a multiple of num_attention_heads (${heads}), is ${width}`,
    );
  demand(
    heads % kvHeads === 0,
    'num_key_value_heads',
    `must divide num_attention_heads (${heads}), is ${kvHeads}`,
  );
  const { names } = engine.activation ?? { names: ['silu'] };
  for (const field of ['hidden_act', 'hidden_activation'] as const) {
    const value = config[field] ?? names[0];
    const must = names.map((name) => JSON.stringify(name)).join(' or ');
    demand(names.includes(value as string), field, `must be ${must}, is ${JSON.stringify(value)}`);
  }
  for (const [field, values] of Object.entries(IDLE)) {
    const value = config[field] ?? values[0];
    const message = `must be ${JSON.stringify(values[0])}, is ${JSON.stringify(value)}; it is not computed here`;
    demand(values.includes(value), field, message);
  }
  const scaling = ropeScalingProblem(config);
  if (scaling) problems.push(scaling);
  if (problems.length > 0) return problems;

  demandRotary(config, engine, headDim, demand);
  demandLayers(config, demand);
  return problems;
}

type Demand = (right: boolean, path: string | string[], message: string) => void;

function demandRotary(
  config: ModelConfig,
  engine: EngineFacts,
  headDim: number,
  demand: Demand,
): void {
  const partial = partialOf(config);
  const own = config.partial_rotary_factor !== undefined;
  const field = [...(own ? [] : ['rope_parameters']), 'partial_rotary_factor'];
  if (!engine.partialRotary) demand(partial === 1, field, `must be 1, is ${partial}`);
  const rotary = Math.floor(headDim * partial);
  demand(
    rotary >= 2 && rotary <= headDim && rotary % 2 === 0,
    field,
    `must leave an even part of each head's ${headDim} numbers, is ${partial}`,
  );
  const { divisors } = ropeScalingOf(config) ?? {};
  for (const [name, list] of Object.entries(divisors ?? {}))
    demand(
      list.length === rotary / 2,
      ['rope_scaling', `${name}_factor`],
      `must have ${rotary / 2} numbers, has ${list.length}`,
    );
}

function demandLayers(config: ModelConfig, demand: Demand): void {
  const { layer_types: types, num_hidden_layers: count } = config;
  const known = ['full_attention', 'sliding_attention'];
  if (Array.isArray(types)) {
    const strange = types.find((type) => !known.includes(type as string));
    demand(
      strange === undefined,
      'layer_types',
      `must all be ${known.map((type) => `"${type}"`).join(' or ')}, one is ${JSON.stringify(strange)}`,
    );
    demand(types.length >= count, 'layer_types', `must have ${count} entries, has ${types.length}`);
  }
  const { layers } = decoderShape(config);
  const { localRope, fused } = familyOfConfig(config).engine;
  const marked = Array.isArray(types) && types.includes('sliding_attention');
  demand(
    !marked || localRope === true || layers.some(({ window }) => window !== null),
    'layer_types',
    'must all be "full_attention" where there is no sliding_window',
  );
  const { no_rope_layers: rotated } = config;
  demand(
    !Array.isArray(rotated) || rotated.length >= count,
    'no_rope_layers',
    `must have ${count} entries, has ${(rotated as unknown[] | undefined)?.length}`,
  );
  demand(!(fused && config.attention_bias), 'attention_bias', 'must be false');
  const longest = config.max_position_embeddings;
  const narrow = layers.find(({ window }) => window !== null && window < longest)?.window;
  demand(
    narrow === undefined,
    'sliding_window',
    `is ${narrow}, less than max_position_embeddings (${longest}); attention over a part of the past is not computed here, so set max_position_embeddings to ${narrow}`,
  );
}

/** The fields that `transformers` has other defaults for, written out. */
export function explicitDecoder(config: ModelConfig): Record<string, unknown> {
  const { kvHeads, headDim } = decoderShape(config);
  const { activation } = familyOfConfig(config).engine;
  return {
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    ...(activation && { hidden_act: activation.names[0], hidden_activation: activation.names[0] }),
  };
}

/**
 * The fields that say what is computed and that no tensor's shape shows, defaults filled in, beside
 * those that every family has.
 */
export function decoderComputation(config: ModelConfig): Record<string, unknown> {
  const { scale, embeddingScale, residualScale, logitScale, rotary, experts, layers, headDim } =
    decoderShape(config);
  const special = (value: unknown, usual: unknown, name: string): [string, unknown][] =>
    JSON.stringify(value) === JSON.stringify(usual) ? [] : [[name, JSON.stringify(value)]];
  return {
    rope_scaling: JSON.stringify(ropeScalingOf(config)),
    ...Object.fromEntries([
      ...special(
        [scale, embeddingScale, residualScale, logitScale],
        [1 / Math.sqrt(headDim), 1, 1, 1],
        'scales',
      ),
      ...special(rotary, headDim, 'rotary'),
      ...special(experts && [experts.topK, experts.normalize], null, 'routing'),
      ...special(
        layers.map(({ rope, window }) => [rope, window]),
        layers.map(() => ['global', null]),
        'layers',
      ),
    ]),
  };
}
