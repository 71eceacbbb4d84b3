import { expect, it } from 'vitest';
import { planLine } from './train.js';

it('says in one line what a run will take', () => {
  const usd = { value: 0.00402, low: 0.003, high: 0.006 };
  expect(planLine({ seconds: { value: 240, low: 190, high: 353 }, usd })).toBe(
    '≈ 4 min (90% interval 3 min 10 s to 5 min 50 s), $0.0040',
  );
  expect(planLine({ seconds: { value: 90, low: 80, high: 130 }, usd })).toBe(
    '≈ 1 min 30 s (90% interval 1 min 20 s to 2 min 10 s), $0.0040',
  );
});
