/**
 * @file FOCUS (FinOps Open Cost and Usage Specification) 1.0 to 1.2: billing exports as CSV (plain
 * or gzip) and Parquet.
 *
 * A row is a charge. `BilledCost` is what the invoice says; `EffectiveCost` spreads prepaid
 * commitments over their use; both together would count money twice, so one is chosen for the whole
 * bill. Amounts are read as DECIMAL(38, 18) (Parquet doubles at their shortest decimal), times are
 * UTC. There is no identifier of a row in FOCUS, so a row is known by its file's hash and its
 * place.
 */
import type { Columns, SourceSql } from './source.js';

const NEEDED = ['BillingCurrency', 'ChargePeriodStart', 'ChargePeriodEnd'];
const KNOWN = [
  ...[
    'BilledCost',
    'EffectiveCost',
    ...NEEDED,
    'BillingAccountId',
    'BillingAccountName',
    'SubAccountId',
    'SubAccountName',
  ],
  ...[
    'ChargeCategory',
    'ChargeClass',
    'ServiceName',
    'ServiceCategory',
    'ServiceSubcategory',
    'ResourceId',
    'ResourceName',
  ],
  ...[
    'ResourceType',
    'RegionId',
    'SkuId',
    'SkuMeter',
    'ChargeDescription',
    'ConsumedQuantity',
    'ConsumedUnit',
    'Tags',
  ],
  ...['CommitmentDiscountStatus', 'CapacityReservationStatus'],
].map((one) => one.toLowerCase());

/**
 * What tells charges apart, beside their window and amount, where two exports may hold the same
 * one.
 */
const IDENTITY = [
  ...[
    'BillingAccountId',
    'SubAccountId',
    'ResourceId',
    'ServiceName',
    'SkuId',
    'SkuPriceId',
    'SkuMeter',
    'ChargeCategory',
  ],
  ...[
    'ChargeClass',
    'ChargeDescription',
    'ChargeFrequency',
    'PricingCategory',
    'CommitmentDiscountId',
  ],
  ...[
    'CommitmentDiscountStatus',
    'CapacityReservationId',
    'RegionId',
    'AvailabilityZone',
    'ConsumedUnit',
  ],
];

/** Words that name an accelerator, its instance families among them. */
const GPU_WORDS =
  '(?i)\\b(gpus?|tpus?|[abhv]100|[abh][123]00|h800|h20|gb200|gb300|mi\\d{3}x?|l4|l40s?|t4|a10g?|p[2-6](d|de|e|en)?\\.|g[3-7](d|dn|e|ad)?\\.|trn[12]|inf[12]|n[cdv]\\d*\\w*_|a[23]-(high|mega|ultra|edge)gpu|a2-|a3-|a4-|g2-)';

export function isFocusHeader(names: readonly string[]): boolean {
  const lower = new Set(names.map((one) => one.toLowerCase()));
  return lower.has('chargeperiodstart') && (lower.has('billedcost') || lower.has('effectivecost'));
}

export function missingInFocus(columns: Columns, cost: string): string | null {
  return [cost, ...NEEDED].find((one) => !columns.has(one.toLowerCase())) ?? null;
}

/** Types that CSV is read with, so that a wrong amount is rejected with its line. */
export function focusTypes(names: readonly string[], cost: string): Record<string, string> {
  const decimals = [cost, 'ConsumedQuantity'].map((one) => one.toLowerCase());
  return Object.fromEntries(
    names
      .filter((one) => decimals.includes(one.toLowerCase()))
      .map((one) => [one, 'DECIMAL(38, 18)']),
  );
}

/**
 * @param types the columns' types where the file has some (Parquet), by lower-case name; null for
 * text
 */
export function focusSql(
  columns: Columns,
  cost: string,
  types: ReadonlyMap<string, string> | null,
): SourceSql {
  const raw = (column: string): string | undefined => columns.get(column.toLowerCase());
  const column = (...names: string[]): string => {
    const found = names
      .flatMap((one) => raw(one) ?? [])
      .map((one) => `nullif(${types === null ? one : `${one}::VARCHAR`}, '')`);
    return found.length === 0
      ? 'NULL::VARCHAR'
      : found.length === 1
        ? found[0]
        : `coalesce(${found.join(', ')})`;
  };
  const typeOf = (one: string): string => types?.get(one.toLowerCase()) ?? 'VARCHAR';
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
    if (type !== 'VARCHAR') return 'NULL::TIMESTAMP';
    return `CASE WHEN ends_with(${value}, 'Z') OR length(${value}) <= 19 THEN TRY_CAST(${value} AS TIMESTAMP) ELSE (TRY_CAST(${value} AS TIMESTAMPTZ) AT TIME ZONE 'UTC') END`;
  };
  const unit = column('ConsumedUnit');
  const consumed = `TRY_CAST(round(${decimal('ConsumedQuantity')} * 3600000000) AS BIGINT)`;
  const words = [
    'ResourceType',
    'SkuMeter',
    'ChargeDescription',
    'ResourceName',
    'x_InstanceType',
    'ServiceName',
  ]
    .flatMap((one) => raw(one) ?? [])
    .map(
      (one) =>
        `coalesce(regexp_matches(${one}${types === null ? '' : '::VARCHAR'}, '${GPU_WORDS}'), false)`,
    );
  const isGpu = words.length === 0 ? 'false' : `(${words.join(' OR ')})`;
  const category = column('ServiceCategory');
  return {
    knows: (lower) => KNOWN.includes(lower),
    identity: IDENTITY.filter((one) => raw(one) !== undefined),
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
      tags: column('Tags'),
      charge: column('ChargeCategory'),
      unused: `(coalesce(${column('CommitmentDiscountStatus')} = 'Unused', false) OR coalesce(${column('CapacityReservationStatus')} = 'Unused', false))`,
      kind: `CASE WHEN coalesce(${column('ChargeCategory')}, 'Usage') NOT IN ('Usage', 'Purchase') THEN 'other' WHEN ${category} = 'Storage' THEN 'storage' WHEN ${category} = 'Networking' THEN 'network' WHEN ${category} IN ('Compute', 'AI and Machine Learning') OR ${category} IS NULL THEN CASE WHEN ${isGpu} THEN 'gpu' WHEN ${category} = 'Compute' THEN 'cpu' ELSE 'other' END ELSE 'other' END`,
      amount: decimal(cost),
      currency: column('BillingCurrency'),
      window_start: time('ChargePeriodStart'),
      window_end: time('ChargePeriodEnd'),
      capacity: `CASE WHEN regexp_matches(${unit}, '(?i)^(gpu|accelerator|v?cpu|core)s?[- ]?hours?$') THEN ${consumed} END`,
    },
    skip: 'NULL::VARCHAR',
    bad: `CASE WHEN amount IS NULL THEN 'no ${cost} that can be read' WHEN currency IS NULL THEN 'no BillingCurrency' WHEN window_start IS NULL THEN 'no ChargePeriodStart that can be read' WHEN window_end IS NULL THEN 'no ChargePeriodEnd that can be read' WHEN window_end <= window_start THEN 'ChargePeriodEnd is not after ChargePeriodStart' END`,
  };
}
