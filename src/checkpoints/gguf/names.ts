/**
 * @file What the tensors of a decoder are called in GGUF, for writing and for reading.
 *
 * Three things are not mere names: llama.cpp rotates neighbouring pairs in some architectures where
 * Hugging Face's programs rotate halves, so the rows of query and key projections are in another
 * order; the experts of a layer are one tensor; and Gemma's norms are stored as 1 + weight.
 */
import type { GgufFacts } from '../../architecture/index.js';
import {
  decoderShape,
  familyOfConfig,
  layerNames,
  type ModelConfig,
  NORMS,
} from '../../models/index.js';

export interface TensorName {
  gguf: string;
  /** In a Hugging Face folder; of the first expert where there are `experts`. */
  name: string;
  /** Heads whose rows are in llama.cpp's order; without it the rows are in the same order. */
  heads?: number;
  /** Names of the experts that the tensor holds, one after the other. */
  experts?: readonly string[];
  /** Is added to each number when it is written. */
  plus?: number;
}

/** What llama.cpp's code fixes of a model of these sizes. */
export function fixedFields(
  { fixed, widerScalarAt }: GgufFacts,
  { layers, width, heads, headDim }: Record<'layers' | 'width' | 'heads' | 'headDim', number>,
): Record<string, unknown> {
  if (widerScalarAt === undefined) return { ...fixed };
  return { ...fixed, query_pre_attn_scalar: layers === widerScalarAt ? width / heads : headDim };
}

/** Tensors that every architecture has. */
export function commonNames(config: ModelConfig): TensorName[] {
  const plus = familyOfConfig(config).engine.norm === 'one-plus' ? { plus: 1 } : {};
  return [
    { gguf: 'token_embd.weight', name: 'model.embed_tokens.weight' },
    { gguf: 'output_norm.weight', name: 'model.norm.weight', ...plus },
    // Without this tensor llama.cpp takes the embedding.
    ...(config.tie_word_embeddings ? [] : [{ gguf: 'output.weight', name: 'lm_head.weight' }]),
  ];
}

const NORM_NAMES = {
  before: ['attn_norm', 'ffn_norm'],
  after: ['post_attention_norm', 'post_ffw_norm'],
};

/** All tensors of a decoder (models/decoder.ts). */
export function decoderNames(config: ModelConfig): TensorName[] {
  const { heads, kvHeads, bias, qkNorm, norms, experts, layers } = decoderShape(config);
  const { gguf, norm } = familyOfConfig(config).engine;
  const own = layerNames(config);
  const names = commonNames(config);
  layers.forEach(({ sparse }, i) => {
    const add = (to: string, name: string, more: Partial<TensorName> = {}): void =>
      void names.push({ gguf: `blk.${i}.${to}`, name: `model.layers.${i}.${name}`, ...more });
    const plus = norm === 'one-plus' ? { plus: 1 } : {};
    const roped = (count: number) => (gguf?.neighbours ? { heads: count } : {});
    for (const side of ['before', 'after'] as const)
      NORMS[norms][side]?.forEach((name, at) => {
        add(`${NORM_NAMES[side][at]}.weight`, `${name}.weight`, plus);
      });
    if (own.fused) add('attn_qkv.weight', own.qkv);
    else {
      const kinds = bias === 'none' ? ['weight'] : ['weight', 'bias'];
      for (const kind of kinds) {
        add(`attn_q.${kind}`, `self_attn.q_proj.${kind}`, roped(heads));
        add(`attn_k.${kind}`, `self_attn.k_proj.${kind}`, roped(kvHeads));
        add(`attn_v.${kind}`, `self_attn.v_proj.${kind}`);
      }
    }
    add('attn_output.weight', 'self_attn.o_proj.weight');
    if (bias === 'all') add('attn_output.bias', 'self_attn.o_proj.bias');
    if (qkNorm !== 'none')
      for (const p of ['q', 'k']) add(`attn_${p}_norm.weight`, `self_attn.${p}_norm.weight`, plus);
    if (sparse && experts) {
      add('ffn_gate_inp.weight', own.router);
      for (const kind of ['gate', 'up', 'down'] as const) {
        const each = Array.from({ length: experts.count }, (_, e) => own.expert(e, kind));
        const all = { experts: each.map((name) => `model.layers.${i}.${name}`) };
        add(`ffn_${kind}_exps.weight`, each[0], all);
      }
      return;
    }
    if (own.fused) add('ffn_up.weight', own.gateUp);
    else for (const p of ['gate', 'up']) add(`ffn_${p}.weight`, `mlp.${p}_proj.weight`);
    add('ffn_down.weight', 'mlp.down_proj.weight');
  });
  return names;
}
