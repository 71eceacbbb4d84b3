// A FOCUS export billed here and added up in plain SQL: rows, money by category of the charge, by
// category of the service and by currency, and what kind of resource each provider's compute is.
//
//   npm run build && node scripts/focus-sample.mjs focus_sample.csv
//
// The official sample is FOCUS-1.0/focus_sample.csv of
// https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS-Sample-Data (CC BY 4.0).
import { DuckDBInstance } from '@duckdb/node-api';
import { Decimal } from 'decimal.js';
import { parseRules } from '../dist/ledger/book/allocation-rules.js';
import { fileLiteral } from '../dist/ledger/import/duckdb.js';
import { computeUsageBill } from '../dist/ledger/statement/usage.js';

const [path] = process.argv.slice(2);
if (path === undefined) {
  console.error('usage: node scripts/focus-sample.mjs FILE.csv');
  process.exit(2);
}
const connection = await (await DuckDBInstance.create(':memory:')).connect();
const sql = async (query) => (await connection.runAndReadAll(query)).getRowObjectsJson();
const scan = `read_csv(${fileLiteral(path)}, all_varchar = true, nullstr = 'NULL')`;
const plain = (key, cost) =>
  sql(`SELECT ${key} AS key, count(*) AS rows, sum(${cost}::DECIMAL(38, 18))::VARCHAR AS amount
    FROM ${scan} GROUP BY ALL ORDER BY abs(sum(${cost}::DECIMAL(38, 18))) DESC`);

/** The bill's amount and rows by what a rule names. */
async function billed(cost, rules) {
  const { lines, totals, imports, notes } = await computeUsageBill([path], {
    rules: parseRules({ focus: { cost }, rates: RATES, ...rules }, 'focus-sample'),
  });
  return { lines, totals, file: imports.files[0], notes };
}

/** The sum of the charges that match: a rule makes them lines of a model. */
async function billedWhere(cost, when) {
  const { lines } = await billed(cost, { rules: [{ when, is: 'research', model: 'these' }] });
  return lines
    .filter(({ model }) => model === 'these')
    .reduce((sum, line) => sum.plus(line.amount), new Decimal(0))
    .toFixed();
}

/** Currencies are added up one for one: the sample has no rates, and the sums are to be compared. */
const currencies = await plain('BillingCurrency', 'BilledCost');
const one = { rate: '1', date: '2024-09-01', source: 'one for one, to compare sums' };
const RATES = Object.fromEntries(
  currencies.flatMap(({ key }) => (key === 'USD' ? [] : [[key, one]])),
);

const problems = [];
const row = (what, rows, mine, theirs) => {
  const equal = new Decimal(mine).equals(theirs);
  if (!equal) problems.push(what);
  console.log(
    `| ${what} | ${rows} | ${mine} | ${new Decimal(theirs).toFixed()} | ${equal ? 'yes' : '**no**'} |`,
  );
};
console.log('| | rows | bill | plain SQL | equal |\n| --- | ---: | ---: | ---: | --- |');
for (const cost of ['BilledCost', 'EffectiveCost']) {
  const all = await billed(cost, {});
  const [{ rows, amount }] = await plain("'all'", cost);
  if (String(all.file.rows) !== String(rows)) problems.push('rows');
  row(`${cost}, all`, `${all.file.rows} of ${rows}`, all.totals.full.amount, amount);
  for (const [name, column] of [
    ['category', 'ServiceCategory'],
    ['charge', 'ChargeCategory'],
    ['ProviderName', 'ProviderName'],
  ])
    for (const { key, rows, amount } of await plain(column, cost)) {
      if (key === null) continue;
      const mine = await billedWhere(cost, {
        [name === 'category' ? 'ServiceCategory' : name]: key,
      });
      row(`${cost}, ${column} ${key}`, rows, mine, amount);
    }
}
// AWS names the machine in the description of a charge; families g and p have GPUs.
const machine = "regexp_extract(ChargeDescription, 'Linux ([a-z0-9-]+)\\.[a-z0-9-]+ Instance', 1)";
for (const { key, rows, amount } of await plain(
  `CASE WHEN ${machine} = '' THEN NULL WHEN ${machine} SIMILAR TO '[gp][0-9].*' THEN 'gpu' ELSE 'cpu' END`,
  'BilledCost',
)) {
  if (key === null) continue;
  const mine = await billedWhere('BilledCost', { ProviderName: 'AWS', kind: key });
  row(`BilledCost, machines of AWS of kind ${key}`, rows, mine, amount);
}
const { lines, notes, file } = await billed('BilledCost', {});
const kinds = new Map();
for (const { kind, amount, rows } of lines) {
  const before = kinds.get(kind) ?? { amount: new Decimal(0), rows: 0 };
  kinds.set(kind, { amount: before.amount.plus(amount), rows: before.rows + rows });
}
console.log('\n| kind | rows | billed |\n| --- | ---: | ---: |');
for (const [kind, { amount, rows }] of [...kinds].sort())
  console.log(`| ${kind} | ${rows} | ${amount.toFixed()} |`);
console.log(`\nmalformed ${file.malformed}, skipped ${JSON.stringify(file.skipped)}`);
for (const note of notes) console.log(`- ${note}`);
if (problems.length > 0) {
  console.error(`not equal: ${problems.join(', ')}`);
  process.exit(1);
}
