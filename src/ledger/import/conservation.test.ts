/**
 * @file Money is conserved: what a naive reader adds up in a file is in the bill, or its rows are
 * counted as malformed, repeated or refused; never a silent difference. RECKONER_FUZZ sets how many
 * mutated files of each format are tried (default 8), and RECKONER_FUZZ_SEED which.
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UserError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { parseRules } from '../book/allocation-rules.js';
import { Decimal } from '../money.js';
import { computeUsageBill } from '../statement/usage.js';
import { type Database, fileLiteral, openDatabase } from './duckdb.js';

const TIMES = Number(process.env.RECKONER_FUZZ ?? 8);
const SEED = process.env.RECKONER_FUZZ_SEED ?? '';
const RULES = parseRules(
  {
    prices: {
      'gpu-hour': { price: '1', source: 'the test' },
      'core-hour': { price: '0.1', source: 'the test' },
    },
  },
  'the test',
);
const folder = mkdtempSync(join(tmpdir(), 'reckoner-conservation-'));
let db: Database;
beforeAll(async () => {
  db = await openDatabase({ threads: 1 });
});
afterAll(() => {
  db.close();
  rmSync(folder, { recursive: true, force: true });
});

type Row = Record<string, string>;
const pick = <T>(random: Random, list: readonly T[]): T => list[random.uint32() % list.length];

/** Values as exports have them, and as they should not. */
const COSTS = [
  '0',
  '1',
  '2.50',
  '-0.75',
  '1e-3',
  '0.000001',
  '12345678.123456',
  'NaN',
  '',
  'NULL',
  '1,5',
  'x',
];
const TIMES_WRITTEN = [
  ...['2026-05-01T00:00:00Z', '2026-05-01T00:00Z', '2026-05-01', '2026-05-01T02:00:00+02:00'],
  ...['2026-05-01 00:00:00 UTC', '05/01/2026', '', 'soon'],
];
const END = '2026-05-02T00:00:00Z';

/** The amount that a naive reader adds: what is a number, else nothing. */
const naive = (text: string | undefined): Decimal => {
  try {
    const value = new Decimal(text ?? 0);
    return value.isFinite() ? value : new Decimal(0);
  } catch {
    return new Decimal(0);
  }
};

interface Format {
  name: string;
  row(random: Random, i: number): Row;
  write(rows: readonly Row[]): string;
  /** What a naive reader adds for the row. */
  amount(row: Row): Decimal;
  /** Rounding of the format, a row. */
  within: number;
  /** The line of the first row. */
  first: 1 | 2;
}

const quoted = (text: string): string =>
  /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
const csv = (rows: readonly Row[]): string => {
  const names = Object.keys(rows[0]);
  return [names, ...rows.map((row) => names.map((name) => quoted(row[name])))]
    .map((line) => line.join(','))
    .join('\n');
};
const PARTS = ['cpuCost', 'gpuCost', 'ramCost', 'networkCost', 'loadBalancerCost', 'sharedCost'];

const focus: Format = {
  name: 'focus.csv',
  row: (random, i) => ({
    BilledCost: pick(random, COSTS),
    BillingCurrency: 'USD',
    ChargeCategory: pick(random, [
      'Usage',
      'usage',
      'Purchase',
      'Tax',
      'Credit',
      'Adjustment',
      'NULL',
    ]),
    ChargePeriodStart: pick(random, TIMES_WRITTEN),
    ChargePeriodEnd: pick(random, [END, END, '2026-05-01T00:00:00Z', '05/02/2026']),
    ServiceCategory: pick(random, ['Compute', 'Storage', 'compute', 'NULL', 'Other']),
    ServiceName: pick(random, ['VM', 'a "quoted", name', '=1+1', '<img src=x>']),
    SkuMeter: pick(random, ['p5.48xlarge', 'D4s v5', 't4g.large', 'x']),
    ResourceId: `r${i}`,
  }),
  write: csv,
  amount: ({ BilledCost }) => naive(BilledCost),
  within: 0,
  first: 2,
};

const allocation = (random: Random, i: number): Row => {
  const row: Row = {
    name: pick(random, ['a', `pod-${i}`, '__idle__', 'kube-system/x']),
    namespace: pick(random, ['ml', 'web']),
    start: pick(random, TIMES_WRITTEN),
    end: END,
  };
  for (const part of PARTS) row[part] = pick(random, ['0', '1', '2.5', '-0.5']);
  row.totalCost = PARTS.reduce(
    (sum, part) => sum.plus(row[part]),
    new Decimal(pick(random, [0, 0, 3])),
  ).toFixed();
  if (random.uint32() % 6 === 0) row.gpuCost = pick(random, COSTS);
  return row;
};
const opencostCsv: Format = {
  name: 'opencost.csv',
  row: allocation,
  write: csv,
  amount: ({ totalCost }) => naive(totalCost),
  // OpenCost's parts are rounded to five decimals, so its total is theirs within this.
  within: 0.0001,
  first: 2,
};
const opencostJson: Format = {
  ...opencostCsv,
  first: 1,
  name: 'opencost.json',
  write: (rows) => JSON.stringify({ code: 200, data: rows.map((row, i) => ({ [`k${i}`]: row })) }),
};
const kubecostJson: Format = {
  ...opencostJson,
  name: 'kubecost-sets.json',
  write: (rows) =>
    JSON.stringify({
      code: 200,
      data: { sets: [{ allocations: Object.fromEntries(rows.map((row, i) => [`k${i}`, row])) }] },
    }),
};

/** Resources of a job, and what a naive reader takes them for: GPUs, else processors. */
const HELD: Readonly<Record<string, { gpus?: number; cpus?: number }>> = {
  'cpu=4': { cpus: 4 },
  'billing=8,cpu=16,gres/gpu=2,gres/gpu:h100=2,mem=1T': { gpus: 2 },
  'cpu=8,gres/gpu=2': { gpus: 2 },
  'cpu=8,gres/gpu=3,gres/gpu:a100=2,gres/gpu:v100=1': { gpus: 3 },
  'cpu=8,gres/gpu:a100=2': { gpus: 2 },
  'cpu=1,gres/shard=2': {},
  '': {},
  'mem=4G': {},
};
const slurm: Format = {
  name: 'sacct.txt',
  row: (random, i) => ({
    JobIDRaw: String(i + 1),
    State: pick(random, ['COMPLETED', 'FAILED', 'REQUEUED', 'PREEMPTED', 'RUNNING', '']),
    Start: pick(random, TIMES_WRITTEN),
    ElapsedRaw: pick(random, ['0', '60', '3600', '7200', '-5', '', 'x', '99999999999999']),
    AllocTRES: pick(random, Object.keys(HELD)),
  }),
  write: (rows) =>
    [Object.keys(rows[0]), ...rows.map((row) => Object.values(row))]
      .map((line) => line.join('|'))
      .join('\n'),
  amount: ({ ElapsedRaw, AllocTRES }) => {
    const { gpus = 0, cpus = 0 } = HELD[AllocTRES];
    return naive(ElapsedRaw)
      .times(gpus + cpus * 0.1)
      .dividedBy(3600);
  },
  within: 1e-9,
  first: 2,
};
const slurmJson: Format = {
  ...slurm,
  name: 'sacct.json',
  first: 1,
  row: (random, i) => ({
    ...slurm.row(random, i),
    Start: pick(random, ['1777593600', '1777593600', '0', '-1']),
    ElapsedRaw: pick(random, ['0', '60', '3600', '7200']),
    AllocTRES: pick(random, Object.keys(HELD)),
  }),
  write: (rows) =>
    JSON.stringify({
      jobs: rows.map(({ JobIDRaw, State, Start, ElapsedRaw, AllocTRES }) => ({
        job_id: Number(JobIDRaw),
        state: { current: [State] },
        time: { start: Number(Start), end: 0, elapsed: Number(ElapsedRaw) },
        tres: {
          allocated: AllocTRES.split(',')
            .filter((one) => one !== '')
            .map((one) => {
              const [, type, name, count] = /^([^/=]+)(?:\/([^=]+))?=(\d+)/.exec(one) ?? [];
              return { type, name: name ?? '', count: Number(count) };
            }),
        },
      })),
    }),
};

/** The same rows as Parquet, all of them text. */
const parquet = (format: Format): Format => ({
  ...format,
  name: format.name.replace('.csv', '.parquet'),
  first: 1,
});

async function writeRows(path: string, format: Format, rows: readonly Row[]): Promise<void> {
  writeFileSync(path, `${format.write(rows)}\n`);
  if (!path.endsWith('.parquet')) return;
  const text = `${path}.csv`;
  renameSync(path, text);
  await db.run(
    `COPY (FROM read_csv(${fileLiteral(text)}, all_varchar = true, header = true, quote = '"', escape = '"', delim = ','))
     TO ${fileLiteral(path)} (FORMAT parquet)`,
  );
}

describe.each([
  ...[focus, parquet(focus), opencostCsv, parquet(opencostCsv), opencostJson, kubecostJson],
  ...[slurm, slurmJson],
])('$name', (format) => {
  it('every row is billed, or counted', async () => {
    const random = new Random('conservation', format.name + SEED);
    let refused = 0;
    for (let n = 0; n < TIMES; n++) {
      const rows = Array.from({ length: 1 + (random.uint32() % 8) }, (_, i) =>
        format.row(random, i),
      );
      if (random.uint32() % 3 === 0) rows.push({ ...pick(random, rows) });
      const path = join(folder, `${n}-${format.name}`);
      await writeRows(path, format, rows);
      const outcome = await computeUsageBill([path], { rules: RULES, threads: 1 }).catch(
        (error: unknown) => error,
      );
      if (outcome instanceof Error) {
        expect(outcome).toBeInstanceOf(UserError);
        expect(outcome.message).toContain(path);
        refused++;
        continue;
      }
      const { imports, totals } = outcome as Awaited<ReturnType<typeof computeUsageBill>>;
      const [file] = imports.files;
      // Every row is somewhere.
      expect(file.rows, path).toBe(rows.length);
      const listed = new Set(
        [...imports.malformed, ...imports.repeated, ...imports.refused].map(({ line }) => line),
      );
      expect(imports.malformed.length).toBe(file.malformed);
      const expected = rows
        .filter((_, i) => !listed.has(i + format.first))
        .reduce((sum, row) => sum.plus(format.amount(row)), new Decimal(0));
      if (file.split > 0) continue;
      const difference = new Decimal(totals.full.amount).minus(expected).abs().toNumber();
      expect(
        difference,
        `${path}: ${totals.full.amount} for ${expected}: ${JSON.stringify(rows)}`,
      ).toBeLessThanOrEqual(format.within * rows.length);
      rmSync(path);
    }
    expect(refused).toBeLessThan(TIMES);
  }, 3_600_000);
});
