import { describe, expect, it } from 'vitest';
import type { Architecture } from '../../architecture/index.js';
import { publishedModel } from '../../architecture/index.js';
import { UserError } from '../../base/errors.js';
import { processorTime } from '../../base/testing/processor-time.js';
import type { Accelerator } from '../cluster.js';
import { acceleratorOf } from '../hardware.js';
import { SERVING_CALIBRATION } from './calibration.js';
import { ratesOf, theoreticalMargin, tokenCost } from './cost.js';
import { spendingAfter } from './demand.js';
import {
  checkLayout,
  parseServingLayout,
  replicaSize,
  type ServingLayout,
  SINGLE,
  servingLayoutName,
} from './layout.js';
import { cacheMemory, weightBytes } from './memory.js';
import { servingPrecision, weightFormatOf } from './precision.js';
import { bestDisaggregated, bestServing } from './search.js';
import {
  cacheBytesPerToken,
  cacheShards,
  type Deployment,
  deployment,
  expertsHit,
  passSeconds,
} from './step.js';
import { serve, serveDecoding, serveDisaggregated, servePrompts } from './throughput.js';

const model = (name: string) => publishedModel(name)?.architecture as Architecture;
const chip = (name: string) => acceleratorOf(name) as Accelerator;
const calibration = SERVING_CALIBRATION;

function on(
  name: string,
  gpu: string,
  format: 'bf16' | 'fp8' | 'nvfp4' | 'mxfp4' | 'int4',
  layout: Partial<ServingLayout> = {},
  kv: 'fp8' | 'bf16' = 'bf16',
): Deployment {
  const [architecture, accelerator] = [model(name), chip(gpu)];
  return deployment(
    architecture,
    accelerator,
    servingPrecision(format, kv, architecture, accelerator),
    { ...SINGLE, ...layout },
  );
}

describe('precision', () => {
  it('reads labels', () => {
    const [deepseek, gptOss] = [model('DeepSeek-R1'), model('GPT-OSS-120B')];
    expect(weightFormatOf('fp8 GEMM+dispatch / bf16 MLA+combine', deepseek)).toBe('fp8');
    expect(weightFormatOf('fp4', deepseek)).toBe('nvfp4');
    expect(weightFormatOf('fp4', gptOss)).toBe('mxfp4');
    expect(weightFormatOf('AWQ', deepseek)).toBe('int4');
    expect(weightFormatOf('float16', deepseek)).toBe('bf16');
    expect(weightFormatOf('ternary', deepseek)).toBeNull();
  });

  it('keeps attention wider than the experts, and multiplies only in what the accelerator has', () => {
    const mxfp4 = servingPrecision('mxfp4', 'fp8', model('GPT-OSS-120B'), chip('h100'));
    expect(mxfp4).toMatchObject({
      expertBytes: 4.25 / 8,
      otherBytes: 2,
      kvBytes: 1,
      expertCompute: 'bf16',
      expertWidened: true,
    });
    expect(servingPrecision('mxfp4', 'fp8', model('GPT-OSS-120B'), chip('b200'))).toMatchObject({
      expertCompute: 'fp8',
      expertWidened: false,
    });
    expect(servingPrecision('fp8', 'bf16', model('Llama 3 70B'), chip('a100')).otherCompute).toBe(
      'bf16',
    );
  });
});

describe('layouts', () => {
  const moe = model('DeepSeek-R1');
  const dense = model('Llama 3 70B');
  it.each([
    ['TP8', null, 'TP8', 8],
    ['TP8 EP1', 8, 'TP8', 8],
    ['TP8 EP8', 8, 'TP8 EP8', 8],
    ['DEP4', 4, 'DEP4', 4],
    ['EP32 DP32 (4 nodes, 9 routed+1 shared experts/GPU)', 32, 'DEP32', 32],
    ['EP72-class', 96, 'DEP72', 72],
    ['TP16, InfiniBand', 16, 'TP16', 16],
    ['TP4 PP2', 8, 'TP4 PP2', 8],
    ['TP2 DP4 EP8', 8, 'TP2 DP4 EP8', 8],
    ['', 8, 'TP8', 8],
    ['EP, DP attention', 16, 'DEP16', 16],
  ] as const)('reads %j on %j', (label, count, name, size) => {
    const layout = parseServingLayout(label, count, moe) as ServingLayout;
    expect(servingLayoutName(layout)).toBe(name);
    expect(replicaSize(layout)).toBe(size);
  });

  it('knows that copies of a dense model are replicas', () => {
    expect(parseServingLayout('TP2 DP4', 8, dense)).toEqual({ ...SINGLE, tensor: 2 });
    expect(parseServingLayout('', null, dense)).toBeNull();
  });

  it('refuses what does not divide', () => {
    expect(() => checkLayout({ ...SINGLE, tensor: 3 }, dense)).toThrow(
      /64 heads do not divide over tensor 3/,
    );
    expect(() => checkLayout({ ...SINGLE, tensor: 0 }, dense)).toThrow(UserError);
    expect(() => checkLayout({ ...SINGLE, tensor: 2, expert: 2 }, dense)).toThrow(
      /without experts/,
    );
  });
});

describe('memory', () => {
  it("counts DeepSeek-V3's latent cache: 70,272 bytes a token in 16 bits, on every tensor rank", () => {
    const served = on('DeepSeek-V3', 'h800', 'fp8', { tensor: 8 });
    expect(cacheBytesPerToken(served, 4096)).toBe(61 * 576 * 2);
    expect(cacheShards(served)).toBe(1);
  });

  it("counts Llama 3 70B's cache: 320 KiB a token in 16 bits, shared by up to 8 ranks", () => {
    expect(cacheBytesPerToken(on('Llama 3 70B', 'h100', 'bf16'), 8192)).toBe(320 * 1024);
    expect(cacheShards(on('Llama 3 70B', 'h100', 'bf16', { tensor: 16 }))).toBe(8);
  });

  it('lets local layers keep no more than their window', () => {
    const served = on('GPT-OSS-120B', 'h100', 'mxfp4');
    expect(cacheBytesPerToken(served, 128)).toBe(36 * 2 * 8 * 64 * 2);
    expect(cacheBytesPerToken(served, 12_800) / cacheBytesPerToken(served, 128)).toBeCloseTo(
      0.505,
      6,
    );
  });

  it('holds the published weights, whole or divided', () => {
    expect(weightBytes(on('Llama 3 70B', 'h100', 'bf16')) / 1e9).toBeCloseTo(141.1, 0);
    const whole = weightBytes(on('DeepSeek-V3', 'h200', 'fp8', { tensor: 1 }));
    expect(weightBytes(on('DeepSeek-V3', 'h200', 'fp8', { tensor: 8 })) * 8).toBeCloseTo(whole, -3);
    // 256 experts over 32 ranks are 8 each; attention, shared and dense layers are copied.
    const spread =
      weightBytes(on('DeepSeek-V3', 'h800', 'fp8', { dataAttention: 32, expert: 32 })) / 1e9;
    expect(spread).toBeGreaterThan(653 / 32 + 14);
    expect(spread).toBeLessThan(653 / 32 + 24);
  });

  it('finds no room for 671B on one accelerator', () => {
    const memory = cacheMemory(
      on('DeepSeek-V3', 'h200', 'fp8'),
      { input: 1000, output: 1000 },
      calibration,
    );
    expect(memory.cacheBytes).toBe(0);
    expect(
      serve(
        on('DeepSeek-V3', 'h200', 'fp8'),
        { input: 1000, output: 1000 },
        { calibration, concurrency: 1, maxBatch: 256 },
      ),
    ).toHaveProperty('fault');
  });
});

describe('a pass', () => {
  it('hits the experts that a random choice would', () => {
    expect(expertsHit(256, 8, 1)).toBeCloseTo(8, 9);
    expect(expertsHit(256, 8, 32)).toBeCloseTo(256 * (1 - (31 / 32) ** 32), 9);
    expect(expertsHit(256, 8, 1e4)).toBeCloseTo(256, 6);
  });

  it('reads every weight once to decode one token', () => {
    const served = on('Llama 3 70B', 'h200', 'bf16', { tensor: 2 });
    const seconds = passSeconds(
      served,
      { tokens: 1, sequences: 1, context: 1, prompt: 0 },
      calibration,
    );
    const { embedding, total } = served.parameters;
    const read = (2 * (total - embedding / 2)) / 2 / (4.8e12 * calibration.bandwidthFraction);
    expect(seconds.linear / read).toBeCloseTo(1, 3);
  });

  it('is bound by compute on a long prompt: twice the prompt, twice the linear time', () => {
    const served = on('Llama 3 70B', 'h200', 'bf16', { tensor: 8 });
    const at = (prompt: number) =>
      passSeconds(served, { tokens: prompt, sequences: 1, context: 0, prompt }, calibration);
    expect(at(16_384).linear / at(8192).linear).toBeCloseTo(2, 2);
    expect(at(16_384).attention / at(8192).attention).toBeCloseTo(4, 2);
  });

  it('sums its kinds, and never gets cheaper with more work', () => {
    const served = on('DeepSeek-R1', 'h200', 'fp8', { dataAttention: 8, expert: 8 });
    let before = 0;
    for (const tokens of [1, 2, 7, 64, 513, 4096]) {
      const { total, ...kinds } = passSeconds(
        served,
        { tokens, sequences: tokens, context: 1000, prompt: 0 },
        calibration,
      );
      expect(Object.values(kinds).reduce((sum, value) => sum + value, 0)).toBeCloseTo(total, 12);
      expect(total).toBeGreaterThan(before);
      before = total;
    }
  });

  it('pays the network beyond a scale-up domain', () => {
    const at = (tensor: number) =>
      passSeconds(
        on('DeepSeek-R1', 'h100', 'fp8', { tensor }),
        { tokens: 1, sequences: 1, context: 100, prompt: 0 },
        calibration,
      );
    expect(at(16).communication - at(8).communication).toBeGreaterThan(
      2 * 61 * calibration.networkSeconds * 0.99,
    );
  });
});

describe('the steady state', () => {
  const lengths = { input: 1000, output: 1000 };
  const served = on('Llama 3 70B', 'h200', 'fp8', { tensor: 4 });
  const at = (concurrency: number | null) => {
    const state = serve(served, lengths, { calibration, concurrency, maxBatch: 2048 });
    if ('fault' in state) throw new Error(state.fault);
    return state;
  };

  it("keeps Little's law, and trades a user's speed for throughput", () => {
    let [rate, perUser] = [0, Number.POSITIVE_INFINITY];
    for (const concurrency of [1, 4, 16, 64, 256]) {
      const state = at(concurrency);
      expect(state.requestsPerSecond * state.latencySeconds).toBeCloseTo(concurrency, 6);
      expect(state.outputTokensPerSecond).toBeGreaterThan(rate);
      expect(state.tokensPerSecondPerUser).toBeLessThan(perUser);
      [rate, perUser] = [state.outputTokensPerSecond, state.tokensPerSecondPerUser];
    }
  });

  it('is bound by memory, and makes requests beyond it wait', () => {
    const full = at(null);
    expect(full.boundBy).toBe('memory');
    const crowd = at(4 * full.batch);
    expect(crowd.outputTokensPerSecond).toBeCloseTo(full.outputTokensPerSecond, 3);
    expect(crowd.ttftSeconds).toBeGreaterThan(2 * full.latencySeconds);
  });

  it('is bound by the engine where that holds fewer', () => {
    const state = serve(served, lengths, { calibration, concurrency: null, maxBatch: 8 });
    expect(state).toMatchObject({ batch: 8, boundBy: 'engine' });
  });

  it('takes two pools in the ratio that keeps both busy', () => {
    const options = { calibration, concurrency: 4096, maxBatch: 512 };
    const prefill = on('DeepSeek-R1', 'h800', 'fp8', { dataAttention: 32, expert: 32 });
    const decode = on('DeepSeek-R1', 'h800', 'fp8', { dataAttention: 144, expert: 144 });
    const pools = serveDisaggregated(prefill, decode, { input: 4000, output: 1000 }, options);
    const prompts = servePrompts(prefill, 4000, calibration);
    const decoding = serveDecoding(decode, { input: 4000, output: 1000 }, options);
    if ('fault' in pools || 'fault' in prompts || 'fault' in decoding)
      throw new Error('does not fit');
    expect(pools.inputTokensPerSecondPerAccelerator).toBeCloseTo(
      (pools.prefillShare * prompts.inputTokensPerSecond) / 32,
      6,
    );
    expect(pools.outputTokensPerSecondPerAccelerator).toBeCloseTo(
      ((1 - pools.prefillShare) * decoding.outputTokensPerSecond) / 144,
      6,
    );
  });
});

describe('search', () => {
  const question = {
    architecture: model('Llama 3 70B'),
    accelerator: chip('h100'),
    count: 8,
    format: 'fp8' as const,
    kv: 'fp8' as const,
    lengths: { input: 1000, output: 1000 },
  };

  it('ranks what fits and says why the rest lost', () => {
    const { best, choices, rejected } = bestServing(question);
    expect(best).toBe(choices[0]);
    expect(
      choices.every(
        (choice) =>
          choice.outputTokensPerSecondPerAccelerator <=
          (best?.outputTokensPerSecondPerAccelerator ?? 0),
      ),
    ).toBe(true);
    expect(rejected.find(({ layout }) => layout === 'TP1')?.reason).toMatch(/memory/);
    expect(rejected.length + 1).toBeGreaterThanOrEqual(choices.length);
  });

  it('pays throughput for speed', () => {
    const relaxed = bestServing(question).best;
    const fast = bestServing({ ...question, goals: { tpotSeconds: 0.012 } }).best;
    expect(fast?.tpotSeconds).toBeLessThanOrEqual(0.012);
    expect(fast?.outputTokensPerSecondPerAccelerator).toBeLessThan(
      relaxed?.outputTokensPerSecondPerAccelerator ?? 0,
    );
    const never = bestServing({ ...question, goals: { tpotSeconds: 1e-5 } });
    expect(never.best).toBeNull();
    expect(never.rejected.some(({ reason }) => reason.startsWith('TPOT'))).toBe(true);
  });

  it('searches 671B on 32 accelerators, whole and in two pools, in moments', {
    timeout: 30_000,
  }, () => {
    const large = {
      ...question,
      architecture: model('DeepSeek-R1'),
      accelerator: chip('h800'),
      count: 32,
      kv: 'bf16' as const,
    };
    const spent = processorTime();
    const { best } = bestServing(large);
    const pools = bestDisaggregated({ ...large, goals: { tpotSeconds: 0.05 } });
    expect(spent()).toBeLessThan(10_000);
    expect(best?.layout.expert).toBeGreaterThan(1);
    expect(pools).toHaveProperty('result');
    if ('result' in pools) expect(pools.result.tpotSeconds).toBeLessThanOrEqual(0.05);
  });
});

describe('money', () => {
  it("closes DeepSeek's published day: revenue and margin", () => {
    const demand = { inputTokensPerDay: 608e9, outputTokensPerDay: 168e9 };
    const { revenueUsdPerDay, marginOverCost } = theoreticalMargin(
      demand,
      342 / 608,
      { inputCached: 0.14, input: 0.55, output: 2.19 },
      87_072,
    );
    expect(Math.abs(revenueUsdPerDay / 562_027 - 1)).toBeLessThan(0.001);
    expect(marginOverCost).toBeCloseTo(5.45, 1);
  });

  it('divides one cost over input and output, and loses none of it', () => {
    const state = serve(
      on('Llama 3 70B', 'h100', 'fp8', { tensor: 2 }),
      { input: 3000, output: 500 },
      { calibration, concurrency: 32, maxBatch: 256 },
    );
    if ('fault' in state) throw new Error(state.fault);
    const rates = ratesOf(state, 2, 1.4);
    const cost = tokenCost(rates, { value: 2, low: 1.5, high: 3 });
    const hour =
      (cost.usdPerMillionInput.value * rates.inputTokensPerSecond +
        cost.usdPerMillionOutput.value * rates.outputTokensPerSecond) *
      3600e-6;
    expect(hour).toBeCloseTo(2, 9);
    expect(cost.usdPerMillionTotal.low).toBeLessThan(cost.usdPerMillionTotal.value / 1.4);
    expect(cost.usdPerMillionAllOnOutput.high).toBeGreaterThan(
      cost.usdPerMillionAllOnOutput.value * 1.5,
    );
    expect(
      tokenCost(rates, { value: 2, low: 1.5, high: 3 }, 0.5).usdPerMillionTotal.value,
    ).toBeCloseTo(2 * cost.usdPerMillionTotal.value, 9);
    expect(() => tokenCost(rates, { value: 2, low: 1.5, high: 3 }, 0)).toThrow(UserError);
  });

  it('charges cached input for the time of attending to it, and for no product', () => {
    const of = (cached: number) => {
      const state = serve(
        on('Llama 3 70B', 'h100', 'fp8', { tensor: 2 }),
        { input: 3000, output: 500, cached },
        { calibration, concurrency: 32, maxBatch: 256 },
      );
      if ('fault' in state) throw new Error(state.fault);
      return { state, cost: tokenCost(ratesOf(state, 2, 1), { value: 2, low: 2, high: 2 }) };
    };
    const [none, most] = [of(0), of(2000)];
    expect(none.cost.usdPerMillionCached.value).toBe(0);
    expect(most.state.ttftSeconds).toBeLessThan(0.6 * none.state.ttftSeconds);
    expect(most.state.requestsPerSecond).toBeGreaterThan(none.state.requestsPerSecond);
    const { usdPerMillionInput, usdPerMillionCached } = most.cost;
    expect(usdPerMillionCached.value).toBeGreaterThan(0);
    expect(usdPerMillionCached.value).toBeLessThan(0.2 * usdPerMillionInput.value);
    const rates = ratesOf(most.state, 2, 1);
    const hour =
      usdPerMillionInput.value * rates.inputTokensPerSecond +
      usdPerMillionCached.value * rates.cachedTokensPerSecond +
      most.cost.usdPerMillionOutput.value * rates.outputTokensPerSecond;
    expect(hour * 3600e-6).toBeCloseTo(2, 9);
  });
});

describe('demand', () => {
  const exactly = (value: number) => ({ value, low: value, high: value });
  it('has the Jevons threshold at 1', () => {
    expect(spendingAfter(0.1, exactly(1))).toMatchObject({
      verdict: 'unchanged',
      spendingRatio: exactly(1),
    });
    expect(spendingAfter(0.1, exactly(0.5)).spendingRatio.value).toBeCloseTo(10 ** -0.5, 12);
    expect(spendingAfter(0.1, exactly(0.5)).verdict).toBe('falls');
    expect(spendingAfter(0.1, exactly(1.5)).verdict).toBe('rises');
    expect(spendingAfter(0.1, { value: 1.1, low: 0.7, high: 1.5 }).verdict).toBe('either');
    expect(spendingAfter(10, exactly(1.5)).verdict).toBe('falls');
  });

  it('refuses prices and elasticities that mean nothing', () => {
    expect(() => spendingAfter(0, exactly(1))).toThrow(/price ratio is 0/);
    expect(() => spendingAfter(0.5, { value: 1, low: 2, high: 3 })).toThrow(/elasticity is 1/);
  });
});
