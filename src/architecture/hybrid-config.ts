/**
 * @file Stacks with recurrent layers in a Hugging Face `config.json`: Nemotron-H's pattern of
 * letters, and Qwen's layers with a gated delta rule.
 */
import { UserError } from '../base/errors.js';
import type { Architecture, Hybrid } from './architecture.js';
import { groupedOf } from './attention-config.js';
import { countIn, type Fields, type Reader } from './config-reader.js';
import type { Family } from './family.js';

/**
 * One letter a layer: `M` Mamba-2, `*` attention, `E` experts, `-` dense feed-forward network
 * (NVIDIA's Nemotron-H and 3).
 */
export function hybridOf(
  fields: Fields,
  read: Reader,
  label: string,
  family: Family,
): Architecture {
  const pattern = fields.hybrid_override_pattern;
  if (typeof pattern !== 'string' || !/^[M*E-]+$/.test(pattern)) {
    throw new UserError(
      'data',
      `${label}: hybrid_override_pattern must be a string of M, *, E and -`,
      'hybrid_override_pattern',
    );
  }
  const count = (letter: string): number => pattern.split(letter).length - 1;
  const hidden = read(['hidden_size']);
  const expertIntermediate = read(['moe_intermediate_size'], 0);
  const dense = count('-');
  return {
    name: label,
    layers: pattern.length,
    hidden,
    vocab: read(['vocab_size']),
    attention: groupedOf(fields, read, read(['num_attention_heads']), {
      hidden,
      layers: pattern.length,
      family,
    }),
    intermediate: read(['intermediate_size']),
    gated: false,
    moe:
      count('E') === 0
        ? null
        : {
            experts: read(['n_routed_experts']),
            topK: read(['num_experts_per_tok']),
            sharedExperts: read(['moe_shared_expert_intermediate_size'], 0) / expertIntermediate,
            expertIntermediate,
            groups: 1,
            topGroups: 1,
            routerBias: true,
            denseLayers: dense,
            ...('moe_latent_size' in fields ? { latentDim: read(['moe_latent_size']) } : {}),
          },
    mtpLayers: read(['num_nextn_predict_layers'], 0),
    tiedEmbeddings: fields.tie_word_embeddings === true,
    learnedPositions: 0,
    maxPositions: read(['max_position_embeddings'], 8192),
    hybrid: {
      attentionLayers: count('*'),
      recurrentLayers: count('M'),
      feedForwardLayers: count('E') + dense,
      recurrent: {
        kind: 'mamba2',
        heads: read(['mamba_num_heads']),
        headDim: read(['mamba_head_dim']),
        state: read(['ssm_state_size']),
        groups: read(['n_groups'], 1),
        convolution: read(['conv_kernel'], 4),
      },
    },
  };
}

/** Qwen3-Next and Qwen3.5: every layer has a feed-forward network; one in four has attention. */
export function deltaHybridOf(
  fields: Fields,
  read: Reader,
  layers: number,
  attentionEvery: number,
): Hybrid {
  const every = read(['full_attention_interval'], attentionEvery) || attentionEvery;
  const attentionLayers =
    countIn(fields.layer_types, 'full_attention') ?? Math.floor(layers / every);
  return {
    attentionLayers,
    recurrentLayers: layers - attentionLayers,
    feedForwardLayers: layers,
    recurrent: {
      kind: 'gated-delta',
      heads: read(['linear_num_value_heads']),
      headDim: read(['linear_value_head_dim']),
      groups: read(['linear_num_key_heads']),
      state: read(['linear_key_head_dim']),
      convolution: read(['linear_conv_kernel_dim'], 4),
    },
  };
}
