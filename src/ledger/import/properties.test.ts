/**
 * Properties that hold whatever the files say: a damaged file is never more than an error for its
 * reader or rows that are counted and listed; lines add up; importing twice changes nothing.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { UserError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { parseRules, type Rules } from '../book/allocation-rules.js';
import { Decimal, sum } from '../money.js';
import { formatStatement } from '../render/index.js';
import type { Statement } from '../statement/statement.js';
import { computeUsageBill } from '../statement/usage.js';
import { openDatabase } from './duckdb.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-properties-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const pick = <T>(random: Random, list: readonly T[]): T => list[random.uint32() % list.length];
const day = (n: number): string => `2026-09-${String(1 + n).padStart(2, '0')}T00:00:00`;

function sacct(random: Random, jobs: number): string {
  const lines = Array.from({ length: jobs }, (_, i) => {
    const [start, gpus] = [random.uint32() % 20, random.uint32() % 3];
    const hours = 1 + (random.uint32() % 30);
    const end = new Date(Date.parse(`${day(start)}Z`) + hours * 3.6e6).toISOString().slice(0, 19);
    const state = pick(random, ['COMPLETED', 'FAILED', 'CANCELLED by 5', 'TIMEOUT']);
    const tres = `cpu=${4 * (gpus + 1)},mem=8G,node=1${gpus === 0 ? '' : `,gres/gpu=${gpus}`}`;
    return `${i}|${pick(random, ['final', 'abl-1', 'eval'])}|${pick(random, ['a', 'b'])}|${state}|${day(start)}|${end}|${hours * 3600}|${tres}`;
  });
  return `JobID|JobName|Account|State|Start|End|ElapsedRaw|AllocTRES\n${lines.join('\n')}\n`;
}

function focus(random: Random, charges: number): string {
  const lines = Array.from({ length: charges }, (_, i) => {
    const cost = `${random.uint32() % 1000}.${random.uint32()}${random.uint32()}`.slice(0, 20);
    const from = random.uint32() % 20;
    const category = pick(random, ['Compute', 'Storage', 'Networking']);
    return `${pick(random, ['', '', '', '-'])}${cost},USD,${day(from)}Z,${day(from + 1)}Z,${category},S${i % 3},${pick(random, ['H100', 'vCPU'])},"r ""${i}"""`;
  });
  return `BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ServiceCategory,ServiceName,SkuMeter,ResourceId\n${lines.join('\n')}\n`;
}

function opencost(random: Random, count: number): string {
  const one = (i: number) => ({
    ...{
      name: `ns/pod-${i % 7}`,
      properties: { cluster: 'k', namespace: 'ns' },
      start: `${day(i % 20)}Z`,
      end: `${day((i % 20) + 1)}Z`,
    },
    ...{
      cpuCoreHours: random.uint32() % 48,
      cpuCost: (random.uint32() % 1000) / 100,
      gpuHours: random.uint32() % 24,
      gpuCost: 1.1,
      totalCost: 9,
    },
  });
  return JSON.stringify({
    code: 200,
    data: Array.from({ length: count }, (_, i) => ({ [`ns/pod-${i % 7}`]: one(i) })),
  });
}

async function parquet(csv: string, path: string): Promise<void> {
  const db = await openDatabase({ threads: 1 });
  writeFileSync(`${path}.csv`, csv);
  await db.run(
    `COPY (SELECT * FROM read_csv('${path}.csv', all_varchar = true)) TO '${path}' (FORMAT parquet)`,
  );
  db.close();
}

function file(name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const RULES: Rules = parseRules(
  {
    model: 'm',
    rules: [
      { when: { name: 'final' }, is: 'final' },
      { when: { name: 'abl-*' }, is: 'ablation', model: 'n' },
    ],
    idle: { key: 'usage' },
    staff: [{ what: 'people', amount: '1000.01', key: { m: '0.3', n: '0.7' }, source: 'payroll' }],
    prices: { 'gpu-hour': { price: '1.99', source: 'contract' } },
  },
  'rules.json',
);
const bill = (paths: string[]): Promise<Statement> =>
  computeUsageBill(paths, { rules: RULES, threads: 1 });

it.each([1, 2])(
  'lines add up to the totals under any grouping, and shares to the charges (seed %i)',
  async (seed) => {
    const random = new Random('lines', seed);
    const charges = focus(random, 60);
    const paths = [
      file('s.txt', sacct(random, 80)),
      file('f.csv', charges),
      file('o.json', opencost(random, 30)),
    ];
    const statement = await bill(paths);
    const full = new Decimal(statement.totals.full.amount);
    for (const key of ['model', 'category', 'source', 'account', 'kind', 'money'] as const) {
      const groups = new Map<string, Decimal>();
      for (const line of statement.lines)
        groups.set(line[key], (groups.get(line[key]) ?? new Decimal(0)).plus(line.amount));
      expect(sum(groups.values()).toFixed()).toBe(full.toFixed());
    }
    expect(
      sum([
        statement.totals.headline.amount,
        ...statement.bridge.map((step) => step.amount),
      ]).toFixed(),
    ).toBe(full.toFixed());
    expect(sum(statement.models.map((one) => one.full)).toFixed()).toBe(full.toFixed());
    // Not a cent of the charges is lost or made: they are on the bill as charges, whoever bears
    // them.
    const charged = charges
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(',')[0]);
    expect(
      sum(
        statement.lines.filter((line) => line.money === 'charge').map((line) => line.amount),
      ).toFixed(),
    ).toBe(sum(charged).toFixed());
    // The same files give the same document, digit for digit; named twice, and copied, they change
    // nothing but the notes.
    expect(await bill(paths)).toEqual(statement);
    const again = await bill([...paths, ...paths, file('copy.csv', charges)]);
    expect(again.lines).toEqual(statement.lines);
  },
);

it('a Parquet copy of a CSV export holds the same charges: they are paid once', async () => {
  const csv = focus(new Random('parquet'), 40);
  const path = join(folder, 'f.parquet');
  await parquet(csv, path);
  const alone = await bill([file('f1.csv', csv)]);
  expect((await bill([path])).totals).toEqual(alone.totals);
  const both = await bill([join(folder, 'f1.csv'), path]);
  expect(both.totals).toEqual(alone.totals);
  expect(both.imports.files[1]).toMatchObject({
    format: 'focus-parquet',
    rows: 40,
    duplicates: 40,
    refused: 0,
  });
});

/** Cuts a file, or changes, removes or repeats some of its bytes. */
function damage(random: Random, content: Buffer): Buffer {
  const at = random.uint32() % content.length;
  const length = 1 + (random.uint32() % 20);
  const kind = random.uint32() % 4;
  if (kind === 0) return content.subarray(0, at);
  if (kind === 1) return Buffer.concat([content.subarray(0, at), content.subarray(at + length)]);
  if (kind === 2) return Buffer.concat([content.subarray(0, at + length), content.subarray(at)]);
  const changed = Buffer.from(content);
  for (let i = 0; i < 3; i++)
    changed[random.uint32() % changed.length] = pick(random, [
      0,
      10,
      34,
      44,
      123,
      124,
      255,
      random.uint32() % 256,
    ]);
  return changed;
}

it('damaged files: an error that names the file, or rows that are counted and listed; never anything else', async () => {
  const random = new Random('fuzz');
  const path = join(folder, 'whole.parquet');
  await parquet(focus(random, 20), path);
  const originals: [string, Buffer][] = [
    ['slurm.txt', Buffer.from(sacct(random, 12))],
    ['focus.csv', Buffer.from(focus(random, 12))],
    ['opencost.json', Buffer.from(opencost(random, 4))],
    [
      'opencost.csv',
      Buffer.from(
        'name,start,end,cpuCoreHours,cpuCost,totalCost\na,2026-09-01T00:00:00Z,2026-09-02T00:00:00Z,3,4,5\n',
      ),
    ],
    [
      'slurm.json',
      Buffer.from(
        '{"jobs":[{"job_id":1,"account":"a","state":{"current":["COMPLETED"]},"time":{"start":1,"end":9,"elapsed":8},"tres":{"allocated":[{"type":"cpu","count":2}]}}]}',
      ),
    ],
    ['focus.parquet', (await import('node:fs')).readFileSync(path)],
  ];
  let [refused, listed] = [0, 0];
  for (const [name, content] of originals) {
    for (let i = 0; i < 6; i++) {
      const damaged = file(name, damage(random, content));
      try {
        const { imports, lines, totals } = await bill([damaged]);
        const [report] = imports.files;
        expect(imports.malformed.length).toBe(report.malformed);
        for (const { file, line, reason } of imports.malformed)
          expect([file, line > 0, reason.length > 0]).toEqual([damaged, true, true]);
        expect(sum(lines.map((one) => one.amount)).toFixed()).toBe(totals.full.amount);
        if (report.malformed > 0) listed++;
      } catch (error) {
        expect(error, `${name} ${i}`).toBeInstanceOf(UserError);
        expect((error as UserError).message).toMatch(/^[^\n]+$/);
        refused++;
      }
    }
  }
  expect(refused).toBeGreaterThan(3);
  expect(listed).toBeGreaterThan(3);
});

it('text from outside stays text in every output', async () => {
  const nasty = '<img src=x onerror=alert(1)>|`x`"\u001b[31m';
  const csv = `BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ServiceName,SubAccountId\n7,USD,${day(0)}Z,${day(1)}Z,"${nasty.replaceAll('"', '""')}",=1+1\nx,USD,${day(0)}Z,${day(1)}Z,a,b\n`;
  const statement = await bill([file('<b>.csv', csv)]);
  const html = formatStatement(statement, 'html');
  expect(html).not.toMatch(/<img|<script|<b>|https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
  expect(html).toContain('&lt;b&gt;.csv');
  expect(html).toContain("default-src 'none'");
  expect(html).toMatch(/<svg[^>]*role="img"/);
  for (const format of ['text', 'markdown', 'html'] as const)
    expect(formatStatement(statement, format)).not.toContain('\u001b');
  expect(formatStatement(statement, 'markdown')).toContain('\\<b\\>.csv');
  expect(formatStatement(statement, 'csv')).toContain(",'=1+1,");
  // What is written as FOCUS is read as FOCUS.
  const back = await bill([
    file(
      'back.csv',
      formatStatement(
        { ...statement, lines: statement.lines.filter((line) => line.source !== 'stated') },
        'focus-csv',
      ),
    ),
  ]);
  expect(back.lines.filter((line) => line.source === 'focus').map((line) => line.amount)).toEqual([
    '7',
  ]);
});

it('printed amounts add up to the printed total', async () => {
  const statement = await bill([file('p.csv', focus(new Random('print'), 30))]);
  const rows = formatStatement(statement, 'markdown')
    .split('### ')[1]
    .split('\n')
    .filter((line) => /\$/.test(line));
  const full = rows.map(
    (row) => new Decimal(row.replaceAll('*', '').split('|')[7].replace(/[$, ]/g, '')),
  );
  expect(sum(full.slice(0, -1)).toFixed()).toBe(full[full.length - 1].toFixed());
});
