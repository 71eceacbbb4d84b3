// Billing usage files against the same aggregate in plain DuckDB SQL: seconds and processor seconds,
// their ratios, and the highest resident size.
//
//   node bench/ledger.mjs [--rows 10000000] [--threads 2] [--cases focus-parquet,focus-csv,slurm,mixed] [--repeats 3]
//
// Each measurement is a process of its own, started with nothing loaded; files are made first, in a
// temporary folder. The SQL is what somebody would write who trusts the files: it reads the same
// columns with the same exact types, with the same threads and memory, and checks nothing. Billing
// also checks every row, looks for repeated ones, matches rules and hashes the file.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { demandBuild, describe, machine, median, table, times, whole } from './harness.mjs';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: '10000000' },
    threads: { type: 'string', default: '2' },
    cases: { type: 'string', default: 'focus-parquet,focus-csv,slurm,mixed' },
    repeats: { type: 'string', default: '3' },
  },
});
const rows = Number(flags.rows);
const threads = Number(flags.threads);
const MEMORY_BYTES = 1.2e9;

async function connect() {
  const { DuckDBInstance } = await import('@duckdb/node-api');
  const instance = await DuckDBInstance.create(':memory:', {
    threads: String(threads),
    memory_limit: `${MEMORY_BYTES / 1e6}MB`,
    temp_directory: join(tmpdir(), `reckoner-bench-spill-${process.pid}`),
  });
  const connection = await instance.connect();
  await connection.run("SET TimeZone = 'UTC'; SET preserve_insertion_order = false");
  return connection;
}

// ── files ────────────────────────────────────────────────────────────────────────────────────────

/** A month of hourly charges: 200 accounts, 8 services, a cost of six decimals. */
const focusRows = (n) => `SELECT
    ((hash(i) % 9000000) / 1000000)::DECIMAL(18, 6) AS BilledCost, ((hash(i) % 9000000) / 1000000)::DECIMAL(18, 6) AS EffectiveCost,
    'USD' AS BillingCurrency, 'b-1' AS BillingAccountId, 'account-' || (hash(i + 1) % 200) AS SubAccountId, 'Usage' AS ChargeCategory,
    strftime(TIMESTAMP '2026-09-01' + to_hours((i % 720)::BIGINT), '%Y-%m-%dT%H:%M:%SZ') AS ChargePeriodStart,
    strftime(TIMESTAMP '2026-09-01' + to_hours((i % 720 + 1)::BIGINT), '%Y-%m-%dT%H:%M:%SZ') AS ChargePeriodEnd,
    ['Compute', 'Compute', 'Storage', 'Networking'][(i % 4 + 1)::INT] AS ServiceCategory,
    ['EC2', 'EKS', 'S3', 'VPC', 'EC2', 'Lambda', 'EBS', 'ELB'][(i % 8 + 1)::INT] AS ServiceName,
    ['p5.48xlarge', 'm7i.large', 'GB-month', 'GB out'][(i % 4 + 1)::INT] AS SkuMeter,
    'i-' || printf('%016x', hash(i % 50000)) AS ResourceId, (i % 100) / 100 AS ConsumedQuantity, 'Hours' AS ConsumedUnit
  FROM range(${n}) AS r(i)`;

/** Jobs of up to eight hours on up to eight GPUs, one in twenty failed. */
const slurmRows = (
  n,
) => `SELECT i + 1 AS JobID, 'run-' || (i % 1000) AS JobName, 'team-' || (hash(i) % 50) AS Account,
    CASE WHEN i % 20 = 0 THEN 'FAILED' ELSE 'COMPLETED' END AS State,
    strftime(TIMESTAMP '2026-09-01' + to_seconds((i * 2592000 // ${n})::BIGINT), '%Y-%m-%dT%H:%M:%S') AS Start,
    strftime(TIMESTAMP '2026-09-01' + to_seconds((i * 2592000 // ${n} + hash(i) % 28800 + 1)::BIGINT), '%Y-%m-%dT%H:%M:%S') AS "End",
    hash(i) % 28800 + 1 AS ElapsedRaw,
    'billing=8,cpu=16,gres/gpu=' || (i % 8 + 1) || ',gres/gpu:h100=' || (i % 8 + 1) || ',mem=128G,node=1' AS AllocTRES
  FROM range(${n}) AS r(i)`;

const PARQUET = 'FORMAT parquet';
const CSV = "FORMAT csv, HEADER, DELIMITER ','";
const SACCT = "FORMAT csv, HEADER, DELIMITER '|', QUOTE ''";

/** File name → [rows, as what]. */
const filesOf = (folder) => ({
  'focus-parquet': [[join(folder, 'focus.parquet'), focusRows(rows), PARQUET]],
  'focus-csv': [[join(folder, 'focus.csv'), focusRows(rows), CSV]],
  slurm: [[join(folder, 'sacct.txt'), slurmRows(rows), SACCT]],
  mixed: [
    [join(folder, 'half.parquet'), focusRows(rows / 2), PARQUET],
    [join(folder, 'half.txt'), slurmRows(rows / 2), SACCT],
  ],
});

// ── plain SQL ────────────────────────────────────────────────────────────────────────────────────

const money =
  'sum(BilledCost::DECIMAL(38, 18)) AS amount, count(*), min(ChargePeriodStart::TIMESTAMP), max(ChargePeriodEnd::TIMESTAMP)';
const charges = (scan) =>
  `SELECT SubAccountId, ServiceName, ServiceCategory, BillingCurrency, ${money} FROM ${scan} GROUP BY ALL`;
const csv = (file) => `read_csv('${file}', types = {'BilledCost': 'DECIMAL(38, 18)'})`;
const jobs = (file) =>
  `read_csv('${file}', delim = '|', quote = '', header = true, all_varchar = true)`;
const GPUS = "regexp_extract(AllocTRES, 'gres/gpu=(\\d+)', 1)::BIGINT";

const SQL = {
  'focus-parquet': ([file]) => charges(`read_parquet('${file}')`),
  'focus-csv': ([file]) => charges(csv(file)),
  slurm: ([
    file,
  ]) => `SELECT Account, State, regexp_extract(AllocTRES, 'gres/gpu:([^=,]+)=', 1) AS model, sum(ElapsedRaw::BIGINT * ${GPUS}) AS amount,
      count(*), min(Start::TIMESTAMP), max("End"::TIMESTAMP) FROM ${jobs(file)} GROUP BY ALL`,
  mixed: ([parquet, file]) => `WITH
      charge AS (SELECT ChargePeriodStart::TIMESTAMP AS s, ChargePeriodEnd::TIMESTAMP AS e, sum(BilledCost::DECIMAL(38, 18)) AS amount
        FROM read_parquet('${parquet}') WHERE SkuMeter LIKE 'p5%' GROUP BY ALL),
      job AS (SELECT Account, State, Start::TIMESTAMP AS a, "End"::TIMESTAMP AS b, ${GPUS} AS gpus FROM ${jobs(file)}),
      share AS (SELECT s, Account, State, sum(gpus * date_diff('second', greatest(a, s), least(b, e))) AS w FROM job JOIN charge ON a < e AND b > s GROUP BY ALL),
      total AS (SELECT s, sum(w) AS w FROM share GROUP BY s)
    SELECT Account, State, sum(amount * share.w / total.w) AS amount FROM share JOIN total USING (s) JOIN charge USING (s) GROUP BY ALL
    UNION ALL SELECT SubAccountId, ServiceName, sum(BilledCost::DECIMAL(38, 18)) FROM read_parquet('${parquet}') WHERE SkuMeter NOT LIKE 'p5%' GROUP BY ALL`,
};

// ── one measurement, in a process of its own ─────────────────────────────────────────────────────

async function measure(how, name, paths) {
  const start = performance.now();
  let total;
  if (how === 'sql') {
    const connection = await connect();
    const result = await connection.runAndReadAll(
      `SELECT sum(amount)::VARCHAR AS total, count(*) AS groups FROM (${SQL[name](paths)})`,
    );
    total = result.getRowObjectsJson()[0].total;
  } else {
    const { computeUsageBill } = await import('../dist/ledger/statement/usage.js');
    const { parseRules } = await import('../dist/ledger/book/allocation-rules.js');
    const rules = parseRules(
      { prices: { 'gpu-hour': { price: '1', source: 'the measurement' } } },
      'bench',
    );
    const statement = await computeUsageBill(paths, { rules, threads, memoryBytes: MEMORY_BYTES });
    total = statement.totals.full.amount;
    const read = statement.imports.files.reduce((sum, file) => sum + file.rows, 0);
    if (read !== rows) throw new Error(`read ${read} rows of ${rows}`);
  }
  const seconds = (performance.now() - start) / 1000;
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  const processor = (userCPUTime + systemCPUTime) / 1e6;
  console.log(JSON.stringify({ seconds, processor, bytes: maxRSS * 1024, total }));
}

function child(...args) {
  const script = fileURLToPath(import.meta.url);
  const options = ['--rows', flags.rows, '--threads', flags.threads];
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...options, ...args], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return stdout === '' ? null : JSON.parse(stdout);
}

async function make(name, folder) {
  const connection = await connect();
  for (const [path, select, as] of filesOf(folder)[name])
    await connection.run(`COPY (${select}) TO '${path}' (${as})`);
}

if (positionals[0] === 'measure')
  await measure(positionals[1], positionals[2], positionals.slice(3));
else if (positionals[0] === 'make') await make(positionals[1], positionals[2]);
else await main();

async function main() {
  demandBuild();
  console.log(`## Ledger: ${whole(rows)} usage rows\n`);
  console.log(
    `${describe(machine(`node bench/ledger.mjs --rows ${rows} --threads ${threads}`))}\n`,
  );
  const lines = [];
  const results = [];
  for (const name of flags.cases.split(',')) {
    const folder = mkdtempSync(join(tmpdir(), 'reckoner-bench-ledger-'));
    try {
      child('make', name, folder);
      const paths = filesOf(folder)[name].map(([path]) => path);
      const bytes = paths.reduce((sum, path) => sum + statSync(path).size, 0);
      const measured = { bill: [], sql: [] };
      // In turns, so that a disturbance meets both.
      for (let i = 0; i < Number(flags.repeats); i++) {
        for (const how of ['sql', 'bill'])
          measured[how].push(child('measure', how, name, ...paths));
      }
      const seconds = (how) => median(measured[how].map((one) => one.seconds));
      const processor = (how) => median(measured[how].map((one) => one.processor));
      const memory = (how) => Math.max(...measured[how].map((one) => one.bytes)) / 1e6;
      const ratio = seconds('bill') / seconds('sql');
      results.push({
        name,
        rows,
        fileBytes: bytes,
        billSeconds: seconds('bill'),
        sqlSeconds: seconds('sql'),
        ratio,
        billProcessorSeconds: processor('bill'),
        sqlProcessorSeconds: processor('sql'),
        billPeakBytes: memory('bill') * 1e6,
      });
      lines.push([
        name,
        `${whole(bytes / 1e6)} MB`,
        `${seconds('bill').toFixed(2)} s`,
        `${seconds('sql').toFixed(2)} s`,
        times(ratio),
        `${processor('bill').toFixed(2)} s`,
        `${processor('sql').toFixed(2)} s`,
        times(processor('bill') / processor('sql')),
        `${whole(memory('bill'))} MB`,
        `${whole(memory('sql'))} MB`,
      ]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  console.log(
    table(
      [
        ...['Files', 'Size', 'Bill', 'Plain SQL', 'Ratio'],
        ...['Bill, processor', 'SQL, processor', 'Ratio', 'Bill, peak RSS', 'SQL, peak RSS'],
      ],
      lines,
    ),
  );
  if (process.env.RECKONER_BENCH_JSON)
    writeFileSync(process.env.RECKONER_BENCH_JSON, `${JSON.stringify(results, null, 2)}\n`);
}
