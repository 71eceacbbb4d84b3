import { expect, it } from 'vitest';
import { duration, inOrder, metric, percent, tick, typed, unbroken, usd } from './format.js';

it.each([
  [0, '0 s'],
  [0.0831, '0.083 s'],
  [9.96, '10 s'],
  [59.7, '1 min'],
  [343, '5 min 43 s'],
  [61_634, '17 h 7 min'],
  [65.8 * 86_400, '65.8 days'],
])('%d seconds are %s', (seconds, text) => expect(duration(seconds)).toBe(text));

it('axes have no zeros that say nothing, and shares are in percent', () => {
  expect([1000, 50, 0.8, 5, 60_000].map(tick)).toEqual(['1K', '50', '0.8', '5', '60K']);
  expect(metric('accuracy').axis?.(0.1)).toBe('10%');
  expect(metric('usd').axis?.(0.00085)).toBe('$0.00085');
  expect(metric('learning_rate').show(0.003)).toBe('0.00300');
  expect(metric('learning_rate').show(0)).toBe('0');
});

it('dates are not broken', () => {
  expect(unbroken('InferenceX (2026-03-05), 2025-12')).toBe(
    'InferenceX (2026\u201103\u201105), 2025\u201112',
  );
});

it('what is more than nothing is not shown as nothing', () => {
  expect([percent(0), percent(0.0004), percent(0.0006), percent(0.004, 0), percent(1)]).toEqual([
    '0.0%',
    '<0.1%',
    '0.1%',
    '<1%',
    '100.0%',
  ]);
  expect(usd(5.4e-7)).toBe('$0.00000054');
});

it('the nine curves that say most come first, each layer of experts after them', () => {
  const names = [
    'max_vio.1',
    'usd',
    'grad_norm',
    'max_vio',
    'tokens_per_second',
    'loss',
    'reward',
    'accuracy',
    'completions/mean_length',
    'entropy',
    'kl_loss',
  ];
  const nine = [
    'reward',
    'accuracy',
    'completions/mean_length',
    'loss',
    'kl_loss',
    'entropy',
    'max_vio',
    'tokens_per_second',
    'usd',
  ];
  expect(inOrder(names)).toEqual([...nine, 'grad_norm', 'max_vio.1']);
  expect(metric('max_vio.1').title).toBe('Expert load, layer 1');
});

it('a field takes numbers as people write them, and says its name otherwise', () => {
  expect([typed('Seed', ' 7 '), typed('Temperature', '0,6')]).toEqual([7, 0.6]);
  expect(() => typed('Seed', 'seven')).toThrow('Seed: “seven” is not a number.');
  expect(() => typed('Seed', ' ')).toThrow('Seed is empty.');
});
