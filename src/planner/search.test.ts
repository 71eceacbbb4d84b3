import { describe, expect, it } from 'vitest';
import { type Accelerator, acceleratorOf, accelerators, publishedModel } from './index.js';
import { memoryOf } from './memory.js';
import { type LayoutQuestion, lossText, searchLayouts, selectiveShare } from './search.js';
import { stepTime } from './step-time.js';

const accelerator = (id: string): Accelerator => acceleratorOf(id) as Accelerator;
const model = (name: string) =>
  publishedModel(name)?.architecture as LayoutQuestion['architecture'];

const gpt3: LayoutQuestion = {
  architecture: model('GPT-3 175B'),
  accelerator: accelerator('a100'),
  count: 1024,
  sequenceTokens: 2048,
  globalBatch: 1536,
  precision: 'bf16',
};

describe('searchLayouts', () => {
  it('gives a layout that fits and that no layout by hand beats', () => {
    const { best, top } = searchLayouts(gpt3);
    if (best === null) throw new Error('no layout');
    expect(accelerators(best.layout)).toBe(1024);
    expect(gpt3.globalBatch % (best.layout.data * best.layout.microBatch)).toBe(0);
    expect(best.memoryBytes).toBeLessThanOrEqual(80e9);
    const { memoryBytes, layout } = best;
    const microBatches = gpt3.globalBatch / layout.data / layout.microBatch;
    expect(memoryOf(gpt3.architecture, layout, { sequenceTokens: 2048, microBatches }).total).toBe(
      memoryBytes,
    );
    for (const other of top) expect(other.stepSeconds).toBeGreaterThanOrEqual(best.stepSeconds);

    // Narayanan et al. (arXiv:2104.04473, table 1): tensor 8, pipeline 8, data 16.
    const published = {
      ...layout,
      tensor: 8,
      pipeline: 8,
      data: 16,
      microBatch: 1,
      schedule: '1f1b' as const,
      chunks: 1,
      recompute: 'full' as const,
    };
    const work = { training: 'full' as const, unfusedAttention: false, naturalRouting: true };
    const { step } = stepTime({ ...gpt3, ...work }, gpt3.accelerator, published);
    expect(best.stepSeconds).toBeLessThan(step);
  });

  it('accounts for every layout, with a reason', () => {
    const { tried, lost, rejected, best } = searchLayouts({ ...gpt3, keep: 3 });
    expect(lost.divisibility + lost.memory + lost.slower + 1).toBe(tried);
    expect(Math.min(lost.divisibility, lost.memory, lost.slower)).toBeGreaterThan(0);
    expect(rejected.filter(({ kind }) => kind === 'slower')).toHaveLength(3);
    expect(rejected.filter(({ kind }) => kind === 'memory')).toHaveLength(3);
    const broken = rejected.reduce(
      (sum, loser) => sum + (loser.kind === 'divisibility' ? loser.count : 0),
      0,
    );
    expect(broken).toBe(lost.divisibility);
    for (const loser of rejected) {
      const { kind } = loser;
      if (kind === 'slower')
        expect(lossText(loser)).toMatch(/^slower by [\d.]+%: [\d.]+ s a step, not [\d.]+ s$/);
      if (kind === 'memory')
        expect(lossText(loser)).toMatch(
          /^memory: needs [\d.]+ [GT]B of 80\.0 GB \(would take [\d.]+ s a step\)$/,
        );
    }
    expect(best).not.toBeNull();
  });

  it('names the least memory that would do, which is not that of the fastest layout', () => {
    const { best, leastMemory, rejected } = searchLayouts({
      architecture: model('Llama 3.1 8B'),
      accelerator: accelerator('h100'),
      count: 1,
      sequenceTokens: 4096,
      globalBatch: 64,
      precision: 'bf16',
    });
    expect(best).toBeNull();
    const needed = rejected.flatMap((loser) =>
      loser.kind === 'memory' ? [loser.neededBytes] : [],
    );
    expect(Math.min(...needed)).toBeGreaterThan(200e9);
    // 8.03B parameters of 2 + 4 + 12 bytes, and one layer's activations.
    expect((leastMemory?.neededBytes as number) / 1e9).toBeCloseTo(155, -1);
    expect(leastMemory?.layout).toContain('full recompute');
    expect(searchLayouts({ ...gpt3, keep: 0 }).leastMemory).not.toBeNull();
  });

  it.each([
    [{ stepSeconds: 0.02604001, bestSeconds: 0.02604 }, 'as fast as the best: 0.02604 s a step'],
    [{ stepSeconds: 20.5, bestSeconds: 20 }, 'slower by 2.50%: 20.50 s a step, not 20.00 s'],
  ])('writes a reason that tells two step times apart: %j', (seconds, text) => {
    expect(lossText({ kind: 'slower', layout: 'tp1', ...seconds })).toBe(text);
  });

  it('writes large memory in a unit that can be read', () => {
    const loser = { kind: 'memory', layout: 'tp1', stepSeconds: 2 } as const;
    expect(lossText({ ...loser, neededBytes: 4.15e12, availableBytes: 80e9 })).toBe(
      'memory: needs 4.15 TB of 80.0 GB (would take 2.000 s a step)',
    );
  });

  it('keeps what is given, and says when nothing fits', () => {
    const { best } = searchLayouts({
      ...gpt3,
      fixed: { tensor: 8, pipeline: 16, recompute: 'full' },
    });
    expect(best?.layout).toMatchObject({ tensor: 8, pipeline: 16, data: 8, recompute: 'full' });
    const tight = searchLayouts({
      ...gpt3,
      count: 512,
      fixed: { tensor: 1, pipeline: 1, sharding: 'optimizer' },
    });
    expect(tight.best).toBeNull();
    expect(tight.lost.slower).toBe(0);
    expect(lossText(tight.rejected[0])).toMatch(/^memory: needs /);
    expect(() => searchLayouts({ ...gpt3, globalBatch: 0 })).toThrowError(
      'globalBatch must be a positive whole number, is 0',
    );
  });

  it("finds DeepSeek-V3's kind of layout, and its own close to the best", () => {
    const question: LayoutQuestion = {
      architecture: model('DeepSeek-V3'),
      accelerator: accelerator('h800'),
      count: 2048,
      sequenceTokens: 4096,
      globalBatch: 15360,
      precision: 'fp8',
      memory: { optimizerBytes: 8, fp8Activations: true },
    };
    const { best, tried } = searchLayouts(question);
    if (best === null) throw new Error('no layout');
    expect(tried).toBeGreaterThan(5000);
    expect(best.layout.schedule).toBe('dualpipe');
    expect(best.layout.expert).toBeGreaterThan(1);
    expect(best.layout.tensor).toBeLessThan(8);
    const published = searchLayouts({
      ...question,
      fixed: { tensor: 1, pipeline: 16, expert: 64, schedule: 'dualpipe' },
    }).best;
    expect(published?.layout).toMatchObject({ data: 128, recompute: 'selective' });
    expect(published?.stepSeconds).toBeGreaterThanOrEqual(best.stepSeconds);
    expect(published?.stepSeconds).toBeLessThan(1.15 * best.stepSeconds);
    // 19.926 s a step was measured (DeepSeek, arXiv:2505.09343); a mixture of experts is to be
    // within 20%.
    expect(Math.abs((published?.stepSeconds as number) / 19.926 - 1)).toBeLessThan(0.2);
  });

  it('charges selective recomputation for what it repeats', () => {
    expect(selectiveShare(model('GPT-3 175B'), { sharding: 'optimizer' })).toBe(0);
    expect(selectiveShare(model('GPT-3 175B'), { sharding: 'weights' })).toBe(0.5);
    // 61 layers × 54.5M of up-projections of 37.5B active parameters.
    expect(selectiveShare(model('DeepSeek-V3'), { sharding: 'optimizer' })).toBeCloseTo(
      (61 * 54.5e6) / 37.5e9,
      2,
    );
  });
});
