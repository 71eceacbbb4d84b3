/**
 * @file The program that every rank runs: the stages of a recipe, one after the other.
 *
 * All ranks take the same path through this file; what differs is which slots of a batch a stage
 * gives them. Rank 0 alone speaks: it sends events, and writes snapshots and models.
 */
import { join } from 'node:path';
import { faultPoint } from '../base/faults.js';
import { hashString } from '../base/random.js';
import {
  loadSnapshot,
  pruneSnapshots,
  type Snapshot,
  type SnapshotState,
  saveSnapshot,
  snapshotName,
} from '../checkpoints/snapshot.js';
import { createModel, type Model } from '../models/index.js';
import { calibrateRank } from '../plan/local/calibrate.js';
import { resolveRecipe } from '../recipe/index.js';
import { createStage, stepsOf, trains } from '../stages/index.js';
import { grantReferences } from '../tasks/index.js';
import type { Backend } from '../tensor/backend.js';
import type { Stage, StageContext } from '../training/stage.js';
import type { StopReason } from '../usage/events.js';
import type { Purpose } from '../usage/usage.js';
import { divergence, unsound } from './divergence.js';
import { type FromRank, type RankJob, STOP_REQUESTS } from './protocol.js';
import { watchSignal } from './signal.js';
import {
  loadInitialWeights,
  loadOtherModel,
  loadTrainedAdapter,
  modelFiles,
  type Place,
  restore,
  saveModel,
  toHost,
  weightsOf,
} from './weights.js';

export interface Outcome {
  reason: StopReason;
  /** Global steps done. */
  step: number;
  message?: string;
}

/** A rank's line to the main thread. */
export interface Line {
  send(message: FromRank): void;
  /** Resolves when everything sent so far is on disk. */
  flush(): Promise<void>;
  /**
   * Between two steps, lets the thread do what else it has to, where a rank has no thread of its
   * own.
   */
  turn?(): Promise<void>;
}

const silent: Line = { send: () => {}, flush: async () => {} };

/**
 * Runs the recipe from the start or from a snapshot. Returns why it stopped; throws UserError for
 * what a person can mend.
 */
export async function runProgram(job: RankJob, backend: Backend, line: Line): Promise<Outcome> {
  const { rank } = backend.ranks;
  const lead = rank === 0;
  const { send, flush } = lead ? line : silent;
  if (job.calibrate) {
    send({
      kind: 'calibrated',
      calibration: await calibrateRank(backend, job.calibrate, job.backend.frozenBits),
    });
    // The plan is on disk before the work begins that it is about.
    await flush();
  }
  // The thread that gives the job has seen to what it refers to.
  grantReferences(job.recipe);
  const resolved = resolveRecipe(job.recipe);
  const { recipe, models, tokenizer } = resolved;
  const { stages } = recipe;
  const place: Place = { runFolder: job.runFolder, stages };
  const checkpoints = join(job.runFolder, 'checkpoints');
  const control = new Int32Array(job.control);

  let snapshot: Snapshot | null = job.resumeFrom === null ? null : loadSnapshot(job.resumeFrom);
  const firstStage = snapshot?.state.stageIndex ?? job.fromStage ?? 0;
  let step =
    snapshot?.state.step ??
    stages.slice(0, firstStage).reduce((sum, spec) => sum + stepsOf(spec), 0);
  const base = backend.mark();

  /** Whether stage i begins with other weights than the stage before it left. */
  const startsAnew = (i: number): boolean =>
    i === 0 || stages[i].model !== undefined || stages[i].init !== undefined;

  const { frozenBits } = job.backend;
  const create = (i: number): Model =>
    createModel(backend, models[i], {
      adapter: recipe.adapter,
      frozenBits: frozenBits && new Uint16Array(frozenBits),
      numerics: recipe.numerics,
    });

  /** The model with which stage i begins, in place of the one before. */
  async function beginModel(i: number): Promise<Model> {
    backend.release(base);
    const made = create(i);
    if (lead) {
      const from = (stages[i].init ?? (i === 0 ? recipe.init : undefined))?.from;
      if (from !== undefined) loadInitialWeights(backend, made, tokenizer, from, place);
      if (from === undefined || made.store.adapted)
        made.store.initialize(i === 0 ? recipe.seed : hashString(`${recipe.seed}:${stages[i].id}`));
    }
    await backend.ranks.barrier();
    return made;
  }

  /** The model at the place where this attempt begins. */
  async function firstModel(): Promise<Model> {
    const midway = snapshot !== null && snapshot.state.stageStep > 0;
    if (!midway && firstStage < stages.length && startsAnew(firstStage))
      return beginModel(firstStage);
    const made = create(Math.min(firstStage, stages.length - 1));
    if (lead) {
      const before = stages.slice(0, firstStage).findLast(trains);
      const { adapted } = made.store;
      // Under an adapter the model's own weights are in no snapshot.
      if (adapted && recipe.init)
        loadInitialWeights(backend, made, tokenizer, recipe.init.from, place);
      if (snapshot) restore(backend, weightsOf(made), snapshot.read('weights'), snapshot.folder);
      else if (before && adapted) loadTrainedAdapter(backend, made, before.id, place);
      else if (before) loadInitialWeights(backend, made, tokenizer, before.id, place);
      else throw new Error('no weights to begin with');
    }
    await backend.ranks.barrier();
    return made;
  }

  let model = await firstModel();
  send({ kind: 'ready' });

  /**
   * Saves everything needed to go on at (stageIndex, stageStep). Rank 0 writes; the others wait.
   */
  async function save(
    stageIndex: number,
    stageStep: number,
    stage: Stage | null,
  ): Promise<string | null> {
    let bad: string | null = null;
    if (lead) {
      const weights = await toHost(backend, weightsOf(model));
      const optimizer = stage ? await toHost(backend, stage.state) : [];
      bad = unsound(weights, optimizer);
      if (!bad) {
        await flush();
        const state: SnapshotState = {
          ...job.foundation,
          step,
          stageIndex,
          stageStep,
          attempt: job.attempt,
        };
        const folder = join(checkpoints, snapshotName(step));
        const tensors = { weights, ...(stage ? { optimizer } : {}) };
        const written = await saveSnapshot(folder, {
          state,
          tensors,
          json: modelFiles(model, resolved),
        });
        pruneSnapshots(checkpoints, recipe.checkpoints.keep, step);
        send({ kind: 'stored', bytes: written.bytes });
        const path = `checkpoints/${snapshotName(step)}`;
        send({
          kind: 'event',
          event: { type: 'checkpoint', step, path, bytes: written.bytes, sha256: written.sha256 },
        });
      }
    }
    const [failed] = await backend.ranks.sum([bad ? 1 : 0]);
    return failed > 0 ? (bad ?? 'the weights are unsound') : null;
  }

  // From here on a plain resume goes on with this attempt.
  if (job.fromStage !== null && firstStage > 0) {
    const bad = await save(firstStage, 0, null);
    if (bad) return { reason: 'diverged', step, message: bad };
  }

  for (let stageIndex = firstStage; stageIndex < stages.length; stageIndex++) {
    const spec = stages[stageIndex];
    if (stageIndex > firstStage && startsAnew(stageIndex)) model = await beginModel(stageIndex);
    const mark = backend.mark();
    const context: StageContext = {
      backend,
      model,
      tokenizer,
      task: resolved.tasks[stageIndex],
      stage: spec.id,
      seed: recipe.seed,
      microBatchTokens: recipe.microBatchTokens,
      recompute: recipe.recompute,
      dataFolder: join(job.runFolder, 'data'),
      taskOf: resolved.taskOf,
      loadModel: (from) => loadOtherModel(backend, tokenizer, from, place),
    };
    const stage = createStage(context, stages, stageIndex);
    let stageStep = 0;
    if (snapshot && stageIndex === firstStage && snapshot.state.stageStep > 0) {
      stageStep = snapshot.state.stageStep;
      if (lead) restore(backend, stage.state, snapshot.read('optimizer'), snapshot.folder);
    }
    snapshot = null;
    await backend.ranks.barrier();
    const purposeAt = (s: number): Purpose =>
      stage.purposeOf?.(Math.min(s, stage.steps)) ?? stage.purpose;
    let purpose = purposeAt(stageStep + 1);
    send({ kind: 'at', stage: spec.id, purpose });
    send({
      kind: 'event',
      event: { type: 'stage-started', step, stage: spec.id, kind: spec.kind, steps: stage.steps },
    });

    const watch = watchSignal(stage);
    while (stageStep < stage.steps) {
      const started = performance.now();
      if (purposeAt(stageStep + 1) !== purpose) {
        purpose = purposeAt(stageStep + 1);
        send({ kind: 'at', stage: spec.id, purpose });
      }
      faultPoint('step.before');
      const result = await stage.step(stageStep + 1);
      faultPoint('step.after');
      stageStep++;
      step++;
      const seconds = (performance.now() - started) / 1000;
      const { tokensIn, tokensOut, modelFlops, values, samples, evaluation } = result;
      send({ kind: 'spent', step, tokensIn, tokensOut, modelFlops });
      const diverged = divergence(values, model.config.vocab_size);
      const finite = Object.fromEntries(
        Object.entries(values).filter(([, value]) => Number.isFinite(value)),
      );
      const logged = { ...finite, seconds, tokensPerSecond: (tokensIn + tokensOut) / seconds };
      const at = { step, stage: spec.id, kind: spec.kind };
      send({ kind: 'event', event: { type: 'metrics', ...at, stageStep, values: logged } });
      if (samples?.length) send({ kind: 'samples', stage: spec.id, step, samples });
      if (evaluation) {
        const { task, results } = evaluation;
        send({
          kind: 'event',
          event: { type: 'evaluation', step, stage: spec.id, task, label: spec.id, results },
        });
      }
      const dead = watch(result, stageStep);
      if (dead.warning)
        send({
          kind: 'event',
          event: { type: 'warning', step, message: `stage ${spec.id}: ${dead.warning}` },
        });
      const lost = diverged ?? dead.stop;
      if (lost)
        return {
          reason: 'diverged',
          step,
          message: `stage ${spec.id}, step ${stageStep}: ${lost}`,
        };

      await line.turn?.();
      const [stop] = await backend.ranks.sum([lead ? Atomics.load(control, 0) : 0]);
      const last = stageStep === stage.steps;
      const due =
        stageStep >= stage.resumableFrom &&
        (stageStep % recipe.checkpoints.every === 0 || stop !== 0);
      if (!last && due) {
        const bad = await save(stageIndex, stageStep, stage);
        if (bad)
          return {
            reason: 'diverged',
            step,
            message: `stage ${spec.id}, step ${stageStep}: ${bad}`,
          };
      }
      if (stop !== 0 && !last) return { reason: STOP_REQUESTS[stop] ?? 'interrupted', step };
    }

    await stage.finish?.();
    if (trains(spec)) {
      if (lead) {
        const weights = await toHost(backend, weightsOf(model));
        // Unsound weights are refused below, and leave no model.
        if (!unsound(weights, []))
          send({
            kind: 'stored',
            bytes: await saveModel(
              join(job.runFolder, 'stages', spec.id),
              backend,
              model,
              resolved,
            ),
          });
      }
      await backend.ranks.barrier();
    }
    const bad = await save(stageIndex + 1, 0, null);
    if (bad)
      return { reason: 'diverged', step, message: `stage ${spec.id}, step ${stageStep}: ${bad}` };
    send({ kind: 'event', event: { type: 'stage-ended', step, stage: spec.id, kind: spec.kind } });
    send({ kind: 'memory', ...backend.memory() });
    model.store.detachGradients();
    backend.release(mark);
    const [stop] = await backend.ranks.sum([lead ? Atomics.load(control, 0) : 0]);
    if (stop !== 0 && stageIndex + 1 < stages.length)
      return { reason: STOP_REQUESTS[stop] ?? 'interrupted', step };
  }

  send({ kind: 'at', stage: 'finish', purpose: 'overhead' });
  if (lead)
    send({
      kind: 'stored',
      bytes: await saveModel(join(job.runFolder, 'model'), backend, model, resolved),
    });
  await backend.ranks.barrier();
  return { reason: 'completed', step };
}
