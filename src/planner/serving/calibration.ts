/**
 * @file What serving achieves of the peaks: a handful of physical parameters.
 *
 * Each is a quantity that could be measured by itself: a share of a peak rate, or the time of one
 * kind of pause. They were fitted together to published measurements by
 * `scripts/calibrate-serving.mjs`, each held near what is known of it apart from those rows;
 * `docs/benchmarks.md` gives the errors on sources that a fit has not seen ("Serving planner
 * against published measurements"). Nothing here knows a model, an accelerator or an engine by
 * name.
 */
export interface ServingCalibration {
  /** Share of the memory bandwidth at which weights and caches are read. */
  bandwidthFraction: number;
  /** Share of the accelerator's achievable rate (of the best large products) in 16 and 8 bits. */
  computeFraction: number;
  /** The same in 4 bits: power and the conversion of activations hold it lower. */
  fourBitFraction: number;
  /**
   * Width of an expert (a rank's share of it) at which its many small, unequal products reach half
   * of that rate: w / (w + this).
   */
  expertHalfWidth: number;
  /**
   * What remains where weights are widened before they are multiplied (INT4; MXFP4 without FP4
   * units): of compute; in experts of all.
   */
  wideningFraction: number;
  /** Share of the achievable rate of attention. */
  attentionFraction: number;
  /**
   * Times that the activations of a layer travel through memory, beyond the matrix products' own
   * inputs and outputs.
   */
  activationPasses: number;
  /** Seconds a layer, whatever its size: launches and dependencies of the small kernels. */
  layerSeconds: number;
  /** The same, further, for a layer of experts: routing, sorting, grouped products. */
  expertLayerSeconds: number;
  /** Seconds of a forward pass outside its layers: scheduling, sampling, copies. */
  stepSeconds: number;
  /** Seconds a sequence of a pass: sampling, bookkeeping and streaming of its token. */
  sequenceSeconds: number;
  /**
   * Seconds of a request outside the accelerator before its first token: parsing, tokenizing,
   * streaming.
   */
  requestSeconds: number;
  /** Seconds of a collective on the scale-up link, and what the scale-out network adds. */
  collectiveSeconds: number;
  networkSeconds: number;
  /** Share of the links' rate. */
  linkFraction: number;
  /**
   * How unequal copies of attention are: each has its own requests, and all wait at the experts for
   * the one that has most to do. The busiest of D does 1 + this × √ln D of the mean's work.
   */
  copyImbalance: number;
  /**
   * Share of the ideal schedule that in-flight batching reaches: ramps, tails, unequal lengths,
   * fragments of the cache.
   */
  schedulingEfficiency: number;
  /**
   * Share of an answer's cache that is set aside while it is written; a half is the mean, all of it
   * rules eviction out.
   */
  reservedShare: number;
  /** Share of the memory that weights and caches may use; the rest is workspace. */
  memoryFraction: number;
}

export const SERVING_CALIBRATION: ServingCalibration = {
  bandwidthFraction: 0.81,
  computeFraction: 0.82,
  fourBitFraction: 0.57,
  expertHalfWidth: 2800,
  wideningFraction: 0.57,
  attentionFraction: 0.59,
  activationPasses: 0.92,
  layerSeconds: 35e-6,
  expertLayerSeconds: 34e-6,
  stepSeconds: 0.98e-3,
  sequenceSeconds: 4e-6,
  requestSeconds: 5e-3,
  collectiveSeconds: 13e-6,
  networkSeconds: 120e-6,
  linkFraction: 0.7,
  copyImbalance: 0.34,
  schedulingEfficiency: 0.94,
  reservedShare: 0.79,
  memoryFraction: 0.9,
};
