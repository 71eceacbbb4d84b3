import { expect, test } from 'vitest';
import { Random } from '../base/random.js';
import { evaluateExpression, fractionText } from './expression.js';

/** The value as text, or the reason. */
const evaluate = (text: string): string => {
  const result = evaluateExpression(text, () => null);
  return 'reason' in result ? result.reason : fractionText(result.value);
};

test.each([
  ['7', '7'],
  ['2+3*4', '14'],
  ['(2+3)*4', '20'],
  ['10-3-2', '5'],
  ['24/4/3', '2'],
  ['24/(4/3)', '18'],
  ['7/3*6', '14'],
  ['7/2', '7/2'],
  ['1/3-1/2', '-1/6'],
  ['3-5', '-2'],
  ['1/(2-5)', '-1/3'],
  ['0/5', '0'],
  [' ( 2 + 3 ) * 4 ', '20'],
  ['((((7))))', '7'],
  ['999999999*999999999', '999999998000000001'],
])('%s = %s', (text, value) => {
  expect(evaluate(text)).toBe(value);
});

test.each([
  ['', 'the expression ends too early'],
  ['2+', 'the expression ends too early'],
  ['(2+3', 'the expression ends too early'],
  ['2+*3', 'not an expression at character 3'],
  ['2+3)', 'not an expression at character 4'],
  ['2 3', 'not an expression at character 3'],
  ['()', 'not an expression at character 2'],
  ['-2', 'not an expression at character 1'],
  ['2(3)', 'not an expression at character 2'],
  ['1e3', 'not an expression at character 2'],
  ['1.5', 'not an expression at character 2'],
  ['2**3', 'not an expression at character 3'],
  ['process.exit(1)', 'not an expression at character 1'],
  ['٣+٤', 'not an expression at character 1'],
  ['1/0', 'divides by zero'],
  ['1/(2-2)', 'divides by zero'],
  ['1234567890', 'a number of more than 9 digits'],
])('%s: %s', (text, reason) => {
  expect(evaluate(text)).toBe(reason);
});

test('the caller may refuse a number', () => {
  const refuse = (n: number) => (n === 8 ? 'no eights' : null);
  expect(evaluateExpression('1+8', refuse)).toEqual({ reason: 'no eights' });
});

test('depth and length do not hurt', () => {
  expect(evaluate('('.repeat(64) + 1 + ')'.repeat(64))).toBe('1');
  expect(evaluate('('.repeat(100_000) + 1 + ')'.repeat(100_000))).toBe(
    'more than 64 parentheses deep',
  );
  expect(evaluate('('.repeat(1_000_000))).toBe('more than 64 parentheses deep');
  expect(evaluate('9'.repeat(1_000_000))).toBe('a number of more than 9 digits');
  expect(evaluate(' '.repeat(1_000_000))).toBe('the expression ends too early');
  expect(evaluate(`1${'+1'.repeat(500_000)}`)).toBe('500001');
});

test('agrees with floating point on random expressions', () => {
  // Another way to the same value: built bottom-up as text and number at once.
  const random = new Random(1, 'expressions');
  const build = (depth: number): [string, number] => {
    if (depth === 0 || random.chance(0.2)) {
      const n = random.integer(1, 20);
      return [String(n), n];
    }
    const [a, x] = build(depth - 1);
    const [b, y] = build(depth - 1);
    const operator = random.pick(['+', '-', '*', '/']);
    const value =
      operator === '+' ? x + y : operator === '-' ? x - y : operator === '*' ? x * y : x / y;
    return [`(${a}${operator}${b})`, value];
  };
  for (let i = 0; i < 2000; i++) {
    const [text, value] = build(4);
    const result = evaluateExpression(text, () => null);
    if ('reason' in result) {
      expect(result.reason).toBe('divides by zero');
    } else {
      const exact = Number(result.value.numerator) / Number(result.value.denominator);
      expect(Math.abs(exact - value)).toBeLessThan(
        1e-6 * (1 + Math.abs(value)) * (1 + Math.abs(value)),
      );
    }
  }
});
