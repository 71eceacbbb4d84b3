/**
 * @file Messages between the ranks and the main thread of a training run.
 *
 * Ranks compute; the main thread alone writes the event log, prints progress and watches limits.
 * Rank 0 reports for all ranks. The main thread requests a stop through one shared integer, which
 * rank 0 reads after each step.
 */

import type { ErrorCode } from '../base/errors.js';
import type { Foundation } from '../checkpoints/snapshot.js';
import type { CalibrationRequest, RankCalibration } from '../plan/local/calibrate.js';
import type { MemorySettings } from '../plan/local/memory.js';
import type { BackendPlan } from '../policy/local/backend.js';
import type { Recipe } from '../recipe/index.js';
import type { SampleRecord } from '../training/stage.js';
import type { NewEvent, StopReason } from '../usage/events.js';
import type { Purpose } from '../usage/usage.js';

/** Everything that a rank needs to know; structured-cloneable. */
export interface RankJob {
  rank: number;
  backend: BackendPlan;
  recipe: Recipe;
  runFolder: string;
  attempt: number;
  /** The snapshot to go on from; null to begin at the beginning. */
  resumeFrom: string | null;
  /**
   * The stage to begin with, from what the stages before it left in the run; null for the first, or
   * for a snapshot's.
   */
  fromStage: number | null;
  /** What the results rest on, for the snapshot. */
  foundation: Foundation;
  /** Int32 [1]: index into `STOP_REQUESTS`. */
  control: SharedArrayBuffer | ArrayBuffer;
  /** Where the recipe's settings gave way to fit the memory. */
  memory?: MemorySettings;
  /** What to time before the first step, for the plan. */
  calibrate?: CalibrationRequest;
}

/** 0 means go on. */
export const STOP_REQUESTS = [
  null,
  'interrupted',
  'max-usd',
  'max-minutes',
] as const satisfies readonly (StopReason | null)[];

export type FromRank =
  /** How fast the ranks are at the recipe's work. */
  | { kind: 'calibrated'; calibration: RankCalibration }
  | { kind: 'ready' }
  | { kind: 'event'; event: NewEvent }
  /** Where the work now is: time from here on belongs to this stage. */
  | { kind: 'at'; stage: string; purpose: Purpose }
  | { kind: 'spent'; step: number; tokensIn: number; tokensOut: number; modelFlops: number }
  | { kind: 'samples'; stage: string; step: number; samples: SampleRecord[] }
  /** Asks for all events so far to be on disk; answered with `flushed`. */
  | { kind: 'flush' }
  | { kind: 'stored'; bytes: number }
  | {
      kind: 'memory';
      localBytes: number;
      localHighWaterBytes: number;
      sharedBytes: number;
      sharedHighWaterBytes: number;
    }
  | { kind: 'done'; reason: StopReason; step: number; message?: string }
  | {
      kind: 'failed';
      error: { code: ErrorCode | 'bug'; message: string; field?: string; stack?: string };
    };

export type ToRank = { kind: 'flushed' };
