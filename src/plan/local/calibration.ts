/**
 * @file How fast this machine is at a recipe's own work: a recipe's shapes are timed on scratch
 * models for a second or so, on workers of their own (`calibrate-worker.ts`), and the disk with
 * small files.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  abortPlan,
  type BackendKind,
  defaultWorkers,
  planBackend,
} from '../../policy/local/backend.js';
import { startThread } from '../../policy/local/thread.js';
import { openBase, type Recipe, type ResolvedRecipe, resolveRecipe } from '../../recipe/index.js';
import type { Products } from '../../tensor/backends/wasm/index.js';
import type { Precision } from '../../tensor/backends/webgpu/index.js';
import type { Measured, RankCalibration } from './calibrate.js';
import type { CalibrationJob } from './calibrate-worker.js';
import { type DescribedRecipe, describeRecipe } from './local-work.js';

/** How fast this machine was seen to be at a recipe's own work. */
export interface LocalCalibration {
  recipe: string;
  workers: number;
  backend: BackendKind;
  /** What computed: backend, kernel build, matrix-product library. */
  fingerprint: string;
  /** What the calibration took, wall seconds. */
  seconds: number;
  /** From the beginning of the run until its workers were ready, calibration included. */
  startSeconds: number;
  /** Seconds of work, as on a machine that does nothing else. */
  measured: Measured[];
  /** Wall seconds a second of work while it was measured: others used the machine as well. */
  slowdown: number;
  /** Writing a small file to the disk for good, and each further byte. */
  disk: { secondsPerFile: number; secondsPerByte: number };
}

/** What each rank of a calibration runs. */
const WORKER = new URL(/* @vite-ignore */ './calibrate-worker.js', import.meta.url);
const DISK_BYTES = 1 << 18;
/** Where the disk cannot be tried. */
const ASSUMED_DISK = { secondsPerFile: 0.005, secondsPerByte: 5e-9 };

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
  const forms = adapter && init ? openBase(init.from).forms : undefined;
  const plan = await planBackend({ kind, workers, products, precision, models, adapter, forms });
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
  const { kind: backend, fingerprint } = plan;
  return {
    calibration: {
      recipe: recipe.name,
      workers,
      backend,
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
