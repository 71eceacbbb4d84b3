/**
 * Our half of peft_adapters.py:
 *
 *   node bench/peers/peft.mjs make FOLDER FAMILY     →  FOLDER/base (a tiny random model), FOLDER/ours (an adapter of it)
 *   node bench/peers/peft.mjs logits FOLDER SEQUENCES   prints the logits of a model or an adapter's folder, as JSON
 */
import { join } from 'node:path';
import { saveHuggingFace } from '../../dist/checkpoints/hugging-face.js';
import { adapterConfig, saveAdapter } from '../../dist/checkpoints/peft.js';
import { openModel } from '../../dist/inference/open.js';
import {
  createModel,
  explicitConfig,
  parametersOf,
  parseModelConfig,
  planAdapter,
  transformersClass,
} from '../../dist/models/index.js';
import { createReferenceBackend } from '../../dist/tensor/backends/reference.js';
import { Tape } from '../../dist/tensor/tape.js';
import { createCharacterTokenizer, tokenizerFiles } from '../../dist/tokenizers/character.js';

const common = {
  vocab_size: 13,
  hidden_size: 12,
  intermediate_size: 20,
  num_hidden_layers: 2,
  max_position_embeddings: 32,
  initializer_range: 0.4,
};
/** The same as in src/inference/peft.test.ts. */
const CONFIGS = {
  qwen3: {
    ...common,
    model_type: 'qwen3',
    num_attention_heads: 6,
    num_key_value_heads: 3,
    head_dim: 6,
  },
  deepseek_v3: {
    ...common,
    model_type: 'deepseek_v3',
    num_attention_heads: 3,
    q_lora_rank: 5,
    kv_lora_rank: 4,
    qk_nope_head_dim: 4,
    qk_rope_head_dim: 2,
    v_head_dim: 3,
    n_routed_experts: 4,
    num_experts_per_tok: 2,
    moe_intermediate_size: 5,
    first_k_dense_replace: 1,
    routed_scaling_factor: 1.5,
    num_nextn_predict_layers: 1,
  },
};
const TARGETS = {
  qwen3: ['q_proj', 'k_proj', 'v_proj', 'up_proj', 'down_proj'],
  deepseek_v3: ['q_a_proj', 'q_b_proj', 'kv_b_proj', 'o_proj'],
};

async function make(folder, family) {
  const backend = createReferenceBackend();
  const config = parseModelConfig(CONFIGS[family]);
  const adapter = { kind: 'lora', rank: 2, alpha: 3, targets: TARGETS[family] };
  const model = createModel(backend, config);
  model.store.initialize(11);
  const tensors = [];
  for (const { spec, value } of model.store.parameters) {
    tensors.push({
      name: spec.name,
      shape: spec.shape,
      data: Float32Array.from(await backend.read(value)),
    });
  }
  const base = join(folder, 'base');
  const json = { ...explicitConfig(config), architectures: [transformersClass(config)] };
  await saveHuggingFace(base, {
    config: json,
    tensors,
    ...tokenizerFiles(createCharacterTokenizer('abcdef')),
  });
  const specs = parametersOf(config);
  const parts = planAdapter(specs, adapter).specs.map(({ name, shape }, i) => ({
    name,
    shape,
    data: Float32Array.from(
      { length: shape[0] * shape[1] },
      (_, j) => Math.sin(3 * i + 1.7 * j) / 3,
    ),
  }));
  await saveAdapter(join(folder, 'ours'), {
    config: adapterConfig(specs, adapter, base),
    tensors: parts,
  });
}

async function logits(folder, sequences) {
  const { backend, model, close } = await openModel(folder, { products: 'wasm' });
  const out = [];
  for (const tokens of sequences) {
    const upload = (data) => {
      const tensor = backend.allocate('i32', [data.length]);
      backend.write(tensor, data);
      return tensor;
    };
    const input = {
      ids: upload(tokens),
      positions: upload(tokens.map((_, i) => i)),
      segments: upload([0, tokens.length]),
    };
    const hidden = model.forward(new Tape(backend, false), input);
    const rows = backend.allocate('f32', [tokens.length, model.head.shape[0]]);
    backend.matmul({ out: rows, a: hidden.value, b: model.head.value, transposeB: true });
    out.push(...(await backend.read(rows)));
  }
  await close();
  return out;
}

const [verb, folder, what] = process.argv.slice(2);
if (verb === 'make') await make(folder, what);
else console.log(JSON.stringify(await logits(folder, JSON.parse(what))));
