import { expect, test } from 'vitest';
import { parseUnit, sameQuantity, sameUnit } from './quantity.js';

test.each([
  ['1 km', '1000 m'],
  ['1 N', '1 kg m/s^2'],
  ['1 J', '1 N m'],
  ['1 J', '1 kg*m^2/s^2'],
  ['1 W', '1 J/s'],
  ['1 V', '1 W/A'],
  ['1 ohm', '1 V/A'],
  ['1 kΩ', '1000 ohm'],
  ['1 Pa', '1 N/m²'],
  ['36 km/h', '10 m/s'],
  ['1 l', '1000 cm^3'],
  ['1 kWh', '3.6e6 J'],
  ['8.314 J/(mol K)', '8.314 J/mol/K'],
  ['1 h', '3600 s'],
  ['1 µm', '1e-6 m'],
  ['5 kilometers per hour', '5 km/h'],
  ['1 inch', '2.54 cm'],
  ['1 mg', '0.001 g'],
  ['2 x10^3 m', '2 km'],
  ['1 atm', '101325 Pa'],
])('%s is %s', (a, b) => expect(sameQuantity(a, b, 1e-9)).toBe(true));

test.each([
  ['1 km', '1 m'],
  ['1 N', '1 J'],
  ['1 m', '1'],
  ['1 m', '1 s'],
  ['1 m/s', '1 m/s^2'],
  ['1 mm', '1 Mm'],
  ['1 min', '1 m'],
  ['5 m', '5 mfoo'],
  ['5 m', '5 m0'],
  ['5 m', '5 m)'],
  ['5 m', '(5 m'],
  ['5 m', '5+0 m'],
  ['5 m', '5 m*'],
  ['5 m', 'five m'],
  ['5 m', '5 constructor'],
  ['5 m', '5 m^99'],
])('%s is not %s', (a, b) => expect(sameQuantity(a, b, 1e-6)).toBe(false));

test('tolerance is a share of the truth', () => {
  expect(sameQuantity('100 m', '101 m', 0.01)).toBe(true);
  expect(sameQuantity('100 m', '0.1011 km', 0.01)).toBe(false);
});

test('a unit is a factor and dimensions', () => {
  expect(parseUnit('kN')).toEqual({ factor: 1000, dimensions: [1, 1, -2, 0, 0, 0, 0] });
  expect(parseUnit('')).toBe(null);
  expect(parseUnit('('.repeat(50))).toBe(null);
  expect(sameUnit('apples', 'apple')).toBe(1);
  expect(sameUnit('km', 'm')).toBe(1 / 1000);
});
