/**
 * @file One attempt at a run: a rank pool (`rank-pool.ts`) runs the run loop (`rank-loop.ts`) on
 * every rank, a bookkeeper (`bookkeeper.ts`) logs what rank 0 reports, and the bill is written last.
 */
import { existsSync, rmSync } from 'node:fs';
import { UserError } from '../base/errors.js';
import { writeFileAtomic } from '../base/files.js';
import type { RunFolder } from '../checkpoints/run-folder.js';
import type { Snapshot } from '../checkpoints/snapshot.js';
import { writeBill } from '../ledger/index.js';
import type { RankCalibration } from '../plan/local/calibrate.js';
import { measureDisk } from '../plan/local/calibration.js';
import { MOST_SECONDS, refuseHeldTokens, refuseLongRun } from '../plan/local/limits.js';
import { predictLocal } from '../plan/local/local-plan.js';
import { type DescribedRecipe, describeRecipe } from '../plan/local/local-work.js';
import { settingsOf } from '../policy/local/backend.js';
import { startThread, type Thread } from '../policy/local/thread.js';
import { resolveRecipe } from '../recipe/index.js';
import { describeMachine } from '../usage/meters.js';
import { type Assignment, foundationOf, stepsBefore } from './assignment.js';
import { lostUsage } from './attempts.js';
import { Bookkeeper } from './bookkeeper.js';
import type { TrainOptions, TrainSummary } from './options.js';
import type { FromRank, RankJob, ToRank } from './protocol.js';
import { RankPool } from './rank-pool.js';

/** What each rank runs. */
const WORKER = new URL(/* @vite-ignore */ './worker.js', import.meta.url);

export async function runAttempt(
  assignment: Assignment,
  options: TrainOptions,
): Promise<TrainSummary> {
  const { run, recipe, recipeHash, workers, plan, past, snapshot, fromStage } = assignment;
  const attempt = past.attempt + 1;
  const { fingerprint } = plan;
  const from = snapshot?.state.step ?? stepsBefore(recipe, fromStage ?? 0);
  const books = new Bookkeeper(run, attempt, workers, from, options);
  await books.readPast();
  // Later attempts keep the first plan: what was said before anything was known.
  const described = needsPlan(run, snapshot)
    ? describeRecipe(resolveRecipe(recipe), workers, assignment.surveyed, assignment.settings)
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
    memory: assignment.settings,
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
  { run, recipe, workers, plan, past, warnings, memory, settings }: Assignment,
  options: TrainOptions,
  books: Bookkeeper,
): void {
  const { fingerprint } = plan;
  const { step } = books;
  const machine = describeMachine();
  const backend = settingsOf(plan);
  const common = {
    ...{ version: options.version, workers, fingerprint, backend, machine },
    ...(settings === undefined ? {} : { memory: settings }),
  };
  if (past.attempt >= 0) books.emit({ type: 'resumed', step, fromStep: step, ...common });
  else books.emit({ type: 'started', step: 0, recipe: recipe.name, ...common });
  // Written last: its presence marks the folder as a run, whose log must already hold `started`.
  if (!existsSync(run.recipe))
    writeFileAtomic(run.recipe, `${JSON.stringify(recipe, null, 2)}\n`, 'recipe');
  if (past.killed) books.emitUsage(lostUsage(past.workers ?? workers));
  options.onStart?.(run, recipe, { workers, fingerprint, fromStep: step });
  if (memory !== undefined) options.onMemory?.(memory, workers);
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
  const { kind: backend, fingerprint } = plan;
  const local = {
    ...{ recipe: recipe.name, workers, backend, fingerprint, startSeconds, disk },
    ...calibration,
  };
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
  const message = `${root} was moved or removed during the run; move it back, or resume it from where it is now with "reckoner train --resume FOLDER"`;
  throw new UserError('state', message, 'run');
}

/** How long a run may take; undefined where its user has said what it may take. */
const mostSecondsOf = ({ maxMinutes, maxUsd }: TrainOptions): number | undefined =>
  maxMinutes === undefined && maxUsd === undefined ? MOST_SECONDS : undefined;

/** True when the run still needs its plan. */
function needsPlan(run: RunFolder, snapshot: Snapshot | null): boolean {
  return process.env.RECKONER_CALIBRATION !== 'off' && snapshot === null && !existsSync(run.plan);
}

/** A full disk does not end a run that has begun: the error says how it goes on. */
function adviseResume(error: Error, run: RunFolder): Error {
  if (!(error instanceof UserError) || error.code !== 'disk' || !existsSync(run.recipe))
    return error;
  const message = `${error.message}; "reckoner train --resume ${run.root}" resumes the run`;
  return new UserError(error.code, message, error.field);
}
