import { expect, it } from 'vitest';
import { API_PRICES } from './data/api-prices.js';
import { MODEL_SCORES } from './data/scores.js';

it.each(MODEL_SCORES.map((row) => [`${row.model}, ${row.benchmark}`, row] as const))(
  '%s is sourced, dated and defined',
  (_, row) => {
    expect(row.source.length).toBeGreaterThan(20);
    expect(row.date).toMatch(/^\d{4}(-\d{2}(-\d{2})?)?$/);
    expect(row.definition.length).toBeGreaterThan(10);
    if (row.unit === 'percent') expect(row.score).toBeLessThanOrEqual(100);
    for (const usd of [row.trainingUsd, row.usdPerProblem])
      if (usd !== null) expect(usd).toBeGreaterThan(0);
  },
);

it('has each score once', () => {
  expect(new Set(MODEL_SCORES.map(({ model, benchmark }) => `${model} ${benchmark}`)).size).toBe(
    MODEL_SCORES.length,
  );
});

it.each(API_PRICES.map((row) => [`${row.host} ${row.model}`, row] as const))(
  'the price of %s is sourced and dated',
  (_, row) => {
    expect(row.source.length).toBeGreaterThan(20);
    expect(row.date).toMatch(/^\d{4}-\d{2}/);
    expect(row.cachedInputUsdPerMtok).toBeLessThanOrEqual(row.inputUsdPerMtok);
  },
);
