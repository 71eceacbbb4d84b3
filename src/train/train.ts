/**
 * @file `train`: the interpreter of a recipe that executes it. A new run or a resumed one becomes an
 * assignment (`assignment.ts`), which an attempt (`attempt.ts`) carries out.
 */
import { existsSync, rmSync } from 'node:fs';
import { UserError } from '../base/errors.js';
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
import { describeDrift, latestSnapshot, refuseDrift } from '../checkpoints/snapshot.js';
import { writeBill } from '../ledger/index.js';
import { givenWay } from '../plan/local/memory-fit.js';
import { defaultWorkers, readSettings } from '../policy/local/backend.js';
import { resolveBackend } from '../policy/local/gpu.js';
import { type Recipe, type ResolvedRecipe, recipeOfRun, resolveRecipe } from '../recipe/index.js';
import { grantReferences } from '../tasks/index.js';
import { openEventLog, repairEventLog, repairLines } from '../usage/log.js';
import { describeMachine } from '../usage/meters.js';
import { foundationOf, goBackTo, planFor, planToFit, refuseMisplaced } from './assignment.js';
import { runAttempt } from './attempt.js';
import { lostUsage, NO_PAST, type Past, readPast } from './attempts.js';
import type { TrainOptions, TrainSummary } from './options.js';

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
  const resolved = resolveRecipe(options.recipe);
  const { recipe, models, hash } = resolved;
  const { products } = options;
  const kind = await resolveBackend(options.backend ?? 'wasm', {
    products,
    models,
    onChoice: options.onBackend,
  });
  const request = {
    ...{ kind, products, precision: options.precision },
    workers: options.workers ?? defaultWorkers(kind),
  };
  const fixed = options.workers !== undefined;
  const fitted = await planToFit(resolved, request, fixed);
  const run = createRunFolder(options.runs ?? RUNS, recipe.name, new Date(), recipe.seed);
  let unlock = (): void => {};
  try {
    unlock = lockRun(run);
    return await runAttempt(
      {
        run,
        recipe,
        recipeHash: hash,
        ...fitted,
        settings: fitted.memory?.changed ? fitted.memory.settings : undefined,
        past: NO_PAST,
        snapshot: null,
        fromStage: null,
        warnings: [
          ...startNotes(recipe),
          ...(fitted.memory?.changed ? [givenWay(fitted.memory, recipe)] : []),
        ],
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
  return runAttempt(
    {
      ...{ run, recipe, recipeHash, workers, plan, past, snapshot, fromStage, warnings },
      settings: past.memory ?? undefined,
    },
    options,
  );
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
