import { expect, it } from 'vitest';
import type { EvalDocument } from './documents.js';
import { powersUpTo, renderEvaluation } from './eval.js';
import { PLAIN } from './output.js';

it('powersUpTo ends with n', () => {
  expect(powersUpTo(1)).toEqual([1]);
  expect(powersUpTo(4)).toEqual([1, 2, 4]);
  expect(powersUpTo(6)).toEqual([1, 2, 4, 6]);
});

it('renderEvaluation says what was asked and what it cost', () => {
  const document: EvalDocument = {
    schemaVersion: 1,
    model: 'r1-mini',
    task: 'sums',
    seed: 1,
    problems: 1000,
    samples: 4,
    temperature: 1,
    maxTokens: 64,
    pass1: { mean: 0.9615, low: 0.953, high: 0.97 },
    passAtK: [
      { k: 1, value: 0.9615 },
      { k: 2, value: 0.99 },
      { k: 4, value: 0.998 },
    ],
    majority: { mean: 0.985, low: 0.975, high: 0.991 },
    greedy: { mean: 0.98, low: 0.969, high: 0.987 },
    formatRate: 1,
    meanLength: 19.04,
    stopReasons: { eos: 0.999, length: 0.001 },
    tokens: { prompt: 20_000, completion: 95_200 },
    seconds: 12.4,
    usd: 0.00014,
    usdPerCorrectAnswer: 2.9e-8,
  };
  expect(renderEvaluation(document, PLAIN).split('\n')).toEqual([
    'r1-mini on 1,000 unseen problems of sums, seed 1',
    '  pass@1           96.2%  95%: 95.3% – 97.0%, mean of 4 at temperature 1',
    '  pass@2           99.0%',
    '  pass@4           99.8%',
    '  majority of 4    98.5%  95%: 97.5% – 99.1%',
    '  greedy           98.0%  95%: 96.9% – 98.7%',
    '  right form      100.0%',
    '  length           19.04 tokens, 0.1% cut off',
    '  tokens          20,000 read, 95,200 written in 0:12',
    '  cost            $0.00014, $0.000000029 per correct answer',
  ]);
});
