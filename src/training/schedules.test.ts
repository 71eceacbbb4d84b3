import { describe, expect, it } from 'vitest';
import { createSchedule, scheduleSchema } from './schedules.js';

const curve = (spec: unknown, steps: number): number[] => {
  const schedule = createSchedule(scheduleSchema.parse(spec), steps);
  return Array.from({ length: steps }, (_, i) => schedule(i + 1));
};
const close = (actual: number[], expected: number[]): void => {
  expect(actual).toHaveLength(expected.length);
  for (let i = 0; i < actual.length; i++) expect(actual[i]).toBeCloseTo(expected[i], 12);
};

describe('schedules', () => {
  it('constant', () => close(curve({ kind: 'constant' }, 3), [1, 1, 1]));
  it('constant with warm-up', () =>
    close(curve({ kind: 'constant', warmup: 4 }, 6), [0.25, 0.5, 0.75, 1, 1, 1]));
  it('cosine', () => {
    // after 2 steps of warm-up, quarters of a half turn: cos 0, π/4, π/2, 3π/4, π between 1 and 0.2
    const r = Math.SQRT1_2;
    close(curve({ kind: 'cosine', warmup: 2, final: 0.2 }, 6), [
      0.5,
      1,
      0.2 + 0.4 * (1 + r),
      0.6,
      0.2 + 0.4 * (1 - r),
      0.2,
    ]);
  });
  it('cosine without warm-up ends at its final value', () => {
    const values = curve({ kind: 'cosine' }, 8);
    expect(values[7]).toBeCloseTo(0, 12);
    expect(values[3]).toBeCloseTo(0.5, 12);
  });
  it('warm-up, stable, decay', () => {
    close(
      curve({ kind: 'wsd', warmup: 2, decay: 4, final: 0.2 }, 8),
      [0.5, 1, 1, 1, 0.8, 0.6, 0.4, 0.2],
    );
  });
  it('is defined for a stage of nothing but warm-up', () => {
    close(curve({ kind: 'cosine', warmup: 2 }, 2), [0.5, 0]);
    close(curve({ kind: 'wsd', decay: 2 }, 2), [0.5, 0]);
  });
  it('stays at its end beyond the last step', () => {
    expect(createSchedule({ kind: 'cosine', warmup: 0, final: 0.1 }, 10)(20)).toBeCloseTo(0.1, 12);
  });
  it('refuses what does not fit, and unknown fields', () => {
    expect(() => curve({ kind: 'wsd', warmup: 5, decay: 6 }, 10)).toThrow(
      /warm-up \(5\) and decay \(6\).*10 steps/,
    );
    expect(() => curve({ kind: 'constant', warmup: 11 }, 10)).toThrow(/warm-up \(11\)/);
    expect(scheduleSchema.safeParse({ kind: 'constant', decay: 3 }).success).toBe(false);
    expect(scheduleSchema.safeParse({ kind: 'cosine', warmup: 1.5 }).success).toBe(false);
    expect(scheduleSchema.safeParse({ kind: 'linear' }).success).toBe(false);
  });
});
