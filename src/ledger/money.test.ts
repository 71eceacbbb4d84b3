import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { apportion, Decimal, decimalsFor, formatUsd, sum, toUsd } from './money.js';

const decimals = (values: string[]) => values.map((value) => new Decimal(value));

describe('money', () => {
  it('adds decimals exactly', () => {
    expect(sum(['0.1', '0.2']).toFixed()).toBe('0.3');
    expect(sum(Array.from({ length: 1000 }, () => '0.000000000001')).toFixed()).toBe('0.000000001');
    expect(toUsd(new Decimal('0.0000000000005')).toFixed()).toBe('0');
    expect(toUsd(new Decimal('0.0000000000015')).toFixed()).toBe('0.000000000002');
  });

  it('formats', () => {
    expect(formatUsd('1234567.005', 2)).toBe('$1,234,567.00');
    expect(formatUsd('-0.0042', 4)).toBe('-$0.0042');
    expect(formatUsd('-0.00001', 2)).toBe('-$0.00');
    expect(formatUsd(new Decimal(12), 0)).toBe('$12');
  });

  it('shows two digits of the smallest amount, from cents to 10^-6', () => {
    expect(decimalsFor(decimals(['0', '12']))).toBe(2);
    expect(decimalsFor(decimals(['0.0042', '3']))).toBe(4);
    expect(decimalsFor(decimals(['0.0029', '3']))).toBe(2);
    expect(decimalsFor(decimals(['-0.0000000042', '0.0000001']))).toBe(6);
    expect(decimalsFor(decimals(['-0.0000000042', '0.0000001']), 12)).toBe(10);
    expect(decimalsFor([])).toBe(2);
  });

  it('apportions: parts are off by less than a unit, and add up to the rounded sum', () => {
    expect(apportion(decimals(['0.004', '0.004', '0.004']), 2).map(String)).toEqual([
      '0.01',
      '0',
      '0',
    ]);
    expect(apportion(decimals(['1.4', '2.4']), 0, new Decimal(4)).map(String)).toEqual(['2', '2']);
    expect(apportion(decimals(['1.4', '2.1']), 0, new Decimal(2)).map(String)).toEqual(['1', '1']);
    const random = new Random('apportion');
    for (let round = 0; round < 200; round++) {
      const parts = Array.from({ length: random.integer(0, 12) }, () =>
        new Decimal(random.integer(-50_000, 1_000_000)).div(10 ** random.integer(0, 9)),
      );
      const places = random.integer(0, 6);
      const shown = apportion(parts, places);
      expect(sum(shown).toFixed()).toBe(sum(parts).toDecimalPlaces(places).toFixed());
      for (const [i, part] of shown.entries())
        expect(part.minus(parts[i]).abs().lt(new Decimal(10).pow(-places))).toBe(true);
    }
  });
});
