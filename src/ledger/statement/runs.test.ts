import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import type { RunEvent } from '../../usage/events.js';
import type { Purpose } from '../../usage/usage.js';
import { costRates, createCostMeter } from '../book/cost-meter.js';
import { usdOf } from '../book/cost-rates.js';
import { type PriceBook, parsePriceBook } from '../book/price-book.js';
import { Decimal, sum } from '../money.js';
import { logBuilder } from '../testing.js';
import type { Column } from './lines.js';
import { type BilledRun, computeBill } from './runs.js';
import { statementDocument } from './schema.js';
import type { Statement, StatementLine } from './statement.js';

const PRICES = {
  rentUsdPerCoreHour: 0.36,
  machineUsd: 8766,
  machineCores: 10,
  lifeYears: 1,
  utilisation: 1,
  electricityUsdPerKwh: 0.3,
  pue: 1.2,
  wattsPerBusyCore: 10,
  storageUsdPerGbMonth: 0.02,
  storageMonths: 2,
};
const RENT = parsePriceBook({ ...PRICES, mode: 'rent' }, 'test');
const OWN = parsePriceBook({ ...PRICES, mode: 'own' }, 'test');

/** 100 s of two workers are 200 core-seconds: 0.02 dollars at 0.36 a core-hour. */
function example(): BilledRun {
  const log = logBuilder();
  const work = (seconds: number) => ({ wallSeconds: seconds, workerSeconds: 2 * seconds });
  log.started();
  log.usage(10, {
    ...work(100),
    stage: 'base',
    tokensIn: 5000,
    modelFlops: 4e11,
    peakMemoryBytes: 7e6,
  });
  log.checkpoint(10);
  log.usage(15, { ...work(50), stage: 'base' });
  log.resumed(10);
  log.usage(10, {
    workerSeconds: 2,
    wallSeconds: 1,
    stage: 'lost',
    purpose: 'overhead',
    basis: 'estimated',
  });
  log.usage(20, {
    ...work(100),
    stage: 'base',
    tokensIn: 5000,
    modelFlops: 4e11,
    storedBytes: 5e8,
    peakMemoryBytes: 9e6,
  });
  log.usage(21, { ...work(25), stage: 'before', purpose: 'evaluation' });
  log.evaluation(21, 'before', { pass1: 0.4, problems: 100 });
  log.usage(21, { ...work(10), stage: 'start', purpose: 'overhead' });
  log.usage(50, { ...work(200), stage: 'grpo', tokensOut: 1000 });
  log.usage(51, { ...work(25), stage: 'after', purpose: 'evaluation' });
  log.evaluation(51, 'after', { pass1: 0.9, problems: 100 });
  log.add({ type: 'ended', step: 51, reason: 'completed' });
  return { name: 'run', events: log.events };
}

const linesOf = (bill: Statement, column: Column): StatementLine[] =>
  bill.lines.filter((line) => line.columns.includes(column));

describe('computeBill, rented', () => {
  const bill = computeBill([example()], RENT);

  it('headline: training that led to the final weights, and nothing else', () => {
    // 2 × 100 s of base and 200 s of grpo, two workers: 800 core-seconds.
    expect(bill.totals.headline).toMatchObject({ amount: '0.08' });
    expect(
      linesOf(bill, 'headline').map((line) => [line.run?.stage, line.run?.attempt, line.amount]),
    ).toEqual([
      ['base', 0, '0.02'],
      ['base', 1, '0.02'],
      ['grpo', 1, '0.04'],
    ]);
  });

  it('full: also lost work, evaluation, overhead and storage', () => {
    // 800 + 100 lost + 2 cut off + 100 evaluation + 20 overhead core-seconds at 0.0001, and 0.5 GB
    // × 2 months × 0.02.
    expect(bill.totals.full.amount).toBe('0.1222');
    expect(bill.bridge).toEqual([
      { category: 'evaluation', what: 'evaluation', amount: '0.01' },
      { category: 'overhead', what: 'overhead', amount: '0.002' },
      { category: 'storage', what: 'storage', amount: '0.02' },
      { category: 'lost', what: 'lost work', amount: '0.0102' },
    ]);
    const lost = bill.lines.filter((line) => line.run?.status === 'lost');
    expect(
      lost.map(({ run, amount, columns }) => [
        run?.stage,
        run?.attempt,
        run?.basis,
        amount,
        columns,
      ]),
    ).toEqual([
      ['base', 0, 'measured', '0.01', ['full']],
      ['lost', 1, 'estimated', '0.0002', ['full']],
    ]);
  });

  it('every line has a basis, a price with a source, and quantity × price', () => {
    for (const line of bill.lines) {
      const { price, quantity, amount } = line;
      expect(price?.source).not.toBe('');
      const product = new Decimal(quantity as string).times(price?.amount as string);
      expect(product.minus(amount).abs().lt('1e-12')).toBe(true);
    }
    expect(bill.totals.full.scope).toContain('lost and discarded work');
    expect(bill.period).toEqual({
      from: '2026-01-01T00:00:00.000Z',
      to: '2026-01-01T00:00:13.000Z',
    });
    expect(bill.allocationKeys[0]).toContain('core-seconds');
  });

  it('dollars for each further correct answer per 1,000 problems', () => {
    // Between the evaluations: grpo 0.04; in full also overhead 0.002 and the second evaluation
    // 0.005. 500 more correct.
    expect(bill.gains).toHaveLength(1);
    expect(bill.gains[0]).toMatchObject({
      task: 'sums',
      metric: 'pass1',
      gain: 0.5,
      usd: { headline: '0.04', full: '0.047' },
      usdPerCorrectAnswerGained: { headline: '0.00008', full: '0.000094' },
      overall: false,
    });
    // Wilson: 0.4 is 0.3094–0.4980, 0.9 is 0.8256–0.9448 (Newcombe 1998, method 10).
    expect(bill.gains[0].gain95?.low).toBeCloseTo(0.5 - Math.hypot(0.9 - 0.8256, 0.498 - 0.4), 3);
    expect(bill.gains[0].gain95?.high).toBeCloseTo(0.5 + Math.hypot(0.9448 - 0.9, 0.4 - 0.3094), 3);
  });

  it('says what each stage did, lost work apart', () => {
    expect(bill.work.map((work) => work.stage)).toEqual([
      'base',
      'before',
      'start',
      'grpo',
      'after',
    ]);
    expect(bill.work[0]).toMatchObject({
      wallSeconds: 200,
      coreSeconds: 400,
      tokensIn: 10_000,
      modelFlops: 8e11,
      modelFlopsPerSecond: 4e9,
      energyJoules: 4000,
      energyBasis: 'estimated',
      peakMemoryBytes: 9e6,
    });
  });

  it('is the document that its schema describes', () => {
    expect(
      statementDocument.safeParse(JSON.parse(JSON.stringify(bill))).error?.issues ?? [],
    ).toEqual([]);
    expect(bill.notes.join(' ')).toContain('2 core-seconds are estimated');
    expect(bill.runs[0]).toMatchObject({
      recipe: 'r',
      attempts: 2,
      steps: 51,
      outcome: 'completed',
    });
  });
});

describe('computeBill, owned', () => {
  const bill = computeBill([example()], OWN);

  it('headline stays rented; full is machine and electricity', () => {
    expect(bill.totals.headline.amount).toBe('0.08');
    // 1022 core-seconds at 0.1 an hour; 10,220 J estimated at 10 W, at 0.3 × 1.2 a kWh; storage
    // 0.02.
    const expected = new Decimal(1022)
      .div(36_000)
      .plus(new Decimal(10_220).div(3.6e6).times('0.36'))
      .plus('0.02');
    expect(new Decimal(bill.totals.full.amount).minus(expected).abs().lt('1e-11')).toBe(true);
    expect(computeBill([example()], RENT).otherMode.amount).toBe(bill.totals.full.amount);
    expect(bill.otherMode).toMatchObject({ mode: 'rent', amount: '0.1222' });
  });

  it('bills measured energy as measured, and estimates anew from the price book', () => {
    const log = logBuilder();
    log.usage(1, { workerSeconds: 3600, energyJoules: 7.2e6, energyBasis: 'measured' });
    log.usage(2, { workerSeconds: 3600, energyJoules: 123, energyBasis: 'estimated' });
    const electricity = computeBill([{ name: 'r', events: log.events }], OWN).lines.filter(
      (line) => line.run?.item === 'electricity',
    );
    expect(electricity.map((line) => [line.run?.basis, line.quantity, line.amount])).toEqual([
      ['measured', '2', '0.72'],
      ['estimated', '0.01', '0.0036'],
    ]);
  });
});

describe('other runs and discarded stages', () => {
  it('are in full only', () => {
    const bill = computeBill([example(), { ...example(), name: 'failed' }], RENT);
    const alone = computeBill([example()], RENT);
    expect(bill.totals.headline.amount).toBe(alone.totals.headline.amount);
    expect(bill.totals.full.amount).toBe('0.2444');
    expect(bill.bridge).toContainEqual({
      category: 'failed',
      what: 'failed and aborted runs',
      amount: '0.1222',
    });
    expect(bill.gains).toEqual(alone.gains);
    const discarded = computeBill([example()], RENT, { discardedStages: ['grpo'] });
    expect([discarded.totals.headline.amount, discarded.totals.full.amount]).toEqual([
      '0.04',
      '0.1222',
    ]);
    expect(discarded.bridge).toContainEqual({
      category: 'discarded',
      what: 'discarded stages',
      amount: '0.04',
    });
  });
});

describe('gains', () => {
  const gainsFor = (accuracies: number[]) => {
    const log = logBuilder();
    accuracies.forEach((pass1, i) => {
      log.usage(i, { workerSeconds: 1000 });
      log.evaluation(i, `e${i}`, { pass1 });
    });
    return computeBill([{ name: 'r', events: log.events }], RENT).gains;
  };

  it('step by step, and overall', () => {
    const gains = gainsFor([0.1, 0.3, 0.2]);
    expect(gains.map((gain) => [gain.from.label, gain.to.label, gain.overall])).toEqual([
      ['e0', 'e1', false],
      ['e1', 'e2', false],
      ['e0', 'e2', true],
    ]);
    expect(gains.map((gain) => gain.usdPerCorrectAnswerGained?.full ?? null)).toEqual([
      '0.0005',
      null,
      '0.002',
    ]);
    expect(gains[0].gain95).toBeNull();
  });

  it('none from one evaluation; none from one that was superseded', () => {
    expect(gainsFor([0.5])).toEqual([]);
    const log = logBuilder();
    log.evaluation(0, 'before', { pass1: 0.1 });
    log.checkpoint(5);
    log.evaluation(9, 'superseded', { pass1: 0.9 });
    log.resumed(5);
    log.evaluation(9, 'after', { pass1: 0.8 });
    const { gains } = computeBill([{ name: 'r', events: log.events }], RENT);
    expect(gains.map((gain) => gain.to.label)).toEqual(['after']);
  });
});

describe('property: a random log', () => {
  /** Seconds as a clock gives them: binary fractions that no decimal ends. */
  function randomRun(random: Random, name: string): BilledRun {
    const log = logBuilder();
    log.started();
    let step = 0;
    let saved = 0;
    for (let i = random.integer(1, 40); i > 0; i--) {
      const kind = random.integer(0, 9);
      if (kind === 0) {
        log.checkpoint(step);
        saved = step;
      } else if (kind === 1) {
        log.resumed(saved);
        step = saved;
      } else if (kind === 2) {
        log.evaluation(step, `e${i}`, { pass1: random.uniform() });
      } else {
        step += random.integer(0, 3);
        log.usage(step, {
          stage: random.pick(['a', 'b', 'c']),
          purpose: random.pick<Purpose>(['training', 'evaluation', 'data', 'overhead']),
          wallSeconds: random.uniform() * 3,
          workerSeconds: (random.uniform() * 1000) / 7,
          energyJoules: random.uniform() * 1e6,
          energyBasis: random.pick(['measured', 'estimated']),
          storedBytes: random.integer(0, 1e9),
        });
      }
    }
    return { name, events: log.events };
  }
  const books: PriceBook[] = [
    RENT,
    OWN,
    parsePriceBook({ ...PRICES, rentUsdPerCoreHour: 0.0408, lifeYears: 3.7 }, 'odd'),
  ];

  it('lines add up to totals exactly, under any grouping; headline is a part of full when rented', () => {
    for (let round = 0; round < 25; round++) {
      const random = new Random('bill', round);
      const runs = Array.from({ length: random.integer(1, 3) }, (_, i) =>
        randomRun(random, `run${i}`),
      );
      const book = random.pick(books);
      const bill = computeBill(runs, book);
      for (const column of ['headline', 'full'] as const) {
        const lines = linesOf(bill, column);
        const total = bill.totals[column].amount;
        const groups = new Map<string | number | undefined, string[]>();
        const keys: ((line: StatementLine) => string | number | undefined)[] = [
          (line) => line.account,
          (line) => line.run?.stage,
          (line) => line.run?.purpose,
          (line) => `${line.run?.status}/${line.run?.attempt}`,
          (line) => line.run?.item,
          () => random.integer(0, 4),
        ];
        for (const key of keys) {
          groups.clear();
          for (const line of lines) {
            const group = key(line);
            groups.set(group, [...(groups.get(group) ?? []), line.amount]);
          }
          expect(sum([...groups.values()].map((amounts) => sum(amounts))).toFixed()).toBe(total);
        }
      }
      const bridged = sum([bill.totals.headline.amount, ...bill.bridge.map((step) => step.amount)]);
      expect(bridged.toFixed()).toBe(bill.totals.full.amount);
      if (book.mode === 'rent')
        expect(new Decimal(bill.totals.full.amount).gte(bill.totals.headline.amount)).toBe(true);
      expect(statementDocument.safeParse(bill).success).toBe(true);
    }
  });

  it('the full total does not depend on how finely usage was recorded, and is the cost meter’s and storage', () => {
    for (let round = 0; round < 12; round++) {
      const random = new Random('split', round);
      const run = randomRun(random, 'run');
      const book = random.pick(books);
      const meter = createCostMeter(book);
      const rates = costRates(book);
      let quick = 0;
      const halves: RunEvent[] = [];
      for (const event of run.events) {
        if (event.type !== 'usage') halves.push(event);
        else {
          meter.add(event.usage);
          quick += usdOf(event.usage, rates);
          const { workerSeconds, energyJoules, storedBytes } = event.usage;
          // Halving a binary fraction is exact.
          const half = {
            workerSeconds: workerSeconds / 2,
            energyJoules: energyJoules / 2,
            storedBytes: storedBytes / 2,
          };
          halves.push(
            { ...event, usage: { ...event.usage, ...half } },
            { ...event, usage: { ...event.usage, ...half } },
          );
        }
      }
      const bill = computeBill([run], book);
      const total = new Decimal(bill.totals.full.amount);
      const storage = sum(
        bill.lines.filter((line) => line.run?.item === 'storage').map((line) => line.amount),
      );
      const split = computeBill([{ name: 'run', events: halves }], book).totals.full.amount;
      expect(total.minus(split).abs().lt('1e-9')).toBe(true);
      expect(total.minus(storage).minus(meter.exact).abs().lt('1e-9')).toBe(true);
      expect(quick).toBeCloseTo(meter.usd, 6);
    }
  });
});

describe('storage', () => {
  it('of a folder at hand is what is in it now, once', () => {
    const bill = computeBill(
      [
        { ...example(), keptBytes: 1e8 },
        { name: 'b', events: [], keptBytes: 2e8 },
      ],
      RENT,
    );
    const storage = bill.lines.filter((line) => line.run?.item === 'storage');
    expect(
      storage.map(({ account, run, quantity, amount, columns }) => [
        account,
        run?.status,
        quantity,
        amount,
        columns,
      ]),
    ).toEqual([
      ['run', 'kept', '0.1', '0.004', ['full']],
      ['b', 'other-run', '0.2', '0.008', ['full']],
    ]);
    expect(bill.work.map((work) => work.stage)).not.toContain('folder');
    expect(bill.gains[0].usd.full).toBe('0.047');
  });
});

describe('odd logs', () => {
  it('a log without usage costs nothing; no runs is a mistake', () => {
    const bill = computeBill([{ name: 'empty', events: [] }], RENT);
    expect([bill.totals.headline.amount, bill.totals.full.amount, bill.lines, bill.gains]).toEqual([
      '0',
      '0',
      [],
      [],
    ]);
    expect(bill.runs[0].outcome).toBe('unfinished');
    expect(() => computeBill([], RENT)).toThrow();
  });
});
