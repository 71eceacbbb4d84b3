import { describe, expect, it } from 'vitest';
import { UserError } from '../../base/errors.js';
import { usageOf } from '../testing.js';
import { createCostMeter } from './cost-meter.js';
import { defaultPriceBook, parsePriceBook, unitPrices } from './price-book.js';

describe('price book', () => {
  it('takes what a file leaves out from the catalog, with its source', () => {
    const book = parsePriceBook({ mode: 'own', electricityUsdPerKwh: 0.31 }, 'mine.json');
    expect(book.mode).toBe('own');
    expect(book.electricityUsdPerKwh).toMatchObject({
      value: 0.31,
      low: 0.31,
      high: 0.31,
      source: 'price book mine.json',
      basis: 'assumed',
    });
    expect(book.pue).toEqual(defaultPriceBook().pue);
    expect(book.rentUsdPerCoreHour.source).toContain('m7g.large');
  });

  it('takes a price with its source', () => {
    const machineUsd = {
      value: 1200,
      low: 1000,
      source: 'invoice 7',
      date: '2025-03',
      basis: 'published',
    };
    expect(parsePriceBook({ machineUsd }, 'x').machineUsd).toMatchObject({
      value: 1200,
      low: 1000,
      high: 1200,
      source: 'invoice 7',
    });
  });

  it.each([
    [{ electricityUsdPerKwh: -1 }, 'electricityUsdPerKwh'],
    [{ electricityUsdPerKwh: '0.3' }, 'electricityUsdPerKwh'],
    [{ electricityUsdPerKwh: Number.NaN }, 'electricityUsdPerKwh'],
    [{ electricityUsdPerKwh: null }, 'electricityUsdPerKwh'],
    [{ utilisation: 0 }, 'utilisation'],
    [{ utilisation: 1.5 }, 'utilisation'],
    [{ pue: 0.9 }, 'pue'],
    [{ mode: 'lease' }, 'mode'],
    [{ currency: 'EUR' }, 'currency'],
    [{ elektricity: 1 }, 'elektricity'],
    [{ machineUsd: { value: 5, low: 6 } }, 'machineUsd'],
    [{ machineUsd: { price: 5 } }, 'machineUsd.price'],
    [{ machineUsd: { value: 5, source: 3 } }, 'machineUsd.source'],
    [{ machineUsd: { value: 5, sauce: 'x' } }, 'machineUsd.sauce'],
    [[], ''],
    ['rent', ''],
    [null, ''],
  ])('refuses %j and names %s', (content, field) => {
    let error: unknown;
    try {
      parsePriceBook(content, 'p.json');
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).code).toBe('usage');
    expect((error as UserError).field ?? '').toBe(field);
    expect((error as UserError).message).toContain('p.json');
    expect((error as UserError).message).not.toContain('\n');
  });

  it('spreads a machine over the core-hours for which it is used', () => {
    // 8766 hours a year: $3506.40 / (4 cores × 2 years × 8766 h × 0.5) = $0.10
    const book = parsePriceBook(
      { machineUsd: 3506.4, machineCores: 4, lifeYears: 2, utilisation: 0.5 },
      'x',
    );
    expect(unitPrices(book).depreciation.usd.toFixed()).toBe('0.1');
  });

  it('turns bounds around where a field makes a price smaller', () => {
    const lifeYears = { value: 2, low: 1, high: 4 };
    const book = parsePriceBook(
      {
        machineUsd: 8766,
        machineCores: 1,
        lifeYears,
        utilisation: 1,
        pue: 1.5,
        electricityUsdPerKwh: 0.2,
      },
      'x',
    );
    const { depreciation, electricity } = unitPrices(book);
    expect([depreciation.low, depreciation.usd, depreciation.high].map(String)).toEqual([
      '0.25',
      '0.5',
      '1',
    ]);
    expect(electricity.usd.toFixed()).toBe('0.3');
    expect(depreciation.basis).toBe('assumed');
  });
});

describe('cost meter', () => {
  const usage = usageOf({ workerSeconds: 7200, energyJoules: 3.6e6, storedBytes: 5e8 });

  it('rent: core-hours; storage is paid after the run', () => {
    const meter = createCostMeter(
      parsePriceBook(
        { rentUsdPerCoreHour: 0.05, storageUsdPerGbMonth: 0.02, storageMonths: 3 },
        'x',
      ),
    );
    expect(meter.usd).toBe(0);
    meter.add(usage);
    expect(meter.exact).toBe('0.1');
    meter.add(usage);
    expect(meter.usd).toBe(0.2);
  });

  it('own: machine and electricity', () => {
    const meter = createCostMeter(
      parsePriceBook(
        {
          mode: 'own',
          machineUsd: 8766,
          machineCores: 1,
          lifeYears: 1,
          utilisation: 1,
          electricityUsdPerKwh: 0.25,
          storageMonths: 0,
        },
        'x',
      ),
    );
    meter.add(usageOf({ workerSeconds: 3600, energyJoules: 3.6e6, energyBasis: 'measured' }));
    expect(meter.exact).toBe('1.25');
  });
});
