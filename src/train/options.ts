/**
 * @file The options of `train`, and its result.
 */

import type { RunFolder } from '../checkpoints/run-folder.js';
import type { MemoryFit } from '../plan/local/memory-fit.js';
import type { Plan } from '../plan/plan.js';
import type { BackendKind } from '../policy/local/backend.js';
import type { Thread } from '../policy/local/thread.js';
import type { Recipe } from '../recipe/index.js';
import type { Products } from '../tensor/backends/wasm/index.js';
import type { Precision } from '../tensor/backends/webgpu/index.js';
import type { StopReason } from '../usage/events.js';
import type { BookOptions } from './bookkeeper.js';
import type { RankJob } from './protocol.js';

export interface TrainOptions extends BookOptions {
  /** Reckoner's version, for the log. */
  version: string;
  /** What to run; leave out when resuming. */
  recipe?: Recipe;
  /** A run by path or name; '' is the newest. */
  resume?: string;
  /**
   * With `resume`: run this stage and the later ones again, from what the earlier ones left; the
   * recipe may have been changed.
   */
  from?: string;
  /** Go on although something that the result rests on has changed. */
  allowDrift?: boolean;
  /** With `resume`: follow what the run's recipe refers to, wherever it is; it may be code. */
  trust?: boolean;
  /** Folder of runs. */
  runs?: string;
  /** Default: one a core (when resuming: as before). */
  workers?: number;
  /**
   * Default: wasm (when resuming: as before). `auto`: a GPU that is measured to be faster, or wasm.
   */
  backend?: BackendKind | 'auto';
  /** Of the GPU's matrix products; default f32 (when resuming: as before). */
  precision?: Precision;
  /** What multiplies matrices; default auto (when resuming: as before). */
  products?: Products;
  onStart?: (
    run: RunFolder,
    recipe: Recipe,
    details: { workers: number; fingerprint: string; fromStep: number },
  ) => void;
  /** Before the first step of a new run, unless `RECKONER_CALIBRATION` is off. */
  onPlan?: (plan: Plan) => void;
  /** Starts what runs a rank; default: a worker thread. */
  startRank?: (job: RankJob) => Thread;
  /** What the run will need of the memory, by stage, on the WASM backend. */
  onMemory?: (fit: MemoryFit, workers: number) => void;
  /** What the backend `auto` became, and why. */
  onBackend?: (kind: BackendKind, why: string) => void;
  /** Warnings raised before any event log exists. */
  onWarning?: (message: string) => void;
}

export interface TrainSummary {
  run: RunFolder;
  recipe: Recipe;
  reason: StopReason;
  message?: string;
  step: number;
  /** Of this attempt. */
  seconds: number;
  workers: number;
  fingerprint: string;
  /**
   * High-water marks of the ranks' arenas after each stage, bytes (rank 0's and the shared one's).
   */
  memory: { localHighWaterBytes: number; sharedHighWaterBytes: number } | null;
}
