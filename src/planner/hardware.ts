/**
 * @file The catalog's accelerators in SI units, by any of their names.
 */
import { ACCELERATORS, type AcceleratorRow, acceleratorRow } from '../catalog/data/accelerators.js';
import type { Accelerator } from './cluster.js';
import type { Precision } from './layout.js';

/**
 * Fraction of peak that the best matrix products reach where nobody measured it: the median of
 * those that were.
 */
const ACHIEVABLE = 0.78;

const bySpecification = new Map<AcceleratorRow, Accelerator>();

/**
 * @param name an id or an alias: `h800`, `H100-SXM-80GB`, `NVIDIA A100 SXM4 40 GB`; undefined when
 * it is not catalogued
 */
export function acceleratorOf(name: string): Accelerator | undefined {
  const row = acceleratorRow(name);
  if (row === undefined) return undefined;
  let accelerator = bySpecification.get(row);
  if (accelerator === undefined) {
    accelerator = fromRow(row);
    bySpecification.set(row, accelerator);
  }
  return accelerator;
}

/** The ids that `--on` takes, for messages. */
export function acceleratorIds(): string[] {
  return ACCELERATORS.map((row) => row.id);
}

function fromRow(row: AcceleratorRow): Accelerator {
  const peakFlops: Partial<Record<Precision, number>> = {};
  for (const [precision, tflops] of Object.entries(row.tflops))
    peakFlops[precision as Precision] = tflops * 1e12;
  const [value, low, high, source, date] = row.usdPerHour;
  return {
    id: row.id,
    name: row.name,
    peakFlops,
    achievableFraction: row.achievable?.fraction ?? ACHIEVABLE,
    attentionFactor: row.attention?.factor ?? 1,
    memoryBytes: row.memoryGb * 1e9,
    memoryBandwidth: row.memoryTbPerSecond * 1e12,
    scaleUpBandwidth: row.scaleUpGbPerSecond * 1e9,
    scaleUpSize: row.scaleUpSize,
    scaleOutBandwidth: (row.scaleOutGbitPerSecond / 8) * 1e9,
    boardWatts: row.boardWatts,
    serverWatts: row.serverWatts,
    usdPerHour: { value, low, high, source, date },
    source: row.source,
  };
}
