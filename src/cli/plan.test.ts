import { describe, expect, it } from 'vitest';
import { readTarget } from '../plan/cluster/cluster-file.js';
import { parseLayout } from '../plan/cluster/layout-text.js';
import { planRecipe } from '../plan/cluster/plan.js';
import { planDocument } from '../plan/schema.js';
import { planText } from '../plan/text.js';
import { loadRecipe } from '../recipe/index.js';

describe('reckoner plan', () => {
  const target = {
    ...readTarget('h800x2048'),
    layout: parseLayout('tp1 pp16 ep64 mb1 selective dualpipe', '--layout'),
  };
  const recipe = loadRecipe('deepseek-v3');
  const plan = planRecipe(
    { ...recipe, stages: recipe.stages.slice(0, 1), published: recipe.published?.slice(0, 1) },
    { ...target, usdPerHour: { ...target.usdPerHour, distribution: 2 } },
  );

  it('prints the document of its schema', () => {
    expect(planDocument.parse(JSON.parse(JSON.stringify(plan)))).toEqual(plan);
  });

  it('fits into 100 columns and says what it rests on', () => {
    const text = planText(plan);
    const lines = text.split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
    expect(lines[0]).toBe('deepseek-v3 on h800x2048');
    expect(text).toContain('671B parameters, 683B with the MTP module, 37.6B active for a token');
    expect(text).toMatch(/^pretrain +14\.8T +\d\.\d\dM +\d\.\d\dM to \d\.\d\dM/m);
    expect(text).toMatch(/^pretraining +2\.66M +\d\.\d\dM +[+-]\d+(\.\d)?% +yes$/m);
    expect(text).toContain('tp1 pp16 dp128 ep64 mb1 selective recompute dualpipe');
    expect(text).toContain("the planner's own error in training time");
    expect(text).toContain('at $2.00 an hour (');
    expect(text).not.toContain('NaN');
  });

  it.each([60, 80])('fits into %d columns, and keeps hours and dollars', (width) => {
    const lines = planText(plan, undefined, width).split('\n');
    expect(lines.filter((line) => line.length > width)).toEqual([]);
    expect(lines.find((line) => line.startsWith('pretrain '))).toMatch(/\d\.\d\dM.*\$\d/);
  });
});
