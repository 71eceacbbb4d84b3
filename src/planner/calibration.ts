/**
 * @file What is achieved of what is possible: the few numbers that no datasheet has.
 *
 * Each is a physical quantity with a prior, fitted to published measurements by
 * `scripts/calibrate.mjs` (last on 2026-11-23, on 603 configurations of 19 sources). Nothing here
 * is specific to a model, a source or an accelerator; what an accelerator was measured to reach
 * stands in the catalogue. A prediction never reads the measurements.
 */
export interface Calibration {
  /**
   * Large matrix products in a training step, as a fraction of the best measured ones, by width of
   * the numbers.
   */
  matmul16: number;
  matmul8: number;
  matmul4: number;
  /**
   * Attention kernels, as a fraction of the best measured matrix products; and on chips before FP8.
   */
  attention: number;
  attentionAmpere: number;
  /** Grouped products of experts, as a fraction of plain ones. */
  grouped: number;
  /** Share of a matrix product's memory traffic that is not hidden behind its arithmetic. */
  operands: number;
  /**
   * Passes over memory of norms, activations and residuals, relative to the least possible at full
   * memory bandwidth.
   */
  elementwise: number;
  /** Seconds of idle time a kernel. */
  launch: number;
  /**
   * Seconds that the host takes for one layer, forward and backward: a floor, however little the
   * accelerator has to do.
   */
  hostDense: number;
  hostExperts: number;
  /** Achieved fraction of the scale-up link and of the scale-out network. */
  link: number;
  network: number;
  /** Shares of tensor-, data-, and expert-parallel communication that computation does not hide. */
  exposedTensor: number;
  exposedData: number;
  exposedExpert: number;
  /** Slow-down for each doubling of accelerators beyond 8. */
  straggler: number;
  /**
   * Attention that writes its scores to memory (before FlashAttention), relative to the least
   * possible passes.
   */
  unfused: number;
  /**
   * Slow-down where layers are recomputed and gathered eagerly, without a fixed plan of memory and
   * launches.
   */
  production: number;
  /** Of natural routing over forced balance. */
  imbalance: number;
}

export const CALIBRATION: Calibration = {
  matmul16: 0.745,
  matmul8: 0.908,
  matmul4: 0.645,
  attention: 0.375,
  attentionAmpere: 0.457,
  grouped: 0.607,
  operands: 0.672,
  elementwise: 1.42,
  launch: 2.78e-6,
  hostDense: 0.00114,
  hostExperts: 0.0083,
  link: 0.695,
  network: 0.927,
  exposedTensor: 0.361,
  exposedData: 0.18,
  exposedExpert: 1.1,
  straggler: 0.00938,
  unfused: 1.27,
  production: 1.25,
  imbalance: 1.1,
};

/**
 * What each is believed to be before any data, and by how much (a standard deviation of the
 * logarithm).
 */
export const PRIOR: Readonly<
  Partial<Record<keyof Calibration, { value: number; deviation: number; most?: number }>>
> = {
  matmul16: { value: 0.9, deviation: 0.1, most: 1.05 },
  matmul8: { value: 0.75, deviation: 0.2 },
  matmul4: { value: 0.6, deviation: 0.3 },
  attention: { value: 0.5, deviation: 0.3 },
  attentionAmpere: { value: 0.5, deviation: 0.3 },
  grouped: { value: 0.8, deviation: 0.3 },
  operands: { value: 0.6, deviation: 0.5 },
  elementwise: { value: 1.3, deviation: 0.4 },
  launch: { value: 3e-6, deviation: 0.7 },
  hostDense: { value: 1e-3, deviation: 0.7 },
  hostExperts: { value: 4e-3, deviation: 0.7 },
  link: { value: 0.7, deviation: 0.2 },
  network: { value: 0.7, deviation: 0.2 },
  exposedTensor: { value: 0.6, deviation: 0.5 },
  exposedData: { value: 0.2, deviation: 0.5 },
  exposedExpert: { value: 0.8, deviation: 0.5 },
  straggler: { value: 0.01, deviation: 0.5 },
  unfused: { value: 1, deviation: 0.5 },
};

/**
 * Half-widths of 90% intervals as factors, from residuals of configurations that the fit had not
 * seen (same script, same date).
 */
export const SPREAD = {
  dense: 1.34,
  moe: 1.68,
  hybrid: 1.6,
  /** More for each assumption about what a row leaves out, up to four. */
  assumption: 1.09,
  /** More for whole runs: restarts, evaluation, changes of the machine. */
  run: 1.12,
};

/** The factor by which a prediction's 90% interval reaches up and down. */
export function intervalFactor(
  kind: 'speed' | 'run',
  family: 'dense' | 'moe' | 'hybrid',
  assumptions: number,
): number {
  return (
    SPREAD[family] *
    SPREAD.assumption ** Math.min(4, assumptions) *
    (kind === 'run' ? SPREAD.run : 1)
  );
}
