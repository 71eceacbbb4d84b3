import { describe, expect, it } from 'vitest';
import type { ClaimFile } from '../../catalog/claim.js';
import { Decimal } from '../money.js';
import {
  CLAIMS,
  type ClaimDocument,
  claimDocument,
  claimText,
  evaluateClaim,
  readClaim,
} from './index.js';

const evaluated = new Map(
  CLAIMS.map((claim) => [claim.id, evaluateClaim(readClaim(claim, claim.id))]),
);
const deepseek = evaluated.get('deepseek') as ClaimDocument;
const figure = (id: string) =>
  deepseek.figures.find((candidate) => candidate.id === id) as ClaimDocument['figures'][number];
const ratio = (id: string) => deepseek.ratios.find((candidate) => candidate.id === id)?.value;

describe.each([...evaluated])('the claim %s', (id, claim) => {
  it('is as the schema says', () =>
    expect(claimDocument.safeParse(claim).error?.issues ?? []).toEqual([]));

  it('has steps that are exactly the differences of their figures, in cents and in full', () => {
    const byId = new Map(claim.figures.map((item) => [item.id, item]));
    for (const { from, to, usd, usdExact } of claim.steps) {
      const [a, b] = [byId.get(from), byId.get(to)].map(
        (item) => item as ClaimDocument['figures'][number],
      );
      expect(new Decimal(b.usdExact).minus(a.usdExact).toFixed(), `${from} > ${to}`).toBe(usdExact);
      expect(new Decimal(b.usd).minus(a.usd).toNumber()).toBe(usd);
    }
  });

  it('has an interval around every figure, and a source everywhere', () => {
    for (const item of [...claim.figures, ...claim.steps]) {
      expect(item.low).toBeLessThanOrEqual(item.usd);
      expect(item.high).toBeGreaterThanOrEqual(item.usd);
      expect(item.source.length).toBeGreaterThan(8);
    }
    for (const { source } of [
      ...claim.checks,
      ...claim.ratios,
      ...claim.assumptions,
      ...claim.said,
    ])
      expect(source.length).toBeGreaterThan(8);
  });

  it('fills in every amount of its texts', () =>
    expect(JSON.stringify(claim)).not.toMatch(/\{[a-z0-9.-]+\}/));

  it.each([[72], [80], [100]])('prints in %i columns', (width) => {
    for (const all of [false, true]) {
      const lines = claimText(claim, { width, all }).split('\n');
      expect(lines.filter((line) => line.length > width)).toEqual([]);
      expect(lines[0]).toBe(claim.title);
    }
  });

  it('is on the shelf by its id', () =>
    expect(CLAIMS.filter((file) => file.id === id)).toHaveLength(1));
});

describe('DeepSeek', () => {
  it.each([
    ['v3-pretraining', 5_328_000],
    ['v3-headline', 5_576_000],
    ['r1-increment', 294_000],
    ['v3-r1-headline', 5_870_000],
    ['fleet-capex', 1_628_560_000],
    ['fleet-opex-4y', 944_000_000],
    ['fleet-tco-year', 643_140_000],
    ['hopper-tco-year', 544_600_000],
    ['fleet-capex-first', 1_281_280_000],
    ['fleet-opex-4y-first', 714_000_000],
    ['staff-year', 65_340_000],
    ['staff-ceiling', 195_000_000],
  ])('%s is %i dollars', (id, usd) => expect(figure(id).usdExact).toBe(String(usd)));

  it('has phases that add up to the headline', () => {
    const steps = deepseek.steps.filter(
      ({ to }) => to.startsWith('v3-') && to !== 'v3-r1-headline',
    );
    expect(steps.map(({ usd }) => usd)).toEqual([238_000, 10_000]);
  });

  it('knows a stock from a flow', () => {
    expect(figure('fleet-capex').period).toMatchObject({
      kind: 'stock',
      start: '2025-01-31',
      end: '2025-01-31',
    });
    expect(figure('fleet-opex-4y').period).toMatchObject({ kind: 'flow', years: 4 });
    expect(figure('v3-headline').period.kind).toBe('flow');
    const crossing = deepseek.steps.filter(
      ({ from, to }) => figure(from).period.kind !== figure(to).period.kind,
    );
    expect(crossing.length).toBeGreaterThanOrEqual(2);
    for (const { converts } of crossing) expect(converts).toBeTruthy();
  });

  it('leads from the headline to the stock without a gap', () => {
    const reached = new Set(['v3-headline']);
    for (const leg of deepseek.path)
      for (const [i, id] of leg.figures.entries())
        if (i > 0 && reached.has(leg.figures[i - 1])) reached.add(id);
    for (const id of ['v3-r1-headline', 'hopper-tco-year', 'fleet-tco-year', 'fleet-capex'])
      expect(reached).toContain(id);
  });

  it('computes the shares and prices between', () => {
    expect(ratio('v3-share-of-hopper-year')).toBeCloseTo(0.0064, 4);
    expect(ratio('owned-h800-hour')).toBeCloseTo(1.39, 2);
    expect(ratio('break-even-utilisation')).toBeCloseTo(0.695, 3);
    expect(ratio('h800-operation-rate')).toBeCloseTo(277.8, 1);
    expect(ratio('h20-operation-rate')).toBeCloseTo(275.6, 1);
  });

  it.each([
    ['v3-pretraining-hours', 2.667e6, 1e3],
    ['r1-serving-nodes', 226.9, 0.05],
    ['llama-405b-usd-per-mtok', 1.95, 0.005],
    ['gpt-3-usd-per-mtok', 0.544, 0.001],
    ['llama-405b-hours', 26.4e6, 0.05e6],
  ])('the check %s computes %d', (id, computed, tolerance) => {
    const check = deepseek.checks.find((candidate) => candidate.id === id);
    expect(Math.abs((check?.computed as number) - computed)).toBeLessThan(tolerance);
  });

  it('misses no published figure by more than 2%, but for the lost hours of Llama', () => {
    const far = deepseek.checks.filter(({ relativeError }) => Math.abs(relativeError) > 0.02);
    expect(far.map(({ id }) => id)).toEqual(['llama-405b-hours']);
  });

  it('names each confusion', () => {
    const kinds = deepseek.corrections.map(({ kind }) => kind);
    expect(kinds).toEqual(
      expect.arrayContaining([
        'flow against stock',
        'annual against four-year',
        'R1 against V3',
        'training against company',
      ]),
    );
  });
});

// A small claim, to be broken in one place at a time.
const period = { kind: 'flow', start: '2025', end: '2025' } as const;
const stock = { kind: 'stock', start: '2025-06', end: '2025-06' } as const;
const good = (): ClaimFile => ({
  id: 'mine',
  title: 'Mine',
  said: [{ what: 'It cost 200 dollars.', who: 'me', when: '2025-06', source: 'my notes' }],
  quantities: {
    hours: {
      what: 'hours',
      value: 100,
      low: 90,
      high: 120,
      unit: 'GPU-h',
      basis: 'published',
      source: 'my log',
      date: '2025-06',
    },
    rent: { catalog: 'rent.h800' },
  },
  figures: [
    {
      id: 'run',
      what: 'run',
      formula: 'hours * rent',
      basis: 'derived',
      scope: 'the run',
      period,
      source: 'my log',
    },
    {
      id: 'server',
      what: 'server',
      usd: '30000.50',
      basis: 'published',
      scope: 'a server',
      period: stock,
      source: 'invoice',
    },
  ],
});
const basis = { what: 'more', why: 'because', basis: 'assumed', source: 'my notes' } as const;
const wrong = (change: (claim: ClaimFile) => void): (() => unknown) => {
  const claim = good();
  change(claim);
  return () => evaluateClaim(readClaim(claim, 'mine.json'));
};

describe('a claim of one’s own', () => {
  it('is computed, and its interval combines those of its inputs', () => {
    const [run, server] = evaluateClaim(readClaim(good(), 'mine.json')).figures;
    expect(run).toMatchObject({ usd: 200, usdExact: '200' });
    // 200 + sqrt((20 h × $2)² + (100 h × $1.42)²)
    expect(run.high).toBeCloseTo(200 + Math.hypot(40, 142), 2);
    expect(run.drivers[0].input).toBe('rent');
    expect(server).toMatchObject({
      usd: 30000.5,
      usdExact: '30000.5',
      low: 30000.5,
      high: 30000.5,
    });
  });

  it('keeps the digits of small sums', () => {
    const claim = good();
    claim.figures[0].formula = 'hours * rent / 3';
    expect(evaluateClaim(readClaim(claim, 'mine.json')).figures[0].usdExact).toBe(
      '66.666666666667',
    );
  });

  it.each<[string, (claim: ClaimFile) => void, string, RegExp]>([
    [
      'an empty source',
      (c) => (c.figures[0].source = ' '),
      'figures.0.source',
      /must not be empty/,
    ],
    [
      'no unit',
      (c) => delete (c.quantities as Record<string, { unit?: string }>).hours.unit,
      'quantities.hours.unit',
      /expected string/,
    ],
    [
      'an unknown field',
      (c) => Object.assign(c.figures[0], { colour: 'red' }),
      'figures.0',
      /no field colour/,
    ],
    [
      'an unknown catalog id',
      (c) => ((c.quantities as object as Record<string, unknown>).rent = { catalog: 'gold' }),
      'quantities.rent',
      /no "gold"/,
    ],
    [
      'an unknown name',
      (c) => (c.figures[0].formula = 'hours-rent'),
      'figures.0.formula',
      /no quantity or figure hours-rent \(a minus/,
    ],
    [
      'another unit',
      (c) => (c.figures[0].formula = 'hours'),
      'figures.0.formula',
      /gives GPU-second, not USD/,
    ],
    [
      'a broken formula',
      (c) => (c.figures[0].formula = 'hours *'),
      'figures.0.formula',
      /missing at the end/,
    ],
    [
      'a period that ends before it starts',
      (c) => (c.figures[0].period = { ...period, start: '2025-06', end: '2025-01' }),
      'figures.0.period.end',
      /ends before it starts/,
    ],
    [
      'a circle',
      (c) => (c.figures[0].formula = 'run * 2'),
      'figures.0.formula',
      /computed from itself/,
    ],
    [
      'a division by zero',
      (c) => (c.figures[0].formula = 'hours * rent / (2 - 2)'),
      'figures.0.formula',
      /divides by zero/,
    ],
    ['usd and formula', (c) => (c.figures[0].usd = 1), 'figures.0.usd', /either usd or formula/],
    ['an interval that misses', (c) => (c.figures[1].low = 40_000), 'figures.1.low', /at most usd/],
    [
      'a flow made of a stock',
      (c) => (c.figures[0].formula = 'hours * rent + server'),
      'figures.0.formula',
      /server is a stock, run is a flow/,
    ],
    [
      'a flow compared with a stock',
      (c) =>
        (c.ratios = [
          {
            id: 'share',
            what: 'share',
            formula: 'run / server',
            unit: 'fraction',
            source: 'my notes',
          },
        ]),
      'ratios.0.formula',
      /compares server, a stock, and run, a flow/,
    ],
    [
      'a step from a flow to a stock',
      (c) => (c.steps = [{ from: 'run', to: 'server', ...basis }]),
      'steps.0.converts',
      /run is a flow, paid once, server is a stock; say how/,
    ],
    [
      'a step to nowhere',
      (c) => (c.steps = [{ from: 'run', to: 'moon', ...basis }]),
      'steps.0.to',
      /no figure moon/,
    ],
    [
      'a leg without a step',
      (c) => (c.path = [{ title: 'x', figures: ['run', 'server'] }]),
      'path.0.figures.1',
      /no step leads from run to server/,
    ],
    [
      'a sum without a kind',
      (c) =>
        Object.assign(c.quantities as object, {
          fee: {
            what: 'fee',
            value: 5,
            unit: 'USD',
            basis: 'assumed',
            source: 'my notes',
            date: '2025',
          },
        }),
      'quantities.fee.kind',
      /a stock or a flow/,
    ],
  ])('is refused with %s, by the field', (_title, change, field, message) => {
    expect(wrong(change)).toThrow(
      expect.objectContaining({ code: 'usage', field, message: expect.stringMatching(message) }),
    );
  });

  it('may add what a step converts', () => {
    const claim = good();
    claim.figures[0].formula = 'hours * rent + server';
    claim.steps = [
      { from: 'server', to: 'run', ...basis, converts: 'all of it is written off in this run' },
    ];
    expect(evaluateClaim(readClaim(claim, 'mine.json')).figures[0].usd).toBe(30200.5);
  });

  it('leaves out what needs a plan where there is none', () => {
    const claim = good();
    Object.assign(claim.quantities as object, {
      planned: {
        what: 'planned',
        planned: { recipe: 'r', on: 'h800x8', stages: ['pretrain'] },
        unit: 'GPU-h',
        source: 'the planner',
      },
    });
    claim.figures.push({
      ...claim.figures[0],
      id: 'plan',
      formula: 'planned * rent',
      basis: 'predicted',
    });
    claim.steps = [{ from: 'plan', to: 'run', ...basis }];
    const model = readClaim(claim, 'mine.json');
    const without = evaluateClaim(model);
    expect(without.leftOut.map(({ id }) => id)).toEqual(['plan']);
    expect(without.steps).toEqual([]);
    const withPlan = evaluateClaim(model, { planned: () => ({ value: 110, low: 100, high: 130 }) });
    expect(withPlan.figures[2].usd).toBe(220);
    expect(withPlan.steps[0].usd).toBe(-20);
  });
});
