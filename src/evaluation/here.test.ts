import { expect, it } from 'vitest';
import { partsOf } from './here.js';

it('partsOf deals every problem once, into parts that are worth a batch', () => {
  for (const [problems, samples] of [
    [1, 1],
    [10, 3],
    [40, 4],
    [1000, 4],
    [1000, 64],
    [7, 1000],
  ]) {
    const parts = partsOf(problems, samples);
    expect(parts.flat()).toEqual(Array.from({ length: problems }, (_, i) => i));
    for (const part of parts) expect(part.length === 1 || part.length * samples <= 256).toBe(true);
  }
  // Few problems still go to several threads, and many do not become small batches.
  expect(partsOf(40, 4).map((part) => part.length)).toEqual([8, 8, 8, 8, 8]);
  expect(partsOf(1000, 4).map((part) => part.length)).toEqual([...Array(16).fill(62), 8]);
});
