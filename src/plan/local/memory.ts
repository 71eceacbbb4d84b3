/**
 * @file What a run will need of the engine's memory, before its first step: each stage's policy is
 * opened on a backend that counts, and samples, passes and steps once at the stage's largest sizes.
 */
import { formatBytes } from '../../base/text/index.js';
import { MAX_CACHE_BYTES } from '../../evaluation/evaluate.js';
import {
  createModel,
  type FrozenWeights,
  type Model,
  parseModelConfig,
} from '../../models/index.js';
import { openLocalPolicy } from '../../policy/local/local-policy.js';
import type { Datum, Needs } from '../../policy/policy.js';
import type { Recipe } from '../../recipe/index.js';
import {
  meanOf,
  type Pass,
  SCENARIOS,
  type Sequences,
  valuesOf,
  type Work,
} from '../../stages/work.js';
import {
  type CountingBackend,
  createCountingBackend,
} from '../../tensor/backends/counting/index.js';
import { balanceSchema } from '../../training/balance.js';
import { losses } from '../../training/losses.js';
import { optimizerSchema } from '../../training/optimizer.js';
import type { FittedMemory } from '../../usage/events.js';
import type { SurveyedWork } from '../recipe-work.js';

/**
 * What a run may choose to fit its memory: whether activations within a layer are computed again
 * for the derivative, the tokens of a micro-batch, and the sequences that one worker decodes at once
 * at most (null: what the stage asks for).
 */
export type MemorySettings = FittedMemory;

/** Bytes of one stage; those of a worker are of the one with the most to do. */
export interface StageMemory {
  stage: string;
  /** Weights, optimizer and reference policy, which all workers share. */
  sharedBytes: number;
  /** Of a worker: gradients; keys and values; and the most that a pass adds to them. */
  gradientBytes: number;
  cacheBytes: number;
  activationBytes: number;
}

export const workerBytes = (stage: StageMemory): number =>
  stage.gradientBytes + stage.cacheBytes + stage.activationBytes;

export interface MemoryQuestion {
  recipe: Recipe;
  surveyed: SurveyedWork;
  workers: number;
  frozen?: FrozenWeights;
  /** From `modelMaker`, where several questions are of one recipe. */
  make?: ModelMaker;
}

export type Lengths = Pick<Sequences, 'promptTokens' | 'completionTokens'>;

const most = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), 1);

/** Lengths of single completions: of all steps, and in every scenario. */
const completionsOf = ({ completionTokens }: Lengths): number[] =>
  SCENARIOS.flatMap((scenario) => completionTokens.each[scenario].flatMap((one) => valuesOf(one)));

const longestPrompt = ({ promptTokens }: Lengths): number =>
  Math.max(1, Math.ceil(most(valuesOf(promptTokens))));

/**
 * Tokens of `count` drawn sequences: their mean, and three standard deviations of it.
 * @param longest that one can be
 */
function drawnTokens(part: Lengths, count: number, longest: number): number {
  const completions = completionsOf(part);
  const mean = completions.reduce((sum, length) => sum + length, 0) / completions.length;
  const squares = completions.reduce((sum, length) => sum + (length - mean) ** 2, 0);
  const spread = Math.sqrt(squares / completions.length / count);
  const prompt = meanOf(part.promptTokens);
  return count * Math.min(longest, prompt + mean + 3 * spread);
}

/** One micro-batch of the largest size that a part of a stage can have on one worker. */
function largestBatch(part: Sequences & Partial<Pass>, work: Work, space: Space): Datum[] {
  const { positions, workers, microBatchTokens } = space;
  const sampled = part.source === 'rollout' || part.source === undefined;
  const limit = sampled ? work.rollouts[0]?.maxTokens : undefined;
  const completion = Math.ceil(limit ?? most(completionsOf(part)));
  const longest = Math.max(2, Math.min(positions, longestPrompt(part) + completion));
  const count = most(
    SCENARIOS.flatMap((scenario) => part.sequences[scenario].map((n) => Math.ceil(n / workers))),
  );
  // A policy may write as much as it is allowed to; examples are as long as they are.
  const all = limit === undefined ? drawnTokens(part, count, longest) : count * longest;
  const datum = (length: number): Datum => {
    const predictFrom = part.predicts === 'all' ? 1 : Math.max(1, length - completion);
    const old = new Float32Array(length - predictFrom);
    return { tokens: new Array<number>(length).fill(0), predictFrom, old };
  };
  // A sequence is not cut, however small the micro-batches are.
  const tokens = Math.max(longest, Math.min(microBatchTokens, Math.ceil(all)));
  const rest = tokens % longest;
  return [
    ...Array.from({ length: Math.floor(tokens / longest) }, () => datum(longest)),
    ...(rest >= 2 ? [datum(rest)] : []),
  ];
}

interface Space {
  positions: number;
  workers: number;
  microBatchTokens: number;
}

/** Room that a phase of a stage asks of its policy. */
function needsOf(work: Work, workers: number, { sequences }: MemorySettings): Needs {
  const [pass] = work.passes;
  const [rollout] = work.rollouts;
  const training = pass && {
    optimizer: optimizerSchema.parse({ ...pass.optimizer }),
    balance: balanceSchema(0.001).parse(undefined),
    reference: work.scores.some(({ by }) => by === 'reference'),
  };
  if (rollout === undefined) return { training };
  const own = Math.ceil(rollout.prompts / workers) * rollout.samples;
  const sampling = {
    capacity: Math.min(own, rollout.capacity, sequences ?? Number.POSITIVE_INFINITY),
    maxPrompt: longestPrompt(rollout),
    maxTokens: rollout.maxTokens,
    ...(work.purpose === 'evaluation' ? { maxCacheBytes: MAX_CACHE_BYTES } : {}),
    ...(rollout.draft ? { draft: rollout.draft } : {}),
  };
  return { training, sampling };
}

interface Made {
  backend: CountingBackend;
  /** The stage's, or its teacher's where that one works. */
  model: Model;
}

/** Makes the models of works; each once, for a table of angles takes long. */
export function modelMaker({ recipe, frozen }: Pick<MemoryQuestion, 'recipe' | 'frozen'>) {
  const made = new Map<string, Made>();
  return ({ rollouts, passes }: Work, configs: SurveyedWork['configs'][number]): Made => {
    const byTeacher = [...rollouts, ...passes].some(({ model }) => model === 'teacher');
    const teacher = byTeacher ? configs.teacher : null;
    const key = JSON.stringify([configs.stage, teacher]);
    const known = made.get(key);
    if (known) return known;
    const backend = createCountingBackend();
    const { adapter, numerics } = recipe;
    const own = createModel(backend, configs.stage, { adapter, numerics, frozen });
    const model =
      teacher === null ? own : createModel(backend, parseModelConfig(teacher, 'teacher'));
    made.set(key, { backend, model });
    return { backend, model };
  };
}

type ModelMaker = ReturnType<typeof modelMaker>;

async function memoryOfWork(
  stage: string,
  work: Work,
  { backend, model }: Made,
  workers: number,
  settings: MemorySettings,
): Promise<StageMemory> {
  const { microBatchTokens, recompute } = settings;
  const needs = needsOf(work, workers, settings);
  const sequences = settings.sequences ?? undefined;
  const parts = { backend, model, eos: 0, microBatchTokens, recompute, sequences };
  const before = backend.memory().localBytes;
  const mark = backend.mark();
  backend.restHighWater();
  openLocalPolicy(parts, { training: needs.training }).close();
  // Closing takes what was opened off again; the high-water mark tells what it was.
  const gradientBytes = backend.memory().localHighWaterBytes - before;
  const policy = openLocalPolicy(parts, needs);
  const opened = backend.memory().localBytes - before;
  const { max_position_embeddings: positions } = model.config;
  const space = { positions, workers, microBatchTokens };
  const old = { temperature: 1, tokenWeight: 1 };
  for (const pass of work.passes) {
    const batch = largestBatch(pass, work, space);
    const loss =
      pass.loss === 'policy'
        ? { name: 'policy' as const, ...old, ...losses.grpo, klCoefficient: 0.1 }
        : { name: 'cross-entropy' as const, tokenWeight: 1, mtpWeight: pass.further ? 0.3 : 0 };
    await inMark(backend, () => policy.pass(batch, loss));
    await inMark(backend, () => policy.step(1, 1));
  }
  for (const score of work.scores) {
    const batch = largestBatch(score, work, space);
    const of = score.by === 'reference' ? 'reference' : 'policy';
    await inMark(backend, () => policy.score(batch, { of, temperature: 1 }));
  }
  const { sampling } = needs;
  if (sampling) {
    const prompt = new Array<number>(Math.min(sampling.maxPrompt, positions - 1)).fill(0);
    const samples = Math.min(work.rollouts[0].samples, sampling.capacity);
    const prompts = new Array(Math.ceil(sampling.capacity / samples)).fill(prompt);
    const maxTokens = Math.min(2, sampling.maxTokens);
    await policy.sample({ prompts, samples, maxTokens, temperature: 1, key: [] });
  }
  const { localHighWaterBytes, sharedHighWaterBytes } = backend.memory();
  policy.close();
  backend.release(mark);
  return {
    stage,
    sharedBytes: sharedHighWaterBytes,
    gradientBytes,
    cacheBytes: Math.max(0, opened - gradientBytes),
    activationBytes: localHighWaterBytes - before - Math.max(opened, gradientBytes),
  };
}

/** A step's activations are taken off again, as its stage does. */
async function inMark(backend: CountingBackend, body: () => Promise<unknown>): Promise<void> {
  const mark = backend.mark();
  await body();
  backend.release(mark);
}

/** What each stage needs with given settings: the phase that needs the most counts. */
export async function countMemory(
  question: MemoryQuestion,
  settings: MemorySettings,
): Promise<StageMemory[]> {
  const { surveyed, workers, make = modelMaker(question) } = question;
  const counted: StageMemory[] = [];
  for (const [i, { id, works }] of surveyed.stages.entries()) {
    const phases: StageMemory[] = [];
    for (const work of works)
      phases.push(await memoryOfWork(id, work, make(work, surveyed.configs[i]), workers, settings));
    counted.push(phases.reduce((a, b) => (workerBytes(b) > workerBytes(a) ? b : a)));
  }
  return counted;
}

/** `2 MB of gradients, 31 MB of keys and values, 210 MB of activations`. */
export function memoryText({ gradientBytes, cacheBytes, activationBytes }: StageMemory): string {
  const parts = [
    [gradientBytes, 'gradients'],
    [cacheBytes, 'keys and values'],
    [activationBytes, 'activations'],
  ] as const;
  return parts
    .filter(([bytes]) => bytes > 0)
    .map(([bytes, what]) => `${formatBytes(bytes)} of ${what}`)
    .join(', ');
}

/** The stage that needs the most of a worker. */
export const mostOf = (stages: readonly StageMemory[]): StageMemory =>
  stages.reduce((a, b) => (workerBytes(b) > workerBytes(a) ? b : a));
