import { describe, expect, it } from 'vitest';
import { Decimal } from '../money.js';
import { compile, EXACT, FLOAT, namesIn, parseFormula, unitOf } from './formula.js';
import { describeUnit, parseUnit, sameDimensions } from './units.js';

const exact = (text: string, values: Record<string, string> = {}) =>
  compile(parseFormula(text), EXACT)((name) => new Decimal(values[name])).toFixed();

describe('formulas', () => {
  it('follow the usual order, exactly', () => {
    expect(exact('0.1 + 0.2')).toBe('0.3');
    expect(exact('2 + 3 * 4 - 6 / 4')).toBe('12.5');
    expect(exact('(2 + 3) * -4')).toBe('-20');
    expect(exact('8 / 4 / 2')).toBe('1');
    expect(exact('1.5e6 * 2')).toBe('3000000');
  });

  it('have names with hyphens and dots, and a minus between spaces', () => {
    expect(namesIn(parseFormula('v3.hours * rent-a - v3.hours'))).toEqual(['v3.hours', 'rent-a']);
    expect(exact('a-b - a', { 'a-b': '5', a: '2' })).toBe('3');
  });

  it('compute the same in floating point', () => {
    const formula = parseFormula('(a + 3) * b / 7');
    expect(compile(formula, FLOAT)((name) => ({ a: 4, b: 2 })[name] as number)).toBe(2);
  });

  it.each([
    ['1 +', 'missing at the end'],
    ['(1 + 2', 'not closed'],
    ['2 rent', 'an operator is missing before "rent"'],
    ['rent $', 'cannot read "$"'],
    ['* 2', 'missing before "*"'],
    ['3[USD?]', 'cannot read the unit'],
  ])('%s: %s', (text, message) => expect(() => parseFormula(text)).toThrow(message));

  it('refuse to divide by zero', () =>
    expect(() => exact('1 / (2 - 2)')).toThrow('divides by zero'));
});

describe('units', () => {
  const units: Record<string, string> = {
    hours: 'GPU-h',
    rent: 'USD/GPU-h',
    power: 'kW/GPU',
    rate: 'USD/kW-month',
    years: 'year',
  };
  const of = (text: string) => unitOf(parseFormula(text), (name) => parseUnit(units[name]));

  it('multiply, divide and cancel', () => {
    expect(describeUnit(of('hours * rent'))).toBe('USD');
    expect(describeUnit(of('rent / (rate * power)'))).toBe('a pure number');
    expect(sameDimensions(of('hours * power'), parseUnit('MWh'))).toBe(true);
    expect(sameDimensions(of('6[FLOP/token] * 2[Mtok]'), parseUnit('TFLOP'))).toBe(true);
  });

  it('are not added when they differ', () => {
    expect(() => of('rent + hours')).toThrow('adds GPU-second and USD/GPU/second');
    expect(() => of('rent - 2')).toThrow('a pure number');
  });

  it('convert', () => {
    const ratio = (a: string, b: string) => parseUnit(a).scale.div(parseUnit(b).scale).toFixed();
    expect(ratio('year', 'h')).toBe('8760');
    expect(ratio('month', 'h')).toBe('730');
    expect(ratio('GWh', 'kWh')).toBe('1000000');
    expect(ratio('kW-h', 'kWh')).toBe('1');
    expect(ratio('Ttok/day', 'token/day')).toBe('1000000000000');
  });
});
