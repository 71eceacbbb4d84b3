import { describe, expect, it } from 'vitest';
import { MODELS } from '../catalog/data/models.js';
import { countParameters } from './parameters.js';
import { publishedModel } from './published.js';

describe('the catalogue of published models', () => {
  it('reads every configuration', () => {
    for (const { name } of MODELS)
      expect(publishedModel(name)?.architecture.layers, name).toBeGreaterThan(0);
  });

  /** Published totals, in billions, and how closely the configuration must meet them. */
  it.each([
    ['GPT-3 175B', 174.6, 0.01],
    ['Llama 3.1 405B', 405.85, 0.001],
    ['Llama 2 70B', 68.98, 0.001],
    ['LLaMA 65B', 65.2, 0.005],
    ['BLOOM 176B', 176.25, 0.005],
    ['PaLM 540B', 540.35, 0.01],
    ['MPT-7b', 6.65, 0.01],
    ['MPT-30b', 29.96, 0.01],
    ['Qwen3 30B-A3B', 30.5, 0.01],
    ['Qwen3 235B-A22B', 235.1, 0.01],
    ['GPT-OSS 120B', 116.8, 0.01],
    ['Kimi K2', 1026, 0.01],
    ['DeepSeek-V2', 235.7, 0.01],
    ['Nemotron 3 Nano', 31.6, 0.02],
    ['Nemotron 3 Super', 120.6, 0.03],
    ['Llama 4 Scout', 107.8, 0.03],
    ['Llama 4 Maverick', 400, 0.03],
    ['Nemotron-4 340B', 341, 0.02],
    ['OLMoE-1B-7B', 6.92, 0.01],
    ['Falcon-180B', 179.5, 0.01],
    ['GLM-130B', 130, 0.02],
    ['LaMDA', 137, 0.05],
    ['StarCoder 15.5B', 15.5, 0.01],
  ])('%s has %d billion parameters', (name, billions, tolerance) => {
    const model = publishedModel(name);
    expect(model).toBeDefined();
    if (model)
      expect(Math.abs(countParameters(model.architecture).total / 1e9 / billions - 1)).toBeLessThan(
        tolerance,
      );
  });

  it('finds a model by any of its spellings', () => {
    for (const name of [
      'Qwen3_30B_a3B (tokendrop)',
      'DeepSeekV3 (w/o MTP)',
      'LLAMA3_70B',
      'GPT OSS 120B',
      'Llama 3.1 8B',
      'Nemotron_3_Nano',
    ]) {
      expect(publishedModel(name), name).toBeDefined();
    }
    expect(publishedModel('AlphaStar')).toBeUndefined();
  });
});
