/**
 * @file The run loop of every rank: the stages of a recipe, one after the other, each a step to
 * repeat.
 *
 * All ranks take the same path through this file; what differs is which slots of a batch a stage
 * gives them. Rank 0 alone sends events, and writes snapshots and models.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { faultPoint } from '../base/faults.js';
import { demandGrant } from '../base/grants.js';
import { hashString } from '../base/random.js';
import { resolveModel } from '../checkpoints/run-folder.js';
import { loadSnapshot, pruneSnapshots, snapshotName } from '../checkpoints/snapshot.js';
import { calibrateRank } from '../plan/local/calibrate.js';
import { settingsOf } from '../policy/local/backend.js';
import { LocalEngine } from '../policy/local/engine.js';
import type { Policy } from '../policy/policy.js';
import { type ResolvedRecipe, resolveRecipe } from '../recipe/index.js';
import { createStage, lastTrained, type StageSpec, stepsOf, trains } from '../stages/index.js';
import type { Stage, StepResult } from '../stages/stage.js';
import { grantReferences } from '../tasks/index.js';
import type { Backend } from '../tensor/backend.js';
import type { StopReason } from '../usage/events.js';
import type { Purpose } from '../usage/usage.js';
import { divergence } from './divergence.js';
import { type FromRank, type RankJob, STOP_REQUESTS } from './protocol.js';
import { watchSignal } from './signal.js';

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

/** Where a model is that a recipe names: an earlier stage's (by its id), a run's, or a folder. */
function folderOf(from: string, runFolder: string, stages: readonly StageSpec[]): string {
  const stage = stages.find(({ id }) => id === from);
  if (stage === undefined) {
    demandGrant(from, 'from');
    return resolveModel(from).folder;
  }
  const folder = join(runFolder, 'stages', from);
  if (trains(stage) && existsSync(folder)) return folder;
  throw new UserError(
    'state',
    `${from} is a stage of this recipe that has left no model; name one that trains and comes before`,
    'from',
  );
}

/**
 * Runs the recipe from the start or from a snapshot. Returns why it stopped; throws UserError for
 * what a person can mend.
 */
export async function runProgram(job: RankJob, backend: Backend, line: Line): Promise<Outcome> {
  const { send, flush } = backend.ranks.rank === 0 ? line : silent;
  if (job.calibrate) {
    send({
      kind: 'calibrated',
      calibration: await calibrateRank(backend, job.calibrate, job.backend.frozen),
    });
    // The plan is on disk before the work begins that it is about.
    await flush();
  }
  // The thread that gives the job has seen to what it refers to.
  grantReferences(job.recipe);
  return new RankLoop(job, backend, line).run();
}

class RankLoop {
  private readonly resolved: ResolvedRecipe;
  private readonly engine: LocalEngine;
  private readonly checkpoints: string;
  private readonly control: Int32Array;
  private readonly line: Line;
  /** Global steps done. */
  private step: number;
  /** Where this attempt begins. */
  private readonly firstStage: number;
  private readonly firstStep: number;

  constructor(
    private readonly job: RankJob,
    private readonly backend: Backend,
    /** Every rank's own, for `turn`. */
    private readonly own: Line,
  ) {
    this.line = this.lead ? own : silent;
    this.resolved = resolveRecipe(job.recipe);
    const { recipe } = this.resolved;
    const { frozen } = job.backend;
    this.engine = new LocalEngine(backend, {
      origin: this.resolved,
      folderOf: (from) => folderOf(from, job.runFolder, recipe.stages),
      microBatchTokens: job.memory?.microBatchTokens ?? recipe.microBatchTokens,
      recompute: job.memory?.recompute ?? recipe.recompute,
      sequences: job.memory?.sequences ?? undefined,
      store: {
        adapter: recipe.adapter,
        frozen,
        numerics: recipe.numerics,
      },
    });
    this.checkpoints = join(job.runFolder, 'checkpoints');
    this.control = new Int32Array(job.control);
    const state = job.resumeFrom === null ? null : loadSnapshot(job.resumeFrom).state;
    this.firstStage = state?.stageIndex ?? job.fromStage ?? 0;
    this.firstStep = state?.stageStep ?? 0;
    this.step =
      state?.step ??
      recipe.stages.slice(0, this.firstStage).reduce((sum, spec) => sum + stepsOf(spec), 0);
  }

  private get lead(): boolean {
    return this.backend.ranks.rank === 0;
  }

  private get stages(): readonly StageSpec[] {
    return this.resolved.recipe.stages;
  }

  async run(): Promise<Outcome> {
    const { send } = this.line;
    await this.firstModel();
    send({ kind: 'ready' });
    // From here on a plain resume goes on with this attempt.
    if (this.job.fromStage !== null && this.firstStage > 0) {
      const bad = await this.save(this.firstStage, 0, await this.engine.open({}));
      if (bad) return this.stopped('diverged', bad);
    }
    for (let i = this.firstStage; i < this.stages.length; i++) {
      if (i > this.firstStage && this.startsAnew(i)) await this.beginModel(i);
      const stopped = await this.runStage(i, i === this.firstStage ? this.firstStep : 0);
      if (stopped) return stopped;
    }
    send({ kind: 'at', stage: 'finish', purpose: 'overhead' });
    await this.export(join(this.job.runFolder, 'model'));
    return this.stopped('completed');
  }

  /** Whether stage i begins with other weights than the stage before it left. */
  private startsAnew(i: number): boolean {
    const { model, init } = this.stages[i];
    return i === 0 || model !== undefined || init !== undefined;
  }

  /** The model with which stage i begins, in place of the one before. */
  private beginModel(i: number): Promise<void> {
    const { recipe, models } = this.resolved;
    const { id, init } = this.stages[i];
    const from = (init ?? (i === 0 ? recipe.init : undefined))?.from;
    const seed = i === 0 ? recipe.seed : hashString(`${recipe.seed}:${id}`);
    return this.engine.begin(models[i], from, seed);
  }

  /** The model at the place where this attempt begins. */
  private firstModel(): Promise<void> {
    const { firstStage: i, stages } = this;
    if (this.firstStep === 0 && i < stages.length && this.startsAnew(i)) return this.beginModel(i);
    const config = this.resolved.models[Math.min(i, stages.length - 1)];
    const { resumeFrom } = this.job;
    if (resumeFrom !== null) return this.engine.resume(config, { snapshot: resumeFrom });
    const stage = lastTrained(stages, i);
    if (stage === null) throw new Error('no weights to begin with');
    return this.engine.resume(config, { stage });
  }

  private readonly told = new Set<string>();

  private openStage(i: number): Promise<Stage> {
    const { recipe, tokenizer, tasks, taskOf } = this.resolved;
    return createStage(
      {
        ranks: this.backend.ranks,
        tokenizer,
        task: tasks[i],
        stage: recipe.stages[i].id,
        seed: recipe.seed,
        dataFolder: join(this.job.runFolder, 'data'),
        taskOf,
        open: (needs, from) => this.engine.open(needs, from),
      },
      recipe.stages,
      i,
    );
  }

  /** Runs a stage from a step on; an outcome where the run ends with it. */
  private async runStage(i: number, from: number): Promise<Outcome | null> {
    const { send } = this.line;
    const spec = this.stages[i];
    const { id, kind } = spec;
    const mark = this.backend.mark();
    const stage = await this.openStage(i);
    if (from > 0) await stage.policy?.load(this.job.resumeFrom as string);
    await this.backend.ranks.barrier();
    send({ kind: 'at', stage: id, purpose: purposeAt(stage, from + 1) });
    const started = { type: 'stage-started', step: this.step, stage: id, kind } as const;
    send({ kind: 'event', event: { ...started, steps: stage.steps } });
    if (from === 0) this.tellNotes(i);
    const stopped = await this.repeat(i, stage, from);
    if (stopped) return stopped;
    await stage.finish?.();
    if (trains(spec)) await this.export(join(this.job.runFolder, 'stages', id));
    stage.policy?.close();
    const bad = await this.save(i + 1, 0, await this.engine.open({}));
    if (bad) return this.stopped('diverged', `stage ${id}, step ${stage.steps}: ${bad}`);
    send({ kind: 'event', event: { type: 'stage-ended', step: this.step, stage: id, kind } });
    send({ kind: 'memory', ...this.backend.memory() });
    this.backend.release(mark);
    const stop = await this.stopRequest();
    return stop !== null && i + 1 < this.stages.length ? this.stopped(stop) : null;
  }

  /** The steps of a stage from `done` on; an outcome where the run ends among them. */
  private async repeat(i: number, stage: Stage, done: number): Promise<Outcome | null> {
    const { id } = this.stages[i];
    const { every } = this.resolved.recipe.checkpoints;
    const watch = watchSignal(stage);
    for (let s = done + 1; s <= stage.steps; s++) {
      if (s > done + 1 && purposeAt(stage, s) !== purposeAt(stage, s - 1))
        this.line.send({ kind: 'at', stage: id, purpose: purposeAt(stage, s) });
      faultPoint('step.before');
      const started = performance.now();
      const result = await stage.step(s);
      faultPoint('step.after');
      this.step++;
      const lost = this.report(i, s, result, (performance.now() - started) / 1000);
      const dead = watch(result, s);
      if (dead.warning) this.warn(`stage ${id}: ${dead.warning}`);
      const why = lost ?? dead.stop;
      if (why) return this.stopped('diverged', `stage ${id}, step ${s}: ${why}`);

      await this.own.turn?.();
      const stop = await this.stopRequest();
      if (s === stage.steps) return null;
      const due = s >= stage.resumableFrom && (s % every === 0 || stop !== null);
      if (due && stage.policy) {
        const bad = await this.save(i, s, stage.policy);
        if (bad) return this.stopped('diverged', `stage ${id}, step ${s}: ${bad}`);
      }
      if (stop !== null) return this.stopped(stop);
    }
    return null;
  }

  /** Logs what a step gave; returns why its numbers mean that training has diverged, or null. */
  private report(i: number, stageStep: number, result: StepResult, seconds: number): string | null {
    const { send } = this.line;
    const { step } = this;
    const { id: stage, kind } = this.stages[i];
    const { tokensIn, tokensOut, modelFlops, values, samples, evaluation } = result;
    send({ kind: 'spent', step, tokensIn, tokensOut, modelFlops });
    const finite = Object.fromEntries(
      Object.entries(values).filter(([, value]) => Number.isFinite(value)),
    );
    const rate = (tokensIn + tokensOut) / seconds;
    const logged = { ...finite, step_time: seconds, tokens_per_second: rate };
    const metrics = { type: 'metrics', step, stage, kind, stageStep, values: logged } as const;
    send({ kind: 'event', event: metrics });
    if (samples?.length) send({ kind: 'samples', stage, step, samples });
    if (evaluation)
      send({
        kind: 'event',
        event: { type: 'evaluation', step, stage, label: stage, ...evaluation },
      });
    return divergence(values, this.engine.vocabulary);
  }

  /** Says once what was left out of the files of a stage's task. */
  private tellNotes(i: number): void {
    for (const note of this.resolved.tasks[i].notes ?? []) {
      if (!this.told.has(note)) this.warn(`stage ${this.stages[i].id}: ${note}`);
      this.told.add(note);
    }
  }

  private warn(message: string): void {
    this.line.send({ kind: 'event', event: { type: 'warning', step: this.step, message } });
  }

  /** What the main thread asks for; null: go on. The same on every rank. */
  private async stopRequest(): Promise<StopReason | null> {
    const asked = this.lead ? Atomics.load(this.control, 0) : 0;
    const [stop] = await this.backend.ranks.sum([asked]);
    return stop === 0 ? null : (STOP_REQUESTS[stop] ?? 'interrupted');
  }

  /**
   * Saves everything needed to go on at (stageIndex, stageStep). Rank 0 writes; the others wait.
   * @returns why the weights must not be saved, or null
   */
  private save(stageIndex: number, stageStep: number, policy: Policy): Promise<string | null> {
    const { send, flush } = this.line;
    const { step } = this;
    const { attempt, foundation, backend } = this.job;
    const name = snapshotName(step);
    return policy.save({
      folder: join(this.checkpoints, name),
      state: { ...foundation, backend: settingsOf(backend), step, stageIndex, stageStep, attempt },
      before: flush,
      written: ({ bytes, sha256 }) => {
        pruneSnapshots(this.checkpoints, this.resolved.recipe.checkpoints.keep, step);
        send({ kind: 'stored', bytes });
        const path = `checkpoints/${name}`;
        send({ kind: 'event', event: { type: 'checkpoint', step, path, bytes, sha256 } });
      },
    });
  }

  /** Writes the model for its users; unsound weights leave none. */
  private async export(folder: string): Promise<void> {
    const policy = await this.engine.open({});
    const bytes = await policy.export(folder);
    if (bytes > 0) this.line.send({ kind: 'stored', bytes });
  }

  private stopped(reason: StopReason, message?: string): Outcome {
    return { reason, step: this.step, ...(message === undefined ? {} : { message }) };
  }
}

const purposeAt = (stage: Stage, step: number): Purpose =>
  stage.purposeOf?.(Math.min(step, stage.steps)) ?? stage.purpose;
