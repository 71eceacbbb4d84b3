import { describe, expect, it } from 'vitest';
import {
  addEvent,
  addPoint,
  createRunState,
  emptyCurve,
  type PricedEvent,
  thinned,
} from './run-state.js';

const time = '2026-01-01T00:00:00.000Z';

describe('a curve', () => {
  it('keeps every point while there is room, and least, greatest and sum when neighbours merge', () => {
    const curve = emptyCurve();
    const values = Array.from({ length: 1000 }, (_, i) => Math.sin(i) + (i === 617 ? 50 : 0));
    values.forEach((value, i) => {
      addPoint(curve, i, value, 64);
    });
    expect(curve.first.length).toBeLessThanOrEqual(64);
    expect(curve.first[0]).toBe(0);
    expect(curve.last.at(-1)).toBe(999);
    expect(Math.max(...curve.max)).toBe(values[617]);
    expect(curve.count.reduce((a, b) => a + b)).toBe(1000);
    expect(curve.sum.reduce((a, b) => a + b)).toBeCloseTo(
      values.reduce((a, b) => a + b),
      9,
    );
    for (let i = 1; i < curve.first.length; i++) expect(curve.first[i]).toBe(curve.last[i - 1] + 1);
    const short = thinned(curve, 10);
    expect(short.first.length).toBeLessThanOrEqual(10);
    expect(short.count.reduce((a, b) => a + b)).toBe(1000);
    // A thinned copy leaves the curve as it was.
    expect(curve.count.reduce((a, b) => a + b)).toBe(1000);
  });

  it('passes over what is no number', () => {
    const curve = emptyCurve();
    for (const value of [1, Number.NaN, Number.POSITIVE_INFINITY, 2]) addPoint(curve, 0, value, 8);
    expect(curve.sum).toEqual([1, 2]);
  });
});

const metrics = (step: number, value: number, attempt = 0): PricedEvent => {
  return {
    type: 'metrics',
    attempt,
    step,
    time,
    stage: 'sft',
    kind: 'sft',
    stageStep: step,
    values: { loss: value, seconds: 1 },
  };
};

it('a resume takes back what lies behind it, and the bill keeps it', () => {
  const state = createRunState();
  const machine = { cpu: 'x', cores: 1, memoryBytes: 1, platform: 'x', node: 'x' };
  const usage = {
    stage: 'sft',
    purpose: 'training',
    wallSeconds: 2,
    workerSeconds: 2,
    tokensIn: 3,
    tokensOut: 0,
    modelFlops: 0,
  } as const;
  const rest = {
    energyJoules: 0,
    energyBasis: 'measured',
    peakMemoryBytes: 5,
    storedBytes: 0,
    basis: 'measured',
  } as const;
  const events: PricedEvent[] = [
    {
      type: 'started',
      attempt: 0,
      step: 0,
      time,
      recipe: 'r',
      version: '0',
      workers: 1,
      fingerprint: 'f',
      machine,
    },
    { type: 'stage-started', attempt: 0, step: 0, time, stage: 'sft', kind: 'sft', steps: 10 },
    ...[1, 2, 3, 4, 5, 6].map((step) => metrics(step, step)),
    { type: 'usage', attempt: 0, step: 6, time, usage: { ...usage, ...rest }, usd: 0.5 },
    {
      type: 'evaluation',
      attempt: 0,
      step: 6,
      time,
      stage: 'sft',
      task: 't',
      label: 'l',
      results: { pass1: 0.5 },
    },
    { type: 'ended', attempt: 0, step: 6, time, reason: 'interrupted' },
    {
      type: 'resumed',
      attempt: 1,
      step: 4,
      time: '2020-01-01T00:00:00.000Z',
      fromStep: 4,
      version: '0',
      workers: 1,
      fingerprint: 'f',
      machine,
    },
    metrics(5, 50, 1),
  ];
  for (const event of events) addEvent(state, event, 100);
  expect(state.stages[0].curves.loss.last).toEqual([1, 2, 3, 4, 5]);
  expect(state.stages[0].curves.loss.sum).toEqual([1, 2, 3, 4, 50]);
  expect(state.stages[0]).toMatchObject({
    step: 5,
    state: 'running',
    seconds: 2,
    usd: 0.5,
    latest: { loss: 50 },
  });
  expect(state.evaluations).toEqual([]);
  expect(state).toMatchObject({
    ended: null,
    usd: 0.5,
    trainingUsd: 0.5,
    seconds: 2,
    tokens: 3,
    attempt: 1,
    step: 5,
  });
});
