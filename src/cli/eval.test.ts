import { expect, it } from 'vitest';
import type { ComparisonRow } from '../evaluation/compare.js';
import { powersUpTo } from '../evaluation/report.js';
import type { Transcript } from '../evaluation/transcripts.js';
import {
  comparisonHtml,
  comparisonMarkdown,
  comparisonSvg,
  comparisonText,
} from './accuracy-cost.js';
import type { EvalDocument } from './documents.js';
import { parsePrices } from './eval.js';
import { progressLine, renderEvaluation } from './eval-output.js';
import { PLAIN } from './output.js';

it('powersUpTo ends with n', () => {
  expect(powersUpTo(1)).toEqual([1]);
  expect(powersUpTo(4)).toEqual([1, 2, 4]);
  expect(powersUpTo(6)).toEqual([1, 2, 4, 6]);
});

const document: EvalDocument = {
  schemaVersion: 1,
  model: 'r1-mini',
  endpoint: null,
  task: 'sums',
  seed: 1,
  problems: 1000,
  samples: 4,
  temperature: 1,
  maxTokens: 64,
  pass1: { mean: 0.9615, low: 0.953, high: 0.97 },
  passAtK: [
    { k: 1, mean: 0.9615, low: 0.953, high: 0.97 },
    { k: 2, mean: 0.99, low: 0.985, high: 0.995 },
    { k: 4, mean: 0.998, low: 0.995, high: 1 },
  ],
  majority: { mean: 0.985, low: 0.975, high: 0.991 },
  greedy: { mean: 0.98, low: 0.969, high: 0.987 },
  format: { mean: 1, low: 0.996, high: 1 },
  length: { mean: 19.04, low: 18.9, high: 19.2 },
  stopReasons: { eos: 0.999, length: 0.001, refused: 0 },
  parts: [],
  tokens: { prompt: 20_000, cached: 0, completion: 95_200 },
  seconds: 12.4,
  usd: 0.00014,
  usdPerProblem: 1.4e-7,
  usdPerCorrectAnswer: 2.9e-8,
  pricing: null,
  answers: { have: 5000, of: 5000 },
  stopped: null,
  transcripts: 'runs/evaluations/r1-mini-sums-12345678.jsonl',
};

it('renderEvaluation says what was asked and what it cost', () => {
  expect(renderEvaluation(document, PLAIN).split('\n')).toEqual([
    'r1-mini on 1,000 unseen problems of sums, seed 1',
    '  pass@1           96.2%  95%: 95.3% – 97.0%, mean of 4 at temperature 1',
    '  pass@2           99.0%  95%: 98.5% – 99.5%',
    '  pass@4           99.8%  95%: 99.5% – 100.0%',
    '  majority of 4    98.5%  95%: 97.5% – 99.1%',
    '  greedy           98.0%  95%: 96.9% – 98.7%',
    '  right form      100.0%  95%: 99.6% – 100.0%',
    '  length           19.04 tokens (18.90 – 19.20), 0.1% cut off',
    '  tokens          20,000 read, 95,200 written in 12 s',
    '  cost            $0.00014, $0.000000029 per correct answer',
    '  transcripts     runs/evaluations/r1-mini-sums-12345678.jsonl',
  ]);
});

it('renderEvaluation of an endpoint names prices, refusals, and what is not known', () => {
  const pricing = { ...parsePrices('0.55,2.19'), source: 'a price list', date: '2025-01' };
  const priced = renderEvaluation(
    {
      ...document,
      endpoint: 'http://x/v1',
      pricing,
      stopReasons: { eos: 0.9, length: 0, refused: 0.1 },
    },
    PLAIN,
  );
  expect(priced).toContain('10.0% refused');
  expect(priced).toContain('written in 12 s of requests');
  expect(priced).toContain('  prices          a price list (2025-01)');
  const unknown = renderEvaluation(
    { ...document, usd: null, usdPerCorrectAnswer: null, length: null, tokens: null },
    PLAIN,
  );
  expect(unknown).toContain(
    '  cost            not known; say what tokens cost with --usd-per-mtok',
  );
  const stopped = renderEvaluation(
    { ...document, answers: { have: 4321, of: 5000 }, stopped: 'max-usd' },
    PLAIN,
  );
  expect(stopped.split('\n').at(-1)).toBe(
    '  stopped         at --max-usd with 4,321 of 5,000 answers; with more, the same command goes on',
  );
  expect(unknown).toContain('  length          not said by the endpoint, 0.1% cut off');
});

it('parsePrices takes two or three numbers', () => {
  expect(parsePrices('0.55,2.19')).toMatchObject({
    inputUsdPerMtok: 0.55,
    cachedInputUsdPerMtok: 0.55,
    outputUsdPerMtok: 2.19,
  });
  expect(parsePrices('0.55, 2.19, 0.14')).toMatchObject({ cachedInputUsdPerMtok: 0.14 });
  for (const wrong of ['1', '1,2,3,4', '1,', 'a,b', '-1,2', '1,Infinity']) {
    expect(() => parsePrices(wrong)).toThrow('takes two or three numbers');
  }
});

it('progressLine has a bar, the accuracy so far, dollars and the time left', () => {
  const one = { correct: true, usd: 0.5 } as Transcript;
  expect(progressLine([one, { ...one, correct: false }], 8, null, 10, 1)).toBe(
    '━━━━━━────────────────── 2/8 · 50.0% right · $1.00 · 1 min left',
  );
  expect(progressLine([], 8, null, 0, 0)).toBe('──────────────────────── 0/8');
});

const row: ComparisonRow = {
  model: 'mine <b>',
  benchmark: 'sums',
  kind: 'measured',
  accuracy: { mean: 0.5, low: 0.4, high: 0.6 },
  score: '50.0%',
  usdPerProblem: 0.001,
  trainingUsd: null,
  definition: 'pass@1 | four samples',
  date: '2026-11-28',
  source: 'a.jsonl',
};
const published: ComparisonRow = {
  ...row,
  model: 'theirs',
  benchmark: 'AIME 2024',
  kind: 'published',
  accuracy: { mean: 0.798, low: 0.798, high: 0.798 },
  score: '79.8%',
  usdPerProblem: 0.1,
  trainingUsd: 5_870_000,
};

it('the comparison marks what was measured and what was published', () => {
  expect(comparisonText([row, published], PLAIN).split('\n')).toEqual([
    'model     benchmark  accuracy  95%         a problem  final runs  kind',
    'mine <b>  sums          50.0%  40.0–60.0%    $0.0010           –  measured',
    'theirs    AIME 2024     79.8%  –               $0.10  $5,870,000  published',
  ]);
  const svg = comparisonSvg([row, published]) as string;
  expect(svg.match(/<circle class="c1"/g)).toHaveLength(1);
  expect(svg.match(/class="published c2"/g)).toHaveLength(1);
  expect(svg.match(/class="whisker/g)).toHaveLength(1);
  // A hundredfold cost is two decades to the right of three (10⁻⁴ … 1).
  const [measuredX] = [...svg.matchAll(/<circle class="c1" cx="([\d.]+)"/g)].map(([, x]) =>
    Number(x),
  );
  const [publishedX] = [
    ...svg.matchAll(/class="published c2" style="fill:none" d="M([\d.]+)/g),
  ].map(([, x]) => Number(x));
  expect(publishedX - measuredX).toBeCloseTo(((860 - 52 - 190) * 2) / 4, 0);
  expect(comparisonMarkdown([row])).toContain('pass@1 \\| four samples');
});

it('the page stands alone and escapes what it is given', () => {
  const page = comparisonHtml([row, published]);
  expect(page).toContain("default-src 'none'");
  expect(page).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)|<b>/);
  expect(page).toContain('mine &lt;b&gt;');
});

it('rows without a cost are in the table and not in the picture', () => {
  expect(comparisonSvg([{ ...row, usdPerProblem: null }])).toBeNull();
  expect(comparisonHtml([{ ...row, usdPerProblem: null }])).toContain('there is no picture');
});
