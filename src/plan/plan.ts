/**
 * @file The plan: a recipe's stages with their predicted usage, time, energy and dollars, each with
 * a 90% interval. `plan` prints it for a cluster or this machine; a run keeps its own as
 * `plan.json`; `bill` makes a statement of any of them.
 */
import { addUp, type Quantity } from '../base/quantity.js';
import type { LossReason, Parameters } from '../planner/index.js';
import type { StageSpec } from '../stages/index.js';
import type { Machine } from '../usage/events.js';
import type { Usage } from '../usage/usage.js';
import type { LocalCalibration } from './local/calibration.js';

export const PLAN_SCHEMA_VERSION = 2;

export interface PlannedStage {
  id: string;
  /** `overhead`: before the first and after the last stage, on a machine that was timed. */
  kind: StageSpec['kind'] | 'overhead';
  layout: string;
  /** Of examples, or of prompts and completions; at the median of their lengths. */
  tokens: number;
  /** Wall time, with what is lost to failures and waiting. */
  seconds: Quantity;
  days: Quantity;
  /** Of accelerators, or of cores where there are none. */
  gpuHours: Quantity;
  /** An optimizer step, or a round of sampling and learning, when nothing fails. */
  stepSeconds: Quantity;
  tokensPerSecondPerGpu: Quantity;
  /**
   * Of the peak: attention counted causally, in full, and causally with what is recomputed. Null
   * where the peak was not measured (the plan that a run keeps).
   */
  mfuCausal: Quantity | null;
  mfuNonCausal: Quantity | null;
  hfu: Quantity | null;
  /** Null where it is not predicted (this machine). */
  memoryBytesPerGpu: Quantity | null;
  energyKwh: Quantity;
  /** The ledger's price of `usage`; the interval also has the errors of the price. */
  usd: Quantity;
  /** Share of the time that goes to sampling; null where it is not told apart. */
  samplingShare: number | null;
  /** The expected values as the record that a run writes, with basis `predicted`. */
  usage: Usage;
  /** What the lengths of completions leave open, where a stage is planned for this machine. */
  lengths?: { tokens: Quantity; modelFlops: Quantity; completionTokens: Quantity | null };
}

export interface PublishedComparison {
  what: string;
  stages: string[];
  gpuHours: number;
  predicted: Quantity;
  /** predicted / published − 1 */
  relativeError: number;
  source: string;
}

/** Quantities of a stage that add up to those of the plan. */
const ADDED = ['seconds', 'days', 'gpuHours', 'energyKwh', 'usd'] as const;
export type PlanTotal = Pick<PlannedStage, (typeof ADDED)[number]>;

export interface Plan {
  schemaVersion: typeof PLAN_SCHEMA_VERSION;
  recipe: string;
  cluster: {
    name: string;
    accelerator: string;
    count: number;
    usdPerHour: Quantity & { source: string; date: string };
    pue: Quantity;
    loadFactor: Quantity;
    goodput: Quantity;
  };
  model: { name: string; parameters: Pick<Parameters, 'total' | 'active' | 'mtp'> };
  stages: PlannedStage[];
  rejected: { stage: string; layout: string; kind: LossReason; reason: string }[];
  total: PlanTotal;
  /** What decides the total in USD, the most important first. */
  sensitivity: { input: string; what: string; share: number; rank: number }[];
  published: PublishedComparison[];
  /** What was timed, where the plan is of this machine. */
  machine?: Machine;
  calibration?: LocalCalibration;
  notes: string[];
}

/** The sums of stages, so that a table adds up. */
export const totalOf = (stages: readonly PlannedStage[]): PlanTotal =>
  Object.fromEntries(
    ADDED.map((name) => [name, addUp(stages.map((stage) => stage[name]))]),
  ) as unknown as PlanTotal;
