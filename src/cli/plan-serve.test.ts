import { describe, expect, it } from 'vitest';
import { readTarget } from '../plan/cluster/cluster-file.js';
import { planService, SERVICE_DEFAULTS, servedModel } from '../plan/serving/serving-plan.js';
import {
  parseElasticity,
  parseLoad,
  parsePrices,
  parseSlo,
  renderServingPlan,
} from './plan-serve.js';
import { servingPlanDocument } from './plan-serve-document.js';

describe('what is asked of a service', () => {
  it.each([
    ['ttft=2s,tpot=50ms', { ttftSeconds: 2, tpotSeconds: 0.05 }],
    ['tpot = 0.05', { ttftSeconds: null, tpotSeconds: 0.05 }],
    ['ttft=500ms', { ttftSeconds: 0.5, tpotSeconds: null }],
  ])('--slo %s', (text, goals) => expect(parseSlo(text)).toEqual(goals));

  it.each(['', 'ttft', 'ttft=2s,ttft=3s', 'latency=2s', 'ttft=0s', 'ttft=-1s', 'ttft=2h'])(
    '--slo %j is refused in one line',
    (text) => expect(() => parseSlo(text)).toThrow(/^--slo .*: give /),
  );

  it('reads loads, elasticities and prices', () => {
    expect([parseLoad('40rps'), parseLoad('2.5/s'), parseLoad('3')]).toEqual([40, 2.5, 3]);
    for (const text of ['0', '-4rps', 'many', '4rpm'])
      expect(() => parseLoad(text)).toThrow(/^--load/);
    expect(parseElasticity('1.2')).toEqual({ low: 1.2, value: 1.2, high: 1.2 });
    expect(parseElasticity('0.5..2')).toEqual({ low: 0.5, value: 1, high: 2 });
    for (const text of ['0', '2..1', '1..2..3', ''])
      expect(() => parseElasticity(text)).toThrow(/^--elasticity/);
    expect(parsePrices('0.55,0.14,2.19')).toEqual({ input: 0.55, inputCached: 0.14, output: 2.19 });
    for (const text of ['1,2', '1,2,-3', 'a,b,c'])
      expect(() => parsePrices(text)).toThrow(/^--prices/);
  });
});

describe('the plan of a service', () => {
  const plan = planService(servedModel('Llama 3.3 70B'), readTarget('h100x8'), {
    ...SERVICE_DEFAULTS,
    ttftSeconds: 2,
    tpotSeconds: 0.05,
    load: 5,
    prices: { input: 0.55, inputCached: 0.14, output: 2.19 },
  });

  it('is the document of its schema', () => {
    expect(servingPlanDocument.strict().safeParse(plan).error?.issues ?? []).toEqual([]);
  });

  it.each([80, 100])('fits into %d columns', (width) => {
    const text = renderServingPlan(plan, undefined, width);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(width);
    expect(text).toMatch(/TTFT .* TPOT/);
    expect(text).toContain('USD per million tokens');
    expect(text).toContain('5.00 requests/s');
    expect(text).toContain('if prices fall to');
    expect(text).toContain('NVIDIA TensorRT-LLM perf-overview');
  });
});
