import { describe, expect, it } from 'vitest';
import type { Architecture } from './architecture.js';
import {
  adapterFlopsPerToken,
  attentionFlopsPerToken,
  forwardFlopsByKind,
  hardwareFlopsPerToken,
  modelFlopsPerToken,
  sumFlops,
} from './flops.js';
import { publishedModel } from './published.js';

const model = (name: string): Architecture => {
  const published = publishedModel(name);
  if (published === undefined) throw new Error(name);
  return published.architecture;
};

describe('operations against formulas derived by hand', () => {
  /**
   * Narayanan et al., arXiv:2104.04473, equation 3: 96·B·s·L·h²·(1 + s/6h + V/16Lh), with full
   * recomputation.
   */
  it.each(['GPT-3 175B', 'Megatron-Turing NLG 530B', 'GPT-3 13B'])(
    '%s agrees with 96BsLh²(1 + s/6h + V/16Lh)',
    (name) => {
      const architecture = model(name);
      const { layers: L, hidden: h, vocab: V } = architecture;
      const s = 2048;
      const formula = 96 * L * h * h * (1 + s / (6 * h) + V / (16 * L * h));
      // The formula counts matrices only; biases are parameters too, and one ten-thousandth of
      // them.
      expect(hardwareFlopsPerToken(architecture, s, 'full', 'full') / formula).toBeCloseTo(1, 3);
      const without = 72 * L * h * h * (1 + s / (6 * h) + V / (12 * L * h));
      expect(modelFlopsPerToken(architecture, s, 'full') / without).toBeCloseTo(1, 3);
    },
  );

  it('agrees with 6N + 12·L·h·s where every weight is in a matrix product', () => {
    const architecture = model('Llama 3.1 405B');
    const { total, embedding } = { total: 405.85e9, embedding: 128256 * 16384 };
    const formula = 6 * (total - embedding) + 12 * 126 * 16384 * 8192;
    expect(modelFlopsPerToken(architecture, 8192, 'full') / formula).toBeCloseTo(1, 3);
  });

  /**
   * Published GFLOP a token, which are the ratio of published TFLOP/s to tokens/s (Megatron Bridge,
   * causal attention).
   */
  it.each([
    ['Llama 3 8B', 8192, 51.5],
    ['Llama 3 70B', 8192, 449.2],
    ['Llama 3.1 405B', 8192, 2524],
    ['Qwen3 30B-A3B', 4096, 23.0],
    ['Qwen3 235B-A22B', 4096, 148.0],
    ['DeepSeek-V3', 4096, 260.0],
  ])('%s at %i tokens takes %d GFLOP a token', (name, sequence, gflops) => {
    expect(modelFlopsPerToken(model(name), sequence, 'causal') / 1e9 / gflops).toBeCloseTo(1, 2);
  });

  it('counts two thirds of the linear layers for adapters on frozen weights', () => {
    const architecture = model('Llama 3 70B');
    expect(adapterFlopsPerToken(architecture) / 1e9).toBeCloseTo(278, 0);
  });
});

describe('attention', () => {
  it('costs half as much when causal, and less inside a window', () => {
    const llama = model('Llama 3 8B');
    // The query at position p sees p + 1 keys: half of all, and half a key more.
    expect(attentionFlopsPerToken(llama, 8192, 'causal')).toBe(
      (attentionFlopsPerToken(llama, 8192, 'full') * 8193) / 16384,
    );
    const oss = model('GPT-OSS 120B');
    const everywhere = attentionFlopsPerToken(
      {
        ...oss,
        attention: { ...(oss.attention as { kind: 'gqa' } & typeof oss.attention), window: null },
      } as Architecture,
      8192,
      'causal',
    );
    // The first 128 queries see 1 to 128 keys, all others 128.
    const inside = (128 * 129) / 2 + (8192 - 128) * 128;
    expect(attentionFlopsPerToken(oss, 8192, 'causal') / everywhere).toBeCloseTo(
      0.5 + (0.5 * inside) / ((8192 * 8193) / 2),
      12,
    );
  });

  it('is a part of the sum like every other kind', () => {
    const flops = forwardFlopsByKind(model('DeepSeek-V3'), { tokens: 4096, furtherTokens: 4096 });
    expect(sumFlops(flops)).toBe(Object.values(flops).reduce((sum, value) => sum + value, 0));
  });
});
