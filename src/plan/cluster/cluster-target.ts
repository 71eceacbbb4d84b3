/**
 * @file A cluster to plan for: an accelerator, how many, their price and their building. Pure; runs
 * in a browser.
 */
import { costOf } from '../../catalog/costs.js';
import { PLANNING } from '../../catalog/data/planning.js';
import type { Calibration } from '../../planner/calibration.js';
import type { Accelerator } from '../../planner/cluster.js';
import {
  type Distribution,
  medianOf,
  type Range,
  withinRange,
} from '../../planner/distribution.js';
import type { Layout } from '../../planner/layout.js';
import type { Correlation } from '../../planner/uncertainty.js';

/** Numbers of an accelerator that a file may give, and how they become the planner's units. */
export const HARDWARE = {
  achievableFraction: ['achievableFraction', 1],
  memoryTbPerSecond: ['memoryBandwidth', 1e12],
  scaleUpGbPerSecond: ['scaleUpBandwidth', 1e9],
  scaleOutGbitPerSecond: ['scaleOutBandwidth', 1e9 / 8],
  serverWatts: ['serverWatts', 1],
} as const satisfies Record<string, readonly [keyof Accelerator, number]>;

export type HardwareName = keyof typeof HARDWARE;

const share: Range = { above: 0, max: 1 };
const positive: Range = { above: 0 };
const notNegative: Range = { min: 0 };

/** Where the numbers of a cluster may lie. */
const RANGES = {
  usdPerHour: positive,
  // A building draws no less than its machines.
  pue: { min: 1 },
  loadFactor: share,
  goodput: share,
} as const satisfies Record<string, Range>;

const HARDWARE_RANGES: Record<HardwareName, Range> = {
  achievableFraction: share,
  memoryTbPerSecond: positive,
  scaleUpGbPerSecond: positive,
  scaleOutGbitPerSecond: positive,
  serverWatts: positive,
};

/** Fractions of what a machine could do; all other numbers of a calibration are times and factors. */
const CALIBRATED_SHARES: readonly (keyof Calibration)[] = [
  'matmul16',
  'matmul8',
  'matmul4',
  'attention',
  'attentionAmpere',
  'grouped',
  'link',
  'network',
];

/**
 * A cluster whose numbers lie where they may.
 * @throws UserError (usage) that names the field and its range
 */
function checkedSpec(spec: ClusterSpec): ClusterSpec {
  const out: ClusterSpec = { ...spec };
  for (const [name, range] of Object.entries(RANGES) as [keyof typeof RANGES, Range][]) {
    const value = spec[name];
    if (value !== undefined) out[name] = withinRange(value, name, range);
  }
  if (spec.hardware !== undefined) {
    const hardware: ClusterSpec['hardware'] = { ...spec.hardware };
    for (const [name, range] of Object.entries(HARDWARE_RANGES) as [HardwareName, Range][]) {
      const value = spec.hardware[name];
      if (value !== undefined) hardware[name] = withinRange(value, `hardware.${name}`, range);
    }
    out.hardware = hardware;
  }
  if (spec.calibration !== undefined) {
    const entries = Object.entries(spec.calibration) as [keyof Calibration, Distribution][];
    out.calibration = Object.fromEntries(
      entries.map(([name, value]) => {
        const range = CALIBRATED_SHARES.includes(name) ? share : notNegative;
        return [name, withinRange(value, `calibration.${name}`, range)];
      }),
    );
  }
  return out;
}

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

/** What may be said of a cluster. */
export interface ClusterSpec {
  count: number;
  layout?: Partial<Layout>;
  usdPerHour?: Distribution;
  priceSource?: string;
  pue?: Distribution;
  loadFactor?: Distribution;
  goodput?: Distribution;
  hardware?: Partial<Record<HardwareName, Distribution>> & {
    memoryGb?: number;
    scaleUpSize?: number;
  };
  calibration?: Partial<Record<keyof Calibration, Distribution>>;
  correlations?: readonly Correlation[];
}

const catalogued = (id: string): Distribution => {
  const { value, low, high } = PLANNING.find((row) => row.id === id) ?? costOf(id);
  return { low, value, high };
};

/**
 * A target from a catalogued accelerator and what is given of the cluster; the catalog has the
 * rest.
 * @throws UserError (usage) for a number out of its range
 */
export function targetOf(name: string, catalogue: Accelerator, file: ClusterSpec): Target {
  const checked = checkedSpec(file);
  const { count, hardware = {}, usdPerHour, layout = {} } = checked;
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
    layout,
    usdPerHour:
      usdPerHour === undefined
        ? { distribution: low === high ? value : { low, value, high }, source, date }
        : { distribution: usdPerHour, source: checked.priceSource ?? name, date: '' },
    pue: checked.pue ?? catalogued('pue.cluster'),
    loadFactor: checked.loadFactor ?? catalogued('power.load-factor'),
    goodput: checked.goodput ?? {
      ...(catalogued('plan.goodput') as { low: number; high: number }),
      max: 1,
    },
    hardware: distributed,
    calibration: checked.calibration ?? {},
    correlations: checked.correlations ?? [],
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
