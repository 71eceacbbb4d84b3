import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseRules } from '../book/allocation-rules.js';
import { defaultPriceBook } from '../book/price-book.js';
import { sum } from '../money.js';
import { splitAttos } from '../statement/drafts.js';
import { computeBill } from '../statement/runs.js';
import type { Statement } from '../statement/statement.js';
import { computeUsageBill } from '../statement/usage.js';
import { logBuilder } from '../testing.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-usage-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const bill = async (paths: string[], rules: unknown = {}): Promise<Statement> =>
  computeUsageBill(paths, { rules: parseRules(rules, 'rules.json'), threads: 1 });

const SACCT = `JobID|JobName|Account|State|Start|End|ElapsedRaw|AllocTRES|Comment
101|final-1|nlp|COMPLETED|2026-09-01T00:00:00|2026-09-01T10:00:00|36000|billing=8,cpu=64,gres/gpu=8,gres/gpu:h100=8,mem=512G,node=1|a
101.batch|batch|nlp|COMPLETED|2026-09-01T00:00:00|2026-09-01T10:00:00|36000|cpu=64,mem=512G,node=1|
102|final-2|nlp|FAILED|2026-09-01T00:00:00|2026-09-01T05:00:00|18000|billing=4,cpu=32,gres/gpu:h100=4,mem=1G,node=1|
103|eval-1|nlp|COMPLETED|2026-09-01T02:00:00|2026-09-01T12:00:00|36000|cpu=4,mem=1G,node=1|
104|late|nlp|CANCELLED by 7|Unknown|Unknown|0||
`;
const FOCUS_HEAD =
  'BilledCost,EffectiveCost,BillingCurrency,BillingAccountId,SubAccountId,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ServiceCategory,ServiceName,SkuMeter,ResourceId,Tags,x_Team';
const focus = (rows: string[]): string => `${FOCUS_HEAD}\n${rows.join('\n')}\n`;
const charge = (
  cost: string,
  service: string,
  meter: string,
  resource = 'r1',
  day = '01',
  currency = 'USD',
) =>
  `${cost},${cost},${currency},b1,s1,Usage,2026-09-${day}T00:00:00Z,2026-09-${String(Number(day) + 1).padStart(2, '0')}T00:00:00Z,${service},EC2,${meter},${resource},"{""team"": ""nlp""}",red`;

const amounts = (statement: Statement) =>
  statement.lines.map((line) => [
    line.source,
    line.category,
    line.kind,
    line.quantity,
    line.amount,
    line.money,
  ]);

describe('Slurm', () => {
  it('reads sacct --parsable2: hours of the resource that a job held, at their own price', async () => {
    const statement = await bill([file('a.txt', SACCT)], {
      model: 'm',
      rules: [
        { when: { name: 'final-*' }, is: 'final' },
        { when: { name: 'eval*' }, is: 'evaluation' },
      ],
      prices: {
        'gpu-hour:h100': { price: '2', source: 'contract' },
        'core-hour': { price: '0.05', source: 'contract' },
      },
    });
    expect(amounts(statement)).toEqual([
      ['slurm', 'final', 'gpu', '80', '160', 'price list'],
      ['slurm', 'evaluation', 'cpu', '40', '2', 'price list'],
      ['slurm', 'failed', 'gpu', '20', '40', 'price list'],
    ]);
    expect(statement.totals).toMatchObject({
      headline: { amount: '160' },
      full: { amount: '202' },
    });
    const [report] = statement.imports.files;
    expect(report).toMatchObject({
      format: 'slurm-parsable',
      rows: 5,
      malformed: 0,
      unknownColumns: ['Comment'],
    });
    expect(report.skipped).toEqual({ 'job step, part of its job': 1, 'job that never ran': 1 });
  });

  it('reads sacct --json to the same bill', async () => {
    const job = (
      id: number,
      name: string,
      state: string,
      end: number,
      tres: unknown[],
      extra = {},
    ) => ({
      ...{
        job_id: id,
        name,
        account: 'nlp',
        state: { current: [state], reason: 'None' },
        tres: { allocated: tres },
      },
      ...{
        time: { start: 1788220800, end: 1788220800 + end, elapsed: end },
        steps: [{}],
        ...extra,
      },
    });
    const gpus = (count: number) => [
      { type: 'cpu', name: '', id: 1, count: 64 },
      { type: 'gres', name: 'gpu:h100', count },
      { type: 'gres', name: 'gpu', count },
    ];
    const json = {
      jobs: [
        job(101, 'final-1', 'COMPLETED', 36000, gpus(8), { qos: 'high' }),
        job(102, 'final-2', 'FAILED', 18000, gpus(4)),
        job(103, 'eval-1', 'COMPLETED', 36000, [
          { type: 'cpu', count: { set: true, infinite: false, number: 4 } },
        ]),
        'nonsense',
      ],
    };
    const statement = await bill([file('a.json', JSON.stringify(json))], {
      prices: {
        'gpu-hour': { price: '2', source: 'contract' },
        'core-hour': { price: '0.05', source: 'contract' },
      },
    });
    expect(statement.totals.full.amount).toBe('202');
    expect(statement.imports.files[0]).toMatchObject({
      format: 'slurm-json',
      rows: 4,
      malformed: 1,
    });
    expect(statement.imports.malformed).toEqual([
      { file: join(folder, 'a.json'), line: 4, reason: 'not a job' },
    ]);
  });

  it('counts and lists what it cannot read, with the line', async () => {
    const bad = `${SACCT}105|x|nlp|COMPLETED|when?|2026-09-01T10:00:00|36000|cpu=1|
106|a|b|nlp|COMPLETED|2026-09-01T00:00:00|2026-09-01T10:00:00|36000|cpu=1|
107|x|nlp|COMPLETED|2026-09-01T00:00:00|2026-09-01T10:00:00|36000|nothing|
`;
    const statement = await bill([file('bad.txt', bad)]);
    expect(statement.imports.files[0].malformed).toBe(3);
    expect(statement.imports.malformed.map(({ line, reason }) => [line, reason])).toEqual([
      [7, 'no Start that can be read'],
      [8, 'no ElapsedRaw, Elapsed or Start and End that can be read'],
      [9, 'no AllocTRES or AllocCPUS that can be read'],
    ]);
  });

  it('bills a job once, however often and in how many exports it appears; cuts what overlaps', async () => {
    const head = SACCT.split('\n')[0];
    const until = (end: string, seconds: number) =>
      `7|j|nlp|RUNNING|2026-09-01T00:00:00|2026-09-01T${end}:00:00|${seconds}|cpu=2|`;
    const a = file('w1.txt', `${head}\n${until('02', 7200)}\n`);
    const b = file('w2.txt', `${head}\n${until('05', 18000)}\n${until('05', 18000)}\n`);
    const statement = await bill([a, b, a]);
    expect(statement.lines.map((line) => line.quantity)).toEqual(['10']);
    expect(statement.imports.files.map((one) => [one.duplicates, one.split])).toEqual([
      [0, 0],
      [1, 1],
    ]);
    expect(statement.notes.join()).toContain('is the same file as');
    expect((await bill([b])).totals).toEqual(statement.totals);
  });

  it('takes the zone of the cluster', async () => {
    const path = file('zone.txt', SACCT);
    const statement = await bill([path], { slurm: { timezone: 'Europe/Berlin' } });
    expect(statement.period.from).toBe('2026-08-31T22:00:00.000Z');
    await expect(bill([path], { slurm: { timezone: 'Mars/Base' } })).rejects.toMatchObject({
      field: 'slurm.timezone',
    });
  });
});

describe('FOCUS', () => {
  it('sums charges exactly, and keeps them apart by account and service', async () => {
    const statement = await bill([
      file(
        'f.csv',
        focus([
          charge('0.1', 'Storage', 'GB'),
          charge('0.2', 'Storage', 'GB'),
          charge('1.5E-7', 'Networking', 'out'),
        ]),
      ),
    ]);
    expect(statement.totals.full.amount).toBe('0.30000015');
    expect(statement.lines.map((line) => [line.kind, line.category, line.amount])).toEqual([
      ['network', 'unallocated', '0.00000015'],
      ['storage', 'unallocated', '0.3'],
    ]);
    expect(statement.imports.files[0].unknownColumns).toEqual(['x_Team']);
  });

  it('rules see any column and tags', async () => {
    const path = file(
      'f2.csv',
      focus([
        charge('1', 'Compute', 'H100'),
        charge('2', 'Compute', 'vCPU').replace('red', 'blue'),
      ]),
    );
    const statement = await bill([path], {
      rules: [{ when: { x_Team: 'red', 'tag:team': 'n*' }, is: 'final', model: 'm' }],
    });
    expect(statement.models).toEqual([
      { model: '', headline: '0', full: '2' },
      { model: 'm', headline: '1', full: '1' },
    ]);
    expect(statement.rules).toEqual([
      { rule: 'x_Team red, tag:team n*, and not failed -> final of m', rows: 1 },
    ]);
  });

  it('lists lines that hold no charge', async () => {
    const rows = [
      charge('1', 'Compute', '"two\nlines"'),
      charge('x', 'Compute', 'a'),
      charge('', 'Compute', 'a'),
      charge('3', 'Compute', 'a').replace('2026-09-02T', '2026-08-02T'),
    ];
    const statement = await bill([file('f3.csv', `${focus(rows)}1,2,3\n`)]);
    expect(statement.totals.full.amount).toBe('1');
    expect(statement.imports.files[0]).toMatchObject({ rows: 5, malformed: 4 });
    expect(
      statement.imports.malformed.map(({ line, reason }) => [line, reason.split('.')[0]]),
    ).toEqual([
      [4, '"BilledCost"'],
      [5, 'no BilledCost that can be read'],
      [6, 'ChargePeriodEnd is before ChargePeriodStart'],
      [7, expect.stringContaining('Expected Number of Columns')],
    ]);
  });

  it('the same charge in two exports is paid once, a restated one is refused, other lines count', async () => {
    const first = file(
      'm1.csv',
      focus([
        charge('1', 'Compute', 'a'),
        charge('1', 'Compute', 'a'),
        charge('2', 'Compute', 'a', 'r2'),
      ]),
    );
    const second = file(
      'm2.csv',
      focus([
        charge('1', 'Compute', 'a'),
        charge('2.5', 'Compute', 'a', 'r2'),
        charge('4', 'Compute', 'a', 'r3'),
        charge('8', 'Compute', 'a', 'r1', '02'),
      ]),
    );
    const statement = await bill([first, second]);
    expect(statement.totals.full.amount).toBe('16');
    expect(statement.imports.files[1]).toMatchObject({ duplicates: 1, refused: 1 });
    expect(statement.imports.refused).toEqual([
      { file: second, line: 3, reason: expect.stringContaining('2.5 USD: overlaps') },
    ]);
    const parts = await bill([first, second], { focus: { overlaps: 'bill' } });
    expect(parts.totals.full.amount).toBe('19.5');
  });

  it('does not add currencies without a rate', async () => {
    const path = file(
      'c.csv',
      focus([charge('1', 'Compute', 'a'), charge('10', 'Compute', 'a', 'r2', '01', 'EUR')]),
    );
    await expect(bill([path])).rejects.toMatchObject({ code: 'usage', field: 'rates' });
    const statement = await bill([path], {
      rates: { EUR: { rate: '1.1', date: '2026-09-30', source: 'bank' } },
    });
    expect([statement.currency, statement.totals.full.amount]).toEqual(['USD', '12']);
    expect(
      (await bill([file('e.csv', focus([charge('10', 'Compute', 'a', 'r2', '01', 'EUR')]))]))
        .currency,
    ).toBe('EUR');
  });
});

const OPENCOST = {
  code: 200,
  data: [
    {
      'nlp/train': {
        name: 'nlp/train',
        properties: { cluster: 'k8s', namespace: 'nlp', labels: { app: 'x' } },
        ...{
          start: '2026-09-01T00:00:00Z',
          end: '2026-09-02T00:00:00Z',
          cpuCoreHours: 24,
          cpuCost: 0.3,
          cpuCostAdjustment: 0.01,
        },
        ...{
          gpuHours: 20,
          gpuCost: 30.1,
          ramByteHours: 1e12,
          ramCost: 0.5,
          networkCost: 0.07,
          totalCost: 30.98,
        },
      },
      __idle__: {
        name: '__idle__',
        properties: { cluster: 'k8s' },
        start: '2026-09-01T00:00:00Z',
        end: '2026-09-02T00:00:00Z',
        gpuHours: 4,
        gpuCost: 6,
        totalCost: 6,
      },
    },
  ],
};

describe('OpenCost', () => {
  it('splits an allocation into its resources, from JSON and from CSV alike', async () => {
    const json = await bill([file('o.json', JSON.stringify(OPENCOST))]);
    expect(json.totals.full.amount).toBe('36.98');
    expect(
      json.lines.map((line) => [line.kind, line.category, line.quantity, line.amount]),
    ).toEqual([
      ['gpu', 'idle', '4', '6'],
      ['gpu', 'unassigned', '20', '30.1'],
      ['cpu', 'unassigned', '24', '0.31'],
      ['memory', 'unassigned', '1000', '0.5'],
      ['network', 'unassigned', null, '0.07'],
    ]);
    const csv = `name,window.start,window.end,cpuCoreHours,cpuCost,gpuHours,gpuCost,totalCost,properties.namespace\nnlp/train,2026-09-01T00:00:00Z,2026-09-02T00:00:00Z,24,0.31,20,30.1,30.98,nlp\n`;
    const statement = await bill([file('o.csv', csv)]);
    expect(statement.totals.full.amount).toBe('30.98');
    expect(statement.lines.map((line) => [line.kind, line.amount])).toContainEqual([
      'other',
      '0.57',
    ]);
  });
});

describe('the same hours seen by several sources', () => {
  const sacct = () => file('s.txt', SACCT);

  it('a charge is the money, and hours allocate it; own prices apply only outside its period', async () => {
    const statement = await bill(
      [
        sacct(),
        file(
          'g.csv',
          focus([charge('150', 'Compute', 'p5.48xlarge', 'i-1'), charge('7', 'Storage', 'GB')]),
        ),
      ],
      {
        model: 'm',
        rules: [{ when: { name: 'final*' }, is: 'final' }],
        prices: {
          'gpu-hour': { price: '2', source: 'x' },
          'core-hour': { price: '0.05', source: 'x' },
        },
      },
    );
    expect(
      statement.lines.map((line) => [
        line.source,
        line.category,
        line.kind,
        line.amount,
        line.money,
      ]),
    ).toEqual([
      ['slurm', 'final', 'gpu', '120', 'charge'],
      ['slurm', 'failed', 'gpu', '30', 'charge'],
      ['slurm', 'unassigned', 'cpu', '0', 'charge'],
      ['focus', 'unallocated', 'storage', '7', 'charge'],
    ]);
    expect(statement.totals).toMatchObject({
      headline: { amount: '120' },
      full: { amount: '157' },
    });
  });

  it('half of a job outside the period of the charge is paid at its own price', async () => {
    const head = SACCT.split('\n')[0];
    const jobs = file(
      'half.txt',
      `${head}\n1|j|nlp|COMPLETED|2026-09-01T12:00:00|2026-09-02T12:00:00|86400|gres/gpu=1|\n`,
    );
    const statement = await bill(
      [jobs, file('half.csv', focus([charge('5', 'Compute', 'H100')]))],
      {
        prices: { 'gpu-hour': { price: '3', source: 'x' } },
      },
    );
    expect(statement.lines.map((line) => [line.quantity, line.amount, line.money])).toEqual([
      ['12', '5', 'charge'],
      ['12', '36', 'price list'],
    ]);
  });

  it('what was bought and not used is idle, and is shared by the stated key', async () => {
    const rows = [charge('48', 'Compute', 'H100')];
    const content = focus(rows)
      .replace('x_Team', 'x_Team,ConsumedQuantity,ConsumedUnit')
      .replace(',red', ',red,200,GPU-Hours');
    const rules = { model: 'm', rules: [{ when: { name: 'final-1' }, is: 'final' }] };
    const separate = await bill([sacct(), file('idle.csv', content)], rules);
    const idle = separate.lines.find((line) => line.category === 'idle');
    expect(idle).toMatchObject({ amount: '24', quantity: '100', model: '' });
    const shared = await bill([sacct(), file('idle.csv', content)], {
      ...rules,
      idle: { key: { m: '0.75', n: '0.25' } },
    });
    expect(shared.models).toEqual(
      expect.arrayContaining([expect.objectContaining({ model: 'n', full: '6' })]),
    );
    expect(shared.totals.full.amount).toBe(separate.totals.full.amount);
  });

  it('charges of a pool are shared by usage of that pool; kinds overrule what descriptions say', async () => {
    const head = SACCT.split('\n')[0].replace('Comment', 'Cluster');
    const job = (id: number, cluster: string) =>
      `${id}|j|${cluster}|COMPLETED|2026-09-01T00:00:00|2026-09-01T10:00:00|36000|gres/gpu=1|${cluster}`;
    const jobs = file('pool.txt', `${head}\n${job(1, 'east')}\n${job(2, 'west')}\n`);
    const charges = file(
      'pool.csv',
      focus([charge('10', 'Compute', 'H100', 'east-1'), charge('30', 'Other', 'board', 'west-1')]),
    );
    const pool = (name: string) => ({
      name,
      charges: { resource: `${name}-*` },
      usage: { cluster: name },
    });
    const statement = await bill([jobs, charges], {
      pools: [pool('east'), pool('west')],
      kinds: [{ when: { SkuMeter: 'board' }, kind: 'gpu' }],
    });
    expect(statement.lines.map((line) => [line.account, line.amount])).toEqual([
      ['east', '10'],
      ['west', '30'],
    ]);
  });

  it('what two charges of a period bought is idle once', async () => {
    const content = focus([
      charge('30', 'Compute', 'H100', 'a'),
      charge('10', 'Compute', 'H100', 'b'),
    ])
      .replace('x_Team', 'x_Team,ConsumedQuantity,ConsumedUnit')
      .replaceAll(',red', ',red,100,GPU-Hours');
    const statement = await bill([sacct(), file('two.csv', content)]);
    const idle = statement.lines.filter((line) => line.category === 'idle');
    // 200 GPU-hours bought, 100 used.
    expect(idle.map((line) => [line.amount, line.quantity])).toEqual([['20', '100']]);
  });

  it('OpenCost on the same cluster as Slurm is not paid beside it', async () => {
    const head = SACCT.split('\n')[0].replace('Comment', 'Cluster');
    const jobs = file(
      'k.txt',
      `${head}\n1|j|nlp|COMPLETED|2026-09-01T00:00:00|2026-09-01T20:00:00|72000|gres/gpu=1|k8s\n`,
    );
    const statement = await bill([jobs, file('o2.json', JSON.stringify(OPENCOST))]);
    expect(statement.totals.full.amount).toBe('36.98');
    expect(statement.notes.join()).toContain('billed once');
  });
});

it('a run here is usage too: a charge for its hours is its money, and its own price applies where there is none', async () => {
  const log = logBuilder();
  log.started();
  log.usage(1, { stage: 'grpo', workerSeconds: 7200 });
  log.usage(2, { stage: 'grpo', purpose: 'evaluation', workerSeconds: 3600 });
  const runs = computeBill([{ name: 'run', events: log.events, keptBytes: 0 }], defaultPriceBook());
  const cpu = (cost: string, year: number) =>
    charge(cost, 'Compute', 'vCPU')
      .replace('2026-09-01', `${year}-01-01`)
      .replace('2026-09-02', `${year}-01-02`);
  const billed = async (year: number) => {
    const path = file(`run-${year}.csv`, focus([cpu('9', year)]));
    return (await computeUsageBill([path], { rules: parseRules({}, ''), runs, threads: 1 })).lines;
  };
  expect(
    (await billed(2026)).map((line) => [
      line.source,
      line.model,
      line.category,
      line.amount,
      line.money,
    ]),
  ).toEqual([
    ['run', 'run', 'final', '6', 'charge'],
    ['run', 'run', 'evaluation', '3', 'charge'],
  ]);
  expect(
    (await billed(2025)).map((line) => [line.source, line.category, line.amount, line.money]),
  ).toEqual([
    ['run', 'final', '0.0816', 'price book'],
    ['run', 'evaluation', '0.0408', 'price book'],
    ['focus', 'unallocated', '9', 'charge'],
  ]);
});

it('staff is stated, with its key', async () => {
  const rules = {
    staff: [{ what: 'research', amount: '100.01', key: { a: '0.5', b: '0.5' }, source: 'payroll' }],
  };
  const statement = await bill([file('st.txt', SACCT)], {
    ...rules,
    prices: { 'gpu-hour': { price: '0', source: 'x' }, 'core-hour': { price: '0', source: 'x' } },
  });
  expect(statement.models.filter(({ model }) => model !== '').map(({ full }) => full)).toEqual([
    '50.005',
    '50.005',
  ]);
});

it('integer parts add up to the whole', () => {
  expect(splitAttos(10n, [1n, 1n, 1n])).toEqual([4n, 3n, 3n]);
  expect(splitAttos(-10n, [1n, 1n, 1n])).toEqual([-4n, -3n, -3n]);
  expect(sum(splitAttos(10n ** 30n + 7n, [3n, 5n, 0n, 11n]).map(String)).toFixed()).toBe(
    (10n ** 30n + 7n).toString(),
  );
});
