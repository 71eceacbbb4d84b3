import { describe, expect, it } from 'vitest';
import { CLAIMS, evaluateClaim, readClaim } from '../claims/index.js';
import { Decimal, sum } from '../money.js';
import {
  type Asset,
  annuity,
  bookValue,
  breakEvenUtilisation,
  catalogGroup,
  catalogTerm,
  costOfCapital,
  depreciation,
  type Fleet,
  ownershipCost,
  ownershipTerms,
} from './index.js';

/**
 * As the analyst of DeepSeek’s fleet counts: no cost of capital, network and storage inside the
 * server’s price.
 */
const asSemiAnalysis = (rate: 'h800' | 'h100') =>
  ownershipTerms({
    capitalRate: 0,
    networkShare: 0,
    storageShare: 0,
    operationUsdPerKwMonth: catalogTerm(`operation.rate.${rate}`),
  });
const fleetOf = (...groups: Fleet['groups']): Fleet => ({ name: 'fleet', groups });
const four = { years: 4, utilisation: 1 };

describe('DeepSeek’s fleet', () => {
  it.each([
    ['h20', 24_228],
    ['h800', 31_728],
    ['h100', 34_728],
    ['a100', 23_716],
  ] as const)('%s: purchase price and server make $%i', (name, usd) => {
    const { capex, accelerators } = ownershipCost(
      fleetOf(catalogGroup(name, 1)),
      asSemiAnalysis('h800'),
      four,
    );
    expect(capex.usd).toBe(String(usd));
    expect(accelerators).toBe(1);
  });

  it('servers of all four make $1,629M; without the H100s $1,281M', () => {
    const groups = (['a100', 'h20', 'h800', 'h100'] as const).map((name) => catalogGroup(name));
    const capex = (...chosen: typeof groups) =>
      ownershipCost(fleetOf(...chosen), asSemiAnalysis('h800'), four).capex.usd;
    expect(capex(...groups)).toBe('1628560000');
    expect(capex(...groups.slice(0, 3))).toBe('1281280000');
  });

  it.each([
    ['h800', 'h800', 170e6],
    ['h20', 'h800', 387e6],
    ['h100', 'h100', 230e6],
    ['a100', 'h100', 157e6],
  ] as const)(
    '%s: the rate per nameplate kW gives the published operation within 4%%',
    (name, rate, published) => {
      const { lines } = ownershipCost(fleetOf(catalogGroup(name)), asSemiAnalysis(rate), four);
      const operation = lines.find(({ item }) => item === 'hosting and operation');
      expect(Math.abs(Number(operation?.usd) / published - 1)).toBeLessThan(0.04);
    },
  );

  it('an owned H800 costs $1.39 an hour at full use, and $2.00 at 70%', () => {
    const cost = ownershipCost(fleetOf(catalogGroup('h800')), asSemiAnalysis('h800'), four);
    expect(Number(cost.perAcceleratorHour.usd)).toBeCloseTo(1.39, 2);
    expect(breakEvenUtilisation(cost, 2)).toBeCloseTo(0.695, 2);
    const used = ownershipCost(fleetOf(catalogGroup('h800')), asSemiAnalysis('h800'), {
      years: 4,
      utilisation: 0.695,
    });
    expect(Number(used.perAcceleratorHour.usd)).toBeCloseTo(2, 2);
    expect(breakEvenUtilisation(used, 2)).toBeCloseTo(breakEvenUtilisation(cost, 2), 9);
  });

  it('agrees with the formula of the claim', () => {
    const file = CLAIMS.find(({ id }) => id === 'deepseek');
    const claimed = evaluateClaim(readClaim(file, 'deepseek')).ratios.find(
      ({ id }) => id === 'owned-h800-hour',
    )?.value as number;
    const { perAcceleratorHour } = ownershipCost(
      fleetOf(catalogGroup('h800')),
      asSemiAnalysis('h800'),
      four,
    );
    expect(Math.abs(Number(perAcceleratorHour.usd) / claimed - 1)).toBeLessThan(0.002);
  });
});

describe('an H100 with the catalog’s terms', () => {
  const exact = (value: number, unit: string) => ({
    ...catalogTerm('server.h100.price'),
    value,
    low: value,
    high: value,
    unit,
  });
  // An eighth of a server of $190,000; what stands around it comes from the shares.
  const h100 = {
    ...catalogGroup('h100', 8),
    acceleratorUsd: exact(0, 'USD/GPU'),
    serverUsd: exact(23_750, 'USD/GPU'),
  };

  it('costs what its owners say, $1.42 (1.30 to 1.69), within 5%', () => {
    const cost = ownershipCost(fleetOf(h100), ownershipTerms(), four);
    // Shares of network and storage turn the server of $190,000 into the published $250,000.
    expect(Number(cost.capex.usd)).toBeCloseTo(250_000, 6);
    expect(Math.abs(Number(cost.perAcceleratorHour.usd) / 1.42 - 1)).toBeLessThan(0.05);
    expect(cost.perAcceleratorHour.low).toBeLessThan(1.3);
    expect(cost.perAcceleratorHour.high).toBeGreaterThan(1.69);
  });

  it('has lines that add up, each with a source', () => {
    const cost = ownershipCost(
      { ...fleetOf(h100), people: 2 },
      ownershipTerms({ operation: 'itemised' }),
      four,
    );
    expect(sum(cost.lines.map(({ usd }) => usd)).toFixed()).toBe(cost.total.usd);
    expect(cost.lines.map(({ item }) => item)).toEqual([
      'depreciation',
      'cost of capital',
      'colocation',
      'electricity',
      'people',
    ]);
    for (const { source, usd, low, high } of cost.lines) {
      expect(source).toMatch(/\(\d{4}/);
      expect(low).toBeLessThanOrEqual(Number(usd));
      expect(high).toBeGreaterThanOrEqual(Number(usd));
    }
    // Two people for four years at $330,000 with overhead.
    expect(cost.lines.at(-1)?.usd).toBe('3484800');
  });

  it('draws less than its plate', () => {
    const electricity = (power: 'measured' | 'nameplate') =>
      ownershipCost(
        fleetOf(h100),
        ownershipTerms({ operation: 'itemised', power }),
        four,
      ).lines.find(({ item }) => item === 'electricity');
    // 10.2 kW × 1.25 × 35,040 h × $0.0826
    expect(Number(electricity('nameplate')?.usd)).toBeCloseTo(10.2 * 1.25 * 35_040 * 0.0826, 6);
    expect(
      Number(electricity('measured')?.usd) / Number(electricity('nameplate')?.usd),
    ).toBeCloseTo(0.686, 9);
  });

  it.each([
    [{ years: 5, utilisation: 1 }, 'years'],
    [{ years: 4, utilisation: 0 }, 'utilisation'],
    [{ years: -1, utilisation: 1 }, 'years'],
  ])('refuses %o', (period, field) => {
    expect(() => ownershipCost(fleetOf(h100), ownershipTerms(), period)).toThrow(
      expect.objectContaining({ code: 'usage', field }),
    );
  });
});

describe('depreciation and capital', () => {
  const d = (value: number | string) => new Decimal(value);
  const asset: Asset = { price: d(1000), resale: d(200), lifeYears: d(4), decline: d('0.14') };

  it('straight line loses the same each year', () => {
    expect(
      [0, 1, 2, 3].map((year) =>
        depreciation(asset, 'straight-line', d(year), d(year + 1)).toFixed(),
      ),
    ).toEqual(Array(4).fill('200'));
    expect(bookValue(asset, 'straight-line', d(4)).toFixed()).toBe('200');
  });

  it('replacement cost loses 27.6% of what is left each year', () => {
    const first = depreciation(asset, 'replacement-cost', d(0), d(1)).toNumber();
    expect(first).toBeCloseTo(275.56, 2);
    expect(depreciation(asset, 'replacement-cost', d(1), d(2)).toNumber() / first).toBeCloseTo(
      10 ** -0.14,
      9,
    );
  });

  it('capital costs its rate on what is not written off', () => {
    // Mean book value 600 over four years at 10%.
    expect(costOfCapital(asset, 'straight-line', 'book-value', d('0.1'), d(4)).toFixed()).toBe(
      '240',
    );
    const steps = 20_000;
    let integral = 0;
    for (let i = 0; i < steps; i++)
      integral += 1000 * 10 ** (-0.14 * ((i + 0.5) / steps) * 4) * (4 / steps);
    expect(
      costOfCapital(asset, 'replacement-cost', 'book-value', d('0.1'), d(4)).toNumber(),
    ).toBeCloseTo(integral * 0.1, 4);
    expect(costOfCapital(asset, 'straight-line', 'book-value', d(0), d(4)).isZero()).toBe(true);
  });

  it('level payments pay off the price with interest', () => {
    let debt = d(1000);
    const payment = annuity(asset, d('0.12'));
    for (let month = 0; month < 48; month++) debt = debt.times('1.01').minus(payment);
    expect(debt.toNumber()).toBeCloseTo(200, 9);
    expect(annuity(asset, d(0)).times(48).toNumber()).toBeCloseTo(800, 9);
    const interest = costOfCapital(asset, 'straight-line', 'annuity', d('0.12'), d(4));
    expect(interest.plus(800).toNumber()).toBeCloseTo(payment.times(48).toNumber(), 9);
  });
});
