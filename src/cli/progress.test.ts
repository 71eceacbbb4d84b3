import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { RunEvent } from '../usage/events.js';
import { stripStyle } from './output.js';
import {
  createProgress,
  initialState,
  type ProgressState,
  reduceEvent,
  renderPlain,
  renderProgress,
  secondsLeft,
  truncate,
} from './progress.js';

const base = { attempt: 0, step: 0, time: '2026-01-01T00:00:00.000Z' };
const stages = [
  { id: 'base', kind: 'sft', steps: 4 },
  { id: 'reason', kind: 'grpo', steps: 100 },
];
const metrics = (
  stage: string,
  kind: string,
  stageStep: number,
  values: Record<string, number>,
): RunEvent => ({
  ...base,
  type: 'metrics',
  stage,
  kind,
  stageStep,
  values,
});

/** A run that is 40 steps into its second stage, one step every half second. */
function midway(): ProgressState {
  const state = initialState('r1-mini', stages, 0);
  state.now = 10_000;
  reduceEvent(state, { ...base, type: 'stage-started', stage: 'reason', kind: 'grpo', steps: 100 });
  for (let step = 1; step <= 40; step++) {
    state.now += 500;
    reduceEvent(
      state,
      metrics('reason', 'grpo', step, {
        reward: step / 40,
        accuracy: 0.9,
        'completions/mean_length': 10 + step / 4,
        loss: -0.01,
        tokens_per_second: 12_345,
        entropy: 0.25,
        clip_ratio: 0.004,
        learning_rate: 4e-4,
      }),
    );
  }
  state.usd = 0.00213;
  return state;
}

describe('renderProgress', () => {
  it('shows what a run is doing', () => {
    const lines = renderProgress(midway(), 80);
    // mean reward of steps 31 … 40 is 35.5/40; of the length, 10 + 35.5/4
    expect(lines[0]).toBe(' r1-mini · stage 2 of 2 · reason (grpo)');
    expect(lines[1]).toMatch(/^ ━{26}─{40} 40\/100 {2}40%$/);
    expect(lines[2]).toMatch(/^ reward {4}0\.887 {2}▁[▁▂▃▄▅▆▇█]+█ +accuracy 90\.0%$/);
    expect(lines[3]).toMatch(/^ length {4}18\.88 {2}▁[▁▂▃▄▅▆▇█]+█$/);
    expect(lines[4]).toBe(' entropy 0.250 · lr 4.0e-4 · clipped 0.4%');
    // 60 steps of half a second are left, 10 s + 40 · 0.5 s have passed
    expect(lines[5]).toBe(' 12,345 tok/s · elapsed 30 s · left 30 s · cost $0.0021');
    expect(lines).toHaveLength(6);
  });

  it('never exceeds the terminal, at any width', () => {
    for (const columns of [20, 40, 60, 80, 200]) {
      for (const line of renderProgress(midway(), columns))
        expect(line.length).toBeLessThanOrEqual(columns);
    }
  });

  it('shows the loss where there is no reward', () => {
    const state = initialState('x', stages, 0);
    reduceEvent(state, metrics('base', 'sft', 1, { loss: 2.5 }));
    const lines = renderProgress(state, 80);
    expect(lines[2]).toContain('loss      2.500');
    expect(lines.join()).not.toContain('reward');
  });

  it('has something to say before the first stage', () => {
    expect(renderProgress(initialState('x', stages, 0), 80)).toEqual([
      ' x · starting',
      ' elapsed 0 s',
    ]);
  });
});

describe('secondsLeft', () => {
  it('is of the stage while the next one is unknown, and of the run when it is known', () => {
    const state = initialState('x', stages, 0);
    reduceEvent(state, { ...base, type: 'stage-started', stage: 'base', kind: 'sft', steps: 4 });
    expect(secondsLeft(state)).toBeNull();
    state.now = 3000;
    reduceEvent(state, metrics('base', 'sft', 1, { loss: 1 }));
    expect(secondsLeft(state)).toEqual({ seconds: 9, scope: 'stage' });
    state.stages = [stages[0], { ...stages[1], expectedSeconds: 60 }];
    expect(secondsLeft(state)).toEqual({ seconds: 69, scope: 'run' });
  });

  it('is of the run from the beginning with a plan', () => {
    let now = 0;
    const stream = new PassThrough();
    const progress = createProgress({ stream, title: 'x', stages, now: () => now });
    progress.expect(
      new Map([
        ['start', 9],
        ['base', 20],
        ['reason', 60],
      ]),
      '≈ 80 s',
    );
    progress.update({ ...base, type: 'stage-started', stage: 'base', kind: 'sft', steps: 4 });
    now = 6000;
    progress.update({ ...base, type: 'usage', usage: {} as never });
    progress.done();
    const lines = String(stream.read()).split('\n');
    expect(lines[0]).toBe('≈ 80 s');
    expect(lines[2]).toContain('left 1 min 14 s');
  });

  it('takes the rate of a distillation from the steps that train, not from those that sample', () => {
    const state = initialState(
      'x',
      [{ id: 'student', kind: 'distill', steps: 104, preparingSteps: 4 }],
      0,
    );
    reduceEvent(state, {
      ...base,
      type: 'stage-started',
      stage: 'student',
      kind: 'distill',
      steps: 104,
    });
    for (let step = 1; step <= 4; step++) {
      state.now += 5000;
      reduceEvent(state, metrics('student', 'distill', step, { accuracy: 1 }));
      expect(secondsLeft(state)).toBeNull();
    }
    state.now += 100;
    reduceEvent(state, metrics('student', 'distill', 5, { loss: 1 }));
    expect(secondsLeft(state)?.seconds).toBeCloseTo(9.9, 6);
  });

  it('expects an evaluation to take as long as the one before it, for each completion', () => {
    const run = [
      { id: 'before', kind: 'eval', steps: 1, completions: 100 },
      { id: 'reason', kind: 'grpo', steps: 10 },
      { id: 'after', kind: 'eval', steps: 1, completions: 300 },
    ];
    const state = initialState('x', run, 0);
    reduceEvent(state, { ...base, type: 'stage-started', stage: 'before', kind: 'eval', steps: 1 });
    state.now = 2000;
    const results = { task: 'sums', label: 'before', results: { pass1: 0.5 } };
    reduceEvent(state, { ...base, type: 'evaluation', stage: 'before', ...results });
    expect(
      reduceEvent(state, { ...base, type: 'stage-ended', stage: 'before', kind: 'eval' }),
    ).toBeNull();
    reduceEvent(state, {
      ...base,
      type: 'stage-started',
      stage: 'reason',
      kind: 'grpo',
      steps: 10,
    });
    state.now = 3000;
    reduceEvent(state, metrics('reason', 'grpo', 1, { reward: 1 }));
    expect(secondsLeft(state)).toEqual({ seconds: 9 + 6, scope: 'run' });
  });

  it('takes the rate of the last half minute, or of 20 steps where they take longer', () => {
    const state = initialState('x', [{ id: 'base', kind: 'sft', steps: 1000 }], 0);
    reduceEvent(state, { ...base, type: 'stage-started', stage: 'base', kind: 'sft', steps: 1000 });
    // 200 steps of 0.1 s, then 100 of 0.2 s: the last 30 s hold 100 of each
    for (let step = 1; step <= 300; step++) {
      state.now += step <= 200 ? 100 : 200;
      reduceEvent(state, metrics('base', 'sft', step, { loss: 1 }));
    }
    expect(secondsLeft(state)?.seconds).toBeCloseTo(700 * 0.15, 0);
    for (let step = 301; step <= 340; step++) {
      state.now += 4000;
      reduceEvent(state, metrics('base', 'sft', step, { loss: 1 }));
    }
    expect(secondsLeft(state)?.seconds).toBeCloseTo(660 * 4, 0);
  });

  it('counts from where a resumed stage went on', () => {
    const state = initialState('x', stages, 0);
    reduceEvent(state, {
      ...base,
      type: 'stage-started',
      stage: 'reason',
      kind: 'grpo',
      steps: 100,
    });
    for (const step of [51, 52]) {
      state.now += 1000;
      reduceEvent(state, metrics('reason', 'grpo', step, { reward: 1 }));
    }
    expect(secondsLeft(state)).toEqual({ seconds: 48, scope: 'run' });
  });
});

describe('lines that stay', () => {
  it('say how a stage ended and what an evaluation found', () => {
    const state = midway();
    expect(
      reduceEvent(state, { ...base, type: 'stage-ended', stage: 'reason', kind: 'grpo' }),
    ).toBe('✓ reason · 40 steps · reward 0.887 ▁▂▃▄▅▆▇█ · length 18.88 ▁▂▃▄▅▆▇█ · 20 s');
    expect(
      reduceEvent(state, {
        ...base,
        type: 'evaluation',
        stage: 'after',
        task: 'sums',
        label: 'after GRPO',
        results: { pass1: 0.962, greedy: 0.98, length: 19.04 },
      }),
    ).toBe('◆ after GRPO · sums · pass@1 96.2% · greedy 98.0% · mean length 19.04');
    expect(
      reduceEvent(state, { ...base, type: 'stage-ended', stage: 'after', kind: 'eval' }),
    ).toBeNull();
    expect(reduceEvent(state, { ...base, type: 'warning', message: 'slow' })).toBe('warning: slow');
    expect(reduceEvent(state, { ...base, type: 'ended', reason: 'completed' })).toBeNull();
  });
});

it('truncate cuts text and keeps styles', () => {
  expect(truncate('abcdef', 6)).toBe('abcdef');
  expect(truncate('abcdef', 4)).toBe('abc…');
  expect(truncate('\x1b[1mabcdef\x1b[22m', 4)).toBe('\x1b[1mabc\x1b[22m…');
});

describe('createProgress', () => {
  function record(isTTY: boolean): {
    stream: PassThrough & { isTTY?: boolean; columns?: number };
    text: () => string;
  } {
    const stream: PassThrough & { isTTY?: boolean; columns?: number } = new PassThrough();
    stream.isTTY = isTTY;
    stream.columns = 80;
    let text = '';
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
    });
    return { stream, text: () => text };
  }

  it('writes plain lines, and few of them, where there is no terminal', () => {
    let clock = 0;
    const { stream, text } = record(false);
    const progress = createProgress({ stream, title: 'x', stages, now: () => clock });
    progress.update({ ...base, type: 'stage-started', stage: 'base', kind: 'sft', steps: 4 });
    for (let step = 1; step <= 4; step++) {
      clock += 2000;
      progress.cost(step * 0.001);
      progress.update(metrics('base', 'sft', step, { loss: 4 / step }));
    }
    progress.update({ ...base, type: 'stage-ended', stage: 'base', kind: 'sft' });
    progress.done();
    expect(text()).toBe(
      '[base] sft, 4 steps, stage 1 of 2\n' +
        '[base 3/4, stage 1 of 2] loss 2.444 · elapsed 6.0 s · stage left 2.0 s · cost $0.0030\n' +
        '✓ base · 4 steps · loss 2.083 █▃▂▁ · 8.0 s\n',
    );
  });

  it('redraws in place on a terminal, at most four times a second', () => {
    let clock = 0;
    const { stream, text } = record(true);
    const progress = createProgress({ stream, title: 'x', stages, now: () => clock });
    progress.update({ ...base, type: 'stage-started', stage: 'base', kind: 'sft', steps: 4 });
    const first = text();
    expect(first).not.toContain('\x1b[3A');
    clock = 100;
    progress.update(metrics('base', 'sft', 1, { loss: 4 }));
    expect(text()).toBe(first);
    clock = 300;
    progress.update(metrics('base', 'sft', 2, { loss: 2 }));
    // the first block had three lines
    expect(text().slice(first.length).startsWith('\x1b[3A\r\x1b[J')).toBe(true);
    expect(stripStyle(text().slice(first.length))).toContain('loss      3.000');
    progress.stopping();
    expect(stripStyle(text())).toMatch(/stopping after this step; Ctrl-C again ends at once\n$/);
    progress.done();
  });
});

it('renderPlain is one line', () => {
  expect(renderPlain(midway())).toBe(
    '[reason 40/100, stage 2 of 2] reward 0.887 · accuracy 90.0% · length 18.88 · 12,345 tok/s · elapsed 30 s · left 30 s · cost $0.0021',
  );
});
