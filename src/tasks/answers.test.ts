import { expect, test } from 'vitest';
import { canonicalAnswer, parseAnswer, sameAnswer, unbox } from './answers.js';

test.each([
  ['42', '42'],
  ['42', ' 42. '],
  ['42', '+42'],
  ['42', '42.0'],
  ['42', '042'],
  ['42', '$42$'],
  ['42', '\\boxed{42}'],
  ['42', 'The answer is 42.'],
  ['42', 'Answer: 42'],
  ['42', 'x = 42'],
  ['42', '$x=42$'],
  ['42', '42 apples'],
  ['42 apples', '42'],
  ['42', '84/2'],
  ['42', '42,0'.replace(',', '.')],
  ['-5', '−5'],
  ['-5', '- 5'],
  ['1234', '1,234'],
  ['1234567.5', '1,234,567.50'],
  ['1000000', '1 000 000'],
  ['18', '$18'],
  ['18', '$18.00'],
  ['18', '\\$18'],
  ['18', '18 dollars'],
  ['$18', '18'],
  ['-18', '-$18'],
  ['0.5', '1/2'],
  ['0.5', '.5'],
  ['0.5', '\\frac{1}{2}'],
  ['0.5', '\\frac12'],
  ['0.5', '\\dfrac{1}{2}'],
  ['0.5', '$\\tfrac{2}{4}$'],
  ['0.5', '50%'],
  ['50%', '0.5'],
  ['50%', '50'],
  ['50', '50\\%'],
  ['50%', '50 percent'],
  ['-1/3', '-\\frac{1}{3}'],
  ['-1/3', '\\frac{-1}{3}'],
  ['-1/3', '1/-3'],
  ['1.5', '1 1/2'],
  ['3/2', '1\\frac{1}{2}'],
  ['-1.5', '-1 1/2'],
  ['1200', '1.2e3'],
  ['1200', '1.2\\times10^{3}'],
  ['1200', '1.2 * 10^3'],
  ['0.0012', '1.2e-3'],
  ['1000', '10^3'],
  ['5 km', '5000 m'],
  ['90 km/h', '25 m/s'],
  ['2 hours', '120 minutes'],
  ['5 cm', '5 \\text{ cm}'],
  ['45 degrees', '45^\\circ'],
  ['45°', '45'],
  ['(1, 2)', '(1,2)'],
  ['(1, 2)', '\\left(1,\\frac{4}{2}\\right)'],
  ['(1, 2)', '[1, 2]'],
  ['{1, 2}', '{2, 1}'],
  ['\\{1, 2\\}', '{2,1}'],
  ['1, 2', '2, 1'],
  ['1, 2', '2 and 1'],
  ['x = 1, 2', '1, 2'],
  ['1,234', '1234'],
  ['((1,2),(3,4))', '( (1, 2), (3, 4) )'],
  ['(5)', '5'],
  ['Blue', 'blue'],
  ['x^2+1', 'x^2 + 1'],
  ['\\sqrt{2}', '$\\sqrt{2}$'],
  ['2\\pi', '\\boxed{2\\pi}'],
  ['no solution', 'No  solution'],
  ['A', 'a'],
  ['123456789012345678901234567890', '123,456,789,012,345,678,901,234,567,890'],
])('%s is %s', (a, b) => {
  expect(sameAnswer(a, b)).toBe(true);
  expect(sameAnswer(b, a)).toBe(true);
});

test.each([
  ['42', '43'],
  ['42', '-42'],
  ['42', '4 2'],
  ['42', '42 43'],
  ['42', '42+0'],
  ['42', '42-'],
  ['42', '(42'],
  ['42', '42=42'],
  ['42', '42, 43'],
  ['42', '42 or 43'.replace('or', '|')],
  ['42', ''],
  ['42', 'forty-two'],
  ['42', '42^2'],
  ['42', '42!'],
  ['42', '2*21'],
  ['42', '--42'],
  ['42', '+-42'],
  ['1234', '1,23,4'],
  ['1234', '12,34'],
  ['1234', '1.234'],
  ['0.5', '0.50001'],
  ['0.333', '1/3'],
  ['1/2', '2/1'],
  ['1/2', '1/0'],
  ['0', '0/0'],
  ['0.5', '0.5%'],
  ['50%', '5'],
  ['5 km', '5 m'],
  ['5 km', '5 kg'],
  ['5 apples', '5 pears'],
  ['(1, 2)', '(2, 1)'],
  ['(1, 2)', '{1, 2}'],
  ['(1, 2)', '(1, 2, 3)'],
  ['{1, 2}', '{1, 1}'],
  ['{1, 1}', '{1, 2}'],
  ['1, 2', '12'],
  ['1, 2', '1.2'],
  ['blue', 'red'],
  ['x^2+1', 'x^2-1'],
  ['\\sqrt{2}', '\\sqrt{3}'],
  ['10^3', '10^4'],
  ['1', '1e1000000'],
  ['1', '10^9999'],
  ['123456789012345678901234567890', '123456789012345678901234567891'],
  ['0.1', '0.1000000000000000055511151231257827'],
  ['a', 'b'],
  ['', ''],
])('%s is not %s', (a, b) => {
  expect(sameAnswer(a, b)).toBe(false);
  expect(sameAnswer(b, a)).toBe(false);
});

test('tolerance is relative', () => {
  expect(sameAnswer('3.14159', '3.14', 0.001)).toBe(true);
  expect(sameAnswer('3.14159', '3.1', 0.001)).toBe(false);
  expect(sameAnswer('-100', '-101', 0.01)).toBe(true);
  expect(sameAnswer('0', '0.001', 0.01)).toBe(false);
});

test('the last box counts, with its braces balanced', () => {
  expect(unbox('so \\boxed{1} or \\boxed{\\frac{1}{2}}.')).toBe('\\frac{1}{2}');
  expect(unbox('\\boxed{1')).toBe('\\boxed{1');
});

test('hostile answers are read in no time and never evaluated', () => {
  for (const text of [
    '('.repeat(499),
    '9'.repeat(499),
    '1/'.repeat(249),
    ','.repeat(499),
    '\\frac{'.repeat(80),
    '1e999',
    '{'.repeat(250) + '}'.repeat(249),
    '$'.repeat(499),
    ' '.repeat(499),
    'a '.repeat(249),
    '-'.repeat(499),
    '(1,'.repeat(160),
    '1 '.repeat(249),
    '9'.repeat(1_000_000),
    '\\boxed{'.repeat(70),
    '°'.repeat(400),
  ]) {
    const start = performance.now();
    expect(sameAnswer('42', text)).toBe(false);
    expect(() => parseAnswer(text)).not.toThrow();
    expect(performance.now() - start).toBeLessThan(2000);
  }
  expect(sameAnswer('2', 'process.exit(1)')).toBe(false);
  expect(sameAnswer('2', '1+1')).toBe(false);
});

test('canonicalAnswer writes answers alike that say the same', () => {
  for (const same of [
    ['1/2', '0.5', '\\frac{1}{2}', ' .50 '],
    ['1,234', '1234', '\\boxed{1234}', '1234 apples'],
    ['{2, 1}', '1 and 2'],
    ['Paris', ' paris'],
  ]) {
    expect(new Set(same.map(canonicalAnswer)).size, same.join(' = ')).toBe(1);
  }
  expect(canonicalAnswer('(1, 2)')).not.toBe(canonicalAnswer('(2, 1)'));
  expect(canonicalAnswer('1')).not.toBe(canonicalAnswer('2'));
});
