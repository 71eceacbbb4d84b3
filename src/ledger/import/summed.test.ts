/**
 * @file Charges that are summed before their kinds and rules are found are billed as those are that
 * are looked at one by one; ids that are numbers are told apart by bits.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { parseRules } from '../book/allocation-rules.js';
import { computeUsageBill } from '../statement/usage.js';

const folder = mkdtempSync(join(tmpdir(), 'reckoner-summed-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const bill = (path: string, rules: unknown) =>
  computeUsageBill([path], { rules: parseRules(rules, 'rules.json'), threads: 2 });

const random = new Random('summed charges');
const pick = (list: readonly string[]): string => list[random.uint32() % list.length];
const HEADER =
  'BilledCost,BillingCurrency,BillingAccountId,SubAccountName,ChargeCategory,ChargePeriodStart,' +
  'ChargePeriodEnd,ServiceCategory,ServiceName,SkuMeter,ResourceId,CommitmentDiscountStatus';
const charge = (_: unknown, i: number): string =>
  [
    pick(['1.5', '0.000001', '-2', 'x', '', '7']),
    pick(['USD', 'USD', 'USD', 'NULL']),
    'b1',
    pick(['research', 'web', '']),
    pick(['Usage', 'usage', 'Tax', 'Credit', 'NULL']),
    pick(['2026-05-01T00:00:00Z', '2026-05-01', '05/01/2026', 'soon', '1850-01-01']),
    '2026-05-03T00:00:00Z',
    pick(['Compute', 'Storage', 'Networking', 'AI and Machine Learning']),
    pick(['VM', 'GPU cloud']),
    pick(['p5.48xlarge', 'm7i.large', 'Standard_ND96asr_v4', 'x']),
    `r${i}`,
    pick(['Used', 'Unused', '']),
  ].join(',');

describe('charges summed before they are looked at', () => {
  it('are billed as one by one', async () => {
    const path = join(folder, 'focus.csv');
    writeFileSync(path, `${[HEADER, ...Array.from({ length: 5000 }, charge)].join('\n')}\n`);
    const rules = [
      { when: { project: 'web' }, is: 'ignore' },
      { when: { service: 'VM', kind: 'gpu' }, is: 'research' },
    ];
    const summed = await bill(path, { model: 'm', rules });
    // A condition on a column of many values has every row looked at.
    const each = await bill(path, {
      model: 'm',
      rules: [...rules, { when: { resource: 'none' }, is: 'failed' }],
    });
    expect(summed.lines.length).toBeGreaterThan(10);
    expect(summed.lines.map((line) => ({ ...line, rule: '' }))).toEqual(
      each.lines.map((line) => ({ ...line, rule: '' })),
    );
    expect(summed.totals).toEqual(each.totals);
    expect(summed.imports).toEqual(each.imports);
    expect(summed.imports.files[0].rows).toBe(5000);
    expect(summed.imports.files[0].skipped['left out by rule']).toBeGreaterThan(100);
  });
});

describe('ids of jobs', () => {
  const jobs = (ids: readonly string[]): string => {
    const path = join(folder, `jobs-${ids.length}-${ids[0]}.txt`);
    const rows = ids.map((id) => `${id}|COMPLETED|2026-05-01T00:00:00|3600|gres/gpu=1`);
    writeFileSync(path, `JobIDRaw|State|Start|ElapsedRaw|AllocTRES\n${rows.join('\n')}\n`);
    return path;
  };
  const hours = async (ids: readonly string[]): Promise<[number, number]> => {
    const { lines, imports } = await bill(jobs(ids), {
      prices: { 'gpu-hour': { price: '1', source: 'x' } },
    });
    const total = lines.reduce((sum, { amount }) => sum + Number(amount), 0);
    return [total, imports.files[0].duplicates];
  };

  it.each([
    ['numbers in a row', ['7', '8', '9'], 3, 0],
    ['a number twice', ['7', '8', '7'], 2, 1],
    ['far apart', ['1', '9000000000000000000', '5'], 3, 0],
    ['negative and more than 64 bits', ['-3', '99999999999999999999', '-3'], 2, 1],
    ['equal as numbers alone', ['7', '07', '7.0'], 2, 0],
    ['one job', ['12'], 1, 0],
  ])('%s', async (_, ids, total, duplicates) => {
    expect(await hours(ids)).toEqual([total, duplicates]);
  });
});
