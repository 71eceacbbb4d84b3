/**
 * @file Money is conserved: what a naive reader adds up in a file is in the bill, or its rows are
 * counted as malformed, repeated or refused; never a silent difference. RECKONER_FUZZ sets how many
 * mutated files of each format are tried (default 12).
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { UserError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { NO_RULES } from '../book/allocation-rules.js';
import { Decimal } from '../money.js';
import { computeUsageBill } from '../statement/usage.js';

const TIMES = Number(process.env.RECKONER_FUZZ ?? 12);
const folder = mkdtempSync(join(tmpdir(), 'reckoner-conservation-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

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
  /** What the rows cost together; `null` for a row whose amount no reader can tell. */
  amount(row: Row): Decimal;
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
};
const opencostJson: Format = {
  ...opencostCsv,
  name: 'opencost.json',
  write: (rows) => JSON.stringify({ code: 200, data: rows.map((row, i) => ({ [`k${i}`]: row })) }),
};
const slurm: Format = {
  name: 'sacct.txt',
  row: (random, i) => ({
    JobIDRaw: String(i + 1),
    State: pick(random, ['COMPLETED', 'FAILED', 'REQUEUED', 'PREEMPTED', 'RUNNING', '']),
    Start: pick(random, TIMES_WRITTEN),
    ElapsedRaw: pick(random, ['0', '60', '3600', '-5', '', 'x']),
    AllocTRES: pick(random, [
      'cpu=4',
      'cpu=8,gres/gpu=2',
      'cpu=8,gres/gpu=3,gres/gpu:a100=2,gres/gpu:v100=1',
      'cpu=1,gres/shard=2',
      '',
      'mem=4G',
    ]),
  }),
  write: (rows) =>
    [Object.keys(rows[0]), ...rows.map((row) => Object.values(row))]
      .map((line) => line.join('|'))
      .join('\n'),
  amount: () => new Decimal(0),
};

/** OpenCost's parts are rounded to five decimals, so its total is theirs within this. */
const RESIDUE = 0.0001;

describe.each([focus, opencostCsv, opencostJson, slurm])('$name', (format) => {
  it('every row is billed, or counted', async () => {
    const random = new Random('conservation', format.name);
    let refused = 0;
    for (let n = 0; n < TIMES; n++) {
      const rows = Array.from({ length: 1 + (random.uint32() % 8) }, (_, i) =>
        format.row(random, i),
      );
      if (random.uint32() % 3 === 0) rows.push({ ...pick(random, rows) });
      const path = join(folder, `${n}-${format.name}`);
      writeFileSync(path, `${format.write(rows)}\n`);
      const outcome = await computeUsageBill([path], { rules: NO_RULES, threads: 1 }).catch(
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
      const first = format.name.endsWith('.json') ? 1 : 2;
      const expected = rows
        .filter((_, i) => !listed.has(i + first))
        .reduce((sum, row) => sum.plus(format.amount(row)), new Decimal(0));
      if (file.split > 0) continue;
      const difference = new Decimal(totals.full.amount).minus(expected).abs().toNumber();
      if (format !== slurm)
        expect(difference, `${path}: ${totals.full.amount} for ${expected}`).toBeLessThanOrEqual(
          format === focus ? 0 : RESIDUE * rows.length,
        );
    }
    expect(refused).toBeLessThan(TIMES);
  });
});
