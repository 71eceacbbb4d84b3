/**
 * @file Reads a Hugging Face `config.json` as an `Architecture`.
 *
 * One function for every family: the fields have the same names in nearly all of them, and what
 * differs (GPT-2's `n_embd`, Mixtral's `num_local_experts`, DeepSeek's latent attention) is looked
 * up under each name that is in use. What a family's code fixes stands in its row of `families.ts`;
 * families without a row are refused rather than guessed. Of a model with several kinds of input
 * the language model is read (`text_config`), not its encoders of images and sound.
 */
import { UserError } from '../base/errors.js';
import type { Architecture, MixtureOfExperts } from './architecture.js';
import { attentionOf } from './attention-config.js';
import { countIn, type Fields, type Reader, readerOf } from './config-reader.js';
import { FAMILIES, familyOf } from './families/index.js';
import type { Family } from './family.js';
import { deltaHybridOf, hybridOf } from './hybrid-config.js';

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
  const architecture = read(config as Fields, name);
  known.set(config, architecture);
  return architecture;
}

/** The language model of a configuration: its `text_config`, where it has one. */
function languageFields(config: Fields): Fields {
  const { text_config: text, tie_word_embeddings } = config;
  if (typeof text !== 'object' || text === null || Array.isArray(text)) return config;
  return { ...(tie_word_embeddings !== undefined && { tie_word_embeddings }), ...text };
}

function read(config: Fields, name: string | undefined): Architecture {
  const written = languageFields(config);
  const type = typeof written.model_type === 'string' ? written.model_type : '';
  const label =
    name ??
    (typeof config._name_or_path === 'string' && config._name_or_path
      ? config._name_or_path
      : type);
  const family = familyOf(type);
  if (family === undefined) {
    throw new UserError(
      'data',
      `${label || 'config.json'}: model_type ${JSON.stringify(written.model_type ?? null)} is not known; known are ${Object.keys(FAMILIES).join(', ')}`,
      'model_type',
    );
  }
  const fields: Fields = { ...family.defaults, ...written };
  const number = readerOf(fields, label);
  if (type === 'nemotron_h') return hybridOf(fields, number, label, family);
  const hidden = number(['hidden_size', 'n_embd']);
  const layers = number(['num_hidden_layers', 'n_layer']);
  const maxPositions = number(['max_position_embeddings', 'n_positions', 'n_ctx'], 4096);
  const hybrid = family.attentionEvery
    ? deltaHybridOf(fields, number, layers, family.attentionEvery)
    : undefined;
  const moe = mixtureOf(fields, number, layers, family);
  const streams = number(['hc_mult'], 1);
  // Families of experts only write the experts' width where others write the dense one.
  const intermediate = number(
    ['intermediate_size_mlp', 'intermediate_size', 'n_inner'],
    type === 'gpt2' ? 4 * hidden : moe?.expertIntermediate,
  );
  return {
    name: label,
    layers,
    hidden,
    vocab: number(['vocab_size']),
    attention: attentionOf(fields, number, {
      hidden,
      layers: hybrid?.attentionLayers ?? layers,
      family,
    }),
    intermediate,
    gated: family.gated,
    moe,
    mtpLayers: number(['num_nextn_predict_layers', 'mtp_num_hidden_layers', 'num_mtp_layers'], 0),
    tiedEmbeddings:
      typeof fields.tie_word_embeddings === 'boolean' ? fields.tie_word_embeddings : family.tied,
    learnedPositions: family.learned ? maxPositions : 0,
    maxPositions,
    ...(hybrid && { hybrid }),
    ...(family.sandwichNorms && { sandwichNorms: true }),
    ...(streams > 1 && { residualStreams: streams }),
  };
}

function mixtureOf(
  fields: Fields,
  read: Reader,
  layers: number,
  family: Family,
): MixtureOfExperts | null {
  const experts = read(['n_routed_experts', 'num_local_experts', 'num_experts'], 0);
  if (experts === 0) return null;
  const topK = read(['num_experts_per_tok', 'num_experts_per_token', 'experts_per_token']);
  if (topK > experts)
    throw new UserError(
      'data',
      `num_experts_per_tok ${topK} exceeds the ${experts} experts`,
      'num_experts_per_tok',
    );
  const expertIntermediate = read(['moe_intermediate_size', 'intermediate_size']);
  const sharedWidth = read(['shared_expert_intermediate_size'], 0);
  const { denseLayers, interleaved } = denseLayersOf(fields, read, layers);
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
    denseLayers,
    ...(interleaved && { interleaved }),
    ...(family.sharedGate && sharedWidth > 0 && { sharedGate: true }),
    ...(family.expertBias && { expertBias: true }),
  };
}

/** Layers without experts: listed one by one, the first of them, or all but every n-th. */
function denseLayersOf(
  fields: Fields,
  read: Reader,
  layers: number,
): Pick<MixtureOfExperts, 'denseLayers' | 'interleaved'> {
  const first = read(['first_k_dense_replace'], 0);
  const frequencies = fields.moe_layer_freq;
  const names = ['decoder_sparse_step', 'interleave_moe_layer_step'];
  const step = read(Array.isArray(frequencies) ? names : [...names, 'moe_layer_freq'], 1) || 1;
  const sparse = Array.isArray(fields.moe_layers) ? fields.moe_layers.length : undefined;
  const listed =
    countIn(fields.mlp_layer_types, 'dense') ??
    countIn(frequencies, 0) ??
    (sparse === undefined ? undefined : layers - sparse) ??
    (Array.isArray(fields.mlp_only_layers) ? fields.mlp_only_layers.length : 0);
  const between = step > 1 ? layers - Math.floor(layers / step) : 0;
  const denseLayers = Math.min(layers, Math.max(listed, first, between));
  return { denseLayers, ...(denseLayers > Math.max(first, 3) && { interleaved: true }) };
}
