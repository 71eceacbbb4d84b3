import { describe, expect, it } from 'vitest';
import { countParameters, familyOf } from '../architecture/index.js';
import { Random } from '../base/random.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { createModel, type Model, modelTypes, parseModelConfig } from './index.js';

/** A configuration of a family whose sizes are drawn. */
function drawConfig(modelType: string, random: Random): object {
  const size = (low: number, high: number): number => random.integer(low, high);
  const kvHeads = size(1, 3);
  const latent = familyOf(modelType)?.engine?.latent === true;
  const heads = latent ? size(1, 4) : kvHeads * size(1, 3);
  const layers = size(1, 4);
  const decoder = {
    model_type: modelType,
    vocab_size: size(5, 20),
    hidden_size: 2 * heads * size(1, 4),
    intermediate_size: size(3, 12),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    max_position_embeddings: 64,
    tie_word_embeddings: size(0, 1) === 1,
  };
  if (!latent) {
    const headDim = size(0, 1) === 1 ? { head_dim: 2 * size(1, 3) } : {};
    const experts = { num_experts: size(2, 4), num_experts_per_tok: size(1, 2) };
    const ffn = modelType === 'qwen3_moe' ? { moe_intermediate_size: size(2, 6) } : {};
    const mixture = /moe|mixtral/.test(modelType) ? { ...experts, ...ffn } : {};
    return { ...decoder, num_key_value_heads: kvHeads, ...headDim, ...mixture };
  }
  const groups = size(1, 2);
  return {
    ...decoder,
    q_lora_rank: size(0, 1) === 1 ? size(2, 6) : null,
    kv_lora_rank: size(2, 6),
    qk_nope_head_dim: size(1, 5),
    qk_rope_head_dim: 2 * size(1, 2),
    v_head_dim: size(1, 5),
    n_routed_experts: groups * size(2, 3),
    num_experts_per_tok: size(1, 2),
    moe_intermediate_size: size(2, 6),
    ...(size(0, 1) === 1 ? { n_shared_experts: size(1, 2) } : {}),
    n_group: groups,
    topk_group: groups,
    first_k_dense_replace: size(0, layers + 1),
    num_nextn_predict_layers: size(0, 1),
  };
}

/** Numbers in the parameters whose names fit. */
const numbersOf = ({ store }: Model, pick: (name: string) => boolean): number =>
  store.parameters.reduce((sum, { spec, size }) => sum + (pick(spec.name) ? size : 0), 0);

describe.each(modelTypes())('the parameters of %s', (modelType) => {
  it('are counted from the configuration as the parameter store has them', () => {
    const random = new Random(1, 'architecture', modelType);
    for (let i = 0; i < 25; i++) {
      const config = parseModelConfig(drawConfig(modelType, random));
      const model = createModel(createReferenceBackend(), config);
      const counted = countParameters(model.architecture);
      const { layers, moe } = model.architecture;
      const ofModule = (name: string): boolean => name.startsWith(`model.layers.${layers}.`);
      const isEmbedding = (name: string): boolean => /embed_tokens|lm_head/.test(name);
      const isExpert = (name: string): boolean => !ofModule(name) && name.includes('.experts.');
      const isGateBias = (name: string): boolean =>
        !ofModule(name) && name.endsWith('e_score_correction_bias');
      expect(counted.stored).toBe(model.store.size);
      expect(counted.mtp).toBe(numbersOf(model, ofModule));
      expect(counted.total).toBe(counted.stored - counted.mtp);
      expect(counted.embedding).toBe(numbersOf(model, isEmbedding));
      expect(counted.nonEmbedding).toBe(counted.stored - counted.embedding);
      const unused = moe === null ? 0 : 1 - moe.topK / moe.experts;
      expect(counted.active).toBeCloseTo(
        counted.total - unused * numbersOf(model, isExpert) - numbersOf(model, isGateBias),
        6,
      );
      // Every matrix but the embedding, and the head once.
      const matrices = model.store.parameters
        .filter(({ spec }) => spec.shape.length === 2 && !isEmbedding(spec.name))
        .reduce((sum, { spec, size }) => sum + (ofModule(spec.name) ? 0 : size), 0);
      const head = config.vocab_size * config.hidden_size;
      expect(counted.matmul).toBeCloseTo(matrices - unused * numbersOf(model, isExpert) + head, 6);
    }
  });
});
