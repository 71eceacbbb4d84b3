/**
 * @file What serving achieves of the peaks: a handful of physical parameters.
 *
 * Each is a quantity that could be measured by itself: a share of a peak rate, or the time of one kind of pause. They were fitted,
 * together, to published measurements (`docs/benchmarks.md`, "Serving planner against published measurements"; the errors there
 * leave the source of each row out of the fit). Nothing here knows a model, an accelerator or an engine by name.
 */
export interface ServingCalibration {
  /** Share of the memory bandwidth at which weights and caches are read. */
  bandwidthFraction: number;
  /** Share of the accelerator's achievable rate (of the best large products) in 16 and 8 bits. */
  computeFraction: number;
  /** The same in 4 bits: power and the conversion of activations hold it lower. */
  fourBitFraction: number;
  /** The same for the routed experts' products: many small ones, of unequal sizes. */
  groupedFraction: number;
  /** What remains of both rates where weights are widened before they are multiplied (INT4; MXFP4 without FP4 units). */
  wideningFraction: number;
  /** Share of the achievable rate of attention. */
  attentionFraction: number;
  /** Times that the activations of a layer travel through memory, beyond the matrix products' own inputs and outputs. */
  activationPasses: number;
  /** Seconds a layer, whatever its size: launches and dependencies of the small kernels. */
  layerSeconds: number;
  /** The same, further, for a layer of experts: routing, sorting, grouped products. */
  expertLayerSeconds: number;
  /** Seconds of a forward pass outside its layers: scheduling, sampling, copies. */
  stepSeconds: number;
  /** Seconds a sequence of a pass: sampling, bookkeeping and streaming of its token. */
  sequenceSeconds: number;
  /** Seconds of a request outside the accelerator before its first token: parsing, tokenizing, streaming. */
  requestSeconds: number;
  /** Seconds of a collective on the scale-up link, and what the scale-out network adds. */
  collectiveSeconds: number;
  networkSeconds: number;
  /** Share of the links' rate. */
  linkFraction: number;
  /**
   * How unequal copies of attention are: each has its own requests, and all wait at the experts for the one that has most to do.
   * The busiest of D does 1 + this × √ln D of the mean's work.
   */
  copyImbalance: number;
  /** Share of the ideal schedule that in-flight batching reaches: ramps, tails, unequal lengths, fragments of the cache. */
  schedulingEfficiency: number;
  /** Share of an answer's cache that is set aside while it is written; a half is the mean, all of it rules eviction out. */
  reservedShare: number;
  /** Share of the memory that weights and caches may use; the rest is workspace. */
  memoryFraction: number;
}

export const SERVING_CALIBRATION: ServingCalibration = {
  bandwidthFraction: 0.67,
  computeFraction: 0.82,
  fourBitFraction: 0.61,
  groupedFraction: 0.36,
  wideningFraction: 0.63,
  attentionFraction: 0.52,
  activationPasses: 1.0,
  layerSeconds: 3.6e-5,
  expertLayerSeconds: 2.3e-5,
  stepSeconds: 7.8e-4,
  sequenceSeconds: 4.1e-6,
  requestSeconds: 5e-3,
  collectiveSeconds: 1.1e-5,
  networkSeconds: 1.4e-4,
  linkFraction: 0.7,
  copyImbalance: 0.38,
  schedulingEfficiency: 0.97,
  reservedShare: 0.67,
  memoryFraction: 0.9,
};
