/**
 * @file What a run looks like, folded from its events one at a time. Pure: the server folds the
 * log, sends the state, and the page folds what comes after it with the same code.
 *
 * Memory is bounded whatever the length of the log: a curve is a row of buckets that remember the
 * smallest, largest and mean value of the steps in them; when there are too many, neighbours are
 * merged in pairs. Time is summed from usage, which is measured with a clock that cannot jump,
 * never taken from the difference of two dates.
 */
import type { Machine, RunEvent, StopReason } from '../usage/events.js';

/** A log's event; usage carries its price, which the server adds. */
export type PricedEvent = RunEvent & { usd?: number };

/**
 * Columns of buckets: x of the first and last step in it, and of the values the least, the
 * greatest, the sum and the count.
 */
export interface Curve {
  first: number[];
  last: number[];
  min: number[];
  max: number[];
  sum: number[];
  count: number[];
}

export interface StageState {
  id: string;
  kind: string;
  steps: number;
  /** Within the stage. */
  step: number;
  /** Global step at which it began. */
  startStep: number;
  state: 'running' | 'done';
  seconds: number;
  usd: number;
  tokens: number;
  /** Newest value of each metric. */
  latest: Record<string, number>;
  curves: Record<string, Curve>;
}

export interface EvaluationState {
  stage: string;
  step: number;
  task: string;
  label: string;
  results: Record<string, number>;
  /** Dollars spent on training until then, and on everything. */
  trainingUsd: number;
  usd: number;
}

export interface RunState {
  recipe: string;
  machine: Machine | null;
  fingerprint: string;
  workers: number;
  startedAt: string | null;
  /** Date of the newest event. */
  updatedAt: string | null;
  attempt: number;
  step: number;
  stages: StageState[];
  evaluations: EvaluationState[];
  warnings: { step: number; message: string }[];
  ended: { reason: StopReason; message?: string } | null;
  checkpoint: number | null;
  seconds: number;
  usd: number;
  trainingUsd: number;
  tokens: number;
  energyJoules: number;
  peakMemoryBytes: number;
  events: number;
}

export const emptyCurve = (): Curve => ({
  first: [],
  last: [],
  min: [],
  max: [],
  sum: [],
  count: [],
});

export function createRunState(): RunState {
  return {
    recipe: '',
    machine: null,
    fingerprint: '',
    workers: 0,
    startedAt: null,
    updatedAt: null,
    attempt: 0,
    step: 0,
    stages: [],
    evaluations: [],
    warnings: [],
    ended: null,
    checkpoint: null,
    seconds: 0,
    usd: 0,
    trainingUsd: 0,
    tokens: 0,
    energyJoules: 0,
    peakMemoryBytes: 0,
    events: 0,
  };
}

/** Adds a value; merges pairs of buckets when there are more than `limit`. */
export function addPoint(curve: Curve, x: number, value: number, limit: number): void {
  if (!Number.isFinite(value)) return;
  const { first, last, min, max, sum, count } = curve;
  const end = first.length - 1;
  // After a merge, buckets are filled to the width of the widest before a new one begins.
  const width = end > 0 ? count[0] : 1;
  if (end >= 0 && count[end] < width) {
    last[end] = x;
    min[end] = Math.min(min[end], value);
    max[end] = Math.max(max[end], value);
    sum[end] += value;
    count[end]++;
    return;
  }
  first.push(x);
  last.push(x);
  min.push(value);
  max.push(value);
  sum.push(value);
  count.push(1);
  if (first.length > limit) Object.assign(curve, merged(curve));
}

function merged(curve: Curve): Curve {
  const out = emptyCurve();
  const { first, last, min, max, sum, count } = curve;
  for (let i = 0; i < first.length; i += 2) {
    const j = Math.min(i + 1, first.length - 1);
    const both = j > i;
    out.first.push(first[i]);
    out.last.push(last[j]);
    out.min.push(Math.min(min[i], min[j]));
    out.max.push(Math.max(max[i], max[j]));
    out.sum.push(both ? sum[i] + sum[j] : sum[i]);
    out.count.push(both ? count[i] + count[j] : count[i]);
  }
  return out;
}

/** A copy with at most `limit` buckets. */
export function thinned(curve: Curve, limit: number): Curve {
  let out = curve;
  while (out.first.length > limit) out = merged(out);
  return out;
}

/** Removes what lies beyond `x`: a resume writes it again. */
function cutCurve(curve: Curve, x: number): void {
  let length = curve.first.length;
  while (length > 0 && curve.first[length - 1] > x) length--;
  for (const column of Object.values(curve) as number[][]) column.length = length;
  if (length > 0 && curve.last[length - 1] > x) curve.last[length - 1] = x;
}

function cut(state: RunState, fromStep: number): void {
  state.stages = state.stages.filter(({ startStep }) => startStep <= fromStep);
  for (const stage of state.stages) {
    const within = fromStep - stage.startStep;
    if (stage.step <= within) continue;
    stage.step = within;
    stage.state = 'running';
    for (const curve of Object.values(stage.curves)) cutCurve(curve, within);
  }
  state.evaluations = state.evaluations.filter(({ step }) => step <= fromStep);
}

/**
 * Takes one event in. Events of kinds that a newer version writes are counted and passed over.
 * @param limit most buckets of a curve
 */
export function addEvent(state: RunState, event: PricedEvent, limit: number): void {
  state.events++;
  state.updatedAt = event.time;
  state.attempt = Math.max(state.attempt, event.attempt);
  state.step = event.step;
  switch (event.type) {
    case 'started':
    case 'resumed':
      state.startedAt ??= event.time;
      if (event.type === 'started') state.recipe = event.recipe;
      else cut(state, event.fromStep);
      state.ended = null;
      Object.assign(state, {
        machine: event.machine,
        fingerprint: event.fingerprint,
        workers: event.workers,
      });
      return;
    case 'stage-started': {
      const { stage: id, kind, steps } = event;
      const known = state.stages.find((stage) => stage.id === id);
      if (known !== undefined) known.state = 'running';
      else state.stages.push(createStage(id, kind, steps, event.step));
      return;
    }
    case 'stage-ended': {
      const stage = state.stages.find(({ id }) => id === event.stage);
      if (stage !== undefined) Object.assign(stage, { state: 'done', step: stage.steps });
      return;
    }
    case 'metrics': {
      const stage = stageOf(state, event.stage, event.kind, event.step - event.stageStep);
      stage.step = event.stageStep;
      for (const [name, value] of Object.entries(event.values)) {
        if (name === 'step_time') continue;
        stage.latest[name] = value;
        stage.curves[name] ??= emptyCurve();
        addPoint(stage.curves[name], event.stageStep, value, limit);
      }
      return;
    }
    case 'usage':
      addUsage(state, event, limit);
      return;
    case 'evaluation': {
      const { stage, step, task, label, results } = event;
      state.evaluations.push({
        stage,
        step,
        task,
        label,
        results,
        trainingUsd: state.trainingUsd,
        usd: state.usd,
      });
      return;
    }
    case 'checkpoint':
      state.checkpoint = event.step;
      return;
    case 'warning':
      if (state.warnings.length < 100)
        state.warnings.push({ step: event.step, message: event.message });
      return;
    case 'ended':
      state.ended = {
        reason: event.reason,
        ...(event.message === undefined ? {} : { message: event.message }),
      };
  }
}

function createStage(id: string, kind: string, steps: number, startStep: number): StageState {
  const nothing = { step: 0, seconds: 0, usd: 0, tokens: 0, latest: {}, curves: {} };
  return { id, kind, steps, startStep, state: 'running', ...nothing };
}

/** A stage whose start was not seen (a preview of a long log) is made from what is known. */
function stageOf(state: RunState, id: string, kind: string, startStep: number): StageState {
  const known = state.stages.find((stage) => stage.id === id);
  if (known !== undefined) return known;
  const made = createStage(id, kind, 0, startStep);
  state.stages.push(made);
  return made;
}

function addUsage(
  state: RunState,
  event: Extract<PricedEvent, { type: 'usage' }>,
  limit: number,
): void {
  const { usage, usd = 0 } = event;
  state.seconds += usage.wallSeconds;
  state.usd += usd;
  if (usage.purpose === 'training') state.trainingUsd += usd;
  state.tokens += usage.tokensIn + usage.tokensOut;
  state.energyJoules += usage.energyJoules;
  state.peakMemoryBytes = Math.max(state.peakMemoryBytes, usage.peakMemoryBytes);
  const stage = state.stages.find(({ id }) => id === usage.stage);
  if (stage === undefined) return;
  stage.seconds += usage.wallSeconds;
  stage.usd += usd;
  stage.tokens += usage.tokensIn + usage.tokensOut;
  stage.curves.usd ??= emptyCurve();
  addPoint(stage.curves.usd, stage.step, state.usd, limit);
}
