/**
 * @file Parquet files whose footer states other numbers of rows than their parts: readers go by the
 * row groups, so such a file would lose rows, or expand to more than it states.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NO_RULES } from '../book/allocation-rules.js';
import { computeUsageBill } from '../statement/usage.js';
import { fileLiteral, openDatabase } from './duckdb.js';

const ROWS = 1_100_000;
let folder: string;
let whole: Buffer;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-parquet-'));
  whole = await parquet(
    'whole',
    `SELECT 1.5::DECIMAL(18, 6) AS BilledCost, 'USD' AS BillingCurrency, 'Storage' AS ServiceCategory,
      '2026-05-01T00:00:00Z' AS ChargePeriodStart, '2026-05-02T00:00:00Z' AS ChargePeriodEnd
    FROM range(${ROWS})`,
  );
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function parquet(name: string, select: string): Promise<Buffer> {
  const path = join(folder, `${name}.parquet`);
  const db = await openDatabase({ threads: 1 });
  await db.run(
    `COPY (${select}) TO ${fileLiteral(path)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE ${ROWS})`,
  );
  db.close();
  return readFileSync(path);
}

const bill = (path: string) => computeUsageBill([path], { rules: NO_RULES, threads: 1 });
const why = (path: string): Promise<string> =>
  bill(path).then(
    ({ totals }) => `billed ${totals.full.amount}`,
    (error: Error) => error.message,
  );

/** A number as Thrift's compact protocol writes it: zigzag, then 7 bits a byte. */
function varint(n: number): Buffer {
  const out: number[] = [];
  for (let left = n * 2; ; left = Math.floor(left / 128)) {
    if (left < 128) return Buffer.from([...out, left]);
    out.push((left % 128) | 128);
  }
}

/** The file with the number of rows at the given places of its footer overwritten by 1. */
function lying(name: string, places: (count: number) => number[]): string {
  const copy = Buffer.from(whole);
  const true_ = varint(ROWS);
  const footer = copy.length - 8 - copy.readUInt32LE(copy.length - 8);
  const found: number[] = [];
  for (let at = copy.indexOf(true_, footer); at >= 0; at = copy.indexOf(true_, at + 1))
    found.push(at);
  // The file's rows, the values of each column (and once its statistics), and the group's rows.
  expect(found.length).toBeGreaterThan(5);
  for (const i of places(found.length)) Buffer.from([0x82, 0x80, 0x80, 0x00]).copy(copy, found[i]);
  const path = join(folder, `${name}.parquet`);
  writeFileSync(path, copy);
  return path;
}

describe('Parquet', () => {
  it('a file of a few kB with a million rows is refused as what it expands to', async () => {
    expect(whole.length).toBeLessThan(10_000);
    expect(await why(join(folder, 'whole.parquet'))).toContain('expands to 1100000 rows');
  });

  it.each([
    ['a file that states one row', () => [0], 'expands to 1100000 rows'],
    ['a row group that states one', (n: number) => [n - 1], 'expands to'],
    [
      'both state one',
      (n: number) => [0, n - 1],
      'contradicts itself: 1 rows, 1 in its row groups, with columns of other lengths',
    ],
  ])('%s', async (name, places, message) => {
    expect(await why(lying(name, places))).toContain(message);
  });

  it('an honest file of many rows a byte is billed', async () => {
    await parquet(
      'honest',
      `SELECT 1.5::DECIMAL(18, 6) AS BilledCost, 'USD' AS BillingCurrency, 'Storage' AS ServiceCategory,
        '2026-05-01T00:00:00Z' AS ChargePeriodStart, '2026-05-02T00:00:00Z' AS ChargePeriodEnd,
        MAP {'team': 'x'} AS Tags FROM range(1000)`,
    );
    expect(await why(join(folder, 'honest.parquet'))).toBe('billed 1500');
  });

  it('a long text on every row is not copied into a table', async () => {
    await parquet(
      'long',
      `SELECT i::VARCHAR || repeat('x', 1000000) AS JobIDRaw, 'COMPLETED' AS State, '2026-05-01T00:00:00' AS Start,
        '3600' AS ElapsedRaw, 'cpu=4' AS AllocTRES FROM range(20) AS r(i)
      UNION ALL SELECT '7', 'COMPLETED', '2026-05-01T00:00:00', '3600', 'cpu=4'`,
    );
    const { imports } = await bill(join(folder, 'long.parquet'));
    expect(imports.files[0]).toMatchObject({ rows: 21, malformed: 20 });
    expect(imports.malformed[0].reason).toBe('a name of more than 32768 bytes');
  });
});
