/**
 * @file Writing a model as GGUF: the keys with its sizes, its tensors and its tokenizer.
 *
 * Three architectures of llama.cpp: `llama`, `qwen2`/`qwen3`, and `deepseek2` (which is also
 * DeepSeek-V3's). Tensors are named in names.ts; what `deepseek2` wants otherwise is in deepseek.ts.
 */
import { basename } from 'node:path';
import { UserError } from '../../base/errors.js';
import { type Written, writeFileAtomic } from '../../base/files.js';
import {
  dimensionsOf,
  explicitConfig,
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
import { llamaNames } from './names.js';
import { ggufTokenizer } from './tokenizer.js';
import { encodeGguf, type GgufDType, type GgufValue } from './write.js';

function describeLlama(
  name: string,
  config: ModelConfig,
  reader: TensorReader,
  dtype: GgufDType,
): Described {
  const architecture = config.model_type;
  const { keys } = common(name, architecture, config, reader, dtype);
  const tensors = llamaNames(config).map((row) => renamed(reader, row, dtype));
  const { kvHeads, headDim } = dimensionsOf(config);
  keys[`${architecture}.attention.head_count_kv`] = kvHeads;
  keys[`${architecture}.attention.key_length`] = headDim;
  keys[`${architecture}.attention.value_length`] = headDim;
  keys[`${architecture}.rope.dimension_count`] = headDim;
  const scaling = ropeScalingOf(config);
  if (scaling?.type === 'llama3') {
    // llama.cpp divides each pair's angle by this.
    const theta = ropeThetaOf(config);
    const factors = ropeFrequencies(headDim, theta).map((w) =>
      divisorOf('llama3', scaling.fields, w),
    );
    const data = Float32Array.from(factors);
    tensors.push({
      name: 'rope_freqs.weight',
      shape: [data.length],
      dtype: 'F32',
      data: () => [data],
    });
  } else if (scaling) {
    keys[`${architecture}.rope.scaling.type`] = scaling.type;
    keys[`${architecture}.rope.scaling.factor`] = f32(scaling.fields.factor);
    if (scaling.type === 'yarn') yarnKeys(keys, architecture, scaling.fields);
  }

  return { keys, tensors };
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

const DESCRIBE: Record<string, typeof describeLlama> = {
  llama: describeLlama,
  qwen2: describeLlama,
  qwen3: describeLlama,
  deepseek_v3: describeDeepseek,
};

/** Keys and tensors of a model. @throws UserError (data) that names what GGUF has no word for */
export function ggufModel(
  name: string,
  config: ModelConfig,
  tensors: TensorReader,
  dtype: GgufDType,
): Described {
  const describe = DESCRIBE[config.model_type];
  if (!describe)
    throw new UserError('data', `${config.model_type} cannot be written as GGUF`, 'model_type');
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
