import { expect, it } from 'vitest';
import { planLine } from './train.js';

it('says in one line what a run will take', () => {
  const usd = { value: 0.00402, low: 0.003, high: 0.006 };
  expect(planLine({ seconds: { value: 240, low: 190, high: 353 }, usd })).toBe(
    '≈ 4 min, $0.0040 (3.2–5.9 min)',
  );
  expect(planLine({ seconds: { value: 90, low: 80, high: 130 }, usd })).toBe(
    '≈ 90 s, $0.0040 (80 s–2.2 min)',
  );
});
