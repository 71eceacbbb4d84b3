/**
 * @file What a run will take on this machine, before it starts: `plan.json`.
 *
 * A recipe becomes numbers (`describe.ts`), what they cost here is timed on scratch models for a
 * second or so (`calibrate.ts`), and the planner's arithmetic (`planner/local.ts`) gives seconds,
 * tokens, model FLOPs, energy and dollars by stage, each with a 90% interval, in the same usage
 * records that the run will write.
 */

import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { priceOf } from '../../catalog/catalog.js';
import { createCostMeter, defaultPriceBook, type PriceBook } from '../../ledger/index.js';
import type { Quantity } from '../../planner/cluster.js';
import {
  addQuantities,
  type LocalRates,
  predictStage,
  SPEED_RANGE,
  scaleQuantity,
} from '../../planner/local.js';
import {
  abortPlan,
  type BackendKind,
  backendOf,
  defaultWorkers,
  planBackend,
} from '../../policy/local/backend.js';
import { startThread } from '../../policy/local/thread.js';
import { openBase, type Recipe, type ResolvedRecipe, resolveRecipe } from '../../recipe/index.js';
import type { Products } from '../../tensor/backends/wasm/index.js';
import type { Precision } from '../../tensor/backends/webgpu/index.js';
import type { Machine } from '../../usage/events.js';
import { describeMachine } from '../../usage/meters.js';
import type { Purpose, Usage } from '../../usage/usage.js';
import type { Measured, RankCalibration } from './calibrate.js';
import type { CalibrationJob } from './calibrate-worker.js';
import { type DescribedRecipe, describeRecipe, type LocalPart } from './local-work.js';

export const PLAN_SCHEMA_VERSION = 1;

/** How fast this machine was seen to be at a recipe's own work. */
export interface LocalCalibration {
  recipe: string;
  workers: number;
  /** What computed: backend, kernel build, matrix-product library. */
  fingerprint: string;
  /** What the calibration took, wall seconds. */
  seconds: number;
  /** From the beginning of the run until its workers were ready, calibration included. */
  startSeconds: number;
  /** Seconds of work, as on a machine that nobody else uses. */
  measured: Measured[];
  /** Wall seconds a second of work while it was measured: others used the machine as well. */
  slowdown: number;
  /** Writing a small file to the disk for good, and each further byte. */
  disk: { secondsPerFile: number; secondsPerByte: number };
}

export interface PlannedStage {
  id: string;
  /** As in the recipe; `overhead` for what comes before the first and after the last one. */
  kind: string;
  purpose: Purpose;
  seconds: Quantity;
  /** Read and generated, together. */
  tokens: Quantity;
  modelFlops: Quantity;
  energyKwh: Quantity;
  usd: Quantity;
  /** Mean length of a completion, where the stage samples. */
  completionTokens?: Quantity;
  /** The expected values as the record that the run itself writes, with basis `predicted`. */
  usage: Usage;
}

export interface RunPlan {
  schemaVersion: typeof PLAN_SCHEMA_VERSION;
  recipe: string;
  machine: Machine;
  workers: number;
  calibration: LocalCalibration;
  stages: PlannedStage[];
  total: {
    seconds: Quantity;
    tokens: Quantity;
    modelFlops: Quantity;
    energyKwh: Quantity;
    usd: Quantity;
  };
  notes: string[];
}

/** What each rank of a calibration runs. */
const WORKER = new URL(/* @vite-ignore */ './calibrate-worker.js', import.meta.url);
/** Files of a snapshot that are each written to the disk for good. */
const CHECKPOINT_FILES = 7;
const DISK_BYTES = 1 << 18;
/** Where the disk cannot be tried. */
const ASSUMED_DISK = { secondsPerFile: 0.005, secondsPerByte: 5e-9 };
const JOULES_PER_KWH = 3_600_000;

/**
 * Writes a few files to `folder` and takes them away again. The fastest counts: a busy disk has
 * moments of half a second.
 */
export function measureDisk(folder: string): LocalCalibration['disk'] {
  const file = join(folder, `.disk-${process.pid}-${randomBytes(4).toString('hex')}.tmp`);
  const time = (bytes: number): number => {
    const start = performance.now();
    const descriptor = openSync(file, 'w');
    try {
      writeSync(descriptor, Buffer.alloc(bytes, 1));
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
      rmSync(file, { force: true });
    }
    return (performance.now() - start) / 1000;
  };
  try {
    const small = Math.min(time(1024), time(1024), time(1024));
    return {
      secondsPerFile: small,
      secondsPerByte: Math.max(1e-9, (time(DISK_BYTES) - small) / DISK_BYTES),
    };
  } catch {
    return ASSUMED_DISK;
  }
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
}

/**
 * Predicts what `train` would use for the recipe on this machine.
 * @throws Error when the calibration is of another recipe or another number of workers
 */
export function predictLocal(
  recipe: Recipe,
  calibration: LocalCalibration,
  options: PredictOptions = {},
): RunPlan {
  const { workers, disk, slowdown } = calibration;
  if (calibration.recipe !== recipe.name || (options.workers ?? workers) !== workers) {
    throw new Error(`the calibration is of ${calibration.recipe} on ${workers} workers`);
  }
  const described = options.described ?? describeRecipe(resolveRecipe(recipe), workers);
  const prices = options.prices ?? defaultPriceBook();
  const watts = priceOf('cpu.power.busy-core').value;
  const none: Quantity = { value: 0, low: 0, high: 0 };

  const planned = (
    head: Pick<PlannedStage, 'id' | 'kind' | 'purpose' | 'seconds'>,
    work: {
      tokensIn: Quantity;
      tokensOut: Quantity;
      modelFlops: Quantity;
      storedBytes: number;
      completions: Quantity | null;
    },
  ): PlannedStage => {
    const { seconds, id, purpose } = head;
    const joules = scaleQuantity(seconds, workers * watts);
    const usage: Usage = {
      stage: id,
      purpose,
      wallSeconds: seconds.value,
      workerSeconds: seconds.value * workers,
      tokensIn: Math.round(work.tokensIn.value),
      tokensOut: Math.round(work.tokensOut.value),
      modelFlops: work.modelFlops.value,
      energyJoules: joules.value,
      energyBasis: 'estimated',
      peakMemoryBytes: 0,
      storedBytes: work.storedBytes,
      basis: 'predicted',
    };
    const cost = createCostMeter(prices);
    cost.add(usage);
    return {
      ...head,
      tokens: addQuantities([work.tokensIn, work.tokensOut]),
      modelFlops: work.modelFlops,
      energyKwh: scaleQuantity(joules, 1 / JOULES_PER_KWH),
      usd: scaleQuantity(seconds, seconds.value > 0 ? cost.usd / seconds.value : 0),
      ...(work.completions ? { completionTokens: work.completions } : {}),
      usage,
    };
  };
  const checkpointSeconds = (bytes: number): number =>
    CHECKPOINT_FILES * disk.secondsPerFile + bytes * disk.secondsPerByte;
  const overhead = (id: string, value: number, high: number, storedBytes: number): PlannedStage =>
    planned(
      {
        id,
        kind: 'overhead',
        purpose: 'overhead',
        seconds: { value, low: SPEED_RANGE.low * value, high },
      },
      { tokensIn: none, tokensOut: none, modelFlops: none, storedBytes, completions: null },
    );

  const { startSeconds } = calibration;
  const finishSeconds = checkpointSeconds(described.weightBytes);
  const stages = [
    overhead('start', startSeconds, SPEED_RANGE.high * startSeconds, 0),
    ...described.stages.map((stage) => {
      const writing = stage.checkpoints * checkpointSeconds(stage.checkpointBytes);
      const seconds = addQuantities([
        ...stage.parts.map((part) =>
          predictStage(
            { ...part.local, secondsPerCheckpoint: 0 },
            ratesOf(part, calibration),
            slowdown,
          ),
        ),
        { value: writing, low: SPEED_RANGE.low * writing, high: SPEED_RANGE.high * writing },
      ]);
      const { id, kind, purpose, tokensIn, tokensOut, modelFlops, completionTokens } = stage;
      const storedBytes = stage.checkpoints * stage.checkpointBytes;
      return planned(
        { id, kind, purpose, seconds },
        { tokensIn, tokensOut, modelFlops, storedBytes, completions: completionTokens },
      );
    }),
    overhead('finish', finishSeconds, 3 * finishSeconds, described.weightBytes),
  ];
  const add = (key: 'seconds' | 'tokens' | 'modelFlops' | 'energyKwh' | 'usd') =>
    addQuantities(stages.map((stage) => stage[key]));
  return {
    schemaVersion: PLAN_SCHEMA_VERSION,
    recipe: recipe.name,
    machine: describeMachine(),
    workers,
    calibration,
    stages,
    total: {
      seconds: add('seconds'),
      tokens: add('tokens'),
      modelFlops: add('modelFlops'),
      energyKwh: add('energyKwh'),
      usd: add('usd'),
    },
    notes: [
      'Intervals are 90%: of the length of completions, and of the speed of the machine if others come to use it or leave it.',
      ...(stages.some(({ completionTokens }) => completionTokens)
        ? [
            "Lengths of completions are expected from the task's demonstrations; reinforcement learning changes them.",
          ]
        : []),
      ...(backendOf(calibration.fingerprint).kind === 'webgpu'
        ? [
            "Dollars and energy are those of the core that drives the GPU; the GPU's own are not known here and not in them.",
          ]
        : []),
      `Dollars at the prices of ${prices.name} (${prices.mode}), without storage; energy at ${watts} W a busy core.`,
    ],
  };
}

/**
 * Times the recipe's own work on workers of its own, as a run would do it.
 * @throws UserError where a run would
 */
export async function calibrateLocal(
  recipe: Recipe,
  options: {
    workers?: number;
    products?: Products;
    backend?: BackendKind;
    precision?: Precision;
    folder?: string;
  } = {},
): Promise<{ calibration: LocalCalibration; described: DescribedRecipe }> {
  const start = performance.now();
  const resolved: ResolvedRecipe = resolveRecipe(recipe);
  const { backend: kind = 'wasm', products, precision } = options;
  const workers = options.workers ?? defaultWorkers(kind);
  const described = describeRecipe(resolved, workers);
  const { models } = resolved;
  const { adapter, init } = resolved.recipe;
  const bf16 = adapter !== undefined && init !== undefined && openBase(init.from).bf16;
  const plan = await planBackend({ kind, workers, products, precision, models, adapter, bf16 });
  const disk = measureDisk(options.folder ?? tmpdir());
  const answers = await Promise.all(
    Array.from({ length: workers }, (_, rank) => {
      const workerData: CalibrationJob = { rank, backend: plan, request: described.request };
      const worker = startThread(WORKER, { workerData });
      return new Promise<RankCalibration>((resolve, reject) => {
        const fail = (error: Error): void => {
          abortPlan(plan);
          reject(error);
        };
        worker.on('message', resolve);
        worker.on('error', (error) => fail(error as Error));
        worker.on('exit', (code) =>
          fail(new Error(`rank ${rank} ended without a word (exit code ${code})`)),
        );
      });
    }),
  );
  const [{ measured, slowdown, seconds }] = answers;
  const startSeconds = (performance.now() - start) / 1000;
  const { fingerprint } = plan;
  return {
    calibration: {
      recipe: recipe.name,
      workers,
      fingerprint,
      seconds,
      startSeconds,
      measured,
      slowdown,
      disk,
    },
    described,
  };
}
