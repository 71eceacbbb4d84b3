/**
 * @file What a family of models is: everything that the code of a `model_type` fixes and its
 * configuration does not write, as plain data.
 *
 * A family is one object in one file and one row of the table in families.ts. Parameters and FLOPs
 * are counted from it here; models/ computes by it, and checkpoints/ finds its names in other
 * formats. A family without `engine` is counted and planned, and cannot be loaded.
 */
import type { GroupedQueryAttention } from './architecture.js';

export interface Family {
  /** Three matrices a feed-forward network, or two. */
  gated: boolean;
  /** Where `attention_bias` is not written. */
  bias: GroupedQueryAttention['bias'];
  /** What `attention_bias: true` means, where it leaves the output projection out. */
  writtenBias?: 'qkv';
  /** Where `tie_word_embeddings` is not written. */
  tied: boolean;
  learned?: boolean;
  qkNorm?: GroupedQueryAttention['qkNorm'];
  routerBias?: boolean;
  /** Where `n_shared_experts` is not written. */
  sharedExperts?: number;
  /** Every so many layers one attends to everything; where `layer_types` is not written. */
  globalEvery?: number;
  sandwichNorms?: true;
  outputGate?: true;
  sinks?: true;
  sharedGate?: true;
  expertBias?: true;
  /** Every so many layers one has attention and the others a gated delta rule. */
  attentionEvery?: number;
  /** Fields that released configurations leave to the family's own defaults. */
  defaults?: Readonly<Record<string, unknown>>;
  engine?: EngineFacts;
}

/** What loading, computing and saving a model needs to know besides. */
export interface EngineFacts {
  /** `architectures` of a `config.json`: the class in Hugging Face transformers. */
  transformers: string;
  /** Multi-head latent attention with DeepSeek's experts; without it, a decoder (models/decoder). */
  latent?: true;
  /** Norms stand before what they norm (default), or after it (Olmo 2). */
  norms?: 'after';
  /** Norms multiply by 1 + weight (Gemma). */
  norm?: 'one-plus';
  /** Values of `hidden_act`, or `hidden_activation`, that mean this; default: SiLU, `silu`. */
  activation?: { kind: 'gelu-tanh'; names: readonly string[] };
  /** Embeddings are multiplied by √hidden_size (Gemma). */
  scaledEmbedding?: true;
  /** Queries, keys and values are one weight, and so are gate and up (Phi-3). */
  fused?: true;
  /** `partial_rotary_factor` of each head is rotated, its first numbers (Phi-4-mini). */
  partialRotary?: true;
  /** `no_rope_layers` marks layers without rotary positions by 0 (SmolLM3). */
  nope?: true;
  /**
   * Local layers have rotary positions of their own, not stretched: their base is
   * `rope_local_base_freq`, or that of the others.
   */
  localRope?: true;
  /** Names in a layer that are not `mlp.gate` and `mlp.experts.0.gate_proj` (Mixtral). */
  experts?: { block: string; gate: string; up: string; down: string };
  /** What llama.cpp calls it; left out where it has no such architecture. */
  gguf?: GgufFacts;
}

export interface GgufFacts {
  architecture: string;
  /** Rotary pairs lie side by side there, and half a head apart in Hugging Face's weights. */
  neighbours?: true;
  /** Keys for fields of `config.json` that other architectures have not. */
  keys?: readonly { field: string; key: string; kind: 'count' | 'real' }[];
  /**
   * `query_pre_attn_scalar` is the length of a head in llama.cpp, and hidden_size over heads in a
   * model of so many layers.
   */
  widerScalarAt?: number;
  /** Fields that llama.cpp's code fixes: what is read has them, other values are not written. */
  fixed?: Readonly<Record<string, unknown>>;
}

/** Gated, rotary, without biases. */
export const plain: Family = { gated: true, bias: 'none', tied: false };
