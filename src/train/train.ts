/**
 * @file `train`: the interpreter of a recipe that executes it.
 *
 * A new run or a resumed one becomes an assignment: what is run, from where, on what. Then a rank
 * pool (`rank-pool.ts`) runs the run loop (`rank-loop.ts`) on every rank, a bookkeeper
 * (`bookkeeper.ts`) logs what rank 0 reports, and the bill is written at the end.
 */

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { removeFolderAtomic, writeFileAtomic } from '../base/files.js';
import {
  createRunFolder,
  lockRun,
  RUNS,
  type RunFolder,
  readRunJson,
  refuseLinks,
  resolveModel,
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
import { writeBill } from '../ledger/index.js';
import type { RankCalibration } from '../plan/local/calibrate.js';
import { measureDisk } from '../plan/local/calibration.js';
import { MOST_SECONDS, refuseHeldTokens, refuseLongRun } from '../plan/local/limits.js';
import { predictLocal } from '../plan/local/local-plan.js';
import { type DescribedRecipe, describeRecipe } from '../plan/local/local-work.js';
import type { Plan } from '../plan/plan.js';
import {
  type BackendKind,
  type BackendPlan,
  defaultWorkers,
  planBackend,
  readSettings,
  settingsOf,
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
import type { StopReason } from '../usage/events.js';
import { openEventLog, repairEventLog, repairLines } from '../usage/log.js';
import { describeMachine } from '../usage/meters.js';
import { lostUsage, NO_PAST, type Past, readPast } from './attempts.js';
import { Bookkeeper, type BookOptions } from './bookkeeper.js';
import type { FromRank, RankJob, ToRank } from './protocol.js';
import { RankPool } from './rank-pool.js';

/** What each rank runs. */
const WORKER = new URL(/* @vite-ignore */ './worker.js', import.meta.url);

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

export async function train(options: TrainOptions): Promise<TrainSummary> {
  if (options.resume === undefined) return trainNew(options);
  const run = resolveRun(options.resume || undefined, options.runs ?? RUNS, {
    prefer: 'unfinished',
  });
  if (!options.trust) refuseLinks(run);
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
    onChoice: options.onBackend,
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
        warnings: startNotes(recipe),
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

/** Which of several runs `init.from` means, and what else is to be known of it. */
const startNotes = ({ init }: Recipe): string[] =>
  init === undefined ? [] : resolveModel(init.from).notes.map((note) => `init.from: ${note}`);

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

  if (snapshot) refuseMisplaced(recipe, snapshot);
  // Default to the attempt before; an explicit change is refused as drift without --allow-drift.
  const before = snapshot?.state ?? past;
  const same = readSettings(before.backend);
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

/** @throws UserError (data) when the recipe has no such place */
function refuseMisplaced({ stages }: Recipe, { folder, state }: Snapshot): void {
  const { stageIndex, stageStep } = state;
  const steps = stageIndex < stages.length ? stepsOf(stages[stageIndex]) : 0;
  if (stageIndex <= stages.length && stageStep <= steps) return;
  const message = `snapshot ${folder} is of step ${stageStep} of stage ${stageIndex + 1}, which the recipe does not have; it is of another run`;
  throw new UserError('data', message, folder);
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
  const from = snapshot?.state.step ?? stepsBefore(recipe, fromStage ?? 0);
  const books = new Bookkeeper(run, attempt, workers, from, options);
  await books.readPast();
  // Later attempts keep the first plan: what was said before anything was known.
  const described = needsPlan(run, snapshot)
    ? describeRecipe(resolveRecipe(recipe), workers)
    : null;
  if (described) refuseHeldTokens(recipe, described);
  const summary: TrainSummary = {
    run,
    recipe,
    reason: 'failed',
    step: from,
    seconds: 0,
    workers,
    fingerprint,
    memory: null,
  };
  const job: Omit<RankJob, 'rank'> = {
    backend: plan,
    recipe,
    runFolder: run.root,
    attempt,
    resumeFrom: snapshot?.folder ?? null,
    fromStage,
    foundation: foundationOf(options, recipeHash, recipe, workers, plan),
    control: books.control,
    calibrate: described
      ? { ...described.request, mostSeconds: mostSecondsOf(options) }
      : undefined,
  };
  let ready = false;
  const pool = new RankPool({
    workers,
    plan,
    jobOf: (rank) => ({ ...job, rank }),
    start: options.startRank ?? startRank,
    receive: (message, reply) => receive(message, reply),
  });

  function receive(message: FromRank, reply: (message: ToRank) => void): void {
    if (message.kind === 'calibrated' && described)
      writePlan(assignment, message.calibration, described, books.seconds, options);
    else if (message.kind === 'ready') {
      ready = true;
      books.startHeartbeat(pool.guard, () => demandInPlace(run));
    } else if (message.kind === 'done') {
      const { reason, message: why, step } = message;
      Object.assign(summary, { reason, message: why, step });
    } else if (message.kind === 'memory') {
      const { localHighWaterBytes, sharedHighWaterBytes } = message;
      summary.memory = { localHighWaterBytes, sharedHighWaterBytes };
    } else keepBooks(books, message, reply);
  }

  try {
    announce(assignment, options, books);
    await pool.run();
  } catch (error) {
    const advised = adviseResume(error as Error, run);
    books.stopHeartbeat();
    books.fail(advised);
    // What was refused before its first step has never begun.
    const refused = advised instanceof UserError && advised.code === 'usage' && !ready;
    if (refused && past.attempt < 0) rmSync(run.root, { recursive: true, force: true });
    throw advised;
  }
  books.stopHeartbeat();
  summary.seconds = books.seconds;
  books.end(summary.step, summary.reason, summary.message);
  await writeBill(run.root, options.prices);
  return summary;
}

const startRank = (job: RankJob): Thread => startThread(WORKER, { workerData: job });

/** What a rank says that is for the books. */
function keepBooks(books: Bookkeeper, message: FromRank, reply: (message: ToRank) => void): void {
  switch (message.kind) {
    case 'event':
      books.step = message.event.step;
      books.emit(message.event);
      break;
    case 'at':
      books.moveTo(message.stage, message.purpose);
      break;
    case 'spent': {
      const { step, tokensIn, tokensOut, modelFlops } = message;
      books.step = step;
      books.spend({ tokensIn, tokensOut, modelFlops });
      break;
    }
    case 'samples':
      books.samples(message.stage, message.step, message.samples);
      break;
    case 'flush':
      books.flush();
      reply({ kind: 'flushed' });
      break;
    case 'stored':
      books.spend({ storedBytes: message.bytes });
      break;
  }
}

/** Begins the log of an attempt, and the recipe of a new run. */
function announce(
  { run, recipe, workers, plan, past, warnings }: Assignment,
  options: TrainOptions,
  books: Bookkeeper,
): void {
  const { fingerprint } = plan;
  const { step } = books;
  const machine = describeMachine();
  const backend = settingsOf(plan);
  const common = { version: options.version, workers, fingerprint, backend, machine };
  if (past.attempt >= 0) books.emit({ type: 'resumed', step, fromStep: step, ...common });
  else books.emit({ type: 'started', step: 0, recipe: recipe.name, ...common });
  // Written last: its presence marks the folder as a run, whose log must already hold `started`.
  if (!existsSync(run.recipe))
    writeFileAtomic(run.recipe, `${JSON.stringify(recipe, null, 2)}\n`, 'recipe');
  if (past.killed) books.emitUsage(lostUsage(past.workers ?? workers));
  options.onStart?.(run, recipe, { workers, fingerprint, fromStep: step });
  for (const message of warnings) books.emit({ type: 'warning', step, message });
}

function writePlan(
  { run, recipe, workers, plan }: Assignment,
  calibration: RankCalibration,
  described: DescribedRecipe,
  startSeconds: number,
  options: TrainOptions,
): void {
  const { prices, onPlan } = options;
  const disk = measureDisk(run.root);
  const { fingerprint } = plan;
  const local = { recipe: recipe.name, workers, fingerprint, startSeconds, disk, ...calibration };
  const prediction = predictLocal(recipe, local, { prices, described });
  if (mostSecondsOf(options) !== undefined)
    refuseLongRun(
      recipe,
      prediction,
      calibration.measured.length < described.request.pieces.length,
    );
  writeFileAtomic(run.plan, `${JSON.stringify(prediction, null, 2)}\n`, 'plan');
  onPlan?.(prediction);
}

/**
 * A run whose folder is elsewhere by now would leave its checkpoints where they are not looked for.
 * @throws UserError (state)
 */
function demandInPlace({ root, recipe }: RunFolder): void {
  if (existsSync(recipe)) return;
  const message = `${root} was moved or removed while the run went on; move it back, or go on from where it is now with "reckoner train --resume FOLDER"`;
  throw new UserError('state', message, 'run');
}

/** How long a run may take; undefined where its user has said what it may take. */
const mostSecondsOf = ({ maxMinutes, maxUsd }: TrainOptions): number | undefined =>
  maxMinutes === undefined && maxUsd === undefined ? MOST_SECONDS : undefined;

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
