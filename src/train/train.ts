/**
 * @file `train`: the interpreter of a recipe that executes it.
 *
 * One worker thread a rank runs `program.ts`; this thread keeps the books. It alone appends to
 * `events.jsonl`, at least once a second, so that a kill loses at most that; it watches the limits
 * on dollars and minutes and passes on Ctrl-C; at the end it writes the bill.
 */

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { removeFolderAtomic, writeFileAtomic } from '../base/files.js';
import { sharedBuffer } from '../base/shared.js';
import {
  createRunFolder,
  lockRun,
  RUNS,
  type RunFolder,
  readRunJson,
  resolveRun,
} from '../checkpoints/run-folder.js';
import {
  describeDrift,
  foundationHere,
  latestSnapshot,
  pruneSnapshots,
  refuseDrift,
  type Snapshot,
} from '../checkpoints/snapshot.js';
import { createCostMeter, type PriceBook, writeBill } from '../ledger/index.js';
import type { RankCalibration } from '../plan/local/calibrate.js';
import { measureDisk, predictLocal, type RunPlan } from '../plan/local/local-plan.js';
import { type DescribedRecipe, describeRecipe } from '../plan/local/local-work.js';
import {
  abortPlan,
  type BackendKind,
  type BackendPlan,
  backendOf,
  defaultWorkers,
  planBackend,
} from '../policy/local/backend.js';
import { resolveBackend } from '../policy/local/gpu.js';
import { startThread, type Thread } from '../policy/local/thread.js';
import {
  hashWeights,
  openBase,
  type Recipe,
  type ResolvedRecipe,
  recipeOfRun,
  resolveRecipe,
} from '../recipe/index.js';
import { stepsOf, trains } from '../stages/index.js';
import { grantReferences } from '../tasks/index.js';
import type { Products } from '../tensor/backends/wasm/index.js';
import type { Precision } from '../tensor/backends/webgpu/index.js';
import type { NewEvent, RunEvent, StopReason } from '../usage/events.js';
import {
  appendLines,
  openEventLog,
  readEvents,
  repairEventLog,
  repairLines,
} from '../usage/log.js';
import { createMeter, describeMachine } from '../usage/meters.js';
import type { Purpose } from '../usage/usage.js';
import { lostUsage, NO_PAST, type Past, readPast, USAGE_INTERVAL_MS } from './attempts.js';
import { type FromRank, type RankJob, STOP_REQUESTS, type ToRank } from './protocol.js';

/** What each rank runs. */
const WORKER = new URL(/* @vite-ignore */ './worker.js', import.meta.url);

export interface TrainOptions {
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
  /** Stop cleanly when the cost so far (all attempts of the run) reaches this. */
  maxUsd?: number;
  /** Stop cleanly after so many minutes of this attempt. */
  maxMinutes?: number;
  prices: PriceBook;
  /** Aborted for a clean stop. */
  signal?: AbortSignal;
  onStart?: (
    run: RunFolder,
    recipe: Recipe,
    details: { workers: number; fingerprint: string; fromStep: number },
  ) => void;
  onEvent?: (event: RunEvent) => void;
  onCost?: (usd: number) => void;
  /** Before the first step of a new run, unless `RECKONER_CALIBRATION` is off. */
  onPlan?: (plan: RunPlan) => void;
  /** What the user should know although there is nothing to run, and so no event to say it. */
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

export async function train(options: TrainOptions): Promise<TrainSummary> {
  if (options.resume === undefined) return trainNew(options);
  const run = resolveRun(options.resume || undefined, options.runs ?? RUNS, {
    prefer: 'unfinished',
  });
  const unlock = lockRun(run);
  try {
    return await resumeIn(
      run,
      resolveRecipe(
        recipeOfRun(readRunJson(run, 'recipe.json', 'recipe'), run.recipe, {
          folder: run.root,
          trust: options.trust,
        }),
      ),
      options,
    );
  } finally {
    unlock();
  }
}

async function trainNew(options: TrainOptions): Promise<TrainSummary> {
  if (!options.recipe)
    throw new UserError('usage', 'train needs a recipe or a run to resume', 'recipe');
  grantReferences(options.recipe);
  const { recipe, models, hash } = resolveRecipe(options.recipe);
  const { products } = options;
  const kind = await resolveBackend(options.backend ?? 'wasm', {
    products,
    models,
    onChoice: options.onWarning,
  });
  const workers = options.workers ?? defaultWorkers(kind);
  const plan = await planFor(recipe, models, {
    kind,
    workers,
    products,
    precision: options.precision,
  });
  const run = createRunFolder(options.runs ?? RUNS, recipe.name, new Date(), recipe.seed);
  let unlock = (): void => {};
  try {
    unlock = lockRun(run);
    return await trainIn(
      {
        run,
        recipe,
        recipeHash: hash,
        workers,
        plan,
        past: NO_PAST,
        snapshot: null,
        fromStage: null,
        warnings: [],
      },
      options,
    );
  } catch (error) {
    // Without a recipe a folder is no run, and can never be resumed.
    if (!existsSync(run.recipe)) rmSync(run.root, { recursive: true, force: true });
    throw error;
  } finally {
    unlock();
  }
}

async function resumeIn(
  run: RunFolder,
  { recipe, models, hash: recipeHash }: ResolvedRecipe,
  options: TrainOptions,
): Promise<TrainSummary> {
  const warnings: string[] = [];
  if (existsSync(run.events)) repairEventLog(run.events);
  repairLines(run.samples);
  const past = await readPast(run);
  const fromStage = options.from === undefined ? null : goBackTo(run, recipe, options.from);
  const snapshot =
    fromStage === null
      ? latestSnapshot(run.checkpoints, (_folder, message) => warnings.push(message))
      : null;
  if (existsSync(run.model)) {
    for (const message of warnings) options.onWarning?.(message);
    return finish(run, recipe, past, snapshot?.state.step ?? 0, options);
  }

  // As before, unless told otherwise: what is told otherwise is then refused as drift.
  const before = snapshot?.state ?? past;
  const same = before.fingerprint
    ? backendOf(before.fingerprint)
    : { kind: undefined, products: undefined, precision: undefined };
  const products = options.products ?? (options.allowDrift ? 'auto' : same.products);
  const asked = options.backend === 'auto' ? undefined : options.backend;
  const kind = asked ?? same.kind ?? 'wasm';
  const workers =
    options.workers ?? (kind === same.kind ? before.workers : undefined) ?? defaultWorkers(kind);
  const plan = await planFor(recipe, models, {
    kind,
    workers,
    products,
    precision: options.precision ?? same.precision,
  });
  if (snapshot) {
    const drift = refuseDrift(
      snapshot.state,
      foundationOf(options, recipeHash, recipe, workers, plan),
      options.allowDrift ?? false,
    );
    if (drift.length > 0)
      warnings.push(
        `the result will differ from that of an uninterrupted run: ${describeDrift(drift)}`,
      );
  }
  return trainIn(
    { run, recipe, recipeHash, workers, plan, past, snapshot, fromStage, warnings },
    options,
  );
}

const stepsBefore = ({ stages }: Recipe, i: number): number =>
  stages.slice(0, i).reduce((sum, spec) => sum + stepsOf(spec), 0);

/**
 * Takes a run back to the beginning of a stage: later snapshots and the result go, what earlier
 * stages wrote stays.
 * @returns the stage's index
 * @throws UserError (usage, state) when there is no such stage, or an earlier one has not left its
 * model
 */
function goBackTo(run: RunFolder, recipe: Recipe, id: string): number {
  const index = recipe.stages.findIndex((stage) => stage.id === id);
  if (index < 0) {
    const ids = recipe.stages.map((stage) => stage.id).join(', ');
    throw new UserError('usage', `${run.name} has no stage "${id}"; it has ${ids}`, '--from');
  }
  const spec = recipe.stages[index];
  const before = recipe.stages.slice(0, index).findLast(trains);
  const needed = spec.model === undefined && spec.init === undefined ? before : undefined;
  if (index > 0 && needed && !existsSync(join(run.stages, needed.id))) {
    throw new UserError(
      'state',
      `${run.name} has not come to stage ${id} yet: ${needed.id} has left no model`,
      '--from',
    );
  }
  pruneSnapshots(run.checkpoints, recipe.checkpoints.keep, stepsBefore(recipe, index) - 1);
  if (existsSync(run.model)) removeFolderAtomic(run.model);
  return index;
}

function planFor(
  { adapter, init }: Recipe,
  models: readonly object[],
  request: { kind: BackendKind; workers: number; products?: Products; precision?: Precision },
): Promise<BackendPlan> {
  return planBackend({
    ...request,
    models,
    adapter,
    bf16: adapter && init ? openBase(init.from).bf16 : false,
  });
}

function foundationOf(
  { version }: TrainOptions,
  recipeHash: string,
  recipe: Recipe,
  workers: number,
  plan: BackendPlan,
) {
  const { seed, adapter, init } = recipe;
  const base = adapter && init ? { base: hashWeights(openBase(init.from).folder) } : {};
  return foundationHere({
    version,
    recipeHash,
    seed,
    workers,
    fingerprint: plan.fingerprint,
    ...base,
  });
}

/** A run whose model is written needs at most its last lines: a kill may have come between. */
async function finish(
  run: RunFolder,
  recipe: Recipe,
  past: Past,
  step: number,
  options: TrainOptions,
): Promise<TrainSummary> {
  if (past.completed && existsSync(run.bill)) {
    throw new UserError(
      'state',
      `${run.root} is complete; "reckoner chat ${run.name}" talks to it`,
      'resume',
    );
  }
  const workers = past.workers ?? 1;
  const fingerprint = past.fingerprint ?? '';
  if (!past.completed) {
    const attempt = past.attempt + 1;
    const log = openEventLog(run.events, { attempt });
    const machine = describeMachine();
    log.append({
      type: 'resumed',
      step,
      fromStep: step,
      version: options.version,
      workers,
      fingerprint,
      machine,
    });
    if (past.killed) log.append({ type: 'usage', step, usage: lostUsage(workers) });
    log.append({ type: 'ended', step, reason: 'completed' });
    log.close();
  }
  options.onStart?.(run, recipe, { workers, fingerprint, fromStep: step });
  await writeBill(run.root, options.prices);
  return { run, recipe, reason: 'completed', step, seconds: 0, workers, fingerprint, memory: null };
}

/** What is to be run, from where. */
interface Assignment {
  run: RunFolder;
  recipe: Recipe;
  recipeHash: string;
  workers: number;
  plan: BackendPlan;
  past: Past;
  snapshot: Snapshot | null;
  /** Or the stage to begin with. */
  fromStage: number | null;
  /** Found on the way here; for the log and the user. */
  warnings: readonly string[];
}

async function trainIn(assignment: Assignment, options: TrainOptions): Promise<TrainSummary> {
  const { run, recipe, recipeHash, workers, plan, past, snapshot, fromStage } = assignment;
  const attempt = past.attempt + 1;
  const { fingerprint } = plan;
  const log = openEventLog(run.events, { attempt });
  const emit = (event: NewEvent): void => {
    log.append(event);
    options.onEvent?.({ ...event, attempt, time: new Date().toISOString() } as RunEvent);
  };
  const cost = createCostMeter(options.prices);
  if (attempt > 0) {
    const { events } = await readEvents(run.events);
    for (const event of events) if (event.type === 'usage') cost.add(event.usage);
  }
  const control = sharedBuffer(4);
  const requests = new Int32Array(control);
  const requestStop = (reason: StopReason): void => {
    const index = (STOP_REQUESTS as readonly (StopReason | null)[]).indexOf(reason);
    Atomics.compareExchange(requests, 0, 0, index);
  };
  if (options.signal?.aborted) requestStop('interrupted');
  options.signal?.addEventListener('abort', () => requestStop('interrupted'));

  // ── usage: time belongs to where the work is; tokens and FLOPs come from rank 0 ────────────────
  const startedAt = performance.now();
  const meter = createMeter({ workers });
  let at: { stage: string; purpose: Purpose } = { stage: 'start', purpose: 'overhead' };
  let step = snapshot?.state.step ?? stepsBefore(recipe, fromStage ?? 0);
  const spent = { tokensIn: 0, tokensOut: 0, modelFlops: 0, storedBytes: 0 };
  const book = (): void => {
    const { wallSeconds, workerSeconds, energyJoules, energyBasis, peakMemoryBytes } =
      meter.increment();
    const usage = {
      ...at,
      wallSeconds,
      workerSeconds,
      energyJoules,
      energyBasis,
      peakMemoryBytes,
      ...spent,
      basis: 'measured' as const,
    };
    emit({ type: 'usage', step, usage });
    cost.add(usage);
    Object.assign(spent, { tokensIn: 0, tokensOut: 0, modelFlops: 0, storedBytes: 0 });
    options.onCost?.(cost.usd);
    if (options.maxUsd !== undefined && cost.usd >= options.maxUsd) requestStop('max-usd');
    const minutes = (performance.now() - startedAt) / 60_000;
    if (options.maxMinutes !== undefined && minutes >= options.maxMinutes)
      requestStop('max-minutes');
  };

  const summary: TrainSummary = {
    run,
    recipe,
    reason: 'failed',
    step,
    seconds: 0,
    workers,
    fingerprint,
    memory: null,
  };
  let failure: UserError | Error | null = null;
  let heartbeat: NodeJS.Timeout | null = null;

  // Later attempts keep the first plan: what was said before anything was known.
  const described = needsPlan(run, snapshot)
    ? describeRecipe(resolveRecipe(recipe), workers)
    : null;

  const foundation = foundationOf(options, recipeHash, recipe, workers, plan);
  const jobOf = (rank: number): RankJob => ({
    rank,
    backend: plan,
    recipe,
    runFolder: run.root,
    attempt,
    resumeFrom: snapshot?.folder ?? null,
    fromStage,
    foundation,
    control,
    calibrate: described?.request,
  });

  function writePlan(calibration: RankCalibration, of: DescribedRecipe): void {
    const disk = measureDisk(run.root);
    const startSeconds = (performance.now() - startedAt) / 1000;
    const local = { recipe: recipe.name, workers, fingerprint, startSeconds, disk, ...calibration };
    const prediction = predictLocal(recipe, local, { prices: options.prices, described: of });
    writeFileAtomic(run.plan, `${JSON.stringify(prediction, null, 2)}\n`, 'plan');
    options.onPlan?.(prediction);
  }

  function receive(message: FromRank, reply: (message: ToRank) => void): void {
    switch (message.kind) {
      case 'calibrated':
        if (described) writePlan(message.calibration, described);
        break;
      case 'ready':
        heartbeat = setInterval(
          () =>
            guard(() => {
              demandInPlace(run);
              book();
            }),
          USAGE_INTERVAL_MS,
        );
        break;
      case 'event':
        step = message.event.step;
        emit(message.event);
        break;
      case 'at':
        book();
        at = { stage: message.stage, purpose: message.purpose };
        break;
      case 'spent':
        step = message.step;
        spent.tokensIn += message.tokensIn;
        spent.tokensOut += message.tokensOut;
        spent.modelFlops += message.modelFlops;
        break;
      case 'samples': {
        const { stage, samples } = message;
        const lines = samples.map((sample) => ({ attempt, step: message.step, stage, ...sample }));
        appendLines(run.samples, lines, 'samples');
        break;
      }
      case 'flush':
        book();
        log.flush();
        reply({ kind: 'flushed' });
        break;
      case 'stored':
        spent.storedBytes += message.bytes;
        break;
      case 'memory': {
        const { localHighWaterBytes, sharedHighWaterBytes } = message;
        summary.memory = { localHighWaterBytes, sharedHighWaterBytes };
        break;
      }
      case 'done':
        summary.reason = message.reason;
        summary.message = message.message;
        summary.step = message.step;
        break;
      case 'failed': {
        const { code, field, message: text, stack } = message.error;
        failure ??=
          code === 'bug'
            ? Object.assign(new Error(text), { stack })
            : new UserError(code, text, field);
        break;
      }
    }
  }

  const threads: Thread[] = [];
  /** The log could not be written, say: stops the ranks and keeps the first reason. */
  function fail(error: Error): void {
    failure ??= error;
    abortPlan(plan);
    // Alone, a rank waits for nobody and would not notice.
    if (workers === 1) void threads[0]?.terminate();
  }
  function guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      fail(error as Error);
    }
  }

  const common = { version: options.version, workers, fingerprint, machine: describeMachine() };
  try {
    if (attempt > 0) emit({ type: 'resumed', step, fromStep: step, ...common });
    else emit({ type: 'started', step: 0, recipe: recipe.name, ...common });
    // A folder is a run once it has its recipe; by then its log says how it began.
    if (!existsSync(run.recipe))
      writeFileAtomic(run.recipe, `${JSON.stringify(recipe, null, 2)}\n`, 'recipe');
    if (past.killed) {
      const usage = lostUsage(past.workers ?? workers);
      emit({ type: 'usage', step, usage });
      cost.add(usage);
    }
    options.onStart?.(run, recipe, { workers, fingerprint, fromStep: step });
    for (const message of assignment.warnings) emit({ type: 'warning', step, message });
    await Promise.all(
      Array.from({ length: workers }, (_, rank) => {
        const worker = startThread(WORKER, { workerData: jobOf(rank) });
        threads.push(worker);
        return new Promise<void>((resolve) => {
          worker.on('message', (message: FromRank) => {
            if (rank === 0 || message.kind === 'failed')
              guard(() => receive(message, (answer) => worker.postMessage(answer)));
            if (message.kind === 'failed') abortPlan(plan);
            // A rank whose events cannot be written waits for them to be on disk in vain.
            if (message.kind === 'flush' && failure) void worker.terminate();
          });
          worker.on('error', (error) => fail(error as Error));
          worker.on('exit', (code) => {
            if (code !== 0)
              fail(new Error(`rank ${rank} ended without a word (exit code ${code})`));
            resolve();
          });
        });
      }),
    );
  } finally {
    if (heartbeat) clearInterval(heartbeat);
  }

  summary.seconds = (performance.now() - startedAt) / 1000;
  if (failure) {
    const error = adviseResume(failure, run);
    try {
      book();
      // Not shown as an event: the caller gets the error itself.
      log.append({ type: 'ended', step, reason: 'failed', message: error.message });
      log.close();
    } catch {
      // The disk may be what failed; the first error is the one to tell.
    }
    throw error;
  }
  book();
  emit({ type: 'ended', step: summary.step, reason: summary.reason, message: summary.message });
  log.close();
  await writeBill(run.root, options.prices);
  return summary;
}

/**
 * A run whose folder is elsewhere by now would leave its checkpoints where nobody looks.
 * @throws UserError (state)
 */
function demandInPlace({ root, recipe }: RunFolder): void {
  if (existsSync(recipe)) return;
  const message = `${root} was moved or removed while the run went on; move it back, or go on from where it is now with "reckoner train --resume FOLDER"`;
  throw new UserError('state', message, 'run');
}

/** True when the run still needs its plan. */
function needsPlan(run: RunFolder, snapshot: Snapshot | null): boolean {
  return process.env.RECKONER_CALIBRATION !== 'off' && snapshot === null && !existsSync(run.plan);
}

/** A full disk does not end a run that has begun: it is gone on with, not begun again. */
function adviseResume(error: UserError | Error, run: RunFolder): UserError | Error {
  if (!(error instanceof UserError) || error.code !== 'disk' || !existsSync(run.recipe))
    return error;
  const message = error.message.replace(
    'run the command again',
    `go on with "reckoner train --resume ${run.root}"`,
  );
  return new UserError(error.code, message, error.field);
}
