import { describe, expect, it } from 'vitest';
import { OPEN_MODELS } from '../catalog/data/open-models.js';
import type { Architecture } from './architecture.js';
import { cacheElements, keysOfQuery, readElements, stateElements } from './context.js';
import { forwardFlops } from './flops.js';
import { architectureOf } from './from-config.js';
import { countParameters } from './parameters.js';
import { publishedModel } from './published.js';

function model(name: string): Architecture {
  const published = publishedModel(name);
  if (published === undefined) throw new Error(name);
  return published.architecture;
}

/**
 * Parameters of the implementation in Hugging Face transformers 5.24 (made on PyTorch's meta
 * device), biases of routers included, multi-token prediction not.
 */
const COUNTED: readonly [string, number][] = [
  ['DeepSeek-V3.2', 671_877_944_064],
  ['Kimi K2.5', 1_026_408_232_448],
  ['GLM-4.5', 352_797_829_024],
  ['GLM-4.5-Air', 106_852_251_264],
  ['GLM-5', 743_911_218_432],
  ['Qwen3-Next 80B-A3B', 79_674_391_296],
  ['Qwen3.5 9B', 8_953_803_264],
  ['Qwen3.5 35B-A3B', 34_660_610_688],
  ['Qwen3.5 397B-A17B', 396_346_350_336],
  ['Llama 4 Scout', 107_769_861_120],
  ['Llama 4 Maverick', 400_711_848_960],
  ['GPT-OSS 120B', 116_829_156_672],
  ['Olmo 3 7B', 7_298_011_136],
  ['Olmo 3 32B', 32_233_522_176],
];

/** Published totals and active parameters, in billions, as many digits as were published. */
const PUBLISHED: readonly [string, number, number?][] = [
  ['DeepSeek-V3.2', 671, 37],
  ['DeepSeek-V4-Flash', 284, 13],
  ['Kimi K2.5', 1026, 32],
  ['GLM-4.5', 355, 32],
  ['GLM-4.5-Air', 106, 12],
  ['GLM-5', 744, 40],
  ['Qwen3-Next 80B-A3B', 80, 3],
  ['Qwen3.5 27B', 27],
  ['Qwen3.5 35B-A3B', 35, 3],
  ['Qwen3.5 397B-A17B', 397, 17],
  ['Qwen3 Coder 480B-A35B', 480, 35],
  ['Llama 4 Maverick', 400, 17],
  ['GPT-OSS 120B', 116.8, 5.1],
  ['GPT-OSS 20B', 20.9, 3.6],
  ['Gemma 3 4B', 3.88],
  ['Gemma 3 12B', 11.77],
  ['Gemma 3 27B', 27.01],
  ['Olmo 3 7B', 7.3],
  ['Olmo 3 32B', 32.2],
];

describe('open-weight models', () => {
  it.each(COUNTED)('%s has the parameters of its implementation', (name, parameters) => {
    expect(countParameters(model(name)).total).toBe(parameters);
  });

  it('counts DeepSeek-V4 as its implementation does, but for layers routed by a hash', () => {
    // Their three routers have no bias.
    expect(countParameters(model('DeepSeek-V4-Flash')).total).toBe(284_332_240_471 + 3 * 256);
    expect(countParameters(model('DeepSeek-V4-Pro')).total).toBe(1_572_997_201_763 + 3 * 384);
    // Published as 1.6T.
    expect(countParameters(model('DeepSeek-V4-Pro')).stored / 1e12).toBeCloseTo(1.6, 2);
  });

  it.each(PUBLISHED)('%s has %d billion parameters as published', (name, billions, active) => {
    const counted = countParameters(model(name));
    expect(Math.abs(counted.total / 1e9 / billions - 1)).toBeLessThan(0.01);
    if (active === undefined) return;
    // Some count the embedding and the head among the active parameters, and some do not.
    const half = Number.isInteger(active) ? 0.5 : 0.05;
    expect(counted.active / 1e9).toBeGreaterThan(active - half);
    expect((counted.active - counted.embedding) / 1e9).toBeLessThan(active + half);
  });

  it('names a source and the month of its weights', () => {
    for (const { name, released, source } of OPEN_MODELS) {
      expect(released, name).toMatch(/^202[56]-\d\d$/);
      expect(source.length, name).toBeGreaterThan(20);
    }
  });
});

describe('sparse and compressed attention', () => {
  const million = 2 ** 20;
  const v32 = model('DeepSeek-V3.2');
  const pro = model('DeepSeek-V4-Pro');

  it('caches 9.62 GiB of a million tokens in 16 bits, as published of DeepSeek-V4-Pro', () => {
    expect((2 * cacheElements(pro, million)) / 2 ** 30).toBeCloseTo(9.62, 2);
    // "8.7 times less than DeepSeek-V3.2."
    expect(cacheElements(v32, million) / cacheElements(pro, million)).toBeCloseTo(8.7, 1);
  });

  it('takes 27% of the FLOPs of DeepSeek-V3.2 for a token after a million, as published', () => {
    const part = { tokens: 1, past: million - 1 };
    expect(forwardFlops(pro, part) / forwardFlops(v32, part)).toBeCloseTo(0.27, 1);
  });

  it('sees the best 2,048 keys, and scores all', () => {
    expect(keysOfQuery(v32, 1000)).toBe(61 * 1000);
    expect(keysOfQuery(v32, 100_000)).toBe(61 * 2048);
    const width = 512 + 64;
    expect(readElements(v32, 100_000)).toBe(61 * (2048 * width + 100_000 * 128));
    expect(cacheElements(v32, 100_000)).toBe(61 * 100_000 * (width + 128));
  });

  it('takes token by token what one pass takes', () => {
    for (const name of ['DeepSeek-V3.2', 'DeepSeek-V4-Flash', 'Llama 4 Scout', 'Gemma 3 4B']) {
      const architecture = model(name);
      let sum = forwardFlops(architecture, { tokens: 9000 });
      for (let past = 9000; past < 9010; past++)
        sum += forwardFlops(architecture, { tokens: 1, past });
      expect(sum / forwardFlops(architecture, { tokens: 9010 }), name).toBeCloseTo(1, 12);
    }
  });

  it('begins again at each chunk', () => {
    const scout = model('Llama 4 Scout');
    const flops = (past: number) => forwardFlops(scout, { tokens: 1, past });
    // The first token of a chunk sees itself in 36 layers, and everything in 12.
    expect(flops(8192) - flops(8191)).toBe(4 * 40 * 128 * (12 - 36 * 8191));
  });
});

describe('recurrent layers', () => {
  it('keep a state of a fixed size beside the cache of one layer in four', () => {
    const qwen = model('Qwen3.5 397B-A17B');
    expect(cacheElements(qwen, 1000)).toBe(15 * 1000 * 2 * 2 * 256);
    const convolved = 64 * 128 + 2 * 16 * 128;
    expect(stateElements(qwen)).toBe(45 * (64 * 128 * 128 + convolved * 4));
  });
});

describe('configurations as they are released', () => {
  it('leaves to the family what Gemma 3 does not write', () => {
    const architecture = architectureOf({
      model_type: 'gemma3',
      architectures: ['Gemma3ForConditionalGeneration'],
      text_config: {
        model_type: 'gemma3_text',
        hidden_size: 2560,
        intermediate_size: 10240,
        num_hidden_layers: 34,
        rope_scaling: { factor: 8, rope_type: 'linear' },
        sliding_window: 1024,
      },
      vision_config: { model_type: 'siglip_vision_model', hidden_size: 1152 },
    });
    expect(countParameters(architecture).total).toBe(3_880_263_168);
    expect(architecture.attention).toMatchObject({ heads: 8, kvHeads: 4, headDim: 256 });
    expect(architecture.attention).toMatchObject({ window: { tokens: 1024, layers: 29 } });
  });

  it('reads layers that are listed one by one', () => {
    const { config } = OPEN_MODELS.find(({ name }) => name === 'DeepSeek-V3.2') as {
      config: object;
    };
    const types = [...Array(3).fill('dense'), ...Array(58).fill('sparse')];
    const { first_k_dense_replace: _, ...listed } = { ...config, mlp_layer_types: types } as Record<
      string,
      unknown
    >;
    expect(countParameters(architectureOf(listed)).total).toBe(671_877_944_064);
  });

  it('gives an indexer to one layer in four', () => {
    const { config } = OPEN_MODELS.find(({ name }) => name === 'GLM-5') as { config: object };
    const shared = architectureOf({ ...config, index_topk_freq: 4, index_skip_topk_offset: 2 });
    expect(shared.attention).toMatchObject({ indexer: { layers: 21 } });
  });

  it.each(['glm4_moe_lite', 'minimax_m2', 'seed_oss', 'smollm3', 'ministral3', 'qwen3_vl_text'])(
    'knows %s by name',
    (model_type) => {
      expect(() => architectureOf({ model_type })).toThrow('hidden_size is missing');
    },
  );
});
