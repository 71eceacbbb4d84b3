import { expect, test } from 'vitest';
import { Random } from '../base/random.js';
import { parseCompletion, quote, writeCompletion } from './completion.js';

test('a completion in the form gives its two parts, empty ones included', () => {
  expect(parseCompletion('<think>1+1=2\n</think><answer>2</answer>')).toEqual({
    wellFormed: true,
    thinking: '1+1=2\n',
    answer: '2',
  });
  expect(parseCompletion(writeCompletion('', ''))).toEqual({
    wellFormed: true,
    thinking: '',
    answer: '',
  });
});

test.each([
  ['', 'does not start with <think>'],
  [' <think></think><answer>2</answer>', 'does not start with <think>'],
  ['<answer>2</answer>', 'does not start with <think>'],
  ['<think>2', 'no </think>'],
  ['<think>2<answer>2</answer>', 'no </think>'],
  ['<think>2</think>', 'no <answer> right after </think>'],
  ['<think>2</think>\n<answer>2</answer>', 'no <answer> right after </think>'],
  ['<think>2</think></think><answer>2</answer>', 'no <answer> right after </think>'],
  ['<think>2</think><answer>2', 'no </answer>'],
  ['<think>2</think><answer>2</answer>.', 'text after </answer>'],
  ['<think>2</think><answer>2</answer></answer>', 'text after </answer>'],
  ['<think>2</think><answer>2</answer><answer>2</answer>', 'text after </answer>'],
  ['<think><think>2</think><answer>2</answer>', '<think> inside the thinking'],
  ['<think><answer>2</answer></think><answer>2</answer>', '<answer> inside the thinking'],
  ['<think>2</think><answer><answer>2</answer>', '<answer> inside the answer'],
  ['<think>2</think><answer>2</think></answer>', '</think> inside the answer'],
])('%s: %s', (text, reason) => {
  expect(parseCompletion(text)).toEqual({ wellFormed: false, reason });
});

test('whatever parses is exactly what its parts write', () => {
  const random = new Random(1, 'completions');
  const pieces = [
    '<think>',
    '</think>',
    '<answer>',
    '</answer>',
    '<',
    '>',
    '2',
    '\n',
    'think>',
    '\ud800',
    '😀',
  ];
  let wellFormed = 0;
  const noise = (most: number) =>
    Array.from({ length: random.integer(0, most) }, () => random.pick(pieces)).join('');
  for (let i = 0; i < 20_000; i++) {
    const text = random.chance(0.5)
      ? noise(7)
      : `<think>${noise(2)}</think><answer>${noise(2)}</answer>`;
    const parsed = parseCompletion(text);
    if (!parsed.wellFormed) continue;
    wellFormed++;
    expect(writeCompletion(parsed.thinking, parsed.answer)).toBe(text);
    expect(`${parsed.thinking}|${parsed.answer}`).not.toMatch(/<\/?(think|answer)>/);
  }
  expect(wellFormed).toBeGreaterThan(1000);
});

test('a megabyte of half tags is refused without a second look', () => {
  expect(parseCompletion('<think>'.repeat(150_000))).toEqual({
    wellFormed: false,
    reason: 'no </think>',
  });
  expect(parseCompletion(`<think></think><answer>${'</answer'.repeat(130_000)}`)).toEqual({
    wellFormed: false,
    reason: 'no </answer>',
  });
});

test('quote keeps a reason on one line and short', () => {
  expect(quote('1\n2')).toBe('"1\\n2"');
  expect(quote('9'.repeat(1_000_000))).toBe(`"${'9'.repeat(24)}…"`);
});
