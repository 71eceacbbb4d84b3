/**
 * @file Exports as they come, made after public reports about cost tools: each with its right value.
 * The neighbours of a case stand beside it.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readJson } from '../../base/files.js';
import { processorTime } from '../../base/testing/processor-time.js';
import { parseRules } from '../book/allocation-rules.js';
import type { Statement } from '../statement/statement.js';
import { computeUsageBill } from '../statement/usage.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-cases-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../test/fixtures/ledger/${name}`, import.meta.url));
let files = 0;
const file = (content: string | Buffer, ending = 'txt'): string => {
  const path = join(folder, `file-${files++}.${ending}`);
  writeFileSync(path, content);
  return path;
};
const json = (content: unknown): string => file(JSON.stringify(content), 'json');
const bill = (paths: string | string[], rules: unknown = {}): Promise<Statement> =>
  computeUsageBill([paths].flat(), { rules: parseRules(rules, 'rules.json'), threads: 1 });
const totals = ({ totals: { headline, full } }: Statement): number[] => [
  Number(headline.amount),
  Number(full.amount),
];
const quantity = (statement: Statement, kind: string): number =>
  statement.lines
    .filter((line) => line.kind === kind)
    .reduce((sum, line) => sum + Number(line.quantity), 0);
const refused = async (paths: string | string[], rules?: unknown): Promise<string> => {
  const error = (await bill(paths, rules).then(
    () => new Error('it was billed'),
    (caught: Error) => caught,
  )) as Error & { code?: string };
  expect(error.code, error.message).toMatch(/data|usage/);
  return error.message;
};

// ── OpenCost and Kubecost ────────────────────────────────────────────────────────────────────────

const WINDOW = { start: '2026-03-01T00:00:00Z', end: '2026-03-02T00:00:00Z' };
const allocation = (name: string, rest: Record<string, unknown>) => ({
  name,
  properties: { cluster: 'c1' },
  window: WINDOW,
  ...WINDOW,
  ...rest,
});

describe('OpenCost and Kubecost', () => {
  it.each([
    ['opencost-all-costs.json', 16.5],
    ['opencost-idle.json', 9],
    ['opencost-export.csv', 5],
    ['kubecost-sets.json', 3.5],
  ])('%s costs %d', async (name, usd) => {
    const statement = await bill(fixture(name));
    expect(totals(statement)[1]).toBe(usd);
    expect(statement.imports.files[0]).toMatchObject({ malformed: 0, duplicates: 0 });
  });

  it('hours of the CSV export are averages times the day', async () => {
    const statement = await bill(fixture('opencost-export.csv'));
    expect(quantity(statement, 'gpu')).toBe(24);
    // The larger of request and usage: (4 + 1) and 1 cores.
    expect(quantity(statement, 'cpu')).toBe(24 * 6);
  });

  it.each([
    ['one allocation', allocation('a', { cpuCost: 1, totalCost: 1 }), 1],
    ['a list', [allocation('a', { totalCost: 2 }), allocation('b', { totalCost: 3 })], 5],
    [
      'windows',
      {
        data: [
          { a: allocation('a', { totalCost: 2 }) },
          {
            a: {
              ...allocation('a', { totalCost: 4 }),
              start: '2026-03-02T00:00:00Z',
              end: '2026-03-03T00:00:00Z',
            },
          },
        ],
      },
      6,
    ],
    ['items', { data: { items: [{ allocations: { a: allocation('a', { totalCost: 7 }) } }] } }, 7],
    [
      'a summary without totals',
      {
        code: 200,
        data: {
          sets: [
            {
              allocations: {
                a: {
                  name: 'a',
                  ...WINDOW,
                  cpuCoreRequestAverage: 2,
                  cpuCoreUsageAverage: 1,
                  cpuCost: 2,
                  ramCost: 0.5,
                  sharedCost: 1,
                },
              },
            },
          ],
        },
      },
      3.5,
    ],
    [
      "a set's window",
      {
        data: {
          sets: [{ window: WINDOW, allocations: { a: { name: 'a', cpuCost: 2, totalCost: 2 } } }],
        },
      },
      2,
    ],
    [
      'assets',
      {
        code: 200,
        data: [
          {
            'c1/node/n': {
              type: 'Node',
              properties: { cluster: 'c1', name: 'n' },
              ...WINDOW,
              cpuCost: 2,
              gpuCost: 5,
              ramCost: 1,
              discount: 0.5,
              adjustment: 0,
              totalCost: 6.5,
            },
            'c1/disk/d': {
              type: 'Disk',
              properties: { cluster: 'c1', name: 'd' },
              ...WINDOW,
              totalCost: 0.5,
            },
          },
        ],
      },
      7,
    ],
    [
      'a credit',
      {
        data: [
          {
            a: allocation('a', { cpuCost: 3, cpuCostAdjustment: -1, totalCost: 2 }),
            b: allocation('b', { externalCost: -0.5, totalCost: -0.5 }),
          },
        ],
      },
      1.5,
    ],
    ['lower case', { data: [{ a: { ...allocation('a', {}), totalcost: 2 } }] }, 2],
  ])('%s', async (_, content, usd) => {
    expect(totals(await bill(json(content)))[1]).toBe(usd);
  });

  it('lines of JSON, and gzip', async () => {
    const lines = ['a', 'b'].map((name) =>
      JSON.stringify({ data: [{ [name]: allocation(name, { totalCost: 2 }) }] }),
    );
    expect(totals(await bill(file(lines.join('\n'), 'jsonl')))[1]).toBe(4);
    expect(totals(await bill(file(gzipSync(lines[0]), 'json.gz')))[1]).toBe(2);
  });

  it('rows are told apart by all that identifies them, and a repeated one names its first', async () => {
    const pod = (namespace: string, container: string, cost: number) => ({
      ...allocation('x', { totalCost: cost }),
      properties: { cluster: 'c1', namespace, controller: 'job', pod: 'p', container },
    });
    const apart = [pod('a', 'main', 1), pod('a', 'sidecar', 1), pod('b', 'main', 1)];
    const statement = await bill(json([...apart, apart[1]]));
    expect(totals(statement)[1]).toBe(3);
    expect(statement.imports.files[0].duplicates).toBe(1);
    expect(statement.imports.repeated).toMatchObject([{ line: 4, reason: 'repeats line 2' }]);
  });

  it('a cost that is no number is listed, and the rest is billed', async () => {
    const path = file(
      `{"data": [{"a": ${JSON.stringify(allocation('a', { totalCost: 2 }))}, "b": ${JSON.stringify(allocation('b', { totalCost: 0 })).replace('"totalCost":0', '"totalCost":NaN')}, "c": null}]}`,
      'json',
    );
    const statement = await bill(path);
    expect(totals(statement)[1]).toBe(2);
    expect(statement.imports.malformed.map(({ line, reason }) => [line, reason])).toEqual([
      [2, 'a cost or a quantity is not a number'],
      [3, 'not an allocation'],
    ]);
  });

  it('idle that is negative, and idle of a namespace', async () => {
    const statement = await bill(
      json({
        data: [
          {
            __idle__: allocation('__idle__', { gpuCost: -2, totalCost: -2 }),
            'c1/__idle__': allocation('c1/__idle__', { gpuCost: 3, totalCost: 3 }),
            a: allocation('a', { totalCost: 5 }),
          },
        ],
      }),
    );
    expect(totals(statement)[1]).toBe(6);
    const idle = statement.lines.filter(({ category }) => category === 'idle');
    expect(idle.reduce((sum, { amount }) => sum + Number(amount), 0)).toBe(1);
  });
});

// ── files that are no usage ──────────────────────────────────────────────────────────────────────

describe('a file that is not what it should be is an error with the message in it', () => {
  it.each([
    ['not-usage-err400.json', 'Invalid window'],
    ['not-usage-err500.json', 'error computing allocation: prometheus timeout'],
    ['not-usage-graphql.json', 'denied'],
    ['not-usage-nulls.json', 'no rows in it'],
    ['sacct-errors.json', 'Failed to open slurmdbd connection'],
    ['squeue.json', 'use sacct --json'],
  ])('%s', async (name, message) => {
    expect(await refused(fixture(name))).toContain(message);
  });

  it.each([
    [
      'an error beside data',
      { data: [{ a: allocation('a', { totalCost: 1 }) }], errors: [{ message: 'partial' }] },
      'partial',
    ],
    ['an error as text', { error: 'unauthorized' }, 'unauthorized'],
    [
      'an error as an object',
      { error: { code: 403, message: 'quota exceeded' } },
      'quota exceeded',
    ],
    ['a status', { status: 'error', message: 'no data for window' }, 'no data for window'],
    ['a message alone', { message: 'Not Found' }, 'Not Found'],
    ['an empty set', { code: 200, data: [{}] }, 'no rows in it'],
    ['jobs that are none', { jobs: ['x', 'y'] }, 'not a job'],
    ['another document', { hello: 'world' }, 'JSON of another kind'],
  ])('%s', async (_, content, message) => {
    expect(await refused(json(content))).toContain(message);
  });

  it.each([
    ['', 'the file is empty'],
    ['<html><head><title>502 Bad Gateway</title></head></html>', '502 Bad Gateway'],
    [
      '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>',
      'Access Denied',
    ],
    ['version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n', 'Git LFS pointer'],
    ['sacct: error: Slurm accounting storage is disabled\n', 'accounting storage is disabled'],
    ['\ufffe', 'no usage file'],
    ['[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[', 'nested deeper'],
  ])('%j', async (content, message) => {
    expect(await refused(file(content))).toContain(message);
  });

  it('UTF-16, and a table of which no row can be read, and one without rows', async () => {
    expect(await refused(file(Buffer.from('\ufeffJobID|Start', 'utf16le')))).toContain('UTF-16');
    const head = 'JobIDRaw|Start|ElapsedRaw|AllocTRES\n';
    expect(await refused(file(`${head}1|x|y|z\n2|x|y|z\n`))).toMatch(
      /none of its 2 rows can be read as slurm-parsable: line 2: /,
    );
    expect(await refused(file(head))).toContain('no rows in it');
    expect(
      await refused(file('BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd\n')),
    ).toContain('no rows in it');
    expect(await refused(file('Name,TotalCost,Start,End\na,x,y,z\n'))).toContain(
      'none of its 1 rows',
    );
  });
});

describe('a file that expands beyond reason is refused before it is read', () => {
  const HEAD = 'BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ServiceName\n';
  it('gzip of one row, a million times', async () => {
    const row = '1,USD,2026-05-01T00:00:00Z,2026-05-02T00:00:00Z,VM\n';
    const bomb = gzipSync(Buffer.from(HEAD + row.repeat(2_000_000)), { level: 9 });
    expect(bomb.length).toBeLessThan(400_000);
    const spent = processorTime();
    expect(await refused(file(bomb, 'csv.gz'))).toContain('expands more than 200 times');
    expect(spent()).toBeLessThan(5000);
  });
  it('gzip of zeros, of JSON, and what is broken', async () => {
    expect(await refused(file(gzipSync(Buffer.alloc(300e6)), 'gz'))).toContain('binary');
    const nested = gzipSync(Buffer.from(`{"data": [${' '.repeat(210e6)}]}`));
    expect(await refused(file(nested, 'gz'))).toContain('more than 200 MB');
    const broken = gzipSync(Buffer.from(`{"data": [${'1,'.repeat(100_000)}1]}`)).subarray(0, 60);
    expect(await refused(file(broken, 'gz'))).toMatch(/broken|cannot be read|not JSON|no usage/);
  });
});

// ── Slurm ────────────────────────────────────────────────────────────────────────────────────────

const SACCT =
  'JobIDRaw|JobName|Cluster|Account|User|Partition|State|Start|End|ElapsedRaw|AllocTRES';
const job = (id: string, rest: Record<string, string> = {}): string => {
  const fields = {
    ...{
      name: 'n',
      cluster: 'c1',
      account: 'nlp',
      user: 'u',
      partition: 'gpu',
      state: 'COMPLETED',
    },
    ...{ start: '2026-05-01T00:00:00', end: '2026-05-01T01:00:00', elapsed: '3600' },
    ...{ tres: 'cpu=8,gres/gpu=4', ...rest },
  };
  return [
    id,
    fields.name,
    fields.cluster,
    fields.account,
    fields.user,
    fields.partition,
    fields.state,
    fields.start,
    fields.end,
    fields.elapsed,
    fields.tres,
  ].join('|');
};
const jobs = (...rows: string[]): string => file([SACCT, ...rows, ''].join('\n'));
const PRICED = {
  model: 'm',
  prices: { 'gpu-hour': { price: '1', source: 'x' }, 'core-hour': { price: '0', source: 'x' } },
  rules: [{ when: { name: 'n*' }, is: 'final' }],
};

describe('Slurm', () => {
  it('clocks that go back or forward: hours are those of ElapsedRaw', async () => {
    for (const rules of [{}, { slurm: { timezone: 'Europe/Berlin' } }]) {
      const statement = await bill(fixture('slurm-clocks-back.txt'), rules);
      expect(statement.imports.files[0].malformed).toBe(0);
      expect(quantity(statement, 'gpu')).toBeCloseTo(((2400 + 46_800 + 3600) / 3600) * 8, 9);
    }
    const fall = await bill(
      jobs(job('1', { start: '2026-10-25T02:45:00', end: '2026-10-25T02:25:00', elapsed: '2400' })),
      { slurm: { timezone: 'Europe/Berlin' } },
    );
    // 02:45 summer time is 00:45 UTC; 02:25 winter time is 01:25 UTC.
    expect(fall.lines[0]).toMatchObject({
      start: '2026-10-25T00:45:00.000Z',
      end: '2026-10-25T01:25:00.000Z',
    });
  });

  it('times with an offset, with Z, and as seconds since 1970', async () => {
    const statement = await bill(
      jobs(
        job('1', { start: '2026-05-01T02:00:00+0200', end: '2026-05-01T03:00:00+0200' }),
        job('2', { start: '2026-04-30T20:00:00-04:00', end: '2026-04-30T21:00:00-04:00' }),
        job('3', { start: '2026-05-01T00:00:00Z', end: '2026-05-01T01:00:00Z' }),
        job('4', { start: '1777593600', end: '1777597200' }),
      ),
      { slurm: { timezone: 'Asia/Tokyo' } },
    );
    expect(quantity(statement, 'gpu')).toBe(16);
    expect(statement.period).toEqual({
      from: '2026-05-01T00:00:00.000Z',
      to: '2026-05-01T01:00:00.000Z',
    });
  });

  it('a start that was requeued is lost work, and failed starts are not in the headline', async () => {
    const rules = readJson(fixture('slurm-requeue-rules.json'), 'rules');
    const statement = await bill(fixture('slurm-requeue.txt'), rules);
    expect(totals(statement)).toEqual([2, 14]);
    expect(statement.lines.map(({ category, quantity }) => [category, quantity])).toEqual([
      ['final', '2'],
      ['failed', '8'],
      ['lost', '4'],
    ]);
  });

  it.each([
    'PREEMPTED',
    'REQUEUED',
    'FAILED+REQUEUED',
    'COMPLETED+REQUEUE_HOLD',
    'PR',
    'RQ',
    'SPECIAL_EXIT',
  ])('%s is lost work', async (state) => {
    const statement = await bill(jobs(job('1', { state }), job('2')), PRICED);
    expect(totals(statement)).toEqual([4, 8]);
    expect(statement.bridge.map(({ what }) => what)).toEqual(['lost work']);
  });

  it.each([
    'CANCELLED by 1000',
    'OUT_OF_ME+',
    'TIMEOUT',
    'TO',
    'NF',
    'BOOT_FAIL',
    'DEADLINE',
    'LAUNCH_FAILED',
  ])('%s failed', async (state) => {
    expect(totals(await bill(jobs(job('1', { state }), job('2')), PRICED))).toEqual([4, 8]);
  });

  it('asks for --duplicates where no job has more than one start', async () => {
    const once = await bill(jobs(job('1'), job('2')), PRICED);
    expect(once.notes.join(' ')).toContain('--duplicates');
    const twice = await bill(
      jobs(
        job('1', { state: 'REQUEUED' }),
        job('1', { start: '2026-05-01T02:00:00', end: '2026-05-01T03:00:00' }),
      ),
      PRICED,
    );
    expect(twice.notes.join(' ')).not.toContain('--duplicates');
    expect(totals(twice)).toEqual([4, 8]);
  });

  it.each([
    [
      'several types',
      'cpu=8,gres/gpu=6,gres/gpu:a100=4,gres/gpu:v100=2',
      [
        ['a100', '4'],
        ['v100', '2'],
      ],
    ],
    [
      'several types without a total',
      'cpu=8,gres/gpu:v100=2,gres/gpu:a100=4',
      [
        ['a100', '4'],
        ['v100', '2'],
      ],
    ],
    [
      'a type and others',
      'cpu=8,gres/gpu=6,gres/gpu:a100=4,gres/gpu:a100_1g.5gb=0',
      [
        ['', '2'],
        ['a100', '4'],
      ],
    ],
    ['MIG slices', 'cpu=8,gres/gpu=7,gres/gpu:a100_1g.5gb=7', [['a100_1g.5gb', '1']]],
    [
      'half a GPU',
      'cpu=8,gres/gpu=2,gres/gpu:3g.20gb=1,gres/gpu:4g.20gb=1',
      [
        ['3g.20gb', '0.428571428'],
        ['4g.20gb', '0.571428571'],
      ],
    ],
    ['slices of an A30', 'cpu=8,gres/gpu=2,gres/gpu:a30_1g.6gb=2', [['a30_1g.6gb', '0.5']]],
    ['one type', 'billing=8,cpu=64,gres/gpu=8,gres/gpu:h100=8,mem=512G', [['h100', '8']]],
  ])('%s', async (_, tres, expected) => {
    const statement = await bill(jobs(job('1', { tres })), PRICED);
    expect(statement.lines.map(({ what, quantity }) => [what, quantity]).sort()).toEqual(expected);
  });

  it('shards are a part of a GPU that the rules state', async () => {
    const path = jobs(job('1', { tres: 'cpu=8,gres/shard=4' }), job('2'));
    const unstated = await bill(path, PRICED);
    expect(unstated.imports.malformed).toMatchObject([
      { line: 2, reason: expect.stringContaining('shardsPerGpu') },
    ]);
    expect(totals(await bill(path, { ...PRICED, slurm: { shardsPerGpu: 8 } }))).toEqual([4.5, 4.5]);
  });

  it.each([
    ['gpu:4', 4],
    ['gpu:tesla:2,craynetwork:1', 2],
    ['gpu:v100:2(IDX:0-1)', 2],
    ['gpu:v100:2,gpu:k80:1', 3],
    ['', 0],
  ])('AllocGRES of old versions: %s', async (gres, gpus) => {
    const old = file(
      `JobID|JobName|State|Start|End|Elapsed|NCPUS|AllocGRES\n1|n|COMPLETED|2019-05-01T00:00:00|2019-05-01T01:00:00|01:00:00|8|${gres}\n`,
    );
    const statement = await bill(old, PRICED);
    expect(quantity(statement, 'gpu')).toBe(gpus);
    expect(quantity(statement, 'cpu')).toBe(gpus > 0 ? 0 : 8);
  });

  it('clusters with equal ids, with and without the column that names them', async () => {
    const both = await bill(jobs(job('7'), job('7', { cluster: 'c2' })), PRICED);
    expect(totals(both)).toEqual([8, 8]);
    const bare = (name: string) =>
      file(
        `JobIDRaw|JobName|User|State|Start|ElapsedRaw|AllocTRES\n7|${name}|u|COMPLETED|2026-05-01T00:00:00|3600|cpu=8,gres/gpu=4\n`,
      );
    expect(totals(await bill([bare('n1'), bare('n2')], PRICED))).toEqual([8, 8]);
  });

  it.each([
    ['01:00:00', 1],
    ['1-01:00:00', 25],
    ['30:00', 0.5],
  ])('Elapsed %s', async (elapsed, hours) => {
    const path = file(
      `JobID|JobName|State|Start|Elapsed|AllocTRES\n1|n|COMPLETED|2026-05-01T00:00:00|${elapsed}|cpu=1,gres/gpu=1\n`,
    );
    expect(totals(await bill(path, PRICED))).toEqual([hours, hours]);
  });

  const TRES = [
    { type: 'cpu', name: null, id: 1, count: 8 },
    { type: 'gres', name: 'gpu', id: 1001, count: 4 },
  ];
  it.each([
    [
      '21.08',
      {
        state: { current: 'COMPLETED', reason: 'None' },
        time: { start: 1777593600, end: 1777597200, elapsed: 3600 },
        tres: { allocated: TRES },
      },
    ],
    [
      '22.05',
      {
        state: { current: 'COMPLETED', reason: 'None' },
        user: 'u',
        time: { start: 1777593600, end: 1777597200, elapsed: 3600 },
        tres: { allocated: TRES },
      },
    ],
    [
      '23.11',
      {
        state: { current: ['COMPLETED'], reason: 'None' },
        time: {
          start: 1777593600,
          end: 1777597200,
          elapsed: 3600,
          limit: { set: true, infinite: false, number: 60 },
        },
        tres: { allocated: TRES },
      },
    ],
    [
      '25.05',
      {
        state: { current: ['COMPLETED'], reason: '' },
        restart_cnt: 0,
        time: {
          start: { set: true, infinite: false, number: 1777593600 },
          end: { set: true, infinite: false, number: 1777597200 },
          elapsed: { set: true, infinite: false, number: 3600 },
        },
        tres: {
          allocated: TRES.map((one) => ({
            ...one,
            count: { set: true, infinite: false, number: one.count },
          })),
        },
      },
    ],
  ])('sacct --json of Slurm %s', async (_, rest) => {
    const content = {
      jobs: [{ job_id: 1, name: 'n', account: 'nlp', ...rest }],
      errors: [],
      warnings: [],
    };
    const statement = await bill(json(content), PRICED);
    expect(totals(statement)).toEqual([4, 4]);
    expect(statement.imports.files[0].malformed).toBe(0);
  });
});

// ── FOCUS ────────────────────────────────────────────────────────────────────────────────────────

const FOCUS = [
  'BilledCost',
  'BillingCurrency',
  'ChargeCategory',
  'ChargePeriodStart',
  'ChargePeriodEnd',
  'ServiceCategory',
  'ServiceName',
  'SkuMeter',
];
const focusOf = (rows: Record<string, string>[]): string => {
  const columns = [...new Set([...FOCUS, ...rows.flatMap((row) => Object.keys(row))])];
  const base: Record<string, string> = {
    ...{
      BilledCost: '1',
      BillingCurrency: 'USD',
      ChargeCategory: 'Usage',
      ServiceCategory: 'Compute',
    },
    ...{ ChargePeriodStart: '2026-05-01T00:00:00Z', ChargePeriodEnd: '2026-05-02T00:00:00Z' },
    ...{ ServiceName: 'VM' },
  };
  const cell = (text = '') => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = rows.map((row) => columns.map((one) => cell({ ...base, ...row }[one])).join(','));
  return file([columns.join(','), ...lines, ''].join('\n'), 'csv');
};
const kindOf = async (row: Record<string, string>): Promise<string> =>
  (await bill(focusOf([row]))).lines[0].kind;

describe('FOCUS', () => {
  it('times in eight forms of ISO 8601, and one with slashes that is refused with its reason', async () => {
    const statement = await bill(fixture('focus-times.csv'));
    expect(totals(statement)[1]).toBe(8);
    expect(statement.imports.malformed).toMatchObject([
      { line: 10, reason: expect.stringContaining('month/day or day/month') },
    ]);
    expect(statement.period).toEqual({
      from: '2026-05-01T00:00:00.000Z',
      to: '2026-05-02T00:00:00.000Z',
    });
  });

  it('times without seconds are times, and a file of none is refused', async () => {
    expect(totals(await bill(fixture('focus-all-malformed.csv')))[1]).toBe(30);
    const path = focusOf([{ ChargePeriodStart: 'May' }, { ChargePeriodEnd: '05/02/2026' }]);
    expect(await refused(path)).toContain('none of its 2 rows can be read');
  });

  it('the text NULL is an empty value', async () => {
    const statement = await bill(fixture('focus-null-text.csv'), {
      rules: [{ when: { name: 'arn:aws:ec2:*' }, is: 'final' }],
    });
    expect(totals(statement)).toEqual([10, 10]);
    expect(new Set(statement.lines.map(({ kind, account }) => `${kind} ${account}`))).toEqual(
      new Set(['gpu ']),
    );
  });

  it('the GPU machine bears the GPU job', async () => {
    const rules = readJson(fixture('focus-gpu-rules.json'), 'rules');
    const paths = (name: string) => [fixture(name), fixture('focus-gpu-jobs.txt')];
    expect(totals(await bill(paths('focus-gpu-azure.csv'), rules))).toEqual([1000, 1010]);
    expect(totals(await bill(paths('focus-gpu-t4g.csv'), rules))).toEqual([1000, 1050]);
    const alone = await bill(fixture('focus-gpu-t4g.csv'));
    expect(alone.lines.map(({ kind, amount }) => [kind, amount])).toEqual([
      ['cpu', '50'],
      ['gpu', '1000'],
    ]);
  });

  it.each([
    ['gpu', { SkuMeter: 'NC6s v3' }],
    ['gpu', { SkuMeter: 'ND96isr H100 v5 Spot' }],
    ['gpu', { SkuMeter: 'NV36ads A10 v5' }],
    ['gpu', { SkuMeter: 'x', ChargeDescription: 'Virtual Machines NDasrv4 Series' }],
    ['gpu', { SkuMeter: 'BoxUsage:p4d.24xlarge' }],
    ['gpu', { SkuMeter: 'USE1-SpotUsage:g6e.12xlarge' }],
    ['gpu', { SkuMeter: 'x', ChargeDescription: 'ml.p5.48xlarge for training' }],
    ['gpu', { SkuMeter: 'a3-megagpu-8g' }],
    ['gpu', { SkuMeter: 'A2 Instance Core running in Americas' }],
    ['gpu', { SkuMeter: 'Nvidia Tesla T4 GPU running in Iowa' }],
    ['gpu', { SkuMeter: 'BM.GPU.H100.8' }],
    ['gpu', { SkuMeter: 'gpu_8x_h100_sxm5' }],
    ['gpu', { SkuMeter: 'gd-8xh100ib-i128' }],
    ['gpu', { SkuMeter: 'BOXUSAGE:P4D.24XLARGE', ServiceCategory: 'COMPUTE' }],
    ['gpu', { SkuPriceDetails: '{"InstanceType": "Standard_ND96asr_v4", "CoreCount": "96"}' }],
    ['gpu', { SkuPriceDetails: '{"GpuCount": "8"}' }],
    ['gpu', { ConsumedUnit: 'GPU-Hours', SkuMeter: 'x' }],
    ['gpu', { SkuMeter: 'x', ServiceName: 'Cloud TPU' }],
    ['cpu', { SkuMeter: 't4g.large' }],
    ['cpu', { SkuMeter: 'D4s v5' }],
    ['cpu', { SkuMeter: 'E8-4s v5' }],
    ['cpu', { SkuMeter: 'n2-standard-8' }],
    ['cpu', { SkuMeter: 'N1 Predefined Instance Core running in Americas' }],
    ['cpu', { SkuMeter: 'VM.Standard.E5.Flex' }],
    ['cpu', { SkuMeter: 'cpu_4x_general' }],
    ['cpu', { SkuMeter: 'cd-gp-a192-genoa' }],
    ['cpu', { SkuMeter: 'm7i.metal-24xl' }],
    ['cpu', { SkuMeter: 'x', SkuPriceDetails: '{"GpuCount": "0", "CoreCount": "8"}' }],
    ['cpu', { SkuMeter: 'non-GPU vCPU hours' }],
    ['unknown', { SkuMeter: 'x' }],
    ['network', { ChargeDescription: '$0.090 per GB - first 10 TB / month data transfer out' }],
    ['network', { ChargeDescription: '$0.045 per NAT Gateway Hour' }],
    ['storage', { SkuMeter: 'P10 LRS', ChargeDescription: 'Premium SSD Managed Disks' }],
    ['gpu', { ChargeDescription: 'p5.48xlarge, data transfer included' }],
    ['unknown', { SkuMeter: 'Reserved Capacity L4' }],
    ['unknown', { SkuMeter: 'x', ResourceName: 'my-gpu-box' }],
    ['storage', { SkuMeter: 'p4d.24xlarge scratch', ServiceCategory: 'storage' }],
    ['other', { SkuMeter: 'p4d.24xlarge', ChargeCategory: 'TAX' }],
  ])('%s: %j', async (kind, row) => expect(await kindOf(row as Record<string, string>)).toBe(kind));

  it('unknown compute is listed, is asked for, and bears no job', async () => {
    const charges = focusOf([
      { SkuMeter: 'mystery', BilledCost: '70' },
      { SkuMeter: 'p5.48xlarge', BilledCost: '30' },
    ]);
    const paths = [charges, fixture('focus-gpu-jobs.txt')];
    const rules = { model: 'm', rules: [{ when: { name: 'fin*' }, is: 'final' }] };
    const statement = await bill(paths, rules);
    // The preparing job ran on processors of the machine, which its charge pays for.
    expect(totals(statement)).toEqual([30, 100]);
    expect(statement.notes.join(' ')).toMatch(/1 compute charges .*"mystery" 70 USD.*"kinds"/);
    const kinds = [{ when: { SkuMeter: 'mystery' }, kind: 'gpu' }];
    expect(totals(await bill(paths, { ...rules, kinds }))[0]).toBe(100);
  });

  const TAGGED = {
    rules: [{ when: { 'tag:team': 'ml' }, is: 'final' }],
  };
  const final = async (path: string) => {
    const statement = await bill(path, TAGGED);
    const found = statement.lines.find(({ category }) => category === 'final');
    return [found?.amount, totals(statement)[1]];
  };
  it('tags as MAP', async () => {
    expect(await final(fixture('focus-tags-map.parquet'))).toEqual(['0.1', 30.3]);
  });
  it.each([
    ['an object', '{"team": "ml"}'],
    ['a list of keys and values', '[{"key": "team", "value": "ml"}]'],
  ])('tags as %s in text', async (_, Tags) => {
    const path = focusOf([
      { Tags, BilledCost: '5' },
      { Tags: '{"team": "web"}', BilledCost: '7' },
      { Tags: 'NULL', BilledCost: '9' },
    ]);
    expect(await final(path)).toEqual(['5', 21]);
  });
  it.each([
    ['STRUCT', `{'team': 'ml', 'env': NULL::VARCHAR}`, `{'team': 'web', 'env': NULL::VARCHAR}`],
    ['a list of STRUCT', `[{'key': 'team', 'value': 'ml'}]`, `[{'key': 'team', 'value': 'web'}]`],
    ['JSON text', `'{"team": "ml"}'`, `'{"team": "web"}'`],
  ])('tags as %s in Parquet', async (_, ml, web) => {
    const { openDatabase } = await import('./duckdb.js');
    const db = await openDatabase();
    const path = join(folder, `tags-${files++}.parquet`);
    const row = (cost: number, tags: string) =>
      `SELECT ${cost}::DOUBLE AS BilledCost, 'USD' AS BillingCurrency, TIMESTAMP '2026-05-01' AS ChargePeriodStart, TIMESTAMP '2026-05-02' AS ChargePeriodEnd, 'Storage' AS ServiceCategory, ${tags} AS Tags`;
    await db.run(
      `COPY (${row(5, ml)} UNION ALL ${row(7, web)} UNION ALL ${row(9, 'NULL')}) TO '${path}' (FORMAT parquet)`,
    );
    db.close();
    expect(await final(path)).toEqual(['5', 21]);
  });

  it('corrections, credits, charges of no length, and commitments', async () => {
    const path = focusOf([
      { BilledCost: '100', SkuMeter: 'p5.48xlarge', EffectiveCost: '0' },
      { BilledCost: '-20', SkuMeter: 'p5.48xlarge', ChargeClass: 'Correction', EffectiveCost: '0' },
      { BilledCost: '-5', ChargeCategory: 'credit', EffectiveCost: '0' },
      {
        BilledCost: '50',
        ChargeCategory: 'Purchase',
        ChargePeriodEnd: '2026-05-01T00:00:00Z',
        EffectiveCost: '0',
      },
      {
        BilledCost: '0',
        SkuMeter: 'p5.48xlarge',
        EffectiveCost: '40',
        CommitmentDiscountStatus: 'used',
      },
      {
        BilledCost: '0',
        SkuMeter: 'p5.48xlarge',
        EffectiveCost: '10',
        CommitmentDiscountStatus: 'UNUSED',
      },
      { BilledCost: '1e-2', SkuMeter: 'D4s v5', EffectiveCost: '0' },
    ]);
    const billed = await bill(path);
    expect(totals(billed)[1]).toBe(125.01);
    expect(billed.imports.files[0].malformed).toBe(0);
    expect(billed.lines.find(({ category }) => category === 'shared')?.amount).toBe('-5');
    const effective = await bill(path, { focus: { cost: 'EffectiveCost' } });
    expect(totals(effective)[1]).toBe(50);
    expect(effective.lines.find(({ category }) => category === 'idle')?.amount).toBe('10');
  });

  it('a charge of no length is borne by nobody, and is not lost', async () => {
    const path = focusOf([
      { BilledCost: '24', SkuMeter: 'p5.48xlarge' },
      { BilledCost: '7', SkuMeter: 'p5.48xlarge', ChargePeriodEnd: '2026-05-01T00:00:00Z' },
    ]);
    expect(
      totals(
        await bill([path, fixture('focus-gpu-jobs.txt')], {
          model: 'm',
          rules: [{ when: { name: 'fin*' }, is: 'final' }],
          prices: { 'core-hour': { price: 0, source: 'x' } },
        }),
      ),
    ).toEqual([24, 31]);
  });

  it('equal charges of two files are billed once, with a note; equal ones of one file are two', async () => {
    const rows = [{ BilledCost: '3' }, { BilledCost: '3' }];
    const one = focusOf(rows);
    const two = focusOf([
      { BilledCost: '3' },
      {
        BilledCost: '4',
        ChargePeriodStart: '2026-05-02T00:00:00Z',
        ChargePeriodEnd: '2026-05-03T00:00:00Z',
      },
    ]);
    const statement = await bill([one, two]);
    expect(totals(statement)[1]).toBe(10);
    expect(statement.notes.join(' ')).toContain(
      '1 charges (3 USD) equal charges of an earlier file',
    );
    expect(statement.imports.repeated).toMatchObject([
      { file: two, line: 2, reason: `repeats line 2 of ${one}` },
    ]);
    expect(totals(await bill([one, two], { focus: { overlaps: 'bill' } }))[1]).toBe(13);
  });
});
