/**
 * @file Odd and hostile files of every format: each is billed to the cent, is refused with its
 * reason, or has its lost rows counted.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseRules } from '../book/allocation-rules.js';
import { computeUsageBill } from '../statement/usage.js';

const folder = mkdtempSync(join(tmpdir(), 'reckoner-odd-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Dollars of the bill and malformed rows, or a part of the refusal. */
type Want = string | [usd: number, malformed?: number];
type Case = [name: string, content: string | Buffer, want: Want, rules?: unknown];

let files = 0;
async function outcome(content: string | Buffer, rules: unknown = {}): Promise<Want> {
  const path = join(folder, `odd-${files++}`);
  writeFileSync(path, content);
  try {
    const { totals, imports } = await computeUsageBill([path], {
      rules: parseRules(rules, 'rules.json'),
      threads: 1,
    });
    return [Number(totals.full.amount), imports.files[0].malformed];
  } catch (error) {
    expect((error as { code?: string }).code, (error as Error).stack).toMatch(/data|usage/);
    return (error as Error).message;
  }
}

const run = (cases: readonly Case[]): void =>
  it.each(cases)('%s', async (_, content, want, rules) => {
    const got = await outcome(content, rules);
    if (typeof want === 'string') {
      expect(typeof got, String(got)).toBe('string');
      expect(got).toContain(want);
      expect(got).not.toContain('\n');
    } else expect(got).toEqual([want[0], want[1] ?? 0]);
  });

// ── OpenCost and Kubecost ────────────────────────────────────────────────────────────────────────

const DAY = { start: '2026-03-01T00:00:00Z', end: '2026-03-02T00:00:00Z' };
const allocation = (rest: Record<string, unknown>) => ({ name: 'a', ...DAY, ...rest });
const data = (...rows: Record<string, unknown>[]): string =>
  JSON.stringify({
    code: 200,
    data: rows.map((row, i) => ({ [`k${i}`]: { name: `k${i}`, ...row } })),
  });
const one = (rest: Record<string, unknown>): string => data({ ...DAY, ...rest });

describe('OpenCost and Kubecost', () => {
  run([
    ['costs as text', one({ cpuCost: '1.5', totalCost: '1.5' }), [1.5]],
    ['exponents', one({ cpuCost: 1e-3, gpuCost: 2.5e2, totalCost: 250.001 }), [250.001]],
    ['an adjustment', one({ cpuCost: 5, cpuCostAdjustment: -2, totalCost: 3 }), [3]],
    ['parts without a total', one({ cpuCost: 1, ramCost: 2, pvCost: 4 }), [7]],
    ['a total below its parts', one({ cpuCost: 5, ramCost: 5, totalCost: 8 }), [8]],
    ['a total without parts', one({ totalCost: 4 }), [4]],
    ['null costs', one({ cpuCost: null, totalCost: 4 }), [4]],
    [
      'an infinite cost',
      `{"data":[{"a":${JSON.stringify(allocation({ cpuCost: 9 })).replace('9', '1e400')},"b":${JSON.stringify(allocation({ totalCost: 2 }))}}]}`,
      [2, 1],
    ],
    [
      'offsets in times',
      one({ start: '2026-03-01T02:00:00+02:00', end: '2026-03-02T02:00:00+02:00', totalCost: 3 }),
      [3],
    ],
    [
      'nanoseconds',
      one({
        start: '2026-03-01T00:00:00.123456789Z',
        end: '2026-03-02T00:00:00.987654321Z',
        totalCost: 3,
      }),
      [3],
    ],
    [
      'a window of no length',
      data({ ...DAY, totalCost: 1 }, { start: DAY.start, end: DAY.start, totalCost: 2 }),
      [1, 1],
    ],
    [
      'keys of a prototype',
      '{"data":[{"__proto__":{"start":"2026-03-01T00:00:00Z","end":"2026-03-02T00:00:00Z","totalCost":3},"constructor":{"start":"2026-03-01T00:00:00Z","end":"2026-03-02T00:00:00Z","totalCost":4}}]}',
      [7],
    ],
    [
      'a map of windows',
      JSON.stringify({
        data: {
          '2026-03-01,2026-03-02': { a: allocation({ totalCost: 1 }) },
          '2026-03-02,2026-03-03': {
            a: allocation({ start: DAY.end, end: '2026-03-03T00:00:00Z', totalCost: 2 }),
          },
        },
      }),
      [3],
    ],
    [
      'a node as an asset',
      one({ type: 'Node', cpuCost: 1, gpuCost: 2, ramCost: 3, adjustment: 0, totalCost: 6 }),
      [6],
    ],
    [
      'a disk as an asset',
      one({ type: 'Disk', byteHours: 1e12, adjustment: -1, totalCost: 4 }),
      [4],
    ],
    [
      'shared and external costs',
      one({ cpuCost: 1, sharedCost: 2, externalCost: 3, totalCost: 6 }),
      [6],
    ],
    [
      'a quantity below zero',
      data({ ...DAY, totalCost: 1 }, { ...DAY, gpuHours: -5, gpuCost: 5, totalCost: 5 }),
      [1, 1],
    ],
    [
      'an allocation that is a number',
      JSON.stringify({ data: [{ a: allocation({ totalCost: 1 }), b: 7 }] }),
      [1, 1],
    ],
    [
      'an allocation that is null',
      JSON.stringify({ data: [{ a: allocation({ totalCost: 1 }), b: null }] }),
      [1, 1],
    ],
    [
      'windows one after the other',
      JSON.stringify({
        data: [
          { a: allocation({ totalCost: 1 }) },
          { a: allocation({ start: DAY.end, end: '2026-03-03T00:00:00Z', totalCost: 2 }) },
        ],
      }),
      [3],
    ],
    ['no window at all', JSON.stringify({ data: [{ a: { name: 'a', totalCost: 2 } }] }), 'start'],
    [
      'cloud costs',
      JSON.stringify({
        code: 200,
        data: {
          sets: [
            {
              cloudCosts: {
                k: {
                  properties: { provider: 'AWS' },
                  window: DAY,
                  listCost: { cost: 10 },
                  netCost: { cost: 9 },
                },
              },
            },
          ],
        },
      }),
      'cloud costs',
    ],
    [
      'savings',
      JSON.stringify({ code: 200, data: { recommendations: [{ monthlySavings: 10 }] } }),
      'no row can be read',
    ],
    ['a number in place of data', '{"code":200,"data":12}', 'no row can be read'],
    [
      'CSV with a byte-order mark and CRLF',
      '\ufeffName,Start,End,TotalCost\r\na,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,2.5\r\n',
      [2.5],
    ],
    [
      'CSV with semicolons and decimal commas',
      'Name;Start;End;TotalCost\na;2026-03-01T00:00:00Z;2026-03-02T00:00:00Z;2,5\n',
      'not a number',
    ],
    [
      'CSV of which one row has a decimal comma',
      'Name;Start;End;TotalCost\na;2026-03-01T00:00:00Z;2026-03-02T00:00:00Z;2,5\nb;2026-03-01T00:00:00Z;2026-03-02T00:00:00Z;1\n',
      [1, 1],
    ],
    [
      'CSV that was cut off',
      'Name,Start,End,TotalCost\na,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,2\nb,2026-03-01T0',
      [2, 1],
    ],
  ]);
});

// ── Slurm ────────────────────────────────────────────────────────────────────────────────────────

const HEADER = 'JobIDRaw|JobName|State|Start|End|ElapsedRaw|AllocTRES';
const job = (
  fields: Partial<Record<'id' | 'name' | 'state' | 'start' | 'end' | 'seconds' | 'tres', string>>,
): string => {
  const {
    id = '1',
    name = 'n',
    state = 'COMPLETED',
    start = '2026-05-01T00:00:00',
    end = '2026-05-01T01:00:00',
    seconds = '3600',
    tres = 'cpu=8,gres/gpu=2',
  } = fields;
  return [id, name, state, start, end, seconds, tres].join('|');
};
const sacct = (...rows: string[]): string => `${[HEADER, ...rows].join('\n')}\n`;
const PRICES = {
  prices: { 'gpu-hour': { price: '1', source: 'x' }, 'core-hour': { price: '0.1', source: 'x' } },
};

describe('Slurm', () => {
  const cases: Case[] = [
    ['names in lower case', sacct(job({})).replace(HEADER, HEADER.toLowerCase()), [2]],
    ['the mark of --parsable at each end', sacct(job({})).replaceAll('\n', '|\n'), [2]],
    ['CRLF', sacct(job({})).replaceAll('\n', '\r\n'), [2]],
    [
      'an array, and tasks of it that wait',
      sacct(
        job({ id: '7_1' }),
        job({ id: '7_2' }),
        job({
          id: '7_[3-9]',
          state: 'PENDING',
          start: 'Unknown',
          end: 'Unknown',
          seconds: '0',
          tres: '',
        }),
      ),
      [4],
    ],
    ['a heterogeneous job', sacct(job({ id: '9+0' }), job({ id: '9+1', tres: 'cpu=10' })), [3]],
    [
      'steps',
      sacct(job({}), job({ id: '1.batch' }), job({ id: '1.extern' }), job({ id: '1.0' })),
      [2],
    ],
    ['a job that runs', sacct(job({ state: 'RUNNING', end: 'Unknown' })), [2]],
    ['a job without a start', sacct(job({}), job({ id: '2', start: 'None' })), [2, 1]],
    ['a name with the delimiter', sacct(job({}), job({ id: '2', name: 'a|b' })), [2, 1]],
    ['a type with a colon', sacct(job({ tres: 'cpu=8,gres/gpu:a100:sxm=3' })), [3]],
    ['no GPUs, stated', sacct(job({ tres: 'cpu=10,gres/gpu=0' })), [1]],
    ['fewer GPUs than of its types', sacct(job({ tres: 'gres/gpu=1,gres/gpu:a100=2' })), [1]],
    ['memory alone', sacct(job({}), job({ id: '2', tres: 'mem=4G' })), [2, 1]],
    ['an elapsed time below zero', sacct(job({}), job({ id: '2', seconds: '-60' })), [2, 1]],
    [
      'an elapsed time of a million years',
      sacct(job({}), job({ id: '2', seconds: '31536000000000' })),
      [2, 1],
    ],
    [
      'GPUs beyond 64 bits',
      sacct(job({}), job({ id: '2', tres: 'gres/gpu=99999999999999999999' })),
      [2, 1],
    ],
    ['a header twice', sacct(job({}), HEADER, job({ id: '2' })), [4, 1]],
    [
      'columns of fixed width',
      '       JobID    JobName  State  Elapsed \n------------ ---------- ------ -------- \n1            n          COMPLETED 01:00:00 \n',
      '--parsable2',
    ],
    ['another delimiter', sacct(job({})).replaceAll('|', '^'), [2]],
    [
      'CSV with quotes',
      sacct(job({ name: '"a, b"', tres: '"cpu=8,gres/gpu=2"' })).replaceAll('|', ','),
      [2],
    ],
    ['a state with the name of a user', sacct(job({ state: 'CANCELLED by 1000' })), [2]],
    [
      'a year of the past',
      sacct(job({}), job({ id: '2', start: '1969-12-31T23:00:00', end: '1970-01-01T00:00:00' })),
      [2, 1],
    ],
    ['no jobs', JSON.stringify({ meta: {}, errors: [], jobs: [] }), 'no rows in it'],
    ['sinfo', JSON.stringify({ meta: { command: ['sinfo'] }, sinfo: [{ node: {} }] }), 'sinfo'],
    [
      'sreport',
      'Cluster|Account|Login|Proper Name|TRES Name|Used\nc|a|u|U|gres/gpu|7\n',
      'sreport',
    ],
  ];
  run(cases.map(([name, content, want]) => [name, content, want, PRICES]));
});

// ── FOCUS ────────────────────────────────────────────────────────────────────────────────────────

const COLUMNS =
  'BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ServiceCategory,ChargeDescription';
const charge = (
  cost: string,
  rest: { currency?: string; start?: string; end?: string; text?: string } = {},
): string => {
  const {
    currency = 'USD',
    start = '2026-05-01T00:00:00Z',
    end = '2026-05-02T00:00:00Z',
    text = '',
  } = rest;
  return [cost, currency, start, end, 'Storage', text].join(',');
};
const focus = (...rows: string[]): string => `${[COLUMNS, ...rows].join('\n')}\n`;
const time = (start: string, end: string): string =>
  focus(charge('1'), charge('2', { start, end }));

describe('FOCUS', () => {
  run([
    ['thousands', focus(charge('1'), charge('"1,234.56"')), [1, 1]],
    ['a sign of a currency', focus(charge('1'), charge('$12.50')), [1, 1]],
    ['brackets for a minus', focus(charge('1'), charge('(5.00)')), [1, 1]],
    ['an exponent', focus(charge('1'), charge('1e2')), [101]],
    ['spaces around an amount', focus(charge(' 5.00 ')), [5]],
    ['18 decimals', focus(charge('0.000000000000000001'), charge('1')), [1]],
    ['more digits than fit', focus(charge('1'), charge('123456789012345678901')), [1, 1]],
    ['a sum below zero', focus(charge('1'), charge('-6')), [-5]],
    ['a currency in lower case', focus(charge('1'), charge('2', { currency: 'usd' })), [3]],
    ['a currency with a space', focus(charge('1'), charge('2', { currency: 'USD ' })), [3]],
    ['a currency without a rate', focus(charge('1'), charge('2', { currency: 'EUR' })), 'EUR'],
    ['a currency that is none', focus(charge('1'), charge('2', { currency: 'Dollars' })), [1, 1]],
    ['a lower-case z', time('2026-05-01t00:00:00z', '2026-05-02t00:00:00z'), [3]],
    [
      'an offset without a colon',
      time('2026-05-01T00:00:00+0000', '2026-05-02T00:00:00+0000'),
      [3],
    ],
    ['an offset of hours', time('2026-05-01 00:00:00+00', '2026-05-02 00:00:00+00'), [3]],
    ['the year first, with slashes', time('2026/05/01', '2026/05/02'), [3]],
    ['days without marks', time('20260501', '20260502'), [1, 1]],
    ['milliseconds since 1970', time('1777593600000', '1777680000000'), [1, 1]],
    ['a month in words', time('1 May 2026', '2 May 2026'), [1, 1]],
    ['a time zone by name', time('2026-05-01 00:00:00 PST', '2026-05-02 00:00:00 PST'), [3]],
    ['an end before its start', time('2026-05-02T00:00:00Z', '2026-05-01T00:00:00Z'), [1, 1]],
    ['infinite times', time('-infinity', 'infinity'), [1, 1]],
    ['a line break in a text', focus(charge('1', { text: '"a\nb"' }), charge('2')), [3]],
    ['a quote that is never closed', focus(charge('1'), charge('2', { text: '"a' })), [1, 1]],
    ['too few cells', focus(charge('1'), '2,USD,2026-05-01T00:00:00Z'), [1, 1]],
    ['too many cells', focus(charge('1'), `${charge('2')},x,y`), [1, 1]],
    ['a line of a total', focus(charge('1'), charge('2'), 'Total,,,,,', ',,,,,3'), [3, 2]],
    ['empty lines', focus(charge('1'), '', charge('2'), ''), [3]],
    ['tabs', focus(charge('1'), charge('2')).replaceAll(',', '\t'), [3]],
    [
      'a quoted header with a byte-order mark',
      `\ufeff"${COLUMNS.replaceAll(',', '","')}"\n${charge('3')}\n`,
      [3],
    ],
    [
      'a text of three megabytes',
      focus(charge('1'), charge('2', { text: 'x'.repeat(3e6) })),
      [1, 1],
    ],
    ['a formula in a text', focus(charge('3', { text: '"=HYPERLINK(""http://x"")"' })), [3]],
    [
      'spaces in names of columns',
      focus(charge('1')).replace('BilledCost', 'Billed Cost'),
      'no usage file',
    ],
    [
      'no currency',
      focus(charge('1')).replace('BillingCurrency', 'Currency'),
      'no column BillingCurrency',
    ],
    [
      'a report of AWS',
      'identity/LineItemId,lineItem/UsageStartDate,lineItem/UnblendedCost\na,2026-05-01T00:00:00Z,1\n',
      'export it as FOCUS',
    ],
    [
      'an export of Azure',
      'BillingAccountId,Date,CostInBillingCurrency,BillingCurrency\na,05/01/2026,1,USD\n',
      'export it as FOCUS',
    ],
    [
      'an export of Google Cloud',
      'billing_account_id,service.id,sku.id,usage_start_time,usage_end_time,cost\na,b,c,2026-05-01,2026-05-02,1\n',
      'export it as FOCUS',
    ],
    ['a ZIP archive', Buffer.from('PK\u0003\u0004\u0014\u0000\u0000\u0000', 'latin1'), 'ZIP'],
    ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]), 'zstd'],
    ['a database of SQLite', Buffer.from('SQLite format 3\0\u0010\0', 'latin1'), 'binary'],
    [
      'JSON of charges',
      JSON.stringify([{ BilledCost: 1, BillingCurrency: 'USD' }]),
      'JSON of another kind',
    ],
  ]);
});
