import { describe, expect, it } from 'vitest';
import { parsePricedPlan, statementOfPlan } from '../../ledger/index.js';
import { statementDocument } from '../../ledger/statement/schema.js';
import { loadRecipe } from '../../recipe/index.js';
import { readTarget } from './cluster-file.js';
import { parseLayout } from './layout-text.js';
import { planRecipe } from './plan.js';

const none = { people: 0, months: 12, experiments: 1, utilization: null };

const recipe = structuredClone(loadRecipe('deepseek-v3'));
recipe.stages = recipe.stages.slice(0, 2);
recipe.published = undefined;
const target = readTarget('h800x2048');
const plan = planRecipe(recipe, {
  ...target,
  layout: parseLayout('tp8 pp16 dp16 mb1 selective dualpipe ep64 cp1', '--layout'),
});
/** As a file holds it. */
const sent = parsePricedPlan(JSON.parse(JSON.stringify(plan)), 'plan.json');

describe('the statement of a cluster plan', () => {
  it('prices the usage of its stages: hours that make progress, and hours that are lost', () => {
    const statement = statementOfPlan(sent, none);
    const { lines, totals } = statement;
    expect(lines.map(({ category, columns }) => `${category} ${columns.join('+')}`)).toEqual([
      'final headline+full',
      'lost full',
      'final headline+full',
      'lost full',
    ]);
    const [stage] = plan.stages;
    const hours = (stage.usage.acceleratorSeconds as number) / 3600;
    expect(hours / stage.gpuHours.value).toBeCloseTo(1, 9);
    expect(stage.usage).toMatchObject({ device: 'h800', basis: 'predicted', purpose: 'training' });
    // $2 an hour; 93% of the time makes progress.
    const { usdPerHour, goodput } = plan.cluster;
    expect(Number(lines[0].quantity) / (hours * goodput.value)).toBeCloseTo(1, 9);
    expect(Number(lines[0].amount) / (hours * goodput.value * usdPerHour.value)).toBeCloseTo(1, 9);
    const sum = lines.reduce((all, { amount }) => all + Number(amount), 0);
    expect(Number(totals.full.amount) / sum).toBeCloseTo(1, 12);
    expect(Number(totals.headline.amount) / sum).toBeCloseTo(goodput.value, 9);
    expect(Number(totals.full.low)).toBeLessThan(plan.total.usd.value);
    expect(Number(totals.full.high) / plan.total.usd.high).toBeCloseTo(1, 1);
    expect(statementDocument.safeParse(statement).error?.issues ?? []).toEqual([]);
  });

  it("has the plan's own dollars: the ledger prices both", () => {
    const { totals } = statementOfPlan(sent, none);
    expect(Number(totals.full.amount) / plan.total.usd.value).toBeCloseTo(1, 12);
    for (const { usd, gpuHours } of plan.stages)
      expect(usd.value / (gpuHours.value * plan.cluster.usdPerHour.value)).toBeCloseTo(1, 12);
    const sum = plan.stages.reduce((all, { usd }) => all + usd.value, 0);
    expect(plan.total.usd.value).toBe(sum);
  });

  it('adds experiments, idle hours and people to the full column alone', () => {
    const bare = statementOfPlan(sent, none);
    const { totals, bridge, lines } = statementOfPlan(sent, {
      people: 150,
      months: 2,
      experiments: 2.2,
      utilization: 0.8,
    });
    expect(totals.headline).toEqual(bare.totals.headline);
    const compute = Number(bare.totals.full.amount);
    const of = (category: string): number =>
      lines
        .filter((line) => line.category === category)
        .reduce((all, { amount }) => all + Number(amount), 0);
    expect(of('research') / compute).toBeCloseTo(1.2, 9);
    expect(of('idle') / (2.2 * compute)).toBeCloseTo(0.25, 9);
    // 25 years of work at $330,000 and 32% overhead.
    expect(of('staff')).toBeCloseTo(25 * 330_000 * 1.32, 3);
    const steps = bridge.reduce((all, { amount }) => all + Number(amount), 0);
    expect((Number(totals.headline.amount) + steps) / Number(totals.full.amount)).toBeCloseTo(1, 9);
    // Without a factor, the catalog's, which is not known exactly.
    const { lines: usual } = statementOfPlan(sent, { ...none, experiments: null });
    const research = usual.find(({ category }) => category === 'research');
    expect(Number(research?.low)).toBeLessThan(0.7 * Number(research?.amount));
  });

  it.each([
    [{ people: -1 }, /^people: must be from 0/],
    [{ experiments: 0.5 }, /^experiments: must be from 1/],
    [{ utilization: 0 }, /^utilization: must be above 0/],
    [{ utilization: 1.5 }, /^utilization: must be above 0/],
    [{ months: Number.NaN }, /^months: must be from 0/],
  ])('refuses %j', (costs, message) => {
    expect(() => statementOfPlan(sent, { ...none, ...costs })).toThrow(message);
  });

  it.each([
    [{ stages: [] }, /^plan\.json: stages: has no stage; write it with reckoner plan/],
    [{ cluster: { ...plan.cluster, goodput: { value: 0, low: 0, high: 0 } } }, /cluster\.goodput/],
    [
      {
        stages: [{ ...plan.stages[0], usage: { ...plan.stages[0].usage, acceleratorSeconds: -5 } }],
      },
      /stages\.0\.usage\.acceleratorSeconds/,
    ],
    [{ stages: [{ ...plan.stages[0], usage: undefined }] }, /stages\.0\.usage/],
  ])('refuses a plan that is broken: %#', (change, message) => {
    expect(() => parsePricedPlan({ ...plan, ...change }, 'plan.json')).toThrow(message);
  });
});
