/**
 * @file Where a recipe is planned to run: what `--on` says.
 *
 * `h800x2048` is a catalogued accelerator and a count. A YAML file says more: another price, a building, parts of a layout, and for
 * any number a distribution where it is not known. What it leaves out comes from the catalog.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { costOf } from '../catalog/costs.js';
import { PLANNING } from '../catalog/data/planning.js';
import { CALIBRATION, type Calibration } from '../planner/calibration.js';
import type { Accelerator } from '../planner/cluster.js';
import { type Distribution, distributionSchema, medianOf, parseDistribution } from '../planner/distribution.js';
import { acceleratorIds, acceleratorOf } from '../planner/hardware.js';
import type { Layout } from '../planner/layout.js';
import type { Correlation } from '../planner/uncertainty.js';
import { parseLayout } from './layout-text.js';

/** Numbers of an accelerator that a file may give, and how they become the planner's units. */
const HARDWARE = {
  achievableFraction: ['achievableFraction', 1],
  memoryTbPerSecond: ['memoryBandwidth', 1e12],
  scaleUpGbPerSecond: ['scaleUpBandwidth', 1e9],
  scaleOutGbitPerSecond: ['scaleOutBandwidth', 1e9 / 8],
  serverWatts: ['serverWatts', 1],
} as const satisfies Record<string, readonly [keyof Accelerator, number]>;

export type HardwareName = keyof typeof HARDWARE;

export interface Target {
  /** `h800x2048`, or the file's name. */
  name: string;
  /** With the medians of what a file says. */
  accelerator: Accelerator;
  count: number;
  /** Parts of the layout that are given. */
  layout: Partial<Layout>;
  /** Of the accelerator: a rental price. */
  usdPerHour: { distribution: Distribution; source: string; date: string };
  pue: Distribution;
  /** Mean power over nameplate power. */
  loadFactor: Distribution;
  goodput: Distribution;
  hardware: Partial<Record<HardwareName, Distribution>>;
  calibration: Partial<Record<keyof Calibration, Distribution>>;
  correlations: readonly Correlation[];
}

const fileSchema = z.strictObject({
  accelerator: z.string({ error: 'name an accelerator, such as h800' }),
  count: z.int({ error: 'must be a whole number' }).positive({ error: 'must be above 0' }).max(1_000_000),
  layout: z.string().optional(),
  usdPerHour: distributionSchema.optional(),
  priceSource: z.string().optional(),
  pue: distributionSchema.optional(),
  loadFactor: distributionSchema.optional(),
  goodput: distributionSchema.optional(),
  hardware: z
    .strictObject({
      memoryGb: z.number().positive().optional(),
      scaleUpSize: z.int().positive().optional(),
      ...Object.fromEntries(Object.keys(HARDWARE).map((name) => [name, distributionSchema.optional()])),
    })
    .optional(),
  calibration: z.partialRecord(z.enum(Object.keys(CALIBRATION) as (keyof Calibration)[]), distributionSchema).optional(),
  correlations: z
    .array(z.strictObject({ between: z.tuple([z.string(), z.string()]), rank: z.number().min(-1).max(1) }))
    .optional(),
});

type ClusterFile = z.infer<typeof fileSchema>;

/**
 * @param on `<gpu>x<count>` or the path of a YAML file
 * @throws UserError (usage) that says what was wrong, where, and what is known
 */
export function readTarget(on: string): Target {
  const path = /\.ya?ml$/i.test(on) || on.includes('/') || on.includes('\\');
  if (path) return fromFile(on);
  const [, name, count] = /^(.+?)\s*[x×*]\s*(\d+)$/i.exec(on.trim()) ?? [];
  if (name === undefined) {
    const message = `--on ${on}: say local, <gpu>x<count> such as h800x2048, or the path of a .yaml file`;
    throw new UserError('usage', message, '--on');
  }
  const accelerator = known(name, `--on ${on}`);
  if (Number(count) < 1 || Number(count) > 1_000_000) {
    throw new UserError('usage', `--on ${on}: the count must be from 1 to 1,000,000`, '--on');
  }
  return target(`${accelerator.id}x${count}`, accelerator, { accelerator: name, count: Number(count) });
}

function known(name: string, where: string): Accelerator {
  const accelerator = acceleratorOf(name);
  if (accelerator === undefined) {
    const ids = acceleratorIds().join(', ');
    throw new UserError('usage', `${where}: the accelerator "${name}" is not catalogued; these are: ${ids}`, '--on');
  }
  return accelerator;
}

const catalogued = (id: string): Distribution => {
  const { value, low, high } = PLANNING.find((row) => row.id === id) ?? costOf(id);
  return { low, value, high };
};

function target(name: string, catalogue: Accelerator, file: ClusterFile): Target {
  const { count, hardware = {}, usdPerHour } = file;
  const { memoryGb, scaleUpSize, ...distributed } = hardware as Record<string, Distribution> & {
    memoryGb?: number;
    scaleUpSize?: number;
  };
  const { value, low, high, source, date } = catalogue.usdPerHour;
  const accelerator = withHardware(catalogue, distributed, medianOf);
  if (memoryGb !== undefined) accelerator.memoryBytes = memoryGb * 1e9;
  if (scaleUpSize !== undefined) accelerator.scaleUpSize = scaleUpSize;
  return {
    name,
    accelerator,
    count,
    layout: file.layout === undefined ? {} : parseLayout(file.layout, 'layout'),
    usdPerHour:
      usdPerHour === undefined
        ? { distribution: low === high ? value : { low, value, high }, source, date }
        : { distribution: usdPerHour, source: file.priceSource ?? name, date: '' },
    pue: file.pue ?? catalogued('pue.cluster'),
    loadFactor: file.loadFactor ?? catalogued('power.load-factor'),
    goodput: file.goodput ?? { ...(catalogued('plan.goodput') as { low: number; high: number }), max: 1 },
    hardware: distributed,
    calibration: file.calibration ?? {},
    correlations: file.correlations ?? [],
  };
}

/** An accelerator with some of its numbers replaced. */
export function withHardware<T>(
  accelerator: Accelerator,
  values: Partial<Record<HardwareName, T>>,
  read: (value: T) => number,
): Accelerator {
  const out = { ...accelerator };
  for (const [name, value] of Object.entries(values) as [HardwareName, T][]) {
    const [field, unit] = HARDWARE[name];
    out[field] = read(value) * unit;
  }
  return out;
}

function fromFile(file: string): Target {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new UserError('usage', `--on ${file}: ${missing ? 'no such file' : (error as Error).message}`, '--on');
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [fault] = document.errors;
  if (fault !== undefined) {
    const { line, col } = lines.linePos(fault.pos[0]);
    const [said] = fault.message.split(/ at line \d+| ?\n/);
    throw new UserError('usage', `${file} is not valid YAML at line ${line}, column ${col}: ${said}`, '--on');
  }
  const data: unknown = document.toJS();
  const result = fileSchema.safeParse(data);
  if (!result.success) {
    const [issue] = result.error.issues;
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
    const field = [...issue.path, ...unknown].join('.');
    // Of a number that is none, say which forms there are.
    if (issue.code === 'invalid_union') explain(at(data, issue.path), `${file}: ${field}`, field);
    const known = Object.keys(fileSchema.shape).join(', ');
    const message =
      unknown.length > 0
        ? `is not a field of a cluster; these are: ${known}`
        : data === null
          ? 'is empty; say at least accelerator and count'
          : issue.message;
    throw new UserError('usage', `${file}: ${field === '' ? message : `${field}: ${message}`}`, field || '--on');
  }
  return target(basename(file), known(result.data.accelerator, `${file}: accelerator`), result.data);
}

/** @throws UserError (usage) with what is wrong with a distribution */
function explain(data: unknown, where: string, field: string): void {
  try {
    parseDistribution(data, where);
  } catch (error) {
    throw error instanceof UserError ? new UserError('usage', error.message, field) : error;
  }
}

const at = (data: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], data);
