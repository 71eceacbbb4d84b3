import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { processorTime } from '../../base/testing/processor-time.js';
import { splitThinking } from '../formats.js';
import { answerIn, canonicalAnswer, lastBox, parseAnswer, sameAnswer } from './index.js';

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
  ['42', 'forty-two'],
  ['105', 'one hundred and five'],
  ['1234567', 'one million two hundred thirty-four thousand five hundred sixty-seven'],
  ['2/3', 'two thirds'],
  ['2.5', 'two and a half'],
  ['-7', 'minus seven'],
  ['1/2', 'half'],
  ['100', 'a hundred'],
  ['2, 3', 'two and three'],
  ['€3,50', '3.50 EUR'],
  ['1.234,50 €', '1234.5'],
  ['£20', '20 pounds'],
  ['100000', '1,00,000'],
  ['₹12,34,567', '1234567'],
  ['7:30 PM', '7:30 p.m.'],
  ['5 PM', '5pm'],
  ['154 pm', '0.154 nm'],
  ['(-\\infty,-1)\\cup(1,\\infty)', '|x| > 1'],
  ['[-1, 3]', '|x - 1| \\le 2'],
  ['(-3, 1)', '2 > |x + 1|'],
  ['42 apples', '42'],
  ['42', '84/2'],
  ['42', '2*21'],
  ['42', '84/2=42'],
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
  ['42', '42-'],
  ['42', '(42'],
  ['42', '42, 43'],
  ['42', '42 or 43'.replace('or', '|')],
  ['42', ''],
  ['42', 'forty-three'],
  ['42', '42^2'],
  ['42', '42!'],
  ['42', '--42'],
  ['42', '+-42'],
  ['21', 'twenty one hundred'],
  ['12', 'one two'],
  ['5', 'one hundred and'],
  ['1/2', 'second half'],
  ['2/3', 'two third parties'],
  ['7:30 PM', '7:30 AM'],
  ['25%', '25 dollars'],
  ['90°', '90%'],
  ['12%', '12 cm'],
  ['£20', '$20'],
  ['\\{1,2\\}', '\\{1\\}, \\{2\\}'],
  ['(-\\infty,-1)\\cup(1,\\infty)', '|x| \\ge 1'],
  ['(-1, 1)', '|x| > 1'],
  ['12,34,567', '123,456,7'],
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
  ['(1, 2)', '[1, 2]'],
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
  expect(sameAnswer('3.14159', '3.14', { tolerance: 0.001 })).toBe(true);
  expect(sameAnswer('3.14159', '3.1', { tolerance: 0.001 })).toBe(false);
  expect(sameAnswer('-100', '-101', { tolerance: 0.01 })).toBe(true);
  expect(sameAnswer('0', '0.001', { tolerance: 0.01 })).toBe(false);
});

test('the last box counts, with its braces balanced', () => {
  expect(lastBox('so \\boxed{1} or \\boxed{\\frac{1}{2}}.')).toBe('\\frac{1}{2}');
  expect(lastBox('\\boxed{1')).toBe(null);
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
    const spent = processorTime();
    expect(sameAnswer('42', text)).toBe(false);
    expect(() => parseAnswer(text)).not.toThrow();
    expect(spent()).toBeLessThan(2000);
  }
  expect(sameAnswer('2', 'process.exit(1)')).toBe(false);
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

interface Case {
  kind: string;
  answer: string;
  reply: string;
  right: boolean;
}
const casesOf = (file: string): Case[] =>
  readFileSync(new URL(`../../../test/fixtures/answers/${file}.jsonl`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Case);

describe.each(['field', 'same', 'different', 'held-out'])('cases: %s', (file) => {
  test.each(casesOf(file))('$kind: $answer and $reply are $right', ({ answer, reply, right }) => {
    const { content } = splitThinking(reply);
    expect(sameAnswer(answer, answerIn(content ?? ''))).toBe(right);
  });
});

describe('the work of a comparison is limited by steps, and not by a clock', () => {
  const many = (item: string, count: number, between: string): string =>
    Array.from({ length: count }, (_, i) => item.replaceAll('#', `${i + 2}`)).join(between);
  const sines = (from: number): string =>
    Array.from({ length: 60 }, (_, i) => `\\sin{${(i + from) % 60}x}`).join(',');

  test('beyond them only what is written alike is the same, whatever was asked before', () => {
    expect(sameAnswer(sines(0), sines(1))).toBe(false);
    expect(sameAnswer('\\sin x', '\\sin(x)')).toBe(true);
    expect(sameAnswer(sines(0), sines(1))).toBe(false);
    expect(sameAnswer(sines(0), sines(0).replaceAll(',', ', '))).toBe(true);
  });

  test.each([
    [many('\\sqrt[59]{#^{400}}', 50, '+'), '7'],
    ['\\binom{100000}{1000}'.repeat(40), '1'],
    [many('1/#', 190, '+'), '1'],
    [many('1000!', 200, '+'), '1'],
    ['2^{2^{2^{2^{2^{2}}}}}', '3^{3^{3^{3^{3}}}}'],
    ['9'.repeat(1900), `${'9'.repeat(1899)}8`],
    [`0.\\overline{${'142857'.repeat(250)}}`, '1/7'],
    [`5 ${'7'.repeat(1300)}/3`, '5'],
    [`5\\frac{${'7'.repeat(900)}}{${'8'.repeat(900)}}`, '5'],
    [many('x=#', 100, ','), many('x=#', 100, ' or ')],
  ])('hostile formulas end in a verdict: %.30s', (a, b) => {
    const spent = processorTime();
    expect(sameAnswer(a, a)).toBe(true);
    sameAnswer(a, b);
    expect(spent()).toBeLessThan(2000);
    expect(canonicalAnswer(a)).not.toBe('');
  });
});

test('half of the further cases must not be equal', () => {
  expect(casesOf('same').length).toBeGreaterThan(150);
  expect(casesOf('different').length).toBeGreaterThan(150);
  expect(casesOf('different').every(({ right }) => !right)).toBe(true);
});

test('strict forgives spelling and nothing else', () => {
  const strict = (a: string, b: string): boolean => sameAnswer(a, b, { strict: true });
  expect(strict('\\frac{1}{2}', '\\dfrac12')).toBe(true);
  expect(strict('x^2', 'x^{2}')).toBe(true);
  expect(strict('1,000', '1000')).toBe(true);
  expect(strict('42', '2*21')).toBe(false);
  expect(strict('x^2+2x+1', '(x+1)^2')).toBe(false);
  expect(strict('5 cm', '5')).toBe(false);
  expect(strict('50%', '50')).toBe(false);
  expect(strict('1, 2', '2, 1')).toBe(false);
});
