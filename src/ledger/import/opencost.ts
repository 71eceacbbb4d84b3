/**
 * @file OpenCost and Kubecost: allocations and assets as the API's JSON, as CSV or Parquet with the
 * API's names (`cpuCoreHours`, `window.start`, `properties.namespace`), and OpenCost's own CSV
 * export (a day a row, with averages in place of hours).
 *
 * An allocation holds several resources at once, each with its own cost; it becomes one usage row a
 * cost. A cost is the sum of the cost and its adjustment, as in OpenCost's own totals. What
 * `totalCost` has beyond its parts is kept as `other`. There is no currency in the data: it is a
 * setting of OpenCost, stated in the rules (USD where it is not).
 */
import { z } from 'zod';
import {
  type Columns,
  type Entry,
  type Fields,
  type Importer,
  isoTime,
  type Kind,
  type SourceSql,
  type SqlContext,
} from './importer.js';
import { flatten, isObject } from './json.js';

const options = z.strictObject({
  currency: z
    .string()
    .regex(/^[A-Z]{3}$/, 'expected a code of ISO 4217 such as USD')
    .optional()
    .describe('Of the costs, as set in OpenCost.'),
});
type Options = z.output<typeof options>;

/** `Window.Start` and `windowStart` are the same column. */
const plain = (column: string): string => column.toLowerCase().replace(/[^a-z0-9]/g, '');

const COSTS = ['cpucost', 'gpucost', 'ramcost', 'totalcost'];
const NAMES = ['name', 'propertiesnamespace', 'namespace', 'pod', 'propertiescluster'];

function isOpenCostHeader(names: readonly string[]): boolean {
  const found = new Set(names.map(plain));
  return COSTS.some((cost) => found.has(cost)) && NAMES.some((one) => found.has(one));
}

// ── JSON ─────────────────────────────────────────────────────────────────────────────────────────

/** Keys under which answers of different versions hold their sets. */
const CONTAINERS = [
  'data',
  'sets',
  'allocationSets',
  'assetSets',
  'allocations',
  'assets',
  'items',
];

const hasCost = (value: Record<string, unknown>): boolean =>
  Object.entries(value).some(
    ([key, cost]) => COSTS.includes(key.toLowerCase()) && !isObject(cost),
  ) || 'adjustment' in value;

interface Found {
  key: string;
  value: unknown;
  window: unknown;
}

/**
 * The allocations in an answer: `{data: [{name: allocation}]}`, lists of them, Kubecost's
 * `data.sets[].allocations`, or one object. A set's window stands in for that of its allocations.
 */
function allocationsIn(answer: unknown): Found[] {
  const out: Found[] = [];
  const visit = (value: unknown, key: string, window: unknown, depth: number): void => {
    if (isObject(value) && hasCost(value)) out.push({ key, value, window });
    else if (depth > 8 || (typeof value !== 'object' && key !== ''))
      out.push({ key, value, window });
    else if (Array.isArray(value)) for (const one of value) visit(one, '', window, depth + 1);
    else if (isObject(value)) {
      const inside = CONTAINERS.filter((one) => typeof value[one] === 'object');
      const own = value.window ?? window;
      if (inside.length > 0) for (const one of inside) visit(value[one], '', own, depth + 1);
      else for (const [name, one] of Object.entries(value)) visit(one, name, own, depth + 1);
    } else if (value === null && key !== '') out.push({ key, value, window });
  };
  visit(answer, '', undefined, 0);
  return out;
}

function detect(head: Parameters<Importer['detect']>[0]): string | null {
  if (head.form !== 'json') {
    if (!isOpenCostHeader(head.names)) return null;
    return head.form === 'text' ? 'opencost-csv' : 'opencost-parquet';
  }
  const { content } = head;
  const known =
    (isObject(content) && 'data' in content) ||
    allocationsIn(content).some(({ value }) => isObject(value) && hasCost(value));
  return known ? 'opencost-json' : null;
}

function fieldsOf({ key, value, window }: Found): Entry {
  if (!isObject(value)) return { refused: 'not an allocation' };
  const labels = isObject(value.properties) ? value.properties.labels : value.labels;
  const inherited: Fields = isObject(window) ? flatten({ window }) : {};
  return {
    ...inherited,
    ...flatten(value),
    ...(typeof value.name === 'string' && value.name !== '' ? {} : { name: key || null }),
    ...(isObject(labels) ? { labels: JSON.stringify(labels) } : {}),
  };
}

// ── SQL ──────────────────────────────────────────────────────────────────────────────────────────

/**
 * Cost, its kind, and the columns that hold its quantity: hours, or averages of what was held; in
 * units times `perUnit`.
 */
const PARTS: readonly {
  kind: Kind;
  cost: string;
  hours?: string[];
  averages?: string[];
  perUnit: number;
}[] = [
  { kind: 'gpu', cost: 'gpuCost', hours: ['gpuHours'], averages: ['gpus', 'gpuCount'], perUnit: 1 },
  {
    kind: 'cpu',
    cost: 'cpuCost',
    hours: ['cpuCoreHours'],
    averages: ['cpuCoreRequestAverage', 'cpuCoreUsageAverage'],
    perUnit: 1,
  },
  {
    kind: 'memory',
    cost: 'ramCost',
    hours: ['ramByteHours'],
    averages: [
      'ramByteRequestAverage',
      'ramBytesRequestAverage',
      'ramByteUsageAverage',
      'ramBytesUsageAverage',
    ],
    perUnit: 1e9,
  },
  { kind: 'storage', cost: 'pvCost', hours: ['pvByteHours'], averages: ['pvBytes'], perUnit: 1e9 },
  { kind: 'network', cost: 'networkCost', perUnit: 1 },
  { kind: 'network', cost: 'loadBalancerCost', perUnit: 1 },
  { kind: 'other', cost: 'sharedCost', perUnit: 1 },
  { kind: 'other', cost: 'externalCost', perUnit: 1 },
];

/** All that tells one allocation from another, beside its window and the kind of cost. */
const IDENTITY = [
  ...['properties.cluster', 'cluster', 'properties.providerID', 'providerID', 'properties.node'],
  ...['node', 'properties.namespace', 'namespace', 'properties.controllerKind', 'controllerKind'],
  ...['properties.controller', 'controllerName', 'controller', 'properties.pod', 'pod'],
  ...['properties.container', 'container', 'type', 'name', 'labels', 'properties.labels'],
];

/** Beyond what OpenCost's own rounding to five decimals explains. */
const RESIDUE = '0.0001';

function toSql({ columns }: SqlContext<Options>): SourceSql {
  const byPlain = new Map([...columns].map(([lower, quoted]) => [plain(lower), quoted]));
  const used = new Set<string>([plain('__record')]);
  const raw = (...names: string[]): string[] =>
    names.flatMap((one) => {
      used.add(plain(one));
      const found = byPlain.get(plain(one));
      return found === undefined ? [] : [`nullif(${found}, '')`];
    });
  const column = (...names: string[]): string =>
    `coalesce(${[...raw(...names), 'NULL::VARCHAR'].join(', ')})`;
  const decimal = (value: string) => `TRY_CAST(${value} AS DECIMAL(38, 18))`;
  const numbers: string[] = [];
  const amount = (cost: string): string => {
    const terms = [cost, `${cost}Adjustment`].flatMap((one) => raw(one));
    numbers.push(...terms);
    return terms.length === 0
      ? '0::DECIMAL(38, 18)'
      : terms.map((term) => `coalesce(${decimal(term)}, 0)`).join(' + ');
  };
  const long = "(date_diff('second', window_start, window_end)::DECIMAL(18, 0) / 3600)";
  const held: string[] = [];
  const quantaOf = ({ hours = [], averages = [], perUnit }: (typeof PARTS)[number]): string => {
    const [stated] = raw(...hours);
    const mean = raw(...averages);
    const values = stated === undefined ? mean : [stated];
    numbers.push(...values);
    held.push(...values);
    if (values.length === 0) return '0::BIGINT';
    const value =
      stated === undefined
        ? `greatest(${mean.map((one) => `coalesce(TRY_CAST(${one} AS DOUBLE), 0)`).join(', ')}) * ${long}`
        : `TRY_CAST(${stated} AS DECIMAL(38, 9))`;
    return `coalesce(TRY_CAST(round(${value} * ${3_600_000_000 / perUnit}) AS BIGINT), 0)`;
  };
  const parts = PARTS.map((part) => ({
    ...part,
    quanta: quantaOf(part),
    amount: amount(part.cost),
  }));
  const total = column('totalCost');
  const rest = `${decimal(total)} - (${parts.map((part) => part.amount).join(' + ')})`;
  const structs = [
    ...parts.map(
      (part) =>
        `{part: '${part.cost}', kind: '${part.kind}', detail: '', quanta: ${part.quanta}, amount: (${part.amount})::DECIMAL(38, 18)}`,
    ),
    `{part: 'rest', kind: 'other', detail: '', quanta: 0::BIGINT, amount: (CASE WHEN abs(${rest}) > ${RESIDUE} THEN ${rest} ELSE 0 END)::DECIMAL(38, 18)}`,
  ];
  const name = column(
    'name',
    'container',
    'pod',
    'controllerName',
    'namespace',
    'properties.namespace',
  );
  const cluster = column('properties.cluster', 'cluster');
  const broken = [...new Set([...numbers, total])]
    .map(
      (value) =>
        `(${value} IS NOT NULL AND coalesce(abs(${decimal(value)}) >= 1000000000000000, true))`,
    )
    .join(' OR ');
  const negative = held.map((value) => `coalesce(${decimal(value)} < 0, false)`).join(' OR ');
  const start = isoTime(column('start', 'window.start', 'date'));
  const end = raw('end', 'window.end');
  return {
    knows: (lower) => used.has(plain(lower)),
    fields: {
      name,
      native_id: `concat_ws('/', ${[...raw(...IDENTITY), "''"].join(', ')})`,
      account: column('properties.namespace', 'namespace', 'properties.cluster', 'cluster'),
      cluster,
      user: column('properties.controller', 'controllerName', 'controller'),
      state: 'NULL::VARCHAR',
      partition: column('properties.node', 'node'),
      project: column('properties.namespace', 'namespace'),
      service: "'opencost'",
      resource: column('properties.providerID', 'providerID'),
      tags: column('labels', 'properties.labels'),
      window_start: start,
      // OpenCost's own export has a date alone: the row is that day.
      window_end:
        end.length > 0 ? isoTime(column('end', 'window.end')) : 'window_start + INTERVAL 1 DAY',
    },
    parts: `[${structs.join(', ')}]`,
    skip: 'NULL::VARCHAR',
    bad: `CASE WHEN name IS NULL THEN 'no name' WHEN window_start IS NULL THEN 'no start that can be read' WHEN window_end IS NULL THEN 'no end that can be read' WHEN window_end <= window_start THEN 'end is not after start' WHEN ${broken || 'false'} THEN 'a cost or a quantity is not a number' WHEN ${negative || 'false'} THEN 'a quantity is negative' END`,
  };
}

export const opencost: Importer<Options> = {
  name: 'opencost',
  formats: ['opencost-json', 'opencost-csv', 'opencost-parquet'],
  expects: 'OpenCost or Kubecost allocations (JSON, CSV, Parquet)',
  detect,
  entries: (content) => allocationsIn(content).map(fieldsOf),
  missing: (columns: Columns) => {
    const found = new Set([...columns.keys()].map(plain));
    return ['start', 'windowstart', 'date'].some((one) => found.has(one))
      ? null
      : 'no column start, window.start or Date; export it again with one';
  },
  toSql,
  defaultRules: [
    { when: { name: ['__idle__', '*/__idle__', '__idle__/*'] }, is: 'idle' },
    { when: { project: '__idle__' }, is: 'idle' },
    { when: { name: ['__unmounted__*', '__unallocated__*'] }, is: 'shared' },
    { when: { project: 'kube-system' }, is: 'shared' },
  ],
  notes: ({ currency }) =>
    currency !== undefined
      ? []
      : [
          'OpenCost does not state its currency: USD is assumed; "opencost": {"currency": …} in the rules states it.',
        ],
  money: 'own',
  currency: ({ currency }) => currency ?? 'USD',
  options,
};
