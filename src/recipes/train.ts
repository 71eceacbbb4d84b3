/**
 * @file `train`: the interpreter of a recipe that executes it.
 *
 * One worker thread a rank runs `program.ts`; this thread keeps the books. It alone appends to `events.jsonl`, at least once
 * a second, so that a kill loses at most that; it watches the limits on dollars and minutes and passes on Ctrl-C; at the end it
 * writes the bill.
 */
import { appendFileSync, existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { UserError } from '../base/errors.js';
import { readJson, writeFileAtomic } from '../base/files.js';
import { createRunFolder, lockRun, RUNS, type RunFolder, resolveRun } from '../checkpoints/run-folder.js';
import { foundationHere, latestSnapshot } from '../checkpoints/snapshot.js';
import { createCostMeter, type PriceBook, writeBill } from '../ledger/index.js';
import type { NewEvent, RunEvent, StopReason } from '../usage/events.js';
import { openEventLog, readEvents, repairEventLog } from '../usage/log.js';
import { createMeter, describeMachine } from '../usage/meters.js';
import type { Purpose } from '../usage/usage.js';
import { abortPlan, type BackendKind, planBackend } from './backend.js';
import { type FromRank, type RankJob, STOP_REQUESTS, type ToRank } from './messages.js';
import { parseRecipe, type Recipe, resolveRecipe } from './schema.js';

export interface TrainOptions {
  /** Reckoner's version, for the log. */
  version: string;
  /** What to run; leave out when resuming. */
  recipe?: Recipe;
  /** A run by path or name; '' is the newest. */
  resume?: string;
  /** Go on although something that the result rests on has changed. */
  allowDrift?: boolean;
  /** Folder of runs. */
  runs?: string;
  /** Default: one a core (when resuming: as before). */
  workers?: number;
  /** Default: wasm (when resuming: as before). */
  backend?: BackendKind;
  /** False forces our own kernels. */
  blas?: boolean;
  /** Stop cleanly when the cost so far (all attempts of the run) reaches this. */
  maxUsd?: number;
  /** Stop cleanly after so many minutes of this attempt. */
  maxMinutes?: number;
  prices: PriceBook;
  /** Aborted for a clean stop. */
  signal?: AbortSignal;
  onStart?: (run: RunFolder, recipe: Recipe, details: { workers: number; fingerprint: string; fromStep: number }) => void;
  onEvent?: (event: RunEvent) => void;
  onCost?: (usd: number) => void;
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
  /** High-water marks of the ranks' arenas after each stage, bytes (rank 0's and the shared one's). */
  memory: { localHighWaterBytes: number; sharedHighWaterBytes: number } | null;
}

interface Past {
  attempt: number;
  workers: number | null;
  /** The last attempt ended without saying so: it was killed. */
  killed: boolean;
}

async function readPast(run: RunFolder): Promise<Past> {
  const { events } = await readEvents(run.events);
  let attempt = -1;
  let workers: number | null = null;
  let open = false;
  for (const event of events) {
    attempt = Math.max(attempt, event.attempt);
    if (event.type === 'started' || event.type === 'resumed') {
      workers = event.workers;
      open = true;
    }
    if (event.type === 'ended') open = false;
  }
  return { attempt, workers, killed: open };
}

const USAGE_INTERVAL_MS = 1000;
/** A kill loses what was used since the last usage event: at most this long. It is billed, as an estimate. */
const LOST_SECONDS = USAGE_INTERVAL_MS / 1000;

export async function train(options: TrainOptions): Promise<TrainSummary> {
  const resuming = options.resume !== undefined;
  const run = resuming ? resolveRun(options.resume || undefined, options.runs ?? RUNS) : null;
  const recipe = run ? parseRecipe(readJson(run.recipe, 'recipe'), run.recipe) : options.recipe;
  if (!recipe) throw new UserError('usage', 'train needs a recipe or a run to resume', 'recipe');
  const resolved = resolveRecipe(recipe);
  const folder = run ?? createRunFolder(options.runs ?? RUNS, recipe.name, new Date(), recipe.seed);
  const unlock = lockRun(folder);
  try {
    return await trainIn(folder, resuming, resolved.recipe, resolved.hash, options);
  } finally {
    unlock();
  }
}

async function trainIn(
  run: RunFolder,
  resuming: boolean,
  recipe: Recipe,
  recipeHash: string,
  options: TrainOptions,
): Promise<TrainSummary> {
  const warn = options.onWarning ?? (() => {});
  let past: Past = { attempt: -1, workers: null, killed: false };
  if (resuming && existsSync(run.events)) {
    repairEventLog(run.events);
    past = await readPast(run);
  } else {
    writeFileAtomic(run.recipe, `${JSON.stringify(recipe, null, 2)}\n`);
  }
  const attempt = past.attempt + 1;
  const snapshot = resuming ? latestSnapshot(run.checkpoints, (_folder, message) => warn(message)) : null;
  if (resuming && existsSync(run.model)) {
    throw new UserError('state', `${run.root} is complete; "reckoner chat ${run.name}" talks to it`, 'resume');
  }
  const workers = options.workers ?? past.workers ?? availableParallelism();
  const plan = await planBackend({
    kind: options.backend ?? 'wasm',
    workers,
    blas: options.blas ?? true,
    model: recipe.model,
  });

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
  const control = new SharedArrayBuffer(4);
  const requests = new Int32Array(control);
  const requestStop = (reason: StopReason): void => {
    const index = (STOP_REQUESTS as readonly (StopReason | null)[]).indexOf(reason);
    Atomics.compareExchange(requests, 0, 0, index);
  };
  if (options.signal?.aborted) requestStop('interrupted');
  options.signal?.addEventListener('abort', () => requestStop('interrupted'));

  // ── usage: time belongs to where the work is; tokens and FLOPs come from rank 0 ────────────────────────────────────
  const startedAt = performance.now();
  const meter = createMeter({ workers });
  let at: { stage: string; purpose: Purpose } = { stage: 'start', purpose: 'overhead' };
  let step = snapshot?.state.step ?? 0;
  const spent = { tokensIn: 0, tokensOut: 0, modelFlops: 0, storedBytes: 0 };
  const book = (): void => {
    const { wallSeconds, workerSeconds, energyJoules, energyBasis, peakMemoryBytes } = meter.increment();
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
    if (options.maxMinutes !== undefined && minutes >= options.maxMinutes) requestStop('max-minutes');
  };

  const summary: TrainSummary = {
    run,
    recipe,
    reason: 'failed',
    step,
    seconds: 0,
    workers,
    fingerprint: '',
    memory: null,
  };
  let failure: UserError | Error | null = null;
  let heartbeat: NodeJS.Timeout | null = null;

  const jobOf = (rank: number): RankJob => ({
    rank,
    backend: plan,
    recipe,
    runFolder: run.root,
    attempt,
    resumeFrom: snapshot?.folder ?? null,
    foundation: foundationHere({ version: options.version, recipeHash, seed: recipe.seed, workers, fingerprint: '' }),
    allowDrift: options.allowDrift ?? false,
    control,
  });

  function receive(message: FromRank, reply: (message: ToRank) => void): void {
    switch (message.kind) {
      case 'ready': {
        const { fingerprint, fromStep } = message;
        const common = { version: options.version, workers, fingerprint, machine: describeMachine() };
        if (attempt > 0) emit({ type: 'resumed', step: fromStep, fromStep, ...common });
        else emit({ type: 'started', step: 0, recipe: recipe.name, ...common });
        if (past.killed) emitLost(fromStep);
        summary.fingerprint = fingerprint;
        options.onStart?.(run, recipe, { workers, fingerprint, fromStep });
        heartbeat = setInterval(book, USAGE_INTERVAL_MS);
        break;
      }
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
        const lines = message.samples.map((sample) =>
          JSON.stringify({ attempt, step: message.step, stage: message.stage, ...sample }),
        );
        appendFileSync(run.samples, `${lines.join('\n')}\n`);
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
      case 'memory':
        summary.memory = message;
        break;
      case 'done':
        summary.reason = message.reason;
        summary.message = message.message;
        summary.step = message.step;
        break;
      case 'failed': {
        const { code, field, message: text, stack } = message.error;
        failure ??= code === 'bug' ? Object.assign(new Error(text), { stack }) : new UserError(code, text, field);
        break;
      }
    }
  }

  function emitLost(fromStep: number): void {
    const usage = {
      stage: 'lost',
      purpose: 'overhead' as const,
      wallSeconds: LOST_SECONDS,
      workerSeconds: LOST_SECONDS * workers,
      tokensIn: 0,
      tokensOut: 0,
      modelFlops: 0,
      energyJoules: 0,
      energyBasis: 'estimated' as const,
      peakMemoryBytes: 0,
      storedBytes: 0,
      basis: 'estimated' as const,
    };
    emit({ type: 'usage', step: fromStep, usage });
    cost.add(usage);
  }

  try {
    await Promise.all(
      Array.from({ length: workers }, (_, rank) => {
        const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: jobOf(rank) });
        return new Promise<void>((resolve) => {
          worker.on('message', (message: FromRank) => {
            try {
              if (rank === 0 || message.kind === 'failed') receive(message, (answer) => worker.postMessage(answer));
            } catch (error) {
              // The log or the samples could not be written: stop the ranks, keep the reason.
              failure ??= error as Error;
              abortPlan(plan);
              if (message.kind === 'flush') void worker.terminate();
            }
            if (message.kind === 'failed') abortPlan(plan);
          });
          worker.on('error', (error) => {
            failure ??= error as Error;
            abortPlan(plan);
          });
          worker.on('exit', () => resolve());
        });
      }),
    );
  } finally {
    if (heartbeat) clearInterval(heartbeat);
  }

  summary.seconds = (performance.now() - startedAt) / 1000;
  if (failure) {
    const { message } = failure as Error;
    try {
      book();
      emit({ type: 'ended', step, reason: 'failed', message });
      log.close();
    } catch {
      // The disk may be what failed; the first error is the one to tell.
    }
    throw failure;
  }
  book();
  emit({ type: 'ended', step: summary.step, reason: summary.reason, message: summary.message });
  log.close();
  await writeBill(run.root, options.prices);
  return summary;
}
