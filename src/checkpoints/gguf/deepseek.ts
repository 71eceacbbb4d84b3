/**
 * @file DeepSeek-V3 in the words of GGUF: llama.cpp's `deepseek2`.
 *
 * It decodes on latents as we do, and wants the up-projection of keys and values as two tensors,
 * the keys' transposed. The experts of a layer are one tensor. Multi-token prediction is left out:
 * it guesses ahead and changes no token. What llama.cpp would compute otherwise than the model is
 * refused.
 */
import { UserError } from '../../base/errors.js';
import { deepseekDimensions, yarnOf } from '../../models/deepseek-v3-config.js';
import type { ModelConfig } from '../../models/index.js';
import type { TensorReader } from '../weights.js';
import { common, type Described, f32, made, neighbours, plain, stacked } from './describe.js';
import type { GgufDType, GgufValue } from './write.js';

/** ε of the norms of latents, whatever `rms_norm_eps` is; llama.cpp has one for all. */
const LATENT_EPSILON = 1e-6;

function refuse(field: string, value: unknown, must: string): never {
  throw new UserError('data', `${field} ${value} has no key in GGUF; it must be ${must}`, field);
}

export function describeDeepseek(
  name: string,
  config: ModelConfig,
  reader: TensorReader,
  dtype: GgufDType,
): Described {
  const architecture = 'deepseek2';
  const d = deepseekDimensions(config);
  const { keys, tensors } = common(name, architecture, config, reader, dtype);
  if (config.rms_norm_eps !== LATENT_EPSILON)
    refuse('rms_norm_eps', config.rms_norm_eps, `${LATENT_EPSILON}, as that of latents`);
  // What llama.cpp tells models with uncompressed queries by: DeepSeek-V2-Lite, GigaChat3 and
  // Kanana-2.
  const lite = d.layers === 26 || d.layers === 27 || (d.layers === 48 && d.vocabulary === 128256);
  if (lite !== (d.queryRank === null)) {
    const layers = `${d.layers} layers; llama.cpp takes ${lite ? 'none' : 'one'} for that many (deepseek2.attention.q_lora_rank)`;
    throw new UserError(
      'data',
      `q_lora_rank is ${d.queryRank} in a model of ${layers}`,
      'q_lora_rank',
    );
  }
  // It scores a group by its two best experts.
  if (d.groups > 1 && d.groups === d.experts)
    refuse('n_group', d.groups, 'so few that a group has two experts');
  const head = d.nope + d.rope;
  Object.assign(
    keys,
    Object.fromEntries(
      Object.entries({
        // To llama.cpp, decoding on latents is attention with one wide key-value head.
        'attention.head_count_kv': 1,
        'attention.key_length': d.latent + d.rope,
        'attention.value_length': d.latent,
        'attention.key_length_mla': head,
        'attention.value_length_mla': d.value,
        'attention.kv_lora_rank': d.latent,
        ...(d.queryRank === null ? {} : { 'attention.q_lora_rank': d.queryRank }),
        'rope.dimension_count': d.rope,
        leading_dense_block_count: d.denseLayers,
        expert_feed_forward_length: d.expertFfn,
        expert_count: d.experts,
        expert_used_count: d.topK,
        expert_shared_count: d.sharedExperts,
        expert_group_count: d.groups,
        expert_group_used_count: d.topGroups,
        expert_weights_scale: f32(d.scaling),
        expert_weights_norm: d.normalize,
        // Sigmoid.
        expert_gating_func: 2,
      }).map(([key, value]) => [`${architecture}.${key}`, value]),
    ),
  );
  deepseekYarn(keys, config);

  const kvWidth = d.nope + d.value;
  /** A part of every head's rows of kv_b_proj [heads · (nope + value), latent]. */
  const ofHeads = (data: Float32Array, from: number, rows: number): Float32Array => {
    const out = new Float32Array(d.heads * rows * d.latent);
    for (let h = 0; h < d.heads; h++) {
      const start = (h * kvWidth + from) * d.latent;
      out.set(data.subarray(start, start + rows * d.latent), h * rows * d.latent);
    }
    return out;
  };
  const transposed = (data: Float32Array): Float32Array => {
    const out = new Float32Array(data.length);
    const block = d.nope * d.latent;
    for (let at = 0; at < data.length; at++) {
      const [h, r, c] = [
        Math.floor(at / block),
        Math.floor((at % block) / d.latent),
        at % d.latent,
      ];
      out[h * block + c * d.nope + r] = data[at];
    }
    return out;
  };

  for (let i = 0; i < d.layers; i++) {
    const layer = `model.layers.${i}`;
    const attn = `${layer}.self_attn`;
    const mlp = `${layer}.mlp`;
    const add = (to: string, from: string, as = dtype): void =>
      void tensors.push(plain(reader, `blk.${i}.${to}`, from, as));
    const roped = (to: string, from: string, heads: number, skip: number): void => {
      const full = `blk.${i}.${to}`;
      tensors.push(
        d.interleaved
          ? plain(reader, full, from, dtype)
          : neighbours(reader, full, from, { heads, skip }, dtype),
      );
    };
    add('attn_norm.weight', `${layer}.input_layernorm.weight`);
    if (d.queryRank === null) roped('attn_q.weight', `${attn}.q_proj.weight`, d.heads, d.nope);
    else {
      add('attn_q_a.weight', `${attn}.q_a_proj.weight`);
      add('attn_q_a_norm.weight', `${attn}.q_a_layernorm.weight`);
      roped('attn_q_b.weight', `${attn}.q_b_proj.weight`, d.heads, d.nope);
    }
    roped('attn_kv_a_mqa.weight', `${attn}.kv_a_proj_with_mqa.weight`, 1, d.latent);
    add('attn_kv_a_norm.weight', `${attn}.kv_a_layernorm.weight`);
    const up = `${attn}.kv_b_proj.weight`;
    const keysOf = (data: Float32Array): Float32Array => transposed(ofHeads(data, 0, d.nope));
    const valuesOf = (data: Float32Array): Float32Array => ofHeads(data, d.nope, d.value);
    tensors.push(
      made(reader, `blk.${i}.attn_k_b.weight`, up, [d.heads, d.latent, d.nope], dtype, keysOf),
    );
    tensors.push(
      made(reader, `blk.${i}.attn_v_b.weight`, up, [d.heads, d.value, d.latent], dtype, valuesOf),
    );
    add('attn_output.weight', `${attn}.o_proj.weight`);
    add('ffn_norm.weight', `${layer}.post_attention_layernorm.weight`);
    if (i < d.denseLayers) {
      for (const p of ['gate', 'up', 'down']) add(`ffn_${p}.weight`, `${mlp}.${p}_proj.weight`);
      continue;
    }
    add('ffn_gate_inp.weight', `${mlp}.gate.weight`, 'F32');
    add('exp_probs_b.bias', `${mlp}.gate.e_score_correction_bias`);
    for (const p of ['gate', 'up', 'down']) {
      const experts = Array.from(
        { length: d.experts },
        (_, e) => `${mlp}.experts.${e}.${p}_proj.weight`,
      );
      tensors.push(stacked(reader, `blk.${i}.ffn_${p}_exps.weight`, experts, dtype));
      add(`ffn_${p}_shexp.weight`, `${mlp}.shared_experts.${p}_proj.weight`);
    }
  }
  return { keys, tensors };
}

/**
 * llama.cpp knows one of the two factors of sharpening, and takes the other to cancel it, as in the
 * released configuration.
 */
function deepseekYarn(keys: Record<string, GgufValue>, config: ModelConfig): void {
  const scaled = yarnOf(config);
  if (scaled === null) return;
  const { yarn, mscaleAllDim } = scaled;
  if (!mscaleAllDim || Math.abs(yarn.attentionFactor - 1) > 1e-6) {
    refuse(
      'rope_scaling.mscale',
      `that differs from mscale_all_dim (${mscaleAllDim})`,
      'equal to it, and both be there',
    );
  }
  const key = (name: string): string => `deepseek2.rope.scaling.${name}`;
  keys[key('type')] = 'yarn';
  keys[key('factor')] = f32(yarn.factor);
  keys[key('original_context_length')] = yarn.originalPositions;
  keys[key('yarn_beta_fast')] = f32(yarn.betaFast);
  keys[key('yarn_beta_slow')] = f32(yarn.betaSlow);
  // A tenth of it, by the converter's convention.
  keys[key('yarn_log_multiplier')] = f32(0.1 * mscaleAllDim);
}
