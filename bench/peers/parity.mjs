/**
 * Writes tiny random models as Hugging Face folders, with what Reckoner makes of them beside each:
 *
 *   node bench/peers/parity.mjs FOLDER   →   FOLDER/<name>/{config.json, model.safetensors, ours.json}
 *
 * parity.py runs it and compares with transformers. src/models/parity.test.ts makes the same models from the same seed.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { saveHuggingFace } from '../../dist/checkpoints/hugging-face.js';
import { architectureOf, createModel, explicitConfig, parseModelConfig } from '../../dist/models/index.js';
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
    rope_scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 8, beta_fast: 2 },
  },
  'qwen3-tied-five-heads': {
    ...common,
    model_type: 'qwen3',
    hidden_size: 20,
    num_attention_heads: 5,
    tie_word_embeddings: true,
  },
};

/** Norms start at one and biases at zero, where a forgotten or doubled one would not be noticed. */
export const vectorAt = (role, name, i) => (role === 'norm' ? 1 : 0) + 0.4 * Math.sin(i + name.length);

const [folder] = process.argv.slice(2);
for (const [name, json] of Object.entries(CONFIGS)) {
  const backend = createReferenceBackend();
  const config = parseModelConfig(json);
  const model = createModel(backend, config);
  model.store.initialize(SEED);
  for (const { spec, value, size } of model.store.parameters) {
    if (spec.role === 'norm' || spec.role === 'bias')
      backend.write(
        value,
        Float32Array.from({ length: size }, (_, i) => vectorAt(spec.role, spec.name, i)),
      );
  }
  const read = async (tensor) => Array.from(await backend.read(tensor));
  const tensors = [];
  for (const { spec, value } of model.store.parameters) {
    tensors.push({ name: spec.name, shape: spec.shape, data: Float32Array.from(await read(value)) });
  }
  await saveHuggingFace(join(folder, name), {
    config: { ...explicitConfig(config), architectures: [architectureOf(config)] },
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
  backend.matmul(logits, hidden.value, model.head.value, { transposeB: true });

  model.store.attachGradients();
  model.store.resetGradients();
  const predictions = SEQUENCES.reduce((sum, tokens) => sum + tokens.length - 1, 0);
  const batch = SEQUENCES.map((tokens) => ({ tokens, predictFrom: 1 }));
  const loss = await crossEntropyStep(new Tape(backend), model, batch, 1 / predictions);
  const gradients = {};
  for (const { spec, offset, size } of model.store.parameters) {
    gradients[spec.name] = await read(backend.view(model.store.gradients, offset, [size]));
  }
  mkdirSync(join(folder, name), { recursive: true });
  const ours = { config: json, sequences: SEQUENCES, logits: await read(logits), loss, gradients };
  writeFileSync(join(folder, name, 'ours.json'), JSON.stringify(ours));
}
