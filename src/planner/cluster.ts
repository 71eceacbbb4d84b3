/**
 * @file What the planner knows of machines: peak rates, memory, links and power, and how much of
 * each is achieved.
 *
 * Peak rates are the makers'; achievable fractions are few, physical, and calibrated (see
 * `calibration.ts`).
 */
import type { Precision } from './layout.js';

export type { Quantity } from '../base/quantity.js';

export interface Accelerator {
  /**
   * Canonical id, lower case, as in `h800x2048`: `h100`, `h800`, `a100-40gb`, `b200`, `tpu-v5p`.
   */
  id: string;
  name: string;
  /** Peak dense matrix rate in FLOP/s by precision; a precision that the chip lacks is absent. */
  peakFlops: Partial<Record<Precision, number>>;
  /** Fraction of the peak that the best large matrix products were measured to reach. */
  achievableFraction: number;
  /**
   * Attention kernels relative to other chips of the same peak (Blackwell Ultra's faster
   * exponentials).
   */
  attentionFactor?: number;
  memoryBytes: number;
  /** Bytes a second. */
  memoryBandwidth: number;
  /** Scale-up link (NVLink, ICI), bytes a second in one direction, per accelerator. */
  scaleUpBandwidth: number;
  /** Accelerators that the scale-up link joins: 8 in an HGX node, 72 in an NVL72 rack. */
  scaleUpSize: number;
  /** Scale-out network, bytes a second in one direction, per accelerator. */
  scaleOutBandwidth: number;
  /** Nameplate watts of the accelerator, and of its share of a server. */
  boardWatts: number;
  serverWatts: number;
  /** Rental, USD an accelerator-hour, with 90% interval and where it is from. */
  usdPerHour: { value: number; low: number; high: number; source: string; date: string };
  source: string;
}

export interface Cluster {
  accelerator: Accelerator;
  count: number;
  /** Power usage effectiveness of the building. */
  pue: number;
}
