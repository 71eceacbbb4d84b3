/**
 * @file The attention of a Hugging Face `config.json`: grouped-query with its windows, latent with
 * its indexer, or DeepSeek-V4's compressed attention.
 */
import { UserError } from '../base/errors.js';
import type {
  Architecture,
  CompressedAttention,
  GroupedQueryAttention,
  Indexer,
  LatentAttention,
} from './architecture.js';
import { countIn, type Fields, type Reader } from './config-reader.js';
import type { Family } from './family.js';

interface Facts {
  hidden: number;
  /** Those with attention. */
  layers: number;
  family: Family;
}

export function attentionOf(fields: Fields, read: Reader, facts: Facts): Architecture['attention'] {
  const heads = read(['num_attention_heads', 'n_head']);
  if ('kv_lora_rank' in fields) return latentOf(fields, read, heads, facts.layers);
  if ('o_lora_rank' in fields) return compressedOf(fields, read, heads, facts.layers);
  return groupedOf(fields, read, heads, facts);
}

export function groupedOf(
  fields: Fields,
  read: Reader,
  heads: number,
  { hidden, layers, family }: Facts,
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
        ? (family.writtenBias ?? 'all')
        : 'none';
  return {
    kind: 'gqa',
    heads,
    kvHeads,
    headDim,
    bias,
    qkNorm: fields.use_qk_norm === false ? 'none' : (family.qkNorm ?? 'none'),
    window: windowOf(fields, read, layers, family),
    ...(family.outputGate && { outputGate: true }),
    ...(family.sinks && { sinks: true }),
  };
}

/**
 * Local layers are listed one by one (GPT-OSS), are all but every n-th (Gemma 3, Llama 4), or all
 * of them are (Mistral); Qwen writes a window that it does not use.
 */
function windowOf(
  fields: Fields,
  read: Reader,
  layers: number,
  family: Family,
): GroupedQueryAttention['window'] {
  const window = read(['sliding_window'], 0);
  const chunk = read(['attention_chunk_size'], 0);
  const tokens = window || chunk;
  if (tokens === 0 || fields.use_sliding_window === false) return null;
  const listed = chunk > 0 ? nonEmptyCount(fields.no_rope_layers) : undefined;
  const every = localEvery(fields, family);
  const local =
    listed ??
    countIn(fields.layer_types, 'sliding_attention', 'chunked_attention') ??
    (every > 0 ? layers - Math.floor(layers / every) : layers);
  if (local === 0) return null;
  return { tokens, layers: local, ...(window === 0 && { chunked: true }) };
}

/** Every so many layers one has no window; 0 where all have it. */
const localEvery = (fields: Fields, { globalEvery = 0 }: Pick<Family, 'globalEvery'>): number =>
  [fields.sliding_window_pattern, fields.no_rope_layer_interval, globalEvery].find(
    (n): n is number => Number.isInteger(n),
  ) ?? 0;

/**
 * Whether each layer is one of those that have a window, where there is one: listed one by one
 * (`layer_types`), or all but every n-th, or all.
 */
export function localLayers(
  fields: Fields,
  layers: number,
  family: Pick<Family, 'globalEvery'>,
): boolean[] {
  const { layer_types: types } = fields;
  const every = localEvery(fields, family);
  return Array.from({ length: layers }, (_, i) =>
    Array.isArray(types)
      ? types[i] === 'sliding_attention' || types[i] === 'chunked_attention'
      : !(every > 0 && (i + 1) % every === 0),
  );
}

/** `no_rope_layers` has a 1 for each layer with rotary positions, which are the local ones. */
const nonEmptyCount = (list: unknown): number | undefined =>
  Array.isArray(list) && list.length > 0 ? countIn(list, 1) : undefined;

function latentOf(fields: Fields, read: Reader, heads: number, layers: number): LatentAttention {
  const indexed = 'index_topk' in fields;
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
    ...(indexed && { indexer: indexerOf(read, indexerLayers(fields, read, layers)) }),
  };
}

const indexerOf = (read: Reader, layers: number): Indexer => ({
  layers,
  heads: read(['index_n_heads']),
  headDim: read(['index_head_dim']),
  topK: read(['index_topk']),
});

/** GLM-5.2 lists which layers have an indexer of their own, or gives how often one has. */
function indexerLayers(fields: Fields, read: Reader, layers: number): number {
  const listed = countIn(fields.indexer_types, 'full');
  if (listed !== undefined) return listed;
  const every = Math.max(1, read(['index_topk_freq'], 1));
  const offset = read(['index_skip_topk_offset'], 2);
  let own = 0;
  for (let layer = 0; layer < layers; layer++)
    if (Math.max(layer - offset + 1, 0) % every === 0) own++;
  return own;
}

/** Tokens an entry, layer by layer: 0 where a layer has its window alone. */
function compressionOf(fields: Fields, layers: number): { sparse: number[]; heavy: number[] } {
  const { compress_ratios: ratios, layer_types: types } = fields;
  const rates = (fields.compress_rates ?? {}) as Record<string, unknown>;
  const rate = (name: string, otherwise: number): number => {
    const value = rates[name];
    return typeof value === 'number' && value >= 1 ? value : otherwise;
  };
  const sparse = rate('compressed_sparse_attention', 4);
  const heavy = rate('heavily_compressed_attention', 128);
  const each: number[] = Array.isArray(ratios)
    ? ratios.slice(0, layers).map(Number)
    : Array.isArray(types)
      ? types
          .slice(0, layers)
          .map((type) =>
            type === 'compressed_sparse_attention'
              ? sparse
              : type === 'heavily_compressed_attention'
                ? heavy
                : 0,
          )
      : Array.from({ length: layers }, (_, i) => (i < 2 || i % 2 === 1 ? heavy : sparse));
  return {
    sparse: each.filter((ratio) => ratio === sparse),
    heavy: each.filter((ratio) => ratio === heavy),
  };
}

function compressedOf(
  fields: Fields,
  read: Reader,
  heads: number,
  layers: number,
): CompressedAttention {
  const { sparse, heavy } = compressionOf(fields, layers);
  return {
    kind: 'compressed',
    heads,
    headDim: read(['head_dim']),
    qLoraRank: read(['q_lora_rank']),
    outputGroups: read(['o_groups']),
    outputRank: read(['o_lora_rank']),
    window: read(['sliding_window']),
    indexer: indexerOf(read, sparse.length),
    sparse: { layers: sparse.length, ratio: sparse[0] ?? 1 },
    heavy: { layers: heavy.length, ratio: heavy[0] ?? 1 },
  };
}
