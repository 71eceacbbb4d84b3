/**
 * Writes tiny random models as Hugging Face folders, with what Reckoner makes of them beside each:
 *
 *   node bench/peers/parity.mjs FOLDER   →   FOLDER/<name>/{config.json, model.safetensors, ours.json}
 *
 * parity.py runs it and compares with transformers. src/models/parity.test.ts makes the same models
 * from the same seed.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { saveHuggingFace } from '../../dist/checkpoints/hugging-face.js';
import {
  createModel,
  explicitConfig,
  parseModelConfig,
  transformersClass,
} from '../../dist/models/index.js';
import { createReferenceBackend } from '../../dist/tensor/backends/reference.js';
import { Tape } from '../../dist/tensor/tape.js';
import { crossEntropyStep } from '../../dist/training/backpropagate.js';

export const SEED = 11;
export const SEQUENCES = [
  [1, 5, 9, 3, 12, 7, 7],
  [4, 10, 2, 0, 6],
];
const common = {
  vocab_size: 13,
  intermediate_size: 20,
  num_hidden_layers: 2,
  max_position_embeddings: 32,
  initializer_range: 0.4,
  // transformers gives the embedding of a padding token no gradient.
  pad_token_id: null,
};
export const CONFIGS = {
  'llama-grouped': {
    ...common,
    model_type: 'llama',
    hidden_size: 12,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    rope_theta: 500,
    rms_norm_eps: 1e-3,
  },
  'llama-tied-three-heads': {
    ...common,
    model_type: 'llama',
    hidden_size: 12,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    head_dim: 8,
    tie_word_embeddings: true,
  },
  'qwen3-grouped': {
    ...common,
    model_type: 'qwen3',
    hidden_size: 12,
    num_attention_heads: 6,
    num_key_value_heads: 3,
    head_dim: 6,
    rope_theta: 1000000,
    rms_norm_eps: 1e-3,
  },
  'llama-linear-untied-five-heads': {
    ...common,
    model_type: 'llama',
    hidden_size: 20,
    num_attention_heads: 5,
    rope_scaling: { type: 'linear', factor: 4 },
  },
  // Of six pairs some turn fast enough to be left alone, one lies between, and the rest are slow.
  'llama-llama3': {
    ...common,
    model_type: 'llama',
    hidden_size: 24,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    rope_theta: 500,
    rope_scaling: {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 16,
    },
  },
  'qwen2-grouped': {
    ...common,
    model_type: 'qwen2',
    hidden_size: 12,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    rope_theta: 1000000,
  },
  'qwen2-tied-three-heads-yarn': {
    ...common,
    model_type: 'qwen2',
    hidden_size: 24,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    rope_theta: 100,
    tie_word_embeddings: true,
    rope_scaling: {
      rope_type: 'yarn',
      factor: 4,
      original_max_position_embeddings: 8,
      beta_fast: 2,
    },
  },
  'qwen3-tied-five-heads': {
    ...common,
    model_type: 'qwen3',
    hidden_size: 20,
    num_attention_heads: 5,
    tie_word_embeddings: true,
  },
  'llama-biases': {
    ...common,
    model_type: 'llama',
    hidden_size: 12,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    attention_bias: true,
  },
  'mistral-no-window': {
    ...common,
    model_type: 'mistral',
    hidden_size: 12,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 6,
    sliding_window: null,
    rms_norm_eps: 1e-3,
  },
  'seed-oss': {
    ...common,
    model_type: 'seed_oss',
    hidden_size: 12,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 4,
  },
  'granite-factors': {
    ...common,
    model_type: 'granite',
    hidden_size: 12,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    embedding_multiplier: 3,
    residual_multiplier: 0.6,
    attention_multiplier: 0.3,
    logits_scaling: 1.7,
    tie_word_embeddings: true,
  },
  // The second layer of three has no experts.
  'qwen3-moe-dense-between': {
    ...common,
    model_type: 'qwen3_moe',
    hidden_size: 12,
    num_hidden_layers: 3,
    num_attention_heads: 6,
    num_key_value_heads: 3,
    head_dim: 4,
    num_experts: 5,
    num_experts_per_tok: 2,
    moe_intermediate_size: 6,
    norm_topk_prob: true,
    mlp_only_layers: [1],
  },
  'mixtral-four-experts': {
    ...common,
    model_type: 'mixtral',
    hidden_size: 12,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    num_local_experts: 4,
    num_experts_per_tok: 2,
    intermediate_size: 6,
    sliding_window: null,
  },
  'olmoe-plain-shares': {
    ...common,
    model_type: 'olmoe',
    hidden_size: 12,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    intermediate_size: 6,
    num_experts: 6,
    num_experts_per_tok: 3,
    norm_topk_prob: false,
  },
  'olmo2-norms-after': {
    ...common,
    model_type: 'olmo2',
    hidden_size: 12,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    rope_theta: 500,
    rms_norm_eps: 1e-3,
  },
  'olmo3-yarn': {
    ...common,
    model_type: 'olmo3',
    hidden_size: 24,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    num_hidden_layers: 4,
    sliding_window: 32,
    rope_parameters: {
      full_attention: {
        rope_type: 'yarn',
        rope_theta: 100,
        factor: 4,
        original_max_position_embeddings: 8,
        beta_fast: 2,
        beta_slow: 1,
        attention_factor: 1.2,
      },
      sliding_attention: { rope_type: 'default', rope_theta: 100 },
    },
  },
  'phi3-plain': {
    ...common,
    model_type: 'phi3',
    hidden_size: 12,
    num_attention_heads: 3,
    num_key_value_heads: 1,
  },
  // Of each head's eight numbers six are rotated.
  'phi3-partial-longrope': {
    ...common,
    model_type: 'phi3',
    hidden_size: 32,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    partial_rotary_factor: 0.75,
    max_position_embeddings: 64,
    original_max_position_embeddings: 16,
    rope_scaling: {
      type: 'longrope',
      short_factor: [1, 1.5, 2],
      long_factor: [1, 4, 16],
    },
    tie_word_embeddings: true,
  },
  'smollm3-every-other': {
    ...common,
    model_type: 'smollm3',
    hidden_size: 12,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    no_rope_layer_interval: 2,
  },
  'gemma-one-head': {
    ...common,
    model_type: 'gemma',
    hidden_size: 12,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    head_dim: 6,
  },
  'gemma3-local-global': {
    ...common,
    model_type: 'gemma3_text',
    hidden_size: 12,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 6,
    sliding_window: 32,
    sliding_window_pattern: 2,
    query_pre_attn_scalar: 5,
    rope_theta: 1000,
    rope_local_base_freq: 20,
    rope_scaling: { rope_type: 'linear', factor: 4 },
  },
  'deepseek-v3-groups-mtp': {
    ...common,
    model_type: 'deepseek_v3',
    hidden_size: 12,
    num_hidden_layers: 3,
    num_attention_heads: 3,
    q_lora_rank: 7,
    kv_lora_rank: 6,
    qk_nope_head_dim: 5,
    qk_rope_head_dim: 4,
    v_head_dim: 3,
    n_routed_experts: 8,
    num_experts_per_tok: 3,
    moe_intermediate_size: 5,
    n_shared_experts: 2,
    n_group: 4,
    topk_group: 2,
    first_k_dense_replace: 1,
    routed_scaling_factor: 2.5,
    num_nextn_predict_layers: 1,
    rms_norm_eps: 1e-3,
  },
  'deepseek-v3-yarn-plain-queries': {
    ...common,
    model_type: 'deepseek_v3',
    hidden_size: 10,
    num_attention_heads: 5,
    q_lora_rank: null,
    kv_lora_rank: 4,
    qk_nope_head_dim: 3,
    qk_rope_head_dim: 6,
    v_head_dim: 4,
    n_routed_experts: 6,
    num_experts_per_tok: 2,
    moe_intermediate_size: 4,
    norm_topk_prob: false,
    routed_scaling_factor: 1.5,
    rope_theta: 100,
    rope_scaling: {
      type: 'yarn',
      factor: 4,
      original_max_position_embeddings: 8,
      beta_fast: 2,
      beta_slow: 0.25,
      mscale: 1,
      mscale_all_dim: 0.7,
    },
    rms_norm_eps: 1e-3,
  },
  'deepseek-v3-tied-halves': {
    ...common,
    model_type: 'deepseek_v3',
    hidden_size: 12,
    num_attention_heads: 2,
    q_lora_rank: 5,
    kv_lora_rank: 5,
    qk_nope_head_dim: 4,
    qk_rope_head_dim: 2,
    v_head_dim: 6,
    rope_interleave: false,
    n_routed_experts: 4,
    num_experts_per_tok: 2,
    moe_intermediate_size: 6,
    n_group: 2,
    topk_group: 1,
    routed_scaling_factor: 1.25,
    tie_word_embeddings: true,
    num_nextn_predict_layers: 1,
    rms_norm_eps: 1e-3,
  },
  // As published: YaRN with equal mscales on compressed queries, two dense layers first; and the
  // prediction module over all of it.
  'deepseek-v3-yarn-mtp-seven-heads': {
    ...common,
    model_type: 'deepseek_v3',
    hidden_size: 12,
    intermediate_size: 8,
    num_hidden_layers: 3,
    num_attention_heads: 7,
    q_lora_rank: 4,
    kv_lora_rank: 4,
    qk_nope_head_dim: 3,
    qk_rope_head_dim: 4,
    v_head_dim: 2,
    n_routed_experts: 6,
    num_experts_per_tok: 4,
    moe_intermediate_size: 3,
    n_group: 3,
    topk_group: 2,
    first_k_dense_replace: 2,
    routed_scaling_factor: 2.5,
    num_nextn_predict_layers: 1,
    rope_theta: 500,
    rope_scaling: {
      type: 'yarn',
      factor: 40,
      original_max_position_embeddings: 8,
      beta_fast: 4,
      beta_slow: 0.5,
      mscale: 1,
      mscale_all_dim: 1,
    },
  },
  // The latents alone: no experts.
  'deepseek-v3-dense-one-head': {
    ...common,
    model_type: 'deepseek_v3',
    hidden_size: 8,
    num_attention_heads: 1,
    kv_lora_rank: 3,
    qk_nope_head_dim: 2,
    qk_rope_head_dim: 2,
    v_head_dim: 5,
    n_routed_experts: 4,
    num_experts_per_tok: 2,
    moe_intermediate_size: 4,
    first_k_dense_replace: 2,
    rms_norm_eps: 1e-3,
  },
};

/** Norms start at one and biases at zero, where a forgotten or doubled one would not be noticed. */
export const vectorAt = (role, name, i) =>
  (role === 'norm' ? 1 : 0) + 0.4 * Math.sin(i + name.length);

/** What multi-token prediction counts in the loss, where a model has it. */
export const MTP_WEIGHT = 0.3;

/** A gate's bias, so that it changes who is chosen and not what a choice weighs. */
export const biasAt = (i) => 0.2 * Math.sin(3 * i);

const [folder] = process.argv.slice(2);
for (const [name, json] of Object.entries(CONFIGS)) {
  const backend = createReferenceBackend();
  const config = parseModelConfig(json);
  const model = createModel(backend, config);
  model.store.initialize(SEED);
  for (const { spec, value, size } of model.store.parameters) {
    if (spec.role === 'norm' || spec.role === 'bias' || spec.role === 'buffer')
      backend.write(
        value,
        Float32Array.from({ length: size }, (_, i) =>
          spec.role === 'buffer' ? biasAt(i) : vectorAt(spec.role, spec.name, i),
        ),
      );
  }
  const read = async (tensor) => Array.from(await backend.read(tensor));
  const tensors = [];
  for (const { spec, value } of model.store.parameters) {
    tensors.push({
      name: spec.name,
      shape: spec.shape,
      data: Float32Array.from(await read(value)),
    });
  }
  await saveHuggingFace(join(folder, name), {
    config: { ...explicitConfig(config), architectures: [transformersClass(config)] },
    tensors,
  });

  const upload = (data) => {
    const tensor = backend.allocate('i32', [data.length]);
    backend.write(tensor, data);
    return tensor;
  };
  const segments = [0];
  for (const { length } of SEQUENCES) segments.push(segments[segments.length - 1] + length);
  const hidden = model.forward(new Tape(backend, false), {
    ids: upload(SEQUENCES.flat()),
    positions: upload(SEQUENCES.flatMap((tokens) => tokens.map((_, i) => i))),
    segments: upload(segments),
  });
  const logits = backend.allocate('f32', [segments[segments.length - 1], config.vocab_size]);
  backend.matmul({ out: logits, a: hidden.value, b: model.head.value, transposeB: true });

  model.store.attachGradients();
  model.store.resetGradients();
  const predictions = SEQUENCES.reduce((sum, tokens) => sum + tokens.length - 1, 0);
  const batch = SEQUENCES.map((tokens) => ({ tokens, predictFrom: 1 }));
  const { loss, mtpLoss } = await crossEntropyStep(new Tape(backend), model, batch, {
    weight: 1 / predictions,
    mtpWeight: MTP_WEIGHT,
  });
  const gradients = {};
  for (const { spec, offset, size } of model.store.parameters) {
    if (spec.role === 'buffer') continue;
    gradients[spec.name] = await read(backend.view(model.store.gradients, offset, [size]));
  }
  mkdirSync(join(folder, name), { recursive: true });
  const ours = {
    config: json,
    sequences: SEQUENCES,
    logits: await read(logits),
    loss,
    mtpLoss,
    mtpWeight: MTP_WEIGHT,
    gradients,
  };
  writeFileSync(join(folder, name, 'ours.json'), JSON.stringify(ours));
}
