/**
 * @file What is achieved of what is possible: the few numbers that no datasheet has.
 */
export interface Calibration {
  /** Large matrix products in a training step, as a fraction of the best measured ones, by width of the numbers. */
  matmul16: number;
  matmul8: number;
  matmul4: number;
  /** Attention kernels, as a fraction of the best measured matrix products. */
  attention: number;
  /** Grouped products of experts, as a fraction of plain ones. */
  grouped: number;
  /** Share of a matrix product's memory traffic that is not hidden behind its arithmetic. */
  operands: number;
  /** Passes over memory of norms, activations and residuals, relative to the least possible at full memory bandwidth. */
  elementwise: number;
  /** Seconds of idle time a kernel. */
  launch: number;
  /** Achieved fraction of the scale-up link and of the scale-out network. */
  link: number;
  network: number;
  /** Shares of tensor-, data-, and expert-parallel communication that computation does not hide. */
  exposedTensor: number;
  exposedData: number;
  exposedExpert: number;
  /** Slow-down for each doubling of accelerators beyond 8. */
  straggler: number;
  /** Attention that writes its scores to memory (before FlashAttention), relative to the least possible passes. */
  unfused: number;
  /** Slow-down where layers are recomputed and gathered eagerly, without a fixed plan of memory and launches. */
  production: number;
  /** Of natural routing over forced balance. */
  imbalance: number;
}

export const CALIBRATION: Calibration = {
  matmul16: 0.92,
  matmul8: 0.75,
  matmul4: 0.6,
  attention: 0.6,
  grouped: 0.8,
  operands: 0.6,
  elementwise: 1.3,
  launch: 3e-6,
  link: 0.7,
  network: 0.7,
  exposedTensor: 0.6,
  exposedData: 0.2,
  exposedExpert: 0.8,
  straggler: 0.01,
  unfused: 1,
  production: 1.1,
  imbalance: 1.1,
};

/** What each is believed to be before any data, and by how much (a standard deviation of the logarithm). */
export const PRIOR: Readonly<Partial<Record<keyof Calibration, { value: number; deviation: number; most?: number }>>> = {
  matmul16: { value: 0.9, deviation: 0.1, most: 1.05 },
  matmul8: { value: 0.75, deviation: 0.2 },
  matmul4: { value: 0.6, deviation: 0.3 },
  attention: { value: 0.6, deviation: 0.3 },
  grouped: { value: 0.8, deviation: 0.3 },
  operands: { value: 0.6, deviation: 0.5 },
  elementwise: { value: 1.3, deviation: 0.4 },
  launch: { value: 3e-6, deviation: 0.7 },
  link: { value: 0.7, deviation: 0.2 },
  network: { value: 0.7, deviation: 0.2 },
  exposedTensor: { value: 0.6, deviation: 0.5 },
  exposedData: { value: 0.2, deviation: 0.5 },
  exposedExpert: { value: 0.8, deviation: 0.5 },
  straggler: { value: 0.01, deviation: 0.5 },
  unfused: { value: 1, deviation: 0.5 },
};

/** Half-widths of 90% intervals as factors, from cross-validated residuals: by what is predicted and of what family. */
export const SPREAD = {
  speed: { dense: 1.3, moe: 1.6, hybrid: 1.6 },
  /** More for each assumption about what a row leaves out. */
  assumption: 1.08,
  run: 1.3,
};

/** The factor by which a prediction's 90% interval reaches up and down. */
export function intervalFactor(kind: 'speed' | 'run', family: 'dense' | 'moe' | 'hybrid', assumptions: number): number {
  return SPREAD.speed[family] * SPREAD.assumption ** assumptions * (kind === 'run' ? SPREAD.run : 1);
}
