import { describe, expect, it } from 'vitest';
import { parsePriceBook } from '../book/price-book.js';
import { statementText } from '../render/text.js';
import { logBuilder, usageOf } from '../testing.js';
import { comparePlan, parsePlan } from './predicted.js';
import { computeBill } from './runs.js';
import { statementDocument } from './schema.js';

/** 0.01 cents a core-second. */
const BOOK = parsePriceBook({ rentUsdPerCoreHour: 0.36 }, 'test');

const stageOf = (id: string, seconds: number) => ({
  id,
  kind: 'sft',
  seconds: { value: seconds, low: seconds / 2, high: 2 * seconds },
  usage: usageOf({
    stage: id,
    wallSeconds: seconds,
    workerSeconds: 2 * seconds,
    tokensIn: 1000,
    basis: 'predicted',
  }),
});
const plan = parsePlan(
  { stages: [stageOf('start', 2), stageOf('base', 100), stageOf('grpo', 50)] },
  'plan.json',
);

function run({ finished }: { finished: boolean }) {
  const log = logBuilder();
  const work = (seconds: number) => ({ wallSeconds: seconds, workerSeconds: 2 * seconds });
  log.started();
  log.usage(0, { ...work(1), stage: 'start', purpose: 'overhead' });
  log.add({ type: 'stage-started', step: 0, stage: 'base', kind: 'sft', steps: 20 });
  log.usage(10, { ...work(60), stage: 'base', tokensIn: 500 });
  log.checkpoint(10);
  // Lost: the resume goes back to step 10.
  log.usage(15, { ...work(30), stage: 'base', tokensIn: 250 });
  log.resumed(10);
  log.usage(20, { ...work(60), stage: 'base', tokensIn: 500 });
  log.add({ type: 'stage-ended', step: 20, stage: 'base', kind: 'sft' });
  log.checkpoint(20);
  log.usage(25, { ...work(40), stage: 'grpo' });
  if (finished) log.add({ type: 'stage-ended', step: 30, stage: 'grpo', kind: 'grpo' });
  return { name: 'run', events: log.events, plan };
}

describe('a bill with a plan', () => {
  const bill = computeBill([run({ finished: true })], BOOK);

  it('puts what was measured beside what was planned, without lost work', () => {
    const [start, base, grpo] = bill.predicted?.stages ?? [];
    expect(start.residual).toBe(-0.5);
    expect(base.measured).toMatchObject({ seconds: 120, tokens: 1000, usd: '0.024' });
    expect(base.predicted).toMatchObject({
      seconds: 100,
      secondsLow: 50,
      secondsHigh: 200,
      tokens: 1000,
      usd: '0.02',
    });
    expect(base.residual).toBeCloseTo(0.2, 12);
    expect(grpo.residual).toBeCloseTo(-0.2, 12);
    expect(bill.predicted?.total.residual).toBeCloseTo(161 / 152 - 1, 12);
  });

  it('is a document, and a table that people read', () => {
    expect(statementDocument.safeParse(JSON.parse(JSON.stringify(bill))).error).toBeUndefined();
    const text = statementText(bill);
    expect(text).toMatch(
      /base +1 min 40 s +50 s to 3 min 20 s +2 min +\+20\.0% +\$0\.02\d* +\$0\.024/,
    );
    expect(text).toMatch(/Total +2 min 32 s .* 2 min 41 s +\+5\.9%/);
  });

  it('compares only stages that ended', () => {
    const { predicted } = computeBill([run({ finished: false })], BOOK);
    expect(predicted?.stages[2]).toMatchObject({ measured: null, residual: null });
    expect(predicted?.total.predicted.seconds).toBe(102);
    expect(predicted?.total.residual).toBeCloseTo(121 / 102 - 1, 12);
  });

  it('has nothing to compare before anything ended', () => {
    expect(comparePlan(plan, [], [], BOOK).total).toMatchObject({ measured: null, residual: null });
  });
});

it('a file that is no plan is refused by name', () => {
  expect(() => parsePlan({ stages: [{ id: 1 }] }, 'runs/x/plan.json')).toThrow(
    'runs/x/plan.json: stages.0.id',
  );
});
