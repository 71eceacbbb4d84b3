/**
 * @file How fast this machine does a recipe's own work: real steps of a scratch model, for a
 * fraction of a second each.
 *
 * Every rank runs this at the same time, since workers share caches, memory and clocks. The scratch
 * model has the recipe's shapes and arbitrary weights, lives above a mark of the stack, and is gone
 * before the first real tensor is made; random streams are keyed, so nothing here can change what
 * the run computes. All ranks take the same path: what depends on the clock is agreed on by a sum.
 *
 * When other programs use the machine, a step of a millisecond takes either that or ten more, and a
 * short measurement has too few of them for a mean. So CPU time is separated from contention. The
 * CPU time of a piece is the lower quartile of min(wall time, processor time per worker); processor
 * time alone would be too high, since compilers and garbage collectors have threads of their own.
 * The ratio of wall time to CPU time is one factor for the whole calibration. A GPU's work is timed
 * by wall time alone.
 */
import { createSampler } from '../../inference/index.js';
import {
  type AdapterSpec,
  createModel,
  type FrozenWeights,
  type Model,
  type ModelConfig,
  parseModelConfig,
  type StoreOptions,
} from '../../models/index.js';
import { SPEED_RANGE } from '../../planner/local.js';
import type { Backend } from '../../tensor/backend.js';
import { Tape } from '../../tensor/tape.js';
import { crossEntropyStep, policyStep } from '../../training/backpropagate.js';
import { microBatches, type TrainingSequence } from '../../training/batch.js';
import { losses } from '../../training/losses.js';
import { createOptimizer, gradientNormOf, type OptimizerSpec } from '../../training/optimizer.js';
import { between, type Moment, moment } from './clock.js';

/** Training passes and updates of one shape. */
export interface TrainingPiece {
  kind: 'training';
  key: string;
  /** Another model than the request's. */
  model?: Record<string, unknown>;
  /** On the busiest rank, a step. */
  sequences: number;
  /** Of one sequence: all, and those that are predicted. */
  tokens: number;
  predicted: number;
  /** The policy loss rather than cross-entropy. */
  policy: boolean;
  microBatchTokens: number;
  recompute: boolean;
  optimizer: OptimizerSpec;
  steps: number;
}

/** Decoding of one shape. */
export interface GenerationPiece {
  kind: 'generation';
  key: string;
  /** Another model than the request's. */
  model?: Record<string, unknown>;
  /** On the busiest rank. */
  prompts: number;
  samples: number;
  capacity: number;
  promptTokens: number;
  /** Expected length of a completion. */
  completionTokens: number;
  steps: number;
}

export type CalibrationPiece = TrainingPiece | GenerationPiece;

export interface CalibrationRequest {
  /** A model configuration. */
  model: Record<string, unknown>;
  /** Trained beside the model's weights, which stay as they are. */
  adapter?: AdapterSpec;
  numerics?: StoreOptions['numerics'];
  pieces: readonly CalibrationPiece[];
  /** Nothing more is timed once the training of one piece surely takes longer than this. */
  mostSeconds?: number;
}

export interface MeasuredTraining {
  kind: 'training';
  key: string;
  /** Tokens of the passes that were timed, on one rank. */
  tokens: number;
  secondsPerToken: number;
  secondsPerUpdate: number;
}

export interface MeasuredGeneration {
  kind: 'generation';
  key: string;
  prefillSecondsPerPrompt: number;
  /** At `context` tokens of each sequence, by number of sequences, ascending. */
  decode: { sequences: number; seconds: number }[];
  context: number;
  secondsPerContextToken: number;
}

export type Measured = MeasuredTraining | MeasuredGeneration;

export interface RankCalibration {
  /** Seconds of work: as on an otherwise idle machine. */
  measured: Measured[];
  /** Wall seconds per second of work, over all of it; 1 on an otherwise idle machine. */
  slowdown: number;
  /** Wall seconds that the calibration took. */
  seconds: number;
}

/** The longest that one timed pass may take; a larger batch is timed in part. */
const PASS_SECONDS = 0.05;
/** Most seconds for all passes of a piece, and the share of its stage that they may cost. */
const PIECE_SECONDS = 0.4;
const PIECE_SHARE = 0.02;
const MOST_PASSES = 16;
/** Of the first passes, however large the batch is. */
const FEW_TOKENS = 2048;
/** Tokens drawn by each sequence that is timed; the first come with the prompt. */
const DRAWN = 8;

/** What a quarter of the times are below: what comes in between only makes them longer. */
function typical(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 4)] ?? 0;
}

/** The mean over ranks: the same number on all of them. */
async function agree(backend: Backend, seconds: number): Promise<number> {
  const [sum] = await backend.ranks.sum([seconds]);
  return sum / backend.ranks.worldSize;
}

/** Adds up all that is timed, for the slowdown. */
interface Books {
  wall: number;
  work: number;
}

function book(books: Books, from: Moment, to: Moment, { ranks, onHost }: Backend): number {
  const { wall, work } = between(from, to, ranks.worldSize, onHost);
  books.wall += wall;
  books.work += work;
  return work;
}

/**
 * Arbitrary weights of the right size; not the keyed normal draws of a real start, which take long
 * for large models.
 */
function scatter(backend: Backend, model: Model): void {
  let state = 1;
  for (const { spec, value, size } of model.store.parameters) {
    const data = new Float32Array(size);
    if (spec.init === 'ones') data.fill(1);
    else {
      const scale = (Math.sqrt(3) * spec.init) / 2 ** 31;
      for (let i = 0; i < size; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) | 0;
        data[i] = state * scale;
      }
    }
    backend.write(value, data);
  }
}

function tokensOf(count: number, config: ModelConfig, salt: number): number[] {
  return Array.from({ length: count }, (_, i) => (i * 7 + salt * 13) % config.vocab_size);
}

async function measureTraining(
  backend: Backend,
  model: Model,
  piece: TrainingPiece,
  books: Books,
): Promise<MeasuredTraining> {
  const { config } = model;
  const length = Math.min(piece.tokens, config.max_position_embeddings);
  const predictFrom = Math.max(1, length - piece.predicted);
  const sequence = (i: number): TrainingSequence => ({
    tokens: tokensOf(length, config, i),
    predictFrom,
  });
  model.store.attachGradients();
  const optimizer = createOptimizer(backend, model.store, piece.optimizer);
  await backend.ranks.barrier();
  let step = 0;
  const tape = () => new Tape(backend, true, piece.recompute);

  async function pass(count: number): Promise<{ training: number; update: number }> {
    const sequences = Array.from({ length: count }, (_, i) => sequence(i));
    const start = moment();
    model.store.resetGradients();
    for (const part of microBatches(sequences, (s) => s.tokens.length, piece.microBatchTokens)) {
      if (!piece.policy)
        await crossEntropyStep(tape(), model, part, { weight: 1e-3, mtpWeight: 0.3 });
      else {
        const values = new Float32Array(
          part.reduce((sum, s) => sum + s.tokens.length - s.predictFrom, 0),
        ).fill(1e-3);
        const targets = { old: values, reference: null, advantages: values, weights: values };
        await policyStep(tape(), model, part, targets, 1, {
          ...losses.grpo,
          klCoefficient: 0,
        });
      }
    }
    const middle = moment();
    await gradientNormOf(backend, await optimizer.update(1e-6, ++step));
    const end = moment();
    return {
      training: book(books, start, middle, backend),
      update: book(books, middle, end, backend),
    };
  }

  const few = Math.max(
    1,
    Math.min(Math.ceil(piece.sequences / 16), Math.floor(FEW_TOKENS / length)),
  );
  await pass(few);
  const first = await pass(few);
  const once = await agree(backend, first.training);
  const count = Math.max(1, Math.min(piece.sequences, Math.floor((few * PASS_SECONDS) / once)));
  const passSeconds = (once * count) / few;
  const whole = (once * piece.sequences) / few + (await agree(backend, first.update));
  const budget = Math.min(PIECE_SECONDS, PIECE_SHARE * whole * piece.steps);
  const passes = Math.max(1, Math.min(MOST_PASSES, Math.round(budget / passSeconds)));
  const times = [];
  for (let i = 0; i < passes; i++) times.push(await pass(count));
  // Small recipes do not warm up, neither here nor there.
  const later = times.length > 2 ? times.slice(1) : times;
  const training = await agree(backend, typical(later.map((time) => time.training)));
  const update = await agree(backend, typical(later.map((time) => time.update)));
  const tokens = count * (length - 1);
  model.store.detachGradients();
  return {
    kind: 'training',
    key: piece.key,
    tokens,
    secondsPerToken: training / tokens,
    secondsPerUpdate: update,
  };
}

async function measureGeneration(
  backend: Backend,
  model: Model,
  piece: GenerationPiece,
  books: Books,
): Promise<MeasuredGeneration> {
  const { config } = model;
  const { promptTokens, capacity } = piece;
  const most = Math.min(capacity, piece.prompts * piece.samples);
  const drawn = Math.min(DRAWN, config.max_position_embeddings - promptTokens);

  /** Decodes some steps of `sequences` and gives the times of the prompts and of a step. */
  async function time(
    sequences: number,
    prompt: number,
  ): Promise<{ prefill: number; step: number }> {
    const mark = backend.mark();
    const limits = {
      capacity: Math.max(sequences, 1),
      maxPrompt: prompt,
      maxTokens: drawn,
      eos: -1,
    };
    const sampler = createSampler(backend, model, limits);
    const samples = Math.min(piece.samples, sequences);
    const prompts = Array.from({ length: Math.ceil(sequences / samples) }, (_, i) =>
      tokensOf(prompt, config, i),
    );
    const ticks: Moment[] = [];
    const onToken = (p: number, s: number): void => {
      if (p === 0 && s === 0) ticks.push(moment());
    };
    const start = moment();
    await sampler.generate(prompts, {
      samples,
      maxTokens: drawn,
      temperature: 1,
      key: ['calibration'],
      onToken,
    });
    backend.release(mark);
    const steps = ticks.slice(1).map((tick, i) => book(books, ticks[i], tick, backend));
    const prefill = (await agree(backend, book(books, start, ticks[0], backend))) / prompts.length;
    return {
      prefill,
      step: await agree(backend, typical(steps.length > 2 ? steps.slice(1) : steps)),
    };
  }

  // The first calls run before the compiler has seen them.
  await time(1, promptTokens);
  await time(Math.min(16, most), promptTokens);
  await time(Math.min(64, most), promptTokens);
  const sizes = [1, 4, 16, 64, 256].filter((size) => size < 0.75 * most);
  const decode: MeasuredGeneration['decode'] = [];
  let prefill = 0;
  for (const sequences of [...sizes, most]) {
    const times = await time(sequences, promptTokens);
    prefill = times.prefill;
    // More sequences never take less time; what says so is noise.
    const seconds = Math.max(times.step, decode.at(-1)?.seconds ?? 0);
    decode.push({ sequences, seconds });
    if (seconds > PASS_SECONDS) break;
  }
  const context = promptTokens + drawn / 2;
  const { sequences, seconds } = decode[decode.length - 1];
  const further = Math.min(
    piece.completionTokens,
    config.max_position_embeddings - drawn - promptTokens,
  );
  let secondsPerContextToken = 0;
  if (further > 4) {
    // A small difference of two times: each is the better of two, taken by turns.
    const long = promptTokens + Math.floor(further);
    const far = [(await time(sequences, long)).step];
    const near = [seconds, (await time(sequences, promptTokens)).step];
    far.push((await time(sequences, long)).step);
    decode[decode.length - 1].seconds = Math.max(Math.min(...near), decode.at(-2)?.seconds ?? 0);
    secondsPerContextToken =
      Math.max(0, Math.min(...far) - Math.min(...near)) / (sequences * Math.floor(further));
  }
  return {
    kind: 'generation',
    key: piece.key,
    prefillSecondsPerPrompt: prefill,
    decode,
    context,
    secondsPerContextToken,
  };
}

/** Tokens that are trained on, all steps together. */
const tokensOfPiece = (piece: CalibrationPiece): number =>
  piece.kind === 'training' ? piece.steps * piece.sequences * piece.tokens : 0;

/** Seconds of work of all training passes of a piece's stages. */
function leastSeconds(piece: CalibrationPiece, measured: Measured): number {
  if (piece.kind !== 'training' || measured.kind !== 'training') return 0;
  const tokens = piece.sequences * (piece.tokens - 1);
  return piece.steps * (tokens * measured.secondsPerToken + measured.secondsPerUpdate);
}

/**
 * Measures every piece of the request. All ranks of a group call it together, before anything else
 * lies on their stacks that they would miss; each gets the same answer.
 * @param frozen as of a `BackendPlan`
 */
export async function calibrateRank(
  backend: Backend,
  request: CalibrationRequest,
  frozen?: FrozenWeights,
): Promise<RankCalibration> {
  const { mostSeconds = Number.POSITIVE_INFINITY } = request;
  const start = performance.now();
  const books: Books = { wall: 0, work: 0 };
  const mark = backend.mark();
  const make = async (config: Record<string, unknown>): Promise<Model> => {
    const made = createModel(backend, parseModelConfig(config, 'recipe'), {
      adapter: request.adapter,
      numerics: request.numerics,
      frozen,
    });
    if (backend.ranks.rank === 0) scatter(backend, made);
    await backend.ranks.barrier();
    return made;
  };
  const own = await make(request.model);
  const measured: Measured[] = [];
  const pieces = [...request.pieces].sort((a, b) => tokensOfPiece(b) - tokensOfPiece(a));
  for (const piece of pieces) {
    const inner = backend.mark();
    const model = piece.model ? await make(piece.model) : own;
    measured.push(
      piece.kind === 'training'
        ? await measureTraining(backend, model, piece, books)
        : await measureGeneration(backend, model, piece, books),
    );
    await backend.ranks.barrier();
    backend.release(inner);
    if (SPEED_RANGE.low * leastSeconds(piece, measured[measured.length - 1]) > mostSeconds) break;
  }
  backend.release(mark);
  const slowdown = Math.max(
    1,
    (await agree(backend, books.wall)) / (await agree(backend, books.work)),
  );
  return { measured, slowdown, seconds: (performance.now() - start) / 1000 };
}
