/**
 * @file FOCUS (FinOps Open Cost and Usage Specification) 1.0 to 1.3: billing exports as CSV (plain
 * or gzip) and Parquet.
 *
 * A row is a charge. `BilledCost` is what the invoice states; `EffectiveCost` spreads prepaid
 * commitments over their use; both together would count money twice, so one is chosen for the whole
 * bill. Amounts are read as DECIMAL(38, 18) (Parquet doubles at their shortest decimal), times are
 * UTC. There is no identifier of a row in FOCUS, so a row is known by its file's hash and its
 * place.
 *
 * Whether compute is a GPU or a processor is told by `SkuPriceDetails`, then by the instance type
 * and the catalogue of instance types, and by words last. Compute that none of them names is
 * `unknown`: it is listed, and no job bears it.
 */
import { z } from 'zod';
import {
  ACCELERATED_MACHINE,
  ACCELERATOR_WORDS,
  CPU_MACHINE,
  CPU_WORDS,
  NETWORK_WORDS,
  NO_ACCELERATOR_WORDS,
  STORAGE_WORDS,
} from '../../catalog/instance-types.js';
import { text } from './duckdb.js';
import {
  type Columns,
  type Importer,
  isoTime,
  type SourceSql,
  type SqlContext,
} from './importer.js';

const options = z.strictObject({
  cost: z.enum(['BilledCost', 'EffectiveCost']).default('BilledCost'),
  overlaps: z.enum(['refuse', 'bill']).default('refuse'),
});
type Options = z.output<typeof options>;

const NEEDED = ['BillingCurrency', 'ChargePeriodStart', 'ChargePeriodEnd'];
const KNOWN = [
  ...['BilledCost', 'EffectiveCost', ...NEEDED, 'BillingAccountId', 'BillingAccountName'],
  ...['SubAccountId', 'SubAccountName', 'ChargeCategory', 'ChargeClass', 'ServiceName'],
  ...['ServiceCategory', 'ServiceSubcategory', 'ResourceId', 'ResourceName', 'ResourceType'],
  ...['RegionId', 'SkuId', 'SkuMeter', 'SkuPriceDetails', 'ChargeDescription', 'x_InstanceType'],
  ...['ConsumedQuantity', 'ConsumedUnit', 'Tags', 'CommitmentDiscountStatus'],
  ...['CapacityReservationStatus'],
].map((one) => one.toLowerCase());

/**
 * What tells charges apart, beside their window and amount, where two exports may hold the same
 * one.
 */
const IDENTITY = [
  ...[
    'BillingAccountId',
    'SubAccountId',
    'ProviderName',
    'ServiceProviderName',
    'HostProviderName',
  ],
  ...['PublisherName', 'InvoiceId', 'ResourceId', 'ServiceName', 'SkuId', 'SkuPriceId', 'SkuMeter'],
  ...['ChargeCategory', 'ChargeClass', 'ChargeDescription', 'ChargeFrequency', 'PricingCategory'],
  ...['CommitmentDiscountId', 'CommitmentDiscountStatus', 'CapacityReservationId', 'RegionId'],
  ...['AvailabilityZone', 'ConsumedUnit', 'AllocatedResourceId'],
];

/** Columns of which an export has few distinct values: a thousand among millions of rows. */
const FEW = [
  ...['BillingCurrency', 'BillingAccountId', 'BillingAccountName', 'SubAccountId'],
  ...['SubAccountName', 'ChargeCategory', 'ChargeClass', 'ServiceName', 'ServiceCategory'],
  ...['ServiceSubcategory', 'RegionId', 'RegionName', 'ResourceType', 'SkuMeter', 'x_InstanceType'],
  ...['ConsumedUnit', 'PricingUnit', 'CommitmentDiscountStatus', 'CapacityReservationStatus'],
  ...['ProviderName', 'PublisherName', 'PricingCategory', 'ChargeFrequency', 'ChargeDescription'],
  ...['SkuPriceDetails', 'SkuId', 'SkuPriceId'],
].map((one) => one.toLowerCase());

/** Columns that may name the machine or the accelerator; not names that users give. */
const WORDS = ['x_InstanceType', 'ResourceType', 'SkuMeter', 'ChargeDescription', 'ServiceName'];

function isFocusHeader(names: readonly string[]): boolean {
  const lower = new Set(names.map((one) => one.toLowerCase()));
  return lower.has('chargeperiodstart') && (lower.has('billedcost') || lower.has('effectivecost'));
}

function detect(head: Parameters<Importer['detect']>[0]): string | null {
  if (head.form === 'json' || !isFocusHeader(head.names)) return null;
  return head.form === 'text' ? 'focus-csv' : 'focus-parquet';
}

function missing(columns: Columns, { cost }: Options): string | null {
  const absent = [cost, ...NEEDED].find((one) => !columns.has(one.toLowerCase()));
  return absent === undefined ? null : `no column ${absent}; export it again`;
}

/** Types that CSV is read with, so that a wrong amount is rejected with its line. */
function columnTypes(names: readonly string[], { cost }: Options): Record<string, string> {
  const decimals = [cost, 'ConsumedQuantity'].map((one) => one.toLowerCase());
  return Object.fromEntries(
    names
      .filter((one) => decimals.includes(one.toLowerCase()))
      .map((one) => [one, 'DECIMAL(38, 18)']),
  );
}

/** What exports write where a value is empty. */
const NOTHING = "('', 'NULL', 'null', 'None')";

/** Tags or details as JSON text: from JSON, MAP, STRUCT, or a list of keys and values. */
function jsonSql(value: string, type: string): string {
  if (/^STRUCT\(.*\)\[\]$/.test(type) && /"?key"? VARCHAR/i.test(type) && /"?value"?/i.test(type))
    return `to_json(map_from_entries(list_transform(${value}, lambda t: (t.key, t.value))))`;
  if (/^(MAP|STRUCT)/.test(type) || type.endsWith('[]')) return `to_json(${value})::VARCHAR`;
  const plain = `CASE WHEN ${value} IN ${NOTHING} THEN NULL ELSE ${value} END`;
  // [{"key": …, "value": …}] as text; other text is left as it is.
  return `CASE WHEN starts_with(${value}, '[') THEN coalesce(TRY(to_json(map_from_entries(list_transform(from_json(${value}, '[{"key":"VARCHAR","value":"VARCHAR"}]'), lambda t: (t.key, t.value))))::VARCHAR), ${value}) ELSE ${plain} END`;
}

function toSql({ columns, options: { cost }, types }: SqlContext<Options>): SourceSql {
  const raw = (column: string): string | undefined => columns.get(column.toLowerCase());
  const typeOf = (one: string): string => types?.get(one.toLowerCase()) ?? 'VARCHAR';
  const asText = (one: string): string | undefined => {
    const found = raw(one);
    return found === undefined || typeOf(one) === 'VARCHAR' ? found : `${found}::VARCHAR`;
  };
  const column = (...names: string[]): string => {
    const found = names
      .flatMap((one) => asText(one) ?? [])
      .map((one) => `CASE WHEN ${one} IN ${NOTHING} THEN NULL ELSE ${one} END`);
    return found.length === 0
      ? 'NULL::VARCHAR'
      : found.length === 1
        ? found[0]
        : `coalesce(${found.join(', ')})`;
  };
  const decimal = (one: string): string => {
    const found = raw(one);
    if (found === undefined) return 'NULL::DECIMAL(38, 18)';
    if (types === null) return found;
    // A double at its shortest decimal, not at the binary fraction behind it.
    return `TRY_CAST(${/DOUBLE|FLOAT|REAL/.test(typeOf(one)) ? `${found}::VARCHAR` : found} AS DECIMAL(38, 18))`;
  };
  const time = (one: string): string => {
    const value = raw(one) as string;
    const type = typeOf(one);
    if (type === 'TIMESTAMP WITH TIME ZONE') return `(${value} AT TIME ZONE 'UTC')`;
    if (type.startsWith('TIMESTAMP') || type === 'DATE') return `${value}::TIMESTAMP`;
    return type === 'VARCHAR' ? isoTime(value) : 'NULL::TIMESTAMP';
  };
  const json = (one: string): string => {
    const found = raw(one);
    return found === undefined ? 'NULL::VARCHAR' : jsonSql(found, typeOf(one));
  };
  const unit = column('ConsumedUnit');
  const consumed = `TRY_CAST(round(${decimal('ConsumedQuantity')} * 3600000000) AS BIGINT)`;
  const hasDetails = raw('SkuPriceDetails') !== undefined;
  const detail = (key: string): string =>
    `CASE WHEN json_valid(details) THEN json_extract_string(details, '$.${key}') END`;
  const words = [
    ...WORDS.flatMap((one) => asText(one) ?? []),
    ...(hasDetails ? [detail('InstanceType'), detail('InstanceSeries')] : []),
  ];
  const unread = (one: string): string =>
    typeOf(one) === 'VARCHAR'
      ? `CASE WHEN contains(${raw(one)}, '/') THEN 'a date with slashes may be month/day or day/month; export ISO 8601 (2026-05-01T00:00:00Z)' ELSE 'no ${one} that can be read' END`
      : `'no ${one} that can be read'`;
  // Distinct texts are few, so the patterns below are met in DuckDB's cache of the regular
  // expression's states and cost little.
  const matches = (pattern: string) => `regexp_matches(words, ${text(pattern)})`;
  const fromDetails = hasDetails
    ? `WHEN TRY_CAST(${detail('GpuCount')} AS DOUBLE) > 0 THEN 'gpu' WHEN TRY_CAST(${detail('GpuCount')} AS DOUBLE) = 0 THEN 'cpu' `
    : '';
  const ofCompute = `CASE ${fromDetails}WHEN regexp_matches(${unit}, '(?i)^(gpu|accelerator)s?[- ]?hours?$') OR ${matches(ACCELERATED_MACHINE)} THEN 'gpu' WHEN regexp_matches(${unit}, '(?i)^(v?cpu|o?cpu|core)s?[- ]?hours?$') OR ${matches(CPU_MACHINE)} THEN 'cpu' WHEN ${matches(ACCELERATOR_WORDS)} AND NOT ${matches(NO_ACCELERATOR_WORDS)} THEN 'gpu' WHEN ${matches(CPU_WORDS)} THEN 'cpu' WHEN ${matches(NETWORK_WORDS)} THEN 'network' WHEN ${matches(STORAGE_WORDS)} THEN 'storage' ELSE 'unknown' END`;
  const category = `lower(${column('ServiceCategory')})`;
  return {
    knows: (lower) => KNOWN.includes(lower),
    identity: IDENTITY.filter((one) => raw(one) !== undefined),
    few: FEW,
    fields: {
      native_id: 'NULL::VARCHAR',
      account: column('SubAccountName', 'SubAccountId', 'BillingAccountName', 'BillingAccountId'),
      billing_account: column('BillingAccountId'),
      cluster: 'NULL::VARCHAR',
      name: column('ResourceName', 'ResourceId'),
      user: 'NULL::VARCHAR',
      state: 'NULL::VARCHAR',
      partition: 'NULL::VARCHAR',
      project: column('SubAccountName', 'SubAccountId'),
      service: column('ServiceName'),
      region: column('RegionId'),
      resource: column('ResourceId'),
      tags: json('Tags'),
      ...(hasDetails ? { details: json('SkuPriceDetails') } : {}),
      words: words.length === 0 ? "''" : `concat_ws(' | ', ${words.join(', ')})`,
      // Usage, Purchase, Tax, Credit, Adjustment, however a provider writes them.
      charge: `upper(left(${column('ChargeCategory')}, 1)) || lower(substr(${column('ChargeCategory')}, 2))`,
      unused: `(coalesce(lower(${column('CommitmentDiscountStatus')}) = 'unused', false) OR coalesce(lower(${column('CapacityReservationStatus')}) = 'unused', false))`,
      category,
      kind: `CASE WHEN coalesce(charge, 'Usage') NOT IN ('Usage', 'Purchase') THEN 'other' WHEN category = 'storage' THEN 'storage' WHEN category = 'networking' THEN 'network' WHEN category = 'compute' OR category IS NULL THEN ${ofCompute} WHEN category = 'ai and machine learning' THEN CASE WHEN ${matches(ACCELERATED_MACHINE)} OR (${matches(ACCELERATOR_WORDS)} AND NOT ${matches(NO_ACCELERATOR_WORDS)}) THEN 'gpu' ELSE 'other' END ELSE 'other' END`,
      amount: decimal(cost),
      currency: `upper(trim(${column('BillingCurrency')}))`,
      window_start: time('ChargePeriodStart'),
      window_end: time('ChargePeriodEnd'),
      capacity: `CASE WHEN regexp_matches(${unit}, '(?i)^(gpu|accelerator|v?cpu|core)s?[- ]?hours?$') THEN ${consumed} END`,
    },
    skip: 'NULL::VARCHAR',
    bad: `CASE WHEN amount IS NULL THEN 'no ${cost} that can be read' WHEN currency IS NULL THEN 'no BillingCurrency' WHEN strlen(currency) <> 3 THEN 'BillingCurrency is no code of three letters, such as USD' WHEN window_start IS NULL THEN ${unread('ChargePeriodStart')} WHEN window_end IS NULL THEN ${unread('ChargePeriodEnd')} WHEN window_end < window_start THEN 'ChargePeriodEnd is before ChargePeriodStart' END`,
  };
}

export const focus: Importer<Options> = {
  name: 'focus',
  formats: ['focus-csv', 'focus-parquet'],
  expects: 'a FOCUS export (CSV, Parquet)',
  columns: [...KNOWN, ...IDENTITY],
  detect,
  columnTypes,
  missing,
  toSql,
  defaultRules: [
    { when: { unused: 'true' }, is: 'idle' },
    { when: { charge: ['Tax', 'Credit', 'Adjustment'] }, is: 'shared' },
  ],
  notes: ({ cost }) => [`Charges are taken at ${cost}.`],
  money: 'charge',
  options,
};
