import { expect, test } from 'vitest';
import { watchSignal } from './signal.js';

const nothing = { noSignal: 'none of 8 completions was right' };

test('warns after five steps without a signal, and stops when patience is at its end', () => {
  const watch = watchSignal({ steps: 300, patience: 30 });
  const seen = Array.from({ length: 30 }, (_, i) => watch(nothing, i + 1));
  expect(seen[4].warning).toBe(
    '5 steps in a row without a signal: none of 8 completions was right',
  );
  expect(seen.slice(0, 29).every(({ stop }) => stop === undefined)).toBe(true);
  expect(seen.filter(({ warning }) => warning)).toHaveLength(1);
  expect(seen[29].stop).toMatch(/^30 steps in a row .*; stopped by patience 30$/);
});

test('one step with a signal begins the count anew', () => {
  const watch = watchSignal({ steps: 300, patience: 3 });
  for (let i = 1; i < 100; i++) expect(watch(i % 3 === 0 ? {} : nothing, i).stop).toBeUndefined();
});

test('a stage that never had a signal says so, however short, and patience 0 never stops', () => {
  expect(watchSignal({ steps: 2, patience: 30 })(nothing, 1)).toEqual({});
  const watch = watchSignal({ steps: 2, patience: 30 });
  watch(nothing, 1);
  expect(watch(nothing, 2).warning).toMatch(/^2 steps in a row/);
  const forever = watchSignal({ steps: 999, patience: 0 });
  for (let i = 1; i < 999; i++) expect(forever(nothing, i).stop).toBeUndefined();
});
