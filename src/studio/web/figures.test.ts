import { expect, it } from 'vitest';
import { keepPlaces } from './curve-order.js';
import { hasCurves, rangeOf, scaleOf, stageSeconds } from './figures.js';

it('a waterfall has room for every interval', () => {
  const row = { from: 0, to: 1, total: true, high: 1 };
  expect(scaleOf([row, { ...row, high: 31.9 }, { ...row, high: 20.5 }])).toBeCloseTo(31.9 * 1.01);
  // The interval of a step is not drawn.
  expect(scaleOf([row, { ...row, total: false, high: 9 }])).toBeCloseTo(1.01);
});

it('intervals of accuracies are Wilson, from low to high', () => {
  expect(rangeOf({ pass1: 0, problems: 20 })).toBe('95%: 0.0–16.1%');
  expect(rangeOf({ pass1: 0.02, problems: 50 })).toBe('95%: 0.4–10.5%');
  expect(rangeOf({ pass1: 0.02 })).toBe('');
});

it('the bar of stages is in time', () => {
  const plan = [
    { id: 'a', seconds: { value: 100 } },
    { id: 'b', seconds: { value: 50 } },
    { id: 'c', seconds: { value: 10 } },
  ];
  const known = [
    { id: 'a', state: 'done', seconds: 20 },
    { id: 'b', state: 'running', seconds: 80 },
  ];
  expect(stageSeconds(plan, known)).toEqual([20, 80, 10]);
  const unplanned = plan.map(({ id }) => ({ id, seconds: null }));
  expect(stageSeconds(unplanned, known)).toEqual([20, 80, 50]);
  expect(stageSeconds(unplanned, [])).toEqual([1, 1, 1]);
});

it('an evaluation and a stage without points have no curves', () => {
  const curve = { first: [1], last: [1], sum: [1], count: [1], min: [1], max: [1] };
  const stage = (steps: number, curves: object) => ({ steps, curves }) as never;
  expect(hasCurves(stage(20, { reward: curve }))).toBe(true);
  expect(hasCurves(stage(1, { length: curve }))).toBe(false);
  expect(hasCurves(stage(20, { usd: curve, reward: { ...curve, first: [] } }))).toBe(false);
});

it('a curve that is drawn keeps its place while others come', () => {
  expect(keepPlaces([], ['loss', 'rate'])).toEqual(['loss', 'rate']);
  expect(keepPlaces(['loss', 'rate'], ['loss', 'entropy', 'rate'])).toEqual([
    'loss',
    'rate',
    'entropy',
  ]);
  expect(keepPlaces(['loss', 'gone'], ['loss'])).toEqual(['loss']);
});
