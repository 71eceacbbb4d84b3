import { expect, it } from 'vitest';
import type { RunEvent } from './events.js';
import { withNamesOfNow } from './metric-names.js';

it("gives an old log's metrics the names of this version, and leaves those that it has", () => {
  const before = { silentGroups: 0.5, 'maxVio.1': 2, reward: 1, 'reward.countdown': 1, length: 9 };
  const place = { attempt: 0, step: 1, time: '', stage: 'rl', kind: 'grpo', stageStep: 1 };
  const event: RunEvent = { ...place, type: 'metrics', values: before };
  const now = {
    frac_reward_zero_std: 0.5,
    'max_vio.1': 2,
    reward: 1,
    'reward.countdown': 1,
    'completions/mean_length': 9,
  };
  const renamed = withNamesOfNow(event);
  expect(renamed).toMatchObject({ stageStep: 1, values: now });
  expect(Object.keys((renamed as { values: object }).values)).toEqual(Object.keys(now));
  expect(withNamesOfNow(renamed)).toEqual(renamed);
});
