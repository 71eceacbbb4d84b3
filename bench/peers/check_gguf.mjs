/**
 * Shows that llama.cpp (node-llama-cpp) loads what `reckoner export --to gguf` writes, cuts text
 * into the same tokens and gives the same greedy tokens:
 *
 *   npm install --prefix bench --ignore-scripts && npm run build
 *   node bench/peers/check_gguf.mjs            tiny random models of every family that is exported
 *   node bench/peers/check_gguf.mjs FOLDER     a model folder of yours
 *
 * Prints one line a model; exits 1 when one differs. Weights and llama.cpp's cache are float32.
 * --ignore-scripts: its binaries are npm packages, and its install script would look for others
 * elsewhere.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import { saveGguf } from '../../dist/checkpoints/gguf/save.js';
import { loadHuggingFace, saveHuggingFace } from '../../dist/checkpoints/hugging-face.js';
import { createSampler } from '../../dist/inference/index.js';
import { openModel } from '../../dist/inference/open.js';
import {
  createModel,
  explicitConfig,
  parseModelConfig,
  transformersClass,
} from '../../dist/models/index.js';
import { createReferenceBackend } from '../../dist/tensor/backends/reference.js';
import { createCharacterTokenizer, tokenizerFiles } from '../../dist/tokenizers/character.js';

const TOKENS = 24;
/** As ours: in half precision a near tie of two logits may fall the other way. */
const KV = { experimentalKvCacheKeyType: 'F32', experimentalKvCacheValueType: 'F32' };
const common = {
  intermediate_size: 96,
  num_hidden_layers: 3,
  max_position_embeddings: 128,
  initializer_range: 0.15,
};
const heads = (n, kv, width = 64) => ({
  hidden_size: width,
  num_attention_heads: n,
  num_key_value_heads: kv,
});
const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32 };
const released = {
  type: 'yarn',
  factor: 4,
  original_max_position_embeddings: 32,
  beta_fast: 32,
  beta_slow: 1,
};
const llama3 = {
  rope_type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 32,
};
const deepseek = {
  model_type: 'deepseek_v3',
  hidden_size: 64,
  num_attention_heads: 4,
  q_lora_rank: 24,
  kv_lora_rank: 32,
  qk_nope_head_dim: 16,
  qk_rope_head_dim: 8,
  v_head_dim: 24,
  n_routed_experts: 8,
  num_experts_per_tok: 3,
  moe_intermediate_size: 32,
  first_k_dense_replace: 1,
  num_nextn_predict_layers: 1,
  routed_scaling_factor: 2.5,
  rms_norm_eps: 1e-6,
};
/** name → [configuration, tokenizer]. */
const MODELS = {
  llama: [{ model_type: 'llama', ...heads(4, 2) }, 'characters'],
  'llama, 3 heads, tied, byte-level BPE': [
    { model_type: 'llama', ...heads(3, 1, 96), tie_word_embeddings: true },
    'llama',
  ],
  'llama, llama3 scaling': [{ model_type: 'llama', ...heads(2, 1), rope_scaling: llama3 }, 'llama'],
  'llama, linear scaling': [
    { model_type: 'llama', ...heads(4, 4), rope_scaling: { type: 'linear', factor: 2 } },
    'characters',
  ],
  qwen2: [{ model_type: 'qwen2', ...heads(4, 2) }, 'qwen'],
  'qwen2, yarn, tied': [
    { model_type: 'qwen2', ...heads(2, 1), rope_scaling: yarn, tie_word_embeddings: true },
    'qwen',
  ],
  qwen3: [{ model_type: 'qwen3', ...heads(4, 2), head_dim: 32 }, 'qwen'],
  'qwen3, 5 heads, tied': [
    { model_type: 'qwen3', ...heads(5, 5, 80), tie_word_embeddings: true },
    'characters',
  ],
  'llama, biases': [{ model_type: 'llama', ...heads(4, 2), attention_bias: true }, 'characters'],
  mistral: [{ model_type: 'mistral', ...heads(4, 2), sliding_window: null }, 'characters'],
  granite: [
    {
      model_type: 'granite',
      ...heads(4, 2),
      embedding_multiplier: 3,
      residual_multiplier: 0.5,
      attention_multiplier: 0.2,
      logits_scaling: 2,
    },
    'characters',
  ],
  smollm3: [{ model_type: 'smollm3', ...heads(4, 2), num_hidden_layers: 5 }, 'characters'],
  olmo2: [{ model_type: 'olmo2', ...heads(4, 4) }, 'characters'],
  phi3: [{ model_type: 'phi3', ...heads(4, 2) }, 'characters'],
  qwen3_moe: [
    {
      model_type: 'qwen3_moe',
      ...heads(4, 2),
      num_experts: 8,
      num_experts_per_tok: 3,
      moe_intermediate_size: 32,
      norm_topk_prob: true,
    },
    'qwen',
  ],
  olmoe: [
    { model_type: 'olmoe', ...heads(4, 4), num_experts: 8, num_experts_per_tok: 3 },
    'characters',
  ],
  gemma: [{ model_type: 'gemma', ...heads(4, 1), head_dim: 32 }, 'characters'],
  gemma3: [
    {
      model_type: 'gemma3_text',
      ...heads(4, 2),
      head_dim: 32,
      num_hidden_layers: 7,
      query_pre_attn_scalar: 32,
      sliding_window: 512,
    },
    'characters',
  ],
  deepseek_v3: [deepseek, 'characters'],
  'deepseek_v3, 3 heads, tied': [
    { ...deepseek, num_attention_heads: 3, tie_word_embeddings: true, norm_topk_prob: false },
    'characters',
  ],
  // llama.cpp takes uncompressed queries for the layer count of DeepSeek-V2-Lite alone.
  'deepseek_v3, plain queries, 27 layers': [
    { ...deepseek, q_lora_rank: null, num_hidden_layers: 27 },
    'characters',
  ],
  'deepseek_v3, groups, two shared experts': [
    { ...deepseek, n_group: 4, topk_group: 2, n_shared_experts: 2 },
    'llama',
  ],
  'deepseek_v3, yarn': [
    { ...deepseek, rope_scaling: { ...released, mscale: 1, mscale_all_dim: 1 } },
    'qwen',
  ],
  'deepseek_v3, yarn, mscale 0.7': [
    { ...deepseek, rope_scaling: { ...released, mscale: 0.7, mscale_all_dim: 0.7 } },
    'characters',
  ],
  'deepseek_v3, halves, dense': [
    { ...deepseek, rope_interleave: false, first_k_dense_replace: 3 },
    'characters',
  ],
};

function filesOf(name) {
  if (name === 'characters')
    return tokenizerFiles(createCharacterTokenizer('0123456789+-*/=() abcxyz×÷é∎\n'));
  return JSON.parse(
    readFileSync(new URL(`../../test/fixtures/tokenizers/${name}.json`, import.meta.url), 'utf8'),
  );
}

const TEXTS = {
  characters: ['12+7-3=', '<think>(4*5) ×\n÷ é∎', '9='],
  other: ['The answer is 12345.', "we'll  see\n\n what\tyou'D do <think>", 'naïve café 東京 🙂'],
};

async function makeModel(folder, json, tokenizerName) {
  const { tokenizer, tokenizerConfig } = filesOf(tokenizerName);
  // Rows beyond the tokenizer's, as released models have them.
  const size =
    Object.keys(tokenizer.model.vocab).length + (tokenizerName === 'characters' ? 0 : 16);
  const config = parseModelConfig({ ...common, ...json, vocab_size: size });
  const backend = createReferenceBackend();
  const model = createModel(backend, config);
  model.store.initialize(5);
  for (const { spec, value, size: count } of model.store.parameters) {
    if (spec.role !== 'norm' && spec.role !== 'bias' && spec.role !== 'buffer') continue;
    const at = (i) => (spec.role === 'norm' ? 1 : 0) + 0.3 * Math.sin(i + spec.name.length);
    backend.write(
      value,
      Float32Array.from({ length: count }, (_, i) => at(i)),
    );
  }
  const tensors = [];
  for (const { spec, value } of model.store.parameters) {
    tensors.push({
      name: spec.name,
      shape: spec.shape,
      data: Float32Array.from(await backend.read(value)),
    });
  }
  const own = { ...explicitConfig(config), architectures: [transformersClass(config)] };
  await saveHuggingFace(folder, { config: own, tensors, tokenizer, tokenizerConfig });
}

async function ours(folder, texts) {
  const { backend, model, tokenizer, close } = await openModel(folder, { products: 'wasm' });
  const prompts = texts.map((text) => [
    ...(tokenizer.special.bos === null ? [] : [tokenizer.special.bos]),
    ...tokenizer.encode(text),
  ]);
  const longest = Math.max(...prompts.map((prompt) => prompt.length));
  const sampler = createSampler(backend, model, {
    capacity: 4,
    maxPrompt: longest,
    maxTokens: TOKENS,
    eos: tokenizer.special.eos,
  });
  const completions = await sampler.generate(prompts, {
    samples: 1,
    maxTokens: TOKENS,
    temperature: 0,
    key: [],
  });
  await close();
  return {
    prompts,
    eos: tokenizer.special.eos,
    completions: completions.map(({ tokens }) => tokens),
  };
}

async function theirs(llama, file, texts, prompts, eos) {
  const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  const prefix = prompts.map((prompt, i) =>
    prompt.slice(0, prompt.length - model.tokenize(texts[i], true).length),
  );
  const tokenized = texts.map((text, i) => [...prefix[i], ...model.tokenize(text, true)]);
  const context = await model.createContext({
    contextSize: 128,
    threads: 1,
    flashAttention: false,
    ...KV,
  });
  const completions = [];
  for (const prompt of prompts) {
    const sequence = context.getSequence();
    const tokens = [];
    for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
      tokens.push(token);
      if (tokens.length === TOKENS || token === eos) break;
    }
    completions.push(tokens);
    sequence.dispose();
  }
  await context.dispose();
  await model.dispose();
  return { tokenized, completions };
}

async function check(llama, name, folder, texts, temporary) {
  const file = join(temporary, 'model.gguf');
  const loaded = loadHuggingFace(folder);
  saveGguf(file, loaded, 'F32');
  loaded.tensors.close();
  const own = await ours(folder, texts);
  const other = await theirs(llama, file, texts, own.prompts, own.eos);
  const cut = own.prompts.findIndex((prompt, i) => prompt.join() !== other.tokenized[i].join());
  if (cut >= 0)
    return `FAIL ${name}: ${JSON.stringify(texts[cut])} is ${own.prompts[cut]} here and ${other.tokenized[cut]} there`;
  for (const [i, tokens] of own.completions.entries()) {
    const at = tokens.findIndex((token, j) => token !== other.completions[i][j]);
    if (at >= 0)
      return `FAIL ${name}: prompt ${i} differs from token ${at} on: ${tokens} here, ${other.completions[i]} there`;
  }
  const count = own.completions.reduce((sum, tokens) => sum + tokens.length, 0);
  return `ok   ${name}: ${texts.length} texts in the same tokens, ${count} greedy tokens the same`;
}

const [given] = process.argv.slice(2);
const temporary = mkdtempSync(join(tmpdir(), 'reckoner-gguf-'));
const llama = await getLlama({
  build: 'never',
  gpu: false,
  skipDownload: true,
  maxThreads: 1,
  logLevel: LlamaLogLevel.error,
});
let failed = false;
try {
  const jobs = given
    ? [['your model', null, 'other']]
    : Object.entries(MODELS).map(([name, [json, kind]]) => [name, json, kind]);
  for (const [name, json, kind] of jobs) {
    const folder = given ?? join(temporary, 'model');
    if (json) await makeModel(folder, json, kind);
    const line = await check(
      llama,
      name,
      folder,
      given ? ['12+7='] : (TEXTS[kind] ?? TEXTS.other),
      temporary,
    );
    failed ||= line.startsWith('FAIL');
    console.log(line);
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
  await llama.dispose();
}
process.exit(failed ? 1 : 0);
