/**
 * @file The `Usage` record: what a stretch of work used. Written by `train` (measured) and by
 * `plan` (predicted), priced by the ledger. Records are increments: a total is their sum.
 */

export type Basis = 'measured' | 'estimated' | 'predicted' | 'published' | 'assumed';

/** What the time was spent on; decides whether it counts in the headline. */
export type Purpose = 'training' | 'evaluation' | 'inference' | 'data' | 'overhead';

export interface Usage {
  /** Stage id in the recipe. */
  stage: string;
  purpose: Purpose;
  wallSeconds: number;
  /** Sum over workers of the seconds for which each was reserved (wall seconds × workers). */
  workerSeconds: number;
  /** Sum over accelerators of the seconds for which each was reserved; absent on cores alone. */
  acceleratorSeconds?: number;
  /** The catalog's id of the accelerator, such as `h800`. */
  device?: string;
  tokensIn: number;
  tokensOut: number;
  /** Model FLOPs by formula (no recomputation), forward and backward. */
  modelFlops: number;
  energyJoules: number;
  energyBasis: Basis;
  /** Highest resident size seen so far, not an increment. */
  peakMemoryBytes: number;
  /** Bytes written to the run folder. */
  storedBytes: number;
  basis: Basis;
}
