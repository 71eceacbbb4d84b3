import { describe, expect, it } from 'vitest';
import { architectureOf } from '../../architecture/index.js';
import type { Quantity } from '../../planner/cluster.js';
import { readTarget } from '../cluster/cluster-file.js';
import {
  comparisonsOf,
  planService,
  SERVICE_DEFAULTS,
  type ServiceRequest,
  servedModel,
} from './serving-plan.js';

const plan = (model: string, on: string, request: Partial<ServiceRequest> = {}) =>
  planService(servedModel(model), readTarget(on), { ...SERVICE_DEFAULTS, ...request });

describe('a service on a cluster', () => {
  const target = { ttftSeconds: 2, tpotSeconds: 0.05 };
  const llama = plan('Llama 3.3 70B', 'h100x8', { ...target, load: 5 });

  it('trades a user’s speed for throughput along the frontier', () => {
    const { frontier, operating } = llama;
    expect(frontier.length).toBeGreaterThan(8);
    frontier.slice(1).forEach((point, i) => {
      expect(point.tpotSeconds.value).toBeGreaterThan(frontier[i].tpotSeconds.value);
      expect(point.outputTokensPerSecondPerAccelerator.value).toBeGreaterThan(
        frontier[i].outputTokensPerSecondPerAccelerator.value,
      );
    });
    expect(operating?.meetsGoals).toBe(true);
    expect(operating?.tpotSeconds.value).toBeLessThanOrEqual(0.05);
    expect(operating?.ttftSeconds.value).toBeLessThanOrEqual(2);
    for (const point of frontier.filter(({ meetsGoals }) => meetsGoals))
      expect(point.outputTokensPerSecondPerAccelerator.value).toBeLessThanOrEqual(
        operating?.outputTokensPerSecondPerAccelerator.value as number,
      );
  });

  it('sizes replicas for a load, which then answer faster than at their limit', () => {
    const { load, operating } = llama;
    if (load === null || operating === null) throw new Error('a load was given');
    const capacity = operating.requestsPerSecondPerReplica.value;
    expect(load.replicas.value).toBe(Math.ceil(5 / (0.8 * capacity)));
    expect(load.accelerators.value).toBe(load.replicas.value * operating.accelerators);
    expect(load.utilisation).toBeCloseTo(5 / (load.replicas.value * capacity), 9);
    expect(load.utilisation).toBeLessThanOrEqual(0.8);
    expect(load.tpotSeconds.value).toBeLessThan(operating.tpotSeconds.value);
    expect(load.replicas.low).toBeLessThanOrEqual(load.replicas.value);
    expect(load.replicas.high).toBeGreaterThan(load.replicas.value);
    const { value } = llama.cluster.usdPerHour;
    expect(load.usdPerDay.value).toBeCloseTo(load.accelerators.value * value * 24, 6);
    expect(load.fits).toBe(load.accelerators.value <= 8);
    expect(plan('Llama 3.3 70B', 'h100x8', { ...target, load: 500 }).load?.fits).toBe(false);
  });

  it('charges the whole price of the accelerators to the tokens of a load', () => {
    const cached = plan('Llama 3.3 70B', 'h100x8', { ...target, load: 5, cachedShare: 0.5 });
    for (const { cost, load, request } of [llama, cached]) {
      if (cost === null || load === null) throw new Error('a load was given');
      const { input, output, cachedShare } = request;
      const perRequest =
        cost.usdPerMillionInput.value * input * (1 - cachedShare) +
        cost.usdPerMillionCached.value * input * cachedShare +
        cost.usdPerMillionOutput.value * output;
      const perDay = (perRequest * 5 * 86_400) / 1e6;
      // Without a cache, cached tokens are priced but none is paid for.
      expect(perDay / load.usdPerDay.value).toBeCloseTo(1, 6);
      for (const quantity of Object.values(cost) as Quantity[]) {
        expect(quantity.low).toBeLessThan(quantity.value);
        expect(quantity.high).toBeGreaterThan(quantity.value);
      }
      expect(cost.usdPerMillionCached.value).toBeLessThan(0.3 * cost.usdPerMillionInput.value);
    }
    expect(cached.cachedPriceShare).toBe(0.5);
  });

  it('follows demand when prices fall', () => {
    const elastic = { low: 1.5, value: 1.5, high: 1.5 };
    const { demand, load } = plan('Llama 3.3 70B', 'h100x8', { load: 5, elasticity: elastic });
    const [half, tenth] = demand;
    expect(half).toMatchObject({ priceRatio: 0.5, verdict: 'rises' });
    expect(half.tokensRatio.value).toBeCloseTo(2 ** 1.5, 9);
    expect(tenth.spendingRatio.value).toBeCloseTo(10 ** 0.5, 9);
    expect(half.replicas?.value).toBeGreaterThan(load?.replicas.value as number);
    expect(tenth.replicas?.value).toBeGreaterThan(half.replicas?.value as number);
  });

  it('has revenue at list prices only for a load', () => {
    const prices = { input: 0.55, inputCached: 0.14, output: 2.19 };
    const { revenue, load } = plan('Llama 3.3 70B', 'h100x8', { prices, load: 5 });
    expect(revenue?.usdPerDay).toBeCloseTo((5 * 86_400 * (2000 * 0.55 + 500 * 2.19)) / 1e6, 6);
    expect(revenue?.marginOverCost).toBeCloseTo(
      (revenue?.usdPerDay as number) / (load?.usdPerDay.value as number) - 1,
      9,
    );
    expect(plan('Llama 3.3 70B', 'h100x8', { prices }).revenue).toBeNull();
  });

  it('says that no layout meets a target, and still shows the frontier', () => {
    const never = plan('Llama 3.3 70B', 'h100x8', { tpotSeconds: 1e-5, load: 5 });
    expect(never).toMatchObject({ operating: null, cost: null, load: null });
    expect(never.frontier.length).toBeGreaterThan(0);
  });

  it.each([
    [{ input: 0 }, /^input: must be a whole number from 1/],
    [{ output: 2.5 }, /^output: must be a whole number from 1/],
    [{ cachedShare: 1 }, /^cached: must be at least 0 and below 1/],
    [{ tpotSeconds: -1 }, /^tpotSeconds: must be above 0/],
    [{ load: 0 }, /^load: must be above 0/],
    [{ utilization: 0 }, /^utilization: must be above 0 and at most 1/],
  ])('refuses %j', (request, message) => {
    expect(() => plan('Llama 3 8B', 'h100x1', request)).toThrow(message);
  });

  it('names what does not fit, and the nearest name of a model', () => {
    expect(() => plan('DeepSeek-V3', 'h100x8')).toThrow(
      /^DeepSeek-V3 fits on no layout of 8 h100 \(.*GB of weights do not fit\); take more/,
    );
    expect(() => servedModel('DeepSeek-V9')).toThrow(/did you mean DeepSeek-V3\?/);
  });

  it('serves an architecture of any configuration', () => {
    const architecture = architectureOf({
      model_type: 'llama',
      hidden_size: 1024,
      num_hidden_layers: 8,
      intermediate_size: 4096,
      num_attention_heads: 16,
      vocab_size: 32000,
    });
    const { operating, published } = planService(
      architecture,
      readTarget('a100x1'),
      SERVICE_DEFAULTS,
    );
    expect(operating).not.toBeNull();
    expect(published).toEqual([]);
  });
});

/** Median error, and figures in the 90% interval, of what was published. */
describe('beside published figures', () => {
  it.each([
    ['DeepSeek-V3', 'h800', 4, 1.1, 4],
    ['DeepSeek-V3', 'h200', 13, 0.1, 12],
    ['DeepSeek-V3', 'b200', 5, 0.25, 4],
    ['Qwen3 235B-A22B', 'h200', 5, 0.1, 5],
    ['Qwen3 235B-A22B', 'b200', 6, 0.2, 6],
    ['GPT-OSS 120B', 'h100', 7, 0.5, 6],
    ['GPT-OSS 120B', 'h200', 5, 0.4, 4],
    ['GPT-OSS 120B', 'b200', 7, 0.25, 7],
    ['Llama 3.3 70B', 'h100', 2, 0.1, 2],
    ['Llama 3.3 70B', 'h200', 5, 0.05, 5],
    ['Llama 3.3 70B', 'b200', 5, 0.05, 5],
  ])('%s on %s: %i figures, median error below %d', (model, gpu, figures, most, inside) => {
    const compared = comparisonsOf(servedModel(model), gpu);
    expect(compared).toHaveLength(figures);
    const errors = compared.map(({ relativeError }) => Math.abs(relativeError));
    const median = errors.sort((a, b) => a - b)[Math.floor(errors.length / 2)];
    expect(median).toBeLessThan(most);
    const within = compared.filter(
      ({ measured, predicted }) => predicted.low <= measured && measured <= predicted.high,
    );
    expect(within.length).toBeGreaterThanOrEqual(inside);
    for (const { source } of compared) expect(source.length).toBeGreaterThan(7);
  });
});
