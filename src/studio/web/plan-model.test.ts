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
    const { plan, statement } = planOf(recipe, settings);
    expect(plan).toEqual(planRecipe(loadRecipe('r1-mini'), readTarget('h100x8')));
    // Hours and price each at their median; the plan's total is the median of their product.
    const full = Number(statement.totals.full.amount);
    expect(full / plan.total.usd.value).toBeCloseTo(1, 1);
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

  it('adds experiments, idle hours and staff to the full column', () => {
    const { statement } = planOf(recipe, {
      ...settings,
      experiments: 3,
      utilisation: 0.5,
      people: 10,
      months: 6,
    });
    const of = (category: string): number =>
      statement.lines
        .filter((line) => line.category === category)
        .reduce((sum, line) => sum + Number(line.amount), 0);
    const full = Number(statement.totals.full.amount);
    const compute = full - of('research') - of('idle') - of('staff');
    expect(of('research') / compute).toBeCloseTo(2, 6);
    expect(of('idle') / compute).toBeCloseTo(3, 6);
    // 10 people, half a year, $330,000 × 1.32.
    expect(of('staff')).toBeCloseTo(2_178_000, 6);
    expect(Number(statement.totals.full.low)).toBeLessThan(full);
    expect(Number(statement.totals.full.high)).toBeGreaterThan(full);
  });
});
