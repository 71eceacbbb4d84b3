/**
 * @file The plan of a run on this machine: from what its stages do (`local-work.ts`) and how fast
 * the machine was timed to be (`calibration.ts`), the planner's arithmetic (`planner/local.ts`)
 * gives seconds, tokens, model FLOPs, energy and dollars by stage, each with a 90% interval, in the
 * same usage records that the run will write.
 *
 * A device is a core, or the GPU that a core drives. MFU is against the best matrix products that
 * were seen here.
 */
import { UserError } from '../../base/errors.js';
import { addUp, exactly, type Quantity, rateOf, scaled } from '../../base/quantity.js';
import { priceOf } from '../../catalog/catalog.js';
import { defaultPriceBook, deviceUsd, hourOfCore, type PriceBook } from '../../ledger/index.js';
import { countParameters } from '../../planner/index.js';
import { type LocalRates, predictStage, SPEED_RANGE } from '../../planner/local.js';
import type { BackendKind } from '../../policy/local/backend.js';
import { isTrainable, type Recipe, resolveRecipe } from '../../recipe/index.js';
import { stepsOf } from '../../stages/index.js';
import type { Products } from '../../tensor/backends/wasm/index.js';
import type { Precision } from '../../tensor/backends/webgpu/index.js';
import { describeMachine } from '../../usage/meters.js';
import type { Usage } from '../../usage/usage.js';
import { PLAN_SCHEMA_VERSION, type Plan, type PlannedStage, totalOf } from '../plan.js';
import { calibrateLocal, type LocalCalibration } from './calibration.js';
import {
  type DescribedRecipe,
  type DescribedStage,
  describeRecipe,
  type LocalPart,
} from './local-work.js';

/** What computes: a core of the processor, or a GPU. */
export interface LocalDevice {
  name: string;
  /** FLOP/s seen at large matrix products. */
  peakFlops: number;
}

/** The cluster of such a plan on a GPU; on cores it is `local`. */
export const LOCAL_GPU = 'the local GPU';

/** A core of this machine, as it is called in a plan. */
export const coreName = (): string => `${describeMachine().cpu.trim()}, one core`;

/** Files of a snapshot that are each written to the disk for good. */
const CHECKPOINT_FILES = 7;
const JOULES_PER_KWH = 3_600_000;

/** @throws UserError for a recipe that cannot run here */
export async function planLocal(
  recipe: Recipe,
  {
    measureDevice,
    ...options
  }: {
    /** Measures a core, or the GPU that `--backend webgpu` takes. */
    measureDevice: () => Promise<LocalDevice>;
    backend?: BackendKind;
    precision?: Precision;
    workers?: number;
    products?: Products;
  },
): Promise<Plan> {
  if (!isTrainable(recipe)) {
    const message = `${recipe.name} cannot run on this machine: it has no task; plan it for a cluster, such as --on h800x2048`;
    throw new UserError('usage', message, '--on');
  }
  const device = await measureDevice();
  const { calibration, described } = await calibrateLocal(recipe, options);
  return predictLocal(recipe, calibration, { described, device });
}

/** Rates of a part of a stage from what was measured. */
function ratesOf(
  { trainingKey, generationKey, secondsPerProblem, secondsPerGrade }: LocalPart,
  calibration: LocalCalibration,
): LocalRates {
  const rates: LocalRates = { secondsPerProblem, secondsPerGrade };
  for (const measured of calibration.measured) {
    if (measured.kind === 'training' && measured.key === trainingKey) {
      rates.trainingSecondsPerToken = measured.secondsPerToken;
      rates.secondsPerUpdate = measured.secondsPerUpdate;
    }
    if (measured.kind === 'generation' && measured.key === generationKey)
      rates.generation = measured;
  }
  return rates;
}

export interface PredictOptions {
  /** Workers of the run; must be those of the calibration. */
  workers?: number;
  prices?: PriceBook;
  /** When it was made already. */
  described?: DescribedRecipe;
  /** When it was measured; without it the plan has no MFU. */
  device?: LocalDevice;
}

/**
 * Predicts what `train` would use for the recipe on this machine.
 * @throws Error when the calibration is of another recipe or another number of workers
 */
export function predictLocal(
  recipe: Recipe,
  calibration: LocalCalibration,
  options: PredictOptions = {},
): Plan {
  const { workers, backend, fingerprint } = calibration;
  if (calibration.recipe !== recipe.name || (options.workers ?? workers) !== workers) {
    throw new Error(`the calibration is of ${calibration.recipe} on ${workers} workers`);
  }
  const described = options.described ?? describeRecipe(resolveRecipe(recipe), workers);
  const prices = options.prices ?? defaultPriceBook();
  const usdPerHour = hourOfCore(prices);
  const onGpu = backend === 'webgpu';
  const peakFlops = options.device?.peakFlops ?? null;
  const machine = { calibration, usdPerHour: usdPerHour.value, onGpu, peakFlops };
  const stages = [
    startOf(calibration),
    ...described.stages.map((stage, i) => ({
      ...partOf(stage, calibration),
      steps: stepsOf(recipe.stages[i]),
    })),
    finishOf(calibration, described.weightBytes),
  ].map((part) => plannedStage(part, machine));
  const { total, active, mtp } = countParameters(described.architecture);
  return {
    schemaVersion: PLAN_SCHEMA_VERSION,
    recipe: recipe.name,
    cluster: {
      name: onGpu ? LOCAL_GPU : 'local',
      // The fingerprint of a GPU has its name.
      accelerator: onGpu ? fingerprint : `${options.device?.name ?? coreName()} (${fingerprint})`,
      count: workers,
      usdPerHour,
      pue: exactly(1),
      loadFactor: exactly(1),
      goodput: exactly(1),
    },
    model: { name: recipe.name, parameters: { total, active, mtp } },
    stages,
    rejected: [],
    total: totalOf(stages),
    sensitivity: [],
    published: [],
    machine: describeMachine(),
    calibration,
    notes: notesOf(stages, prices, onGpu),
  };
}

/** A stage, or what comes before the first and after the last one, in seconds. */
interface Part
  extends Pick<DescribedStage, 'id' | 'purpose' | 'tokensIn' | 'tokensOut' | 'modelFlops'> {
  kind: PlannedStage['kind'];
  seconds: Quantity;
  steps: number;
  storedBytes: number;
  completionTokens: Quantity | null;
  samplingShare: number | null;
  /** Operations with attention counted in full, over those with half of it. */
  fullOverCausal: number;
}

const checkpointSeconds = ({ disk }: LocalCalibration, bytes: number): number =>
  CHECKPOINT_FILES * disk.secondsPerFile + bytes * disk.secondsPerByte;

function overhead(id: string, value: number, high: number, storedBytes: number): Part {
  return {
    id,
    kind: 'overhead',
    purpose: 'overhead',
    seconds: { value, low: SPEED_RANGE.low * value, high },
    steps: 1,
    tokensIn: exactly(0),
    tokensOut: exactly(0),
    modelFlops: exactly(0),
    storedBytes,
    completionTokens: null,
    samplingShare: 0,
    fullOverCausal: 1,
  };
}

const startOf = ({ startSeconds }: LocalCalibration): Part =>
  overhead('start', startSeconds, SPEED_RANGE.high * startSeconds, 0);

function finishOf(calibration: LocalCalibration, weightBytes: number): Part {
  const seconds = checkpointSeconds(calibration, weightBytes);
  return overhead('finish', seconds, 3 * seconds, weightBytes);
}

function partOf(stage: DescribedStage, calibration: LocalCalibration): Omit<Part, 'steps'> {
  const { parts, checkpoints, checkpointBytes, ...rest } = stage;
  const writing = checkpoints * checkpointSeconds(calibration, checkpointBytes);
  const seconds = addUp([
    ...parts.map((part) =>
      predictStage(
        { ...part.local, secondsPerCheckpoint: 0 },
        ratesOf(part, calibration),
        calibration.slowdown,
      ),
    ),
    { value: writing, low: SPEED_RANGE.low * writing, high: SPEED_RANGE.high * writing },
  ]);
  return { ...rest, seconds, storedBytes: checkpoints * checkpointBytes };
}

interface TimedMachine {
  calibration: LocalCalibration;
  usdPerHour: number;
  onGpu: boolean;
  peakFlops: number | null;
}

function plannedStage(part: Part, machine: TimedMachine): PlannedStage {
  const { id, kind, purpose, seconds, steps, tokensIn, tokensOut, modelFlops } = part;
  const { calibration, usdPerHour, onGpu, peakFlops } = machine;
  const { workers } = calibration;
  const joules = scaled(seconds, workers * priceOf('cpu.power.busy-core').value);
  const usage: Usage = {
    stage: id,
    purpose,
    wallSeconds: seconds.value,
    workerSeconds: seconds.value * workers,
    tokensIn: Math.round(tokensIn.value),
    tokensOut: Math.round(tokensOut.value),
    modelFlops: modelFlops.value,
    energyJoules: joules.value,
    energyBasis: 'estimated',
    peakMemoryBytes: 0,
    storedBytes: part.storedBytes,
    basis: 'predicted',
  };
  const tokens = addUp([tokensIn, tokensOut]);
  const mfu = peakFlops === null ? null : rateOf(modelFlops.value / workers / peakFlops, seconds);
  return {
    id,
    kind,
    layout: onGpu ? 'one GPU' : `${workers} ${workers === 1 ? 'worker' : 'workers'}`,
    tokens: tokens.value,
    seconds,
    days: scaled(seconds, 1 / 86_400),
    gpuHours: scaled(seconds, workers / 3600),
    stepSeconds: scaled(seconds, 1 / steps),
    tokensPerSecondPerGpu: rateOf(tokens.value / workers, seconds),
    mfuCausal: mfu,
    mfuNonCausal: mfu === null ? null : scaled(mfu, part.fullOverCausal),
    hfu: mfu,
    memoryBytesPerGpu: null,
    energyKwh: scaled(joules, 1 / JOULES_PER_KWH),
    // The speed of the machine is uncertain, the price of its hour is that of the book.
    usd: scaled(seconds, seconds.value > 0 ? deviceUsd(usage, usdPerHour) / seconds.value : 0),
    samplingShare: part.samplingShare,
    usage,
    ...(kind === 'overhead'
      ? {}
      : { lengths: { tokens, modelFlops, completionTokens: part.completionTokens } }),
  };
}

function notesOf(stages: readonly PlannedStage[], prices: PriceBook, onGpu: boolean): string[] {
  const watts = priceOf('cpu.power.busy-core').value;
  return [
    'Intervals are 90%: of the length of completions, and of the speed of the machine if others come to use it or leave it.',
    ...(stages.some(({ lengths }) => lengths?.completionTokens)
      ? [
          "Lengths of completions are expected from the task's demonstrations; reinforcement learning changes them.",
        ]
      : []),
    ...(onGpu
      ? [
          "Dollars and energy are those of the core that drives the GPU; the GPU's own are not known here and not in them.",
        ]
      : []),
    `Dollars at the prices of ${prices.name} (${prices.mode}), without storage; energy at ${watts} W a busy core.`,
  ];
}
