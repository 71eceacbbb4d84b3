/**
 * @file Fits a run into the memory: where a step does not fit, the settings that change a result by
 * rounding alone give way. Activations are computed again first, then micro-batches shrink, and
 * where keys and values take the most, fewer sequences are decoded at once. What fits with no
 * settings is refused with what would.
 */
import { UserError } from '../../base/errors.js';
import { formatBytes, formatCount } from '../../base/text/index.js';
import { MAX_CAPACITY } from '../../inference/index.js';
import type { Recipe } from '../../recipe/index.js';
import { mapCourse, valuesOf, type Work } from '../../stages/work.js';
import type { SurveyedWork } from '../recipe-work.js';
import {
  countMemory,
  type Lengths,
  type MemoryQuestion,
  type MemorySettings,
  memoryText,
  modelMaker,
  mostOf,
  type StageMemory,
  workerBytes,
} from './memory.js';

/** Beside the engine's memory: what a thread of JavaScript takes, as measured on `r1-mini`. */
const THREAD_BYTES = 90e6;

/** Of the whole process: frozen weights, what workers share, the workers, and their threads. */
export function processBytes(stage: StageMemory, { workers, frozen }: MemoryQuestion): number {
  const held = [...(frozen?.values() ?? [])].reduce((sum, { bytes }) => sum + bytes.length, 0);
  return held + stage.sharedBytes + workers * (workerBytes(stage) + THREAD_BYTES) + THREAD_BYTES;
}

export interface MemoryFit {
  settings: MemorySettings;
  /** True where a setting gave way. */
  changed: boolean;
  stages: StageMemory[];
}

/** The room of each worker in the engine's memory, and what the machine has, bytes. */
export interface Room {
  workerBytes: number;
  machineBytes: number;
}

/** The setting to give way next for what needs too much; null where none is left. */
function gentler(
  worst: StageMemory,
  settings: MemorySettings,
  { works }: SurveyedWork['stages'][number],
): MemorySettings | null {
  const { recompute, microBatchTokens } = settings;
  const samples = works.some(({ rollouts }) => rollouts.length > 0);
  const trains = works.some(({ passes }) => passes.length > 0);
  const fewer = (): MemorySettings | null => {
    const now = settings.sequences ?? MAX_CAPACITY;
    return samples && now > 1 ? { ...settings, sequences: now >> 1 } : null;
  };
  if (!trains || worst.cacheBytes > worst.activationBytes) return fewer();
  if (!recompute) return { ...settings, recompute: true };
  if (microBatchTokens > LEAST_TOKENS)
    return { ...settings, microBatchTokens: Math.max(LEAST_TOKENS, microBatchTokens >> 1) };
  return fewer();
}

/** Smaller micro-batches save little: then something else needs the memory. */
const LEAST_TOKENS = 128;

/** Settings with which every stage fits, closest to the recipe's; null where there are none. */
export async function fitMemory(
  question: MemoryQuestion,
  room: Room,
): Promise<{ fit: MemoryFit | null; worst: StageMemory }> {
  const { recipe, surveyed } = question;
  const { recompute, microBatchTokens } = recipe;
  const own: MemorySettings = { recompute, microBatchTokens, sequences: null };
  const worstOf = (stages: readonly StageMemory[]): StageMemory | null => {
    const beyond = stages.filter(
      (stage) =>
        workerBytes(stage) > room.workerBytes || processBytes(stage, question) > room.machineBytes,
    );
    return beyond.length === 0 ? null : mostOf(beyond);
  };
  let stages = await countMemory(question, own);
  const first = worstOf(stages);
  if (first === null)
    return { fit: { settings: own, changed: false, stages }, worst: mostOf(stages) };
  // Where the gentlest settings do not help, those between need not be tried.
  const least = Math.min(LEAST_TOKENS, microBatchTokens);
  const gentlest = { recompute: true, microBatchTokens: least, sequences: 1 };
  if (worstOf(await countMemory(question, gentlest)) !== null) return { fit: null, worst: first };
  let settings = own;
  for (let worst: StageMemory | null = first; worst !== null; worst = worstOf(stages)) {
    const { stage: id } = worst;
    const stage = surveyed.stages.find((one) => one.id === id);
    settings = (stage && gentler(worst, settings, stage)) ?? gentlest;
    stages = await countMemory(question, settings);
  }
  return { fit: { settings, changed: true, stages }, worst: first };
}

/** What gave way, for the log. */
export function givenWay({ settings }: MemoryFit, { recompute, microBatchTokens }: Recipe): string {
  const parts = [
    settings.recompute && !recompute ? 'activations are computed again' : '',
    settings.microBatchTokens < microBatchTokens
      ? `micro-batches have ${formatCount(settings.microBatchTokens)} tokens instead of ${formatCount(microBatchTokens)}`
      : '',
    settings.sequences === null
      ? ''
      : `a worker decodes at most ${formatCount(settings.sequences)} sequences at once`,
  ];
  return `to fit the memory, ${parts.filter(Boolean).join(', and ')}`;
}

/**
 * The refusal of a recipe that fits with no settings.
 * @param fewer of workers with which it fits, where there are such
 */
export async function memoryRefusal(
  question: MemoryQuestion,
  room: Room,
  worst: StageMemory,
  fewer: number | null,
): Promise<UserError> {
  const { recipe } = question;
  const index = recipe.stages.findIndex(({ id }) => id === worst.stage);
  const beyond = workerBytes(worst) > room.workerBytes;
  const needs = beyond
    ? `needs ${formatBytes(workerBytes(worst))} on each worker (${memoryText(worst)}), which has ${formatBytes(room.workerBytes)}`
    : `needs ${formatBytes(processBytes(worst, question))} of memory, and this machine has ${formatBytes(room.machineBytes)}`;
  const start = `${recipe.name}: stage ${worst.stage} ${needs}`;
  if (fewer !== null)
    return new UserError('usage', `${start}; --workers ${fewer} would fit`, 'workers');
  const shorter = await longestThatFits(question, room, worst.stage);
  if (shorter !== null) {
    const field = `stages.${index}.maxTokens`;
    return new UserError('usage', `${start}; ${field} ${formatCount(shorter)} would fit`, field);
  }
  const advice = recipe.adapter ? 'take a smaller model' : 'take a smaller model, or an adapter';
  return new UserError('usage', `${start}; ${advice}`, 'model');
}

/** The longest completions of a stage that samples with which all fits; null where none do. */
async function longestThatFits(
  question: MemoryQuestion,
  room: Room,
  id: string,
): Promise<number | null> {
  const { surveyed, make = modelMaker(question) } = question;
  const rollout = surveyed.stages
    .find((stage) => stage.id === id)
    ?.works.flatMap(({ rollouts }) => rollouts)[0];
  for (let tokens = (rollout?.maxTokens ?? 0) >> 1; tokens >= 1; tokens >>= 1) {
    const stages = surveyed.stages.map((stage) => ({
      ...stage,
      works: stage.id === id ? stage.works.map((work) => shortened(work, tokens)) : stage.works,
    }));
    const { fit } = await fitMemory({ ...question, make, surveyed: { ...surveyed, stages } }, room);
    if (fit !== null) return tokens;
  }
  return null;
}

/** The work with completions of at most so many tokens. */
function shortened(work: Work, most: number): Work {
  const cut = <T extends Lengths>(part: T): T => {
    const { mean, each } = part.completionTokens;
    const short = mapCourse(each, (one) => ({
      empirical: valuesOf(one).map((length) => Math.min(length, most)),
    }));
    return { ...part, completionTokens: { mean, each: short } };
  };
  return {
    ...work,
    rollouts: work.rollouts.map((one) => cut({ ...one, maxTokens: Math.min(one.maxTokens, most) })),
    scores: work.scores.map(cut),
    passes: work.passes.map(cut),
  };
}
