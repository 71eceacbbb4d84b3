/**
 * @file What the tensors of a Llama, Qwen2 or Qwen3 are called in GGUF, for writing and for reading.
 *
 * One thing is not a mere name: llama.cpp rotates neighbouring pairs in `llama`, and Hugging Face's
 * programs rotate halves, so the rows of its query and key projections are in another order.
 */
import { dimensionsOf, type ModelConfig } from '../../models/index.js';

export interface TensorName {
  gguf: string;
  /** In a Hugging Face folder. */
  name: string;
  /** Heads whose rows are in llama.cpp's order; without it the rows are in the same order. */
  heads?: number;
}

/** Tensors that every architecture has. */
export function commonNames(config: ModelConfig): TensorName[] {
  return [
    { gguf: 'token_embd.weight', name: 'model.embed_tokens.weight' },
    { gguf: 'output_norm.weight', name: 'model.norm.weight' },
    // Without this tensor llama.cpp takes the embedding.
    ...(config.tie_word_embeddings ? [] : [{ gguf: 'output.weight', name: 'lm_head.weight' }]),
  ];
}

/** All tensors of a Llama, Qwen2 or Qwen3. */
export function llamaNames(config: ModelConfig): TensorName[] {
  const { layers, heads, kvHeads } = dimensionsOf(config);
  const { model_type: family } = config;
  const names = commonNames(config);
  for (let i = 0; i < layers; i++) {
    const add = (gguf: string, name: string, roped?: number): void =>
      void names.push({
        gguf: `blk.${i}.${gguf}`,
        name: `model.layers.${i}.${name}`,
        ...(roped !== undefined && family === 'llama' ? { heads: roped } : {}),
      });
    add('attn_norm.weight', 'input_layernorm.weight');
    add('attn_q.weight', 'self_attn.q_proj.weight', heads);
    add('attn_k.weight', 'self_attn.k_proj.weight', kvHeads);
    add('attn_v.weight', 'self_attn.v_proj.weight');
    add('attn_output.weight', 'self_attn.o_proj.weight');
    if (family === 'qwen2')
      for (const p of ['q', 'k', 'v']) add(`attn_${p}.bias`, `self_attn.${p}_proj.bias`);
    if (family === 'qwen3')
      for (const p of ['q', 'k']) add(`attn_${p}_norm.weight`, `self_attn.${p}_norm.weight`);
    add('ffn_norm.weight', 'post_attention_layernorm.weight');
    for (const p of ['gate', 'up', 'down']) add(`ffn_${p}.weight`, `mlp.${p}_proj.weight`);
  }
  return names;
}
