/**
 * @file Reads a Hugging Face `config.json` as an `Architecture`.
 *
 * One function for every family: the fields have the same names in nearly all of them, and what
 * differs (GPT-2's `n_embd`, Mixtral's `num_local_experts`, DeepSeek's latent attention) is looked
 * up under each name that is in use. Families that need more than a matrix of names (state-space
 * layers) are refused rather than guessed.
 */
import { UserError } from '../base/errors.js';
import type {
  Architecture,
  GroupedQueryAttention,
  LatentAttention,
  MixtureOfExperts,
} from './architecture.js';

interface FamilyRow {
  /** Three matrices a feed-forward network, or two. */
  gated: boolean;
  /** Where `attention_bias` is not written. */
  bias: GroupedQueryAttention['bias'];
  /** Where `tie_word_embeddings` is not written. */
  tied: boolean;
  learned?: boolean;
  qkNorm?: GroupedQueryAttention['qkNorm'];
  routerBias?: boolean;
  /** Where `n_shared_experts` is not written. */
  sharedExperts?: number;
}

const plain: FamilyRow = { gated: true, bias: 'none', tied: false };
const gpt: FamilyRow = { gated: false, bias: 'all', tied: false };

const FAMILIES: Record<string, FamilyRow> = {
  llama: plain,
  mistral: plain,
  mixtral: plain,
  qwen2: { ...plain, bias: 'qkv' },
  qwen2_moe: { ...plain, bias: 'qkv' },
  qwen3: { ...plain, qkNorm: 'head' },
  qwen3_moe: { ...plain, qkNorm: 'head' },
  gpt2: { ...gpt, tied: true, learned: true },
  gpt_neox: gpt,
  gpt_oss: { ...plain, bias: 'all', routerBias: true },
  olmo2: { ...plain, qkNorm: 'all' },
  olmoe: { ...plain, qkNorm: 'all' },
  gemma: { ...plain, tied: true },
  gemma2: { ...plain, tied: true },
  phi3: plain,
  deepseek_v2: plain,
  deepseek_v3: { ...plain, routerBias: true, sharedExperts: 1 },
  kimi_k2: { ...plain, routerBias: true, sharedExperts: 1 },
  nemotron_h: { ...plain, gated: false },
};

const known = new WeakMap<object, Architecture>();

/**
 * The architecture of a model; read once for each configuration.
 * @param config the parsed `config.json`
 * @param name how errors and plans call the model; default: its own name, or its family
 * @throws UserError when it is no configuration of a known family, or a number is missing
 */
export function architectureOf(config: unknown, name?: string): Architecture {
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new UserError(
      'data',
      `${name ?? 'model configuration'}: not an object; give the contents of a config.json`,
    );
  }
  const before = known.get(config);
  if (before !== undefined && (name === undefined || before.name === name)) return before;
  const architecture = read(config as Record<string, unknown>, name);
  known.set(config, architecture);
  return architecture;
}

function read(fields: Record<string, unknown>, name: string | undefined): Architecture {
  const type = typeof fields.model_type === 'string' ? fields.model_type : '';
  const label =
    name ??
    (typeof fields._name_or_path === 'string' && fields._name_or_path
      ? fields._name_or_path
      : type);
  const family = Object.hasOwn(FAMILIES, type) ? FAMILIES[type] : undefined;
  if (family === undefined) {
    throw new UserError(
      'data',
      `${label || 'config.json'}: model_type ${JSON.stringify(fields.model_type ?? null)} is not known; known are ${Object.keys(FAMILIES).join(', ')}`,
      'model_type',
    );
  }
  const number = readerOf(fields, label);
  if (type === 'nemotron_h') return hybridOf(fields, number, label);
  const hidden = number(['hidden_size', 'n_embd']);
  const heads = number(['num_attention_heads', 'n_head']);
  const layers = number(['num_hidden_layers', 'n_layer']);
  const maxPositions = number(['max_position_embeddings', 'n_positions', 'n_ctx'], 4096);
  const moe = mixtureOf(fields, number, layers, family);
  // Families of experts only write the experts' width where others write the dense one.
  const intermediate = number(
    ['intermediate_size', 'n_inner'],
    type === 'gpt2' ? 4 * hidden : moe?.expertIntermediate,
  );
  return {
    name: label,
    layers,
    hidden,
    vocab: number(['vocab_size']),
    attention:
      'kv_lora_rank' in fields
        ? latentOf(fields, number, heads)
        : groupedOf(fields, number, hidden, heads, layers, family),
    intermediate,
    gated: family.gated,
    moe,
    mtpLayers: number(['num_nextn_predict_layers'], 0),
    tiedEmbeddings:
      typeof fields.tie_word_embeddings === 'boolean' ? fields.tie_word_embeddings : family.tied,
    learnedPositions: family.learned ? maxPositions : 0,
    maxPositions,
  };
}

/**
 * One letter a layer: `M` Mamba-2, `*` attention, `E` experts, `-` dense feed-forward network
 * (NVIDIA's Nemotron-H and 3).
 */
function hybridOf(fields: Record<string, unknown>, read: Reader, label: string): Architecture {
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
    attention: groupedOf(
      fields,
      read,
      hidden,
      read(['num_attention_heads']),
      pattern.length,
      FAMILIES.nemotron_h,
    ),
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
      mambaLayers: count('M'),
      feedForwardLayers: count('E') + dense,
      mamba: {
        heads: read(['mamba_num_heads']),
        headDim: read(['mamba_head_dim']),
        state: read(['ssm_state_size']),
        groups: read(['n_groups'], 1),
        convolution: read(['conv_kernel'], 4),
      },
    },
  };
}

type Reader = (names: readonly string[], otherwise?: number) => number;

function readerOf(fields: Record<string, unknown>, label: string): Reader {
  return (names, otherwise) => {
    const name = names.find(
      (candidate) => fields[candidate] !== undefined && fields[candidate] !== null,
    );
    if (name === undefined) {
      if (otherwise !== undefined) return otherwise;
      throw new UserError(
        'data',
        `${label}: ${names[0]} is missing from the configuration`,
        names[0],
      );
    }
    const value = fields[name];
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 1e9) {
      throw new UserError(
        'data',
        `${label}: ${name} is ${JSON.stringify(value)}; it must be a whole number`,
        name,
      );
    }
    if (value === 0 && otherwise === undefined)
      throw new UserError('data', `${label}: ${name} is 0; it must be positive`, name);
    return value;
  };
}

function groupedOf(
  fields: Record<string, unknown>,
  read: Reader,
  hidden: number,
  heads: number,
  layers: number,
  family: FamilyRow,
): GroupedQueryAttention {
  const headDim = read(['head_dim'], hidden / heads);
  if (!Number.isInteger(headDim)) {
    throw new UserError(
      'data',
      `hidden_size ${hidden} is not a multiple of num_attention_heads ${heads}; set head_dim`,
      'head_dim',
    );
  }
  const kvHeads = read(['num_key_value_heads'], heads);
  if (heads % kvHeads !== 0) {
    throw new UserError(
      'data',
      `num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`,
      'num_key_value_heads',
    );
  }
  // Qwen2's biases are in its code; what its configuration writes is not read.
  const bias =
    family.bias === 'qkv' || typeof fields.attention_bias !== 'boolean'
      ? family.bias
      : fields.attention_bias
        ? 'all'
        : 'none';
  return {
    kind: 'gqa',
    heads,
    kvHeads,
    headDim,
    bias,
    qkNorm: family.qkNorm ?? 'none',
    window: windowOf(fields, read, layers),
  };
}

/**
 * Local layers are listed one by one (GPT-OSS), or all of them are (Mistral); Qwen writes a window
 * that it does not use.
 */
function windowOf(
  fields: Record<string, unknown>,
  read: Reader,
  layers: number,
): GroupedQueryAttention['window'] {
  const tokens = read(['sliding_window'], 0);
  if (tokens === 0 || fields.use_sliding_window === false) return null;
  const kinds = fields.layer_types;
  const local = Array.isArray(kinds)
    ? kinds.filter((kind) => kind === 'sliding_attention').length
    : layers;
  return local === 0 ? null : { tokens, layers: local };
}

function latentOf(fields: Record<string, unknown>, read: Reader, heads: number): LatentAttention {
  return {
    kind: 'mla',
    heads,
    qLoraRank:
      fields.q_lora_rank === null || fields.q_lora_rank === undefined
        ? null
        : read(['q_lora_rank']),
    kvLoraRank: read(['kv_lora_rank']),
    qkNopeHeadDim: read(['qk_nope_head_dim']),
    qkRopeHeadDim: read(['qk_rope_head_dim']),
    vHeadDim: read(['v_head_dim']),
  };
}

function mixtureOf(
  fields: Record<string, unknown>,
  read: Reader,
  layers: number,
  family: FamilyRow,
): MixtureOfExperts | null {
  const experts = read(['n_routed_experts', 'num_local_experts', 'num_experts'], 0);
  if (experts === 0) return null;
  const topK = read(['num_experts_per_tok', 'experts_per_token']);
  if (topK > experts)
    throw new UserError(
      'data',
      `num_experts_per_tok ${topK} exceeds the ${experts} experts`,
      'num_experts_per_tok',
    );
  const expertIntermediate = read(['moe_intermediate_size', 'intermediate_size']);
  const sharedWidth = read(['shared_expert_intermediate_size'], 0);
  const step = read(['decoder_sparse_step', 'moe_layer_freq'], 1) || 1;
  const listed = Array.isArray(fields.mlp_only_layers) ? fields.mlp_only_layers.length : 0;
  const first = read(['first_k_dense_replace'], 0);
  return {
    experts,
    topK,
    sharedExperts: read(
      ['n_shared_experts'],
      family.sharedExperts ?? sharedWidth / expertIntermediate,
    ),
    expertIntermediate,
    groups: read(['n_group'], 1) || 1,
    topGroups: read(['topk_group'], 1) || 1,
    routerBias: family.routerBias ?? false,
    denseLayers: Math.min(
      layers,
      Math.max(listed, first, step > 1 ? layers - Math.floor(layers / step) : 0),
    ),
  };
}
