/**
 * @file OpenCost (and Kubecost): allocations from the API's JSON, or as CSV with the API's names
 * (`cpuCoreHours`,
 * `window.start`, `properties.namespace`).
 *
 * An allocation holds several resources at once, each with its own cost; it becomes one usage row a
 * resource. A cost is the sum of the cost and its adjustment, as in OpenCost's own totals. What
 * `totalCost` has beyond its parts is kept as `other`. There is no currency in the data: it is a
 * setting of OpenCost, stated in the rules (USD where it is not).
 */
import { type Fields, flatten, isObject } from './json.js';
import type { Columns, Kind, SourceSql } from './source.js';

/** `Window.Start` and `windowStart` are the same column. */
const plain = (column: string): string => column.toLowerCase().replace(/[^a-z0-9]/g, '');

const COSTS = ['cpucost', 'gpucost', 'ramcost', 'totalcost'];

export function isOpenCostHeader(names: readonly string[]): boolean {
  const found = new Set(names.map(plain));
  return (
    COSTS.some((cost) => found.has(cost)) &&
    (found.has('name') || found.has('propertiesnamespace') || found.has('namespace'))
  );
}

/**
 * The allocations in an answer of the API: `{data: [{name: allocation}]}`, lists of them,
 * Kubecost's `sets`, or one object.
 */
export function allocationsIn(answer: unknown): { key: string; allocation: unknown }[] {
  const out: { key: string; allocation: unknown }[] = [];
  const isAllocation = (value: unknown): boolean =>
    isObject(value) && ('totalCost' in value || 'cpuCost' in value);
  const visit = (value: unknown, key: string, depth: number): void => {
    if (isAllocation(value) || depth === 0) out.push({ key, allocation: value });
    else if (Array.isArray(value)) for (const one of value) visit(one, key, depth);
    else if (isObject(value))
      for (const [inner, one] of Object.entries(value)) visit(one, inner, depth - 1);
    else if (value !== null) out.push({ key, allocation: value });
  };
  const root = isObject(answer) && 'data' in answer ? answer.data : answer;
  for (const set of Array.isArray(root) ? root : [root]) {
    const inner = isObject(set) && 'allocations' in set ? set.allocations : set;
    if (inner !== null) visit(inner, '', 2);
  }
  return out;
}

export function isOpenCostAnswer(answer: unknown): boolean {
  if (isObject(answer) && 'data' in answer) return true;
  return allocationsIn(answer).some(
    ({ allocation }) => isObject(allocation) && 'totalCost' in allocation,
  );
}

export function openCostFields(key: string, allocation: Record<string, unknown>): Fields {
  const labels = isObject(allocation.properties) ? allocation.properties.labels : undefined;
  return {
    ...flatten(allocation),
    ...(typeof allocation.name === 'string' && allocation.name !== '' ? {} : { name: key }),
    ...(isObject(labels) ? { labels: JSON.stringify(labels) } : {}),
  };
}

/** Kind, and the columns that say how much and how dear; hours in unit-hours times `perUnit`. */
const PARTS: readonly { kind: Kind; hours: string | null; perUnit: number; cost: string }[] = [
  { kind: 'gpu', hours: 'gpuHours', perUnit: 1, cost: 'gpuCost' },
  { kind: 'cpu', hours: 'cpuCoreHours', perUnit: 1, cost: 'cpuCost' },
  { kind: 'memory', hours: 'ramByteHours', perUnit: 1e9, cost: 'ramCost' },
  { kind: 'storage', hours: 'pvByteHours', perUnit: 1e9, cost: 'pvCost' },
  { kind: 'network', hours: null, perUnit: 1, cost: 'networkCost' },
  { kind: 'network', hours: null, perUnit: 1, cost: 'loadBalancerCost' },
  { kind: 'other', hours: null, perUnit: 1, cost: 'sharedCost' },
  { kind: 'other', hours: null, perUnit: 1, cost: 'externalCost' },
];

/** Beyond what OpenCost's own rounding to five decimals explains. */
const RESIDUE = '0.0001';

export function openCostSql(columns: Columns): SourceSql {
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
  const time = (...names: string[]): string => {
    const value = column(...names);
    return `CASE WHEN ends_with(${value}, 'Z') OR length(${value}) <= 19 THEN TRY_CAST(${value} AS TIMESTAMP) ELSE (TRY_CAST(${value} AS TIMESTAMPTZ) AT TIME ZONE 'UTC') END`;
  };
  const decimal = (value: string) => `TRY_CAST(${value} AS DECIMAL(38, 18))`;
  const numbers: string[] = [];
  const amount = (cost: string): string => {
    const terms = [cost, `${cost}Adjustment`].flatMap((one) => raw(one));
    numbers.push(...terms);
    return terms.length === 0
      ? '0::DECIMAL(38, 18)'
      : terms.map((term) => `coalesce(${decimal(term)}, 0)`).join(' + ');
  };
  const parts = PARTS.map(({ kind, hours, perUnit, cost }) => {
    const held = hours === null ? [] : raw(hours);
    numbers.push(...held);
    const quanta =
      held.length === 0
        ? '0::BIGINT'
        : `coalesce(TRY_CAST(round(TRY_CAST(${held[0]} AS DECIMAL(38, 9)) * ${3_600_000_000 / perUnit}) AS BIGINT), 0)`;
    return { kind, quanta, amount: amount(cost) };
  });
  const total = column('totalCost');
  const rest = `${decimal(total)} - (${parts.map((part) => part.amount).join(' + ')})`;
  const structs = [
    ...parts.map(
      (part) =>
        `{kind: '${part.kind}', quanta: ${part.quanta}, amount: (${part.amount})::DECIMAL(38, 18)}`,
    ),
    `{kind: 'other', quanta: 0::BIGINT, amount: (CASE WHEN abs(${rest}) > ${RESIDUE} THEN ${rest} ELSE 0 END)::DECIMAL(38, 18)}`,
  ];
  const id = column('name', 'pod', 'controllerName', 'namespace', 'properties.namespace');
  const cluster = column('properties.cluster', 'cluster');
  const broken = [...new Set([...numbers, total])]
    .map(
      (value) =>
        `(${value} IS NOT NULL AND coalesce(abs(${decimal(value)}) >= 1000000000000000, true))`,
    )
    .join(' OR ');
  const fields = {
    native_id: id,
    account: column('properties.namespace', 'namespace', 'properties.cluster', 'cluster'),
    cluster,
    name: id,
    user: column('properties.controller', 'controllerName', 'controller'),
    state: 'NULL::VARCHAR',
    partition: column('properties.node', 'node'),
    project: column('properties.namespace', 'namespace'),
    service: "'opencost'",
    resource: column('properties.providerID', 'providerID'),
    tags: column('labels', 'properties.labels'),
    window_start: time('start', 'window.start', 'date'),
    window_end: time('end', 'window.end'),
  };
  return {
    knows: (lower) => used.has(plain(lower)),
    fields,
    parts: `[${structs.join(', ')}]`,
    skip: 'NULL::VARCHAR',
    bad: `CASE WHEN native_id IS NULL THEN 'no name' WHEN window_start IS NULL THEN 'no start that can be read' WHEN window_end IS NULL THEN 'no end that can be read' WHEN window_end <= window_start THEN 'end is not after start' WHEN ${broken} THEN 'a cost or a quantity is not a number' END`,
  };
}
