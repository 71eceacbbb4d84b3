/**
 * @file Writing a model as GGUF: the keys with its sizes, its tensors and its tokenizer.
 *
 * A decoder's keys are here and its tensors are named in names.ts, by the facts of its family; what
 * `deepseek2` (DeepSeek-V3) wants otherwise is in deepseek.ts.
 */
import { basename } from 'node:path';
import type { GgufFacts } from '../../architecture/index.js';
import { UserError } from '../../base/errors.js';
import { type Written, writeFileAtomic } from '../../base/files.js';
import {
  decoderShape,
  explicitConfig,
  familyOfConfig,
  type ModelConfig,
  parseModelConfig,
  ropeScalingOf,
  ropeThetaOf,
} from '../../models/index.js';
import { divisorOf } from '../../models/rope-scaling.js';
import { ropeFrequencies } from '../../tensor/operations/rope.js';
import { templateIn } from '../../tokenizers/chat-template.js';
import { openTokenizer } from '../../tokenizers/hugging-face.js';
import type { LoadedModel } from '../hugging-face.js';
import { elementsOf } from '../safetensors.js';
import type { TensorReader } from '../weights.js';
import { describeDeepseek } from './deepseek.js';
import { common, type Described, f32, renamed } from './describe.js';
import { decoderNames, fixedFields } from './names.js';
import { ggufTokenizer } from './tokenizer.js';
import { encodeGguf, type GgufDType, type GgufTensor, type GgufValue } from './write.js';

function describeDecoder(
  name: string,
  config: ModelConfig,
  reader: TensorReader,
  dtype: GgufDType,
): Described {
  const facts = familyOfConfig(config).engine.gguf as GgufFacts;
  const { architecture } = facts;
  const { keys } = common(name, architecture, config, reader, dtype);
  const tensors = decoderNames(config).map((row) => renamed(reader, row, dtype));
  const { kvHeads, headDim, rotary, experts } = decoderShape(config);
  demandFixed(config, facts);
  for (const { field, key, kind } of facts.keys ?? []) {
    const value = config[field];
    if (typeof value === 'number')
      keys[`${architecture}.${key}`] = kind === 'real' ? f32(value) : value;
  }
  if (experts) {
    keys[`${architecture}.expert_count`] = experts.count;
    keys[`${architecture}.expert_used_count`] = experts.topK;
    keys[`${architecture}.expert_feed_forward_length`] = experts.ffn;
  }
  keys[`${architecture}.attention.head_count_kv`] = kvHeads;
  keys[`${architecture}.attention.key_length`] = headDim;
  keys[`${architecture}.attention.value_length`] = headDim;
  keys[`${architecture}.rope.dimension_count`] = rotary;
  const scaling = ropeScalingOf(config);
  if (scaling?.type === 'llama3') {
    // llama.cpp divides each pair's angle by this.
    const theta = ropeThetaOf(config);
    const factors = ropeFrequencies(rotary, theta).map((w) =>
      divisorOf('llama3', scaling.fields, w),
    );
    tensors.push(vector('rope_freqs.weight', factors));
  } else if (scaling?.divisors) {
    const { original, attention } = scaling.fields;
    tensors.push(vector('rope_factors_long.weight', scaling.divisors.long));
    tensors.push(vector('rope_factors_short.weight', scaling.divisors.short));
    keys[`${architecture}.rope.scaling.original_context_length`] = original;
    keys[`${architecture}.rope.scaling.attn_factor`] = f32(attention);
  } else if (scaling) {
    keys[`${architecture}.rope.scaling.type`] = scaling.type;
    keys[`${architecture}.rope.scaling.factor`] = f32(scaling.fields.factor);
    if (scaling.type === 'yarn') yarnKeys(keys, architecture, scaling.fields);
  }

  return { keys, tensors };
}

function vector(name: string, numbers: readonly number[]): GgufTensor {
  const data = Float32Array.from(numbers);
  return { name, shape: [data.length], dtype: 'F32', data: () => [data] };
}

/** What llama.cpp's code fixes must be so in the configuration. */
function demandFixed(config: ModelConfig, facts: GgufFacts): void {
  const { architecture } = facts;
  const shape = decoderShape(config);
  const fixed = fixedFields(facts, { ...shape, layers: shape.layers.length });
  const lists = { layer_types: undefined, no_rope_layers: undefined, mlp_only_layers: undefined };
  const theirs = decoderShape({ ...config, ...lists, ...fixed });
  if (JSON.stringify(theirs) === JSON.stringify(shape)) return;
  const must = Object.entries(fixed).map(([name, value]) => `${name} ${value}`);
  const message = `${config.model_type}: its layers cannot be written as GGUF; llama.cpp's ${architecture} has ${must.join(', ') || 'one kind of layer'}`;
  throw new UserError('data', message, Object.keys(fixed)[0] ?? 'layer_types');
}

/**
 * llama.cpp works out the sharpening from the factor by itself, so it can only be the usual one.
 */
function yarnKeys(
  keys: Record<string, GgufValue>,
  architecture: string,
  fields: Record<string, number>,
): void {
  const usual = fields.factor <= 1 ? 1 : 0.1 * Math.log(fields.factor) + 1;
  if (Math.abs(fields.attention - usual) > 1e-6) {
    const message = `rope_scaling.attention_factor ${fields.attention} has no key in GGUF; it must be left out or ${usual}`;
    throw new UserError('data', message, 'rope_scaling.attention_factor');
  }
  keys[`${architecture}.rope.scaling.original_context_length`] = fields.original;
  keys[`${architecture}.rope.scaling.yarn_beta_fast`] = f32(fields.betaFast);
  keys[`${architecture}.rope.scaling.yarn_beta_slow`] = f32(fields.betaSlow);
}

/** Keys and tensors of a model. @throws UserError (data) that names what GGUF has no word for */
export function ggufModel(
  name: string,
  config: ModelConfig,
  tensors: TensorReader,
  dtype: GgufDType,
): Described {
  const { gguf, latent } = familyOfConfig(config).engine;
  if (!gguf)
    throw new UserError('data', `${config.model_type} cannot be written as GGUF`, 'model_type');
  const describe = latent ? describeDeepseek : describeDecoder;
  return describe(name, explicitConfig(config), tensors, dtype);
}

/**
 * Writes a model and its tokenizer as one file.
 * @throws UserError (data) that names the key or tensor that GGUF has no word for; (disk)
 */
export function saveGguf(
  path: string,
  loaded: LoadedModel,
  dtype: GgufDType,
): { tensors: number; parameters: number; written: Written } {
  const { folder, tokenizerJson, tokenizerConfig, chatTemplate, tensors: reader } = loaded;
  const config = parseModelConfig(loaded.config);
  if (tokenizerJson === null)
    throw new UserError(
      'data',
      `${folder} has no tokenizer.json; copy it from where the model came`,
      folder,
    );
  const tokenizer = openTokenizer({ ...loaded, tokenizerJson });
  const { keys, tensors } = ggufModel(basename(folder), config, reader, dtype);
  const template = chatTemplate ?? templateIn(tokenizerConfig);
  const written = writeFileAtomic(
    path,
    encodeGguf({ ...keys, ...ggufTokenizer(tokenizer, template, config.vocab_size) }, tensors),
    'gguf',
  );
  const parameters = tensors.reduce((sum, { shape }) => sum + elementsOf(shape), 0);
  return { tensors: tensors.length, parameters, written };
}
