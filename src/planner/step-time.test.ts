import { describe, expect, it } from 'vitest';
import { modelFlopsPerToken, publishedModel } from '../architecture/index.js';
import { processorTime } from '../base/testing/processor-time.js';
import { CALIBRATION } from './calibration.js';
import type { Accelerator } from './cluster.js';
import { allToAllSeconds, collectiveBandwidth, ringShare } from './communication.js';
import { acceleratorOf } from './hardware.js';
import { accelerators, type Layout } from './layout.js';
import { bubble } from './schedule.js';
import { stepTime, type TrainingWork } from './step-time.js';

const chip = (name: string): Accelerator => acceleratorOf(name) as Accelerator;
const LAYOUT: Layout = {
  tensor: 8,
  pipeline: 8,
  data: 4,
  expert: 1,
  context: 1,
  expertTensor: 8,
  sequenceParallel: true,
  microBatch: 1,
  schedule: 'interleaved',
  chunks: 2,
  recompute: 'none',
  sharding: 'optimizer',
  precision: 'bf16',
};
const work = (name: string, more: Partial<TrainingWork> = {}): TrainingWork => ({
  architecture: (publishedModel(name) as { architecture: TrainingWork['architecture'] })
    .architecture,
  sequenceTokens: 4096,
  globalBatch: 512,
  training: 'full',
  unfusedAttention: false,
  naturalRouting: false,
  ...more,
});

describe('pipeline bubbles', () => {
  it('are those of the papers', () => {
    expect(bubble('1f1b', 8, 1)).toBe(7);
    expect(bubble('interleaved', 8, 7)).toBe(1);
    expect(bubble('zero-bubble', 7, 1)).toBe(2);
    expect(bubble('dualpipe', 16, 1)).toBeCloseTo(14 / 3, 12);
    for (const schedule of ['1f1b', 'interleaved', 'zero-bubble', 'dualpipe'] as const)
      expect(bubble(schedule, 1, 1)).toBe(0);
  });
});

describe('communication', () => {
  it('sends (n − 1)/n of a buffer around a ring', () => {
    expect(ringShare(1)).toBe(0);
    expect(ringShare(8)).toBe(7 / 8);
  });

  it('goes at the scale-up link inside a node and at the shared network cards beyond', () => {
    const h100 = chip('h100');
    expect(collectiveBandwidth(h100, 8, 1, 1, 1)).toBe(450e9);
    expect(collectiveBandwidth(h100, 64, 1, 1, 1)).toBe(400e9);
    // One rank a node, as data parallelism has beside eight-way tensor parallelism: one card.
    expect(collectiveBandwidth(h100, 16, 8, 1, 1)).toBe(50e9);
  });

  it('sends a token once to each node that has an expert of it', () => {
    const routing = { topK: 8, topGroups: 4, groups: 8 };
    const limited = allToAllSeconds(chip('h800'), { expert: 64 }, 4096, 14336, routing, 1, 1);
    const free = allToAllSeconds(
      chip('h800'),
      { expert: 64 },
      4096,
      14336,
      { ...routing, groups: 1, topGroups: 1 },
      1,
      1,
    );
    expect(limited).toBeLessThan(free);
    expect(allToAllSeconds(chip('h800'), { expert: 1 }, 4096, 14336, routing, 1, 1)).toBe(0);
  });
});

describe('a training step', () => {
  it('is the sum of its parts', () => {
    const time = stepTime(work('Llama 3 70B'), chip('h100'), LAYOUT);
    const {
      matmul,
      attention,
      memory,
      launch,
      tensor,
      context,
      expert,
      data,
      optimizer,
      bubble: idle,
      stragglers,
    } = time;
    expect(
      matmul +
        attention +
        memory +
        launch +
        tensor +
        context +
        expert +
        data +
        optimizer +
        idle +
        stragglers,
    ).toBeCloseTo(time.step, 9);
  });

  it('never beats the peak, whatever the layout', () => {
    for (const name of [
      'Llama 3 8B',
      'Llama 3.1 405B',
      'DeepSeek-V3',
      'Qwen3 30B-A3B',
      'Nemotron 3 Nano',
    ]) {
      for (const tensor of [1, 2, 8]) {
        for (const pipeline of [1, 4]) {
          const layout: Layout = {
            ...LAYOUT,
            tensor,
            pipeline,
            expert: 8,
            data: 16,
            schedule: '1f1b',
            chunks: 1,
          };
          const one = work(name);
          const flops = modelFlopsPerToken(one.architecture, 4096, 'causal') * 4096 * 512;
          const rate = flops / stepTime(one, chip('h100'), layout).step / accelerators(layout);
          expect(rate / 989e12, `${name} tp${tensor} pp${pipeline}`).toBeLessThan(0.85);
          expect(rate / 989e12, `${name} tp${tensor} pp${pipeline}`).toBeGreaterThan(0.02);
        }
      }
    }
  });

  it('takes longer with recomputation, a slower link, a longer sequence, and natural routing', () => {
    const base = stepTime(work('DeepSeek-V3'), chip('h100'), {
      ...LAYOUT,
      expert: 32,
      data: 32,
      tensor: 1,
    }).step;
    const layout: Layout = { ...LAYOUT, expert: 32, data: 32, tensor: 1 };
    expect(
      stepTime(work('DeepSeek-V3'), chip('h100'), { ...layout, recompute: 'full' }).step,
    ).toBeGreaterThan(1.15 * base);
    expect(
      stepTime(work('DeepSeek-V3', { naturalRouting: true }), chip('h100'), layout).step,
    ).toBeGreaterThan(base);
    const slow = { ...chip('h100'), scaleOutBandwidth: 5e9 };
    expect(stepTime(work('DeepSeek-V3'), slow, layout).step).toBeGreaterThan(base);
    const longer = stepTime(
      work('DeepSeek-V3', { sequenceTokens: 8192, globalBatch: 256 }),
      chip('h100'),
      layout,
    ).step;
    expect(longer).toBeGreaterThan(base);
  });

  it('is faster in narrower formats and on faster accelerators', () => {
    const seconds = (gpu: string, precision: Layout['precision']): number =>
      stepTime(work('Llama 3 70B'), chip(gpu), { ...LAYOUT, precision }).step;
    expect(seconds('h100', 'fp8')).toBeLessThan(seconds('h100', 'bf16'));
    expect(seconds('b200', 'bf16')).toBeLessThan(seconds('h100', 'bf16'));
    expect(seconds('h100', 'bf16')).toBeLessThan(seconds('a100', 'bf16'));
  });

  it('costs microseconds to predict', () => {
    const one = work('DeepSeek-V3');
    const h800 = chip('h800');
    for (let i = 0; i < 2000; i++) stepTime(one, h800, LAYOUT, CALIBRATION);
    const spent = processorTime();
    for (let i = 0; i < 5000; i++) stepTime(one, h800, LAYOUT, CALIBRATION);
    // Measured: about 1 µs.
    expect(spent() / 5000).toBeLessThan(1);
  });
});

describe('closed-form checks', () => {
  it('trains Llama 3.1 405B in 26.4M accelerator-hours at 3.8e25 FLOP and 400 TFLOP/s', () => {
    const flops = 15.6e12 * modelFlopsPerToken(work('Llama 3.1 405B').architecture, 8192, 'full');
    expect(flops / 3.8e25).toBeGreaterThan(0.98);
    expect(flops / 3.8e25).toBeLessThan(1.08);
    expect(3.8e25 / 400e12 / 3600 / 1e6).toBeCloseTo(26.4, 1);
  });

  it('costs $1.95 a million tokens of Llama 405B at 54% MFU, counting 6N + 12·L·h·s', () => {
    const perToken = 6 * 405.85e9 + 12 * 126 * 16384 * 8192;
    const usd = ((perToken * 1e6) / (0.54 * 989e12) / 3600) * 1.42;
    expect(usd).toBeCloseTo(1.95, 2);
    expect(
      modelFlopsPerToken(work('Llama 3.1 405B').architecture, 8192, 'full') / perToken,
    ).toBeCloseTo(1, 1);
  });

  it('trains DeepSeek-V3 within 20% of its 180K H800-hours a trillion tokens', () => {
    const layout: Layout = {
      ...LAYOUT,
      tensor: 1,
      pipeline: 16,
      data: 128,
      expert: 64,
      expertTensor: 1,
      sequenceParallel: false,
      schedule: 'dualpipe',
      chunks: 1,
      precision: 'fp8',
    };
    const one = work('DeepSeek-V3', { globalBatch: 15360, naturalRouting: true });
    const { step } = stepTime(one, chip('h800'), layout);
    const hours = ((1e12 / (15360 * 4096)) * step * 2048) / 3600;
    expect(hours / 180e3).toBeGreaterThan(0.8);
    expect(hours / 180e3).toBeLessThan(1.2);
  });
});
