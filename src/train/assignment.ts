/**
 * @file The assignment of an attempt at a run: where it begins, on which backend, and what
 * determines its result.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { removeFolderAtomic } from '../base/files.js';
import type { RunFolder } from '../checkpoints/run-folder.js';
import { foundationHere, pruneSnapshots, type Snapshot } from '../checkpoints/snapshot.js';
import { type MemorySettings, modelMaker } from '../plan/local/memory.js';
import { fitMemory, type MemoryFit, memoryRefusal } from '../plan/local/memory-fit.js';
import { type SurveyedWork, surveyRecipe } from '../plan/recipe-work.js';
import { type BackendKind, type BackendPlan, planBackend } from '../policy/local/backend.js';
import { hashWeights, openBase, type Recipe, type ResolvedRecipe } from '../recipe/index.js';
import { stepsOf, trains } from '../stages/index.js';
import type { Products } from '../tensor/backends/wasm/index.js';
import type { Precision } from '../tensor/backends/webgpu/index.js';
import { describeMachine } from '../usage/meters.js';
import type { Past } from './attempts.js';
import type { TrainOptions } from './options.js';

/** What is to be run, from where. */
export interface Assignment {
  run: RunFolder;
  recipe: Recipe;
  recipeHash: string;
  workers: number;
  plan: BackendPlan;
  past: Past;
  snapshot: Snapshot | null;
  /** Or the stage to begin with. */
  fromStage: number | null;
  /** The run's work, where it had to be known already. */
  surveyed?: SurveyedWork;
  /** What it needs of the memory; absent where the backend's memory has no known end. */
  memory?: MemoryFit;
  /** Settings that gave way to fit it. */
  settings?: MemorySettings;
  /** Found on the way here; for the log and the user. */
  warnings: readonly string[];
}

/** @throws UserError (data) when the recipe has no such place */
export function refuseMisplaced({ stages }: Recipe, { folder, state }: Snapshot): void {
  const { stageIndex, stageStep } = state;
  const steps = stageIndex < stages.length ? stepsOf(stages[stageIndex]) : 0;
  if (stageIndex <= stages.length && stageStep <= steps) return;
  const message = `snapshot ${folder} is of step ${stageStep} of stage ${stageIndex + 1}, which the recipe does not have; it is of another run`;
  throw new UserError('data', message, folder);
}

export const stepsBefore = ({ stages }: Recipe, i: number): number =>
  stages.slice(0, i).reduce((sum, spec) => sum + stepsOf(spec), 0);

/**
 * Takes a run back to the beginning of a stage: later snapshots and the result go, what earlier
 * stages wrote stays.
 * @returns the stage's index
 * @throws UserError (usage, state) when there is no such stage, or an earlier one has not left its
 * model
 */
export function goBackTo(run: RunFolder, recipe: Recipe, id: string): number {
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
      `${run.name} has not reached stage ${id} yet: ${needed.id} has left no model`,
      '--from',
    );
  }
  pruneSnapshots(run.checkpoints, recipe.checkpoints.keep, stepsBefore(recipe, index) - 1);
  if (existsSync(run.model)) removeFolderAtomic(run.model);
  return index;
}

export function planFor(
  { adapter, init }: Recipe,
  models: readonly object[],
  request: { kind: BackendKind; workers: number; products?: Products; precision?: Precision },
): Promise<BackendPlan> {
  return planBackend({
    ...request,
    models,
    adapter,
    forms: adapter && init ? openBase(init.from).forms : undefined,
  });
}

interface Fitted {
  plan: BackendPlan;
  workers: number;
  surveyed?: SurveyedWork;
  memory?: MemoryFit;
}

/**
 * A backend on which every stage's step fits: the settings of `fitMemory` give way first, then the
 * number of workers, unless it was asked for.
 * @throws UserError (usage) when nothing fits, with what would
 */
export async function planToFit(
  resolved: ResolvedRecipe,
  request: Parameters<typeof planFor>[2],
  fixedWorkers: boolean,
): Promise<Fitted> {
  const { recipe, models } = resolved;
  const plan = await planFor(recipe, models, request);
  if (plan.kind !== 'wasm') return { plan, workers: request.workers };
  const surveyed = surveyRecipe(resolved);
  const { memoryBytes } = describeMachine();
  const make = modelMaker({ recipe, frozen: plan.frozen });
  const tryOn = async (on: BackendPlan & { kind: 'wasm' }, workers: number) => {
    const question = { recipe, surveyed, workers, frozen: on.frozen, make };
    const room = { workerBytes: on.memory.localBytes, machineBytes: memoryBytes };
    return { question, room, ...(await fitMemory(question, room)) };
  };
  let tried = await tryOn(plan, request.workers);
  if (tried.fit) return { plan, workers: request.workers, surveyed, memory: tried.fit };
  for (let workers = request.workers >> 1; workers >= 1; workers >>= 1) {
    const smaller = await planFor(recipe, models, { ...request, workers });
    if (smaller.kind !== 'wasm') break;
    const next = await tryOn(smaller, workers);
    if (next.fit && !fixedWorkers) return { plan: smaller, workers, surveyed, memory: next.fit };
    if (next.fit) throw await memoryRefusal(tried.question, tried.room, tried.worst, workers);
    if (!fixedWorkers) tried = next;
  }
  throw await memoryRefusal(tried.question, tried.room, tried.worst, null);
}

export function foundationOf(
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
