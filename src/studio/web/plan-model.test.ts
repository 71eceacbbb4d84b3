import { describe, expect, it } from 'vitest';
import { readTarget } from '../../plan/cluster/cluster-file.js';
import { workOf } from '../../plan/cluster/cluster-work.js';
import { planRecipe } from '../../plan/cluster/plan.js';
import { loadRecipe } from '../../recipe/index.js';
import { planOf } from './plan-model.js';
import type { Settings } from './plan-settings.js';

const settings: Settings = {
  accelerator: 'h100',
  count: 8,
  usdPerHour: null,
  efficiency: null,
  goodput: null,
  tokens: 1,
  experts: null,
  people: 0,
  months: 12,
  experiments: 1,
  utilisation: null,
};
const recipe = workOf(loadRecipe('r1-mini'));

describe('planOf', () => {
  it("is the library's plan where nothing was moved", () => {
    const { plan, around } = planOf(recipe, settings);
    expect(plan).toEqual(planRecipe(loadRecipe('r1-mini'), readTarget('h100x8')));
    expect(around.totalUsd.value).toBeCloseTo(plan.total.usd.value, 12);
  });

  it('moves with what is dragged', () => {
    const before = planOf(recipe, settings).plan.total;
    const dear = planOf(recipe, { ...settings, usdPerHour: 10 }).plan.total;
    const twice = planOf(recipe, { ...settings, usdPerHour: 20, tokens: 2 }).plan.total;
    expect(dear.gpuHours).toEqual(before.gpuHours);
    expect(twice.usd.value / dear.usd.value).toBeCloseTo(4, 1);
    const slow = planOf(recipe, { ...settings, goodput: 0.5 }).plan.total;
    expect(slow.days.value).toBeGreaterThan(1.5 * before.days.value);
  });

  it('puts experiments, idle hours and people beside the final run', () => {
    const { plan, around } = planOf(recipe, {
      ...settings,
      experiments: 3,
      utilisation: 0.5,
      people: 10,
      months: 6,
    });
    const final = plan.total.usd.value;
    expect(around.experimentsUsd.value).toBeCloseTo(2 * final, 12);
    expect(around.idleUsd.value).toBeCloseTo(3 * final, 12);
    // 10 people, half a year, $330,000 × 1.32.
    expect(around.staffUsd.value).toBeCloseTo(2_178_000, 6);
    expect(around.totalUsd.value).toBeCloseTo(6 * final + 2_178_000, 6);
    expect(around.totalUsd.low).toBeLessThan(around.totalUsd.value);
    expect(around.staffUsd.high).toBeGreaterThan(around.staffUsd.value);
  });
});
