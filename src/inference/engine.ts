/**
 * @file The engine of a server: sequences come and go at any time, and each step advances all that
 * are there.
 *
 * A step is one pass of the model over rows: the latest token of each sequence that is writing, and
 * a part of the prompts that are still being read, so that a long prompt holds up nobody
 * (continuous batching, Yu et al. 2022; chunked prefill, Agrawal et al. 2023). Prompts go through
 * the same pass as generated tokens (`Steps.decode`), so keys and values have the same bits however
 * a prompt was cut, and whether it was computed or found in the cache.
 *
 * With a seed, a sequence depends on its prompt, its options and its seed alone: random numbers are
 * keyed by (seed, choice, position), and a step that has a seeded sequence in it computes each row
 * by itself (`Backend.independentRows`). Steps without one are free to take the fastest product for
 * their size, and rows of the cache that they wrote are not given to seeded ones.
 */
import { UserError } from '../base/errors.js';
import { Random } from '../base/random.js';
import type { Model } from '../models/index.js';
import type { Backend, Tensor } from '../tensor/backend.js';
import { type Choosing, choose, isPlain, topTokens } from './choose.js';
import { PrefixCache, type Run } from './prefix-cache.js';
import { createSteps, RowTable } from './steps.js';

/** Which tokens may come next; advanced by each token that came. */
export interface Constraint {
  /** 1 for each token that may come. */
  allowed(): Uint8Array;
  advance(token: number): void;
}

export interface DrawnToken {
  id: number;
  /** Under the model itself, in nats; null when nobody asked. */
  logProbability: number | null;
  /** The most likely tokens at this place. */
  top: { id: number; logProbability: number }[];
}

/** Why a sequence ended: the model ended it, its length, the client, or its own constraint. */
export type EngineStop = 'eos' | 'length' | 'cancelled' | 'failed';

export interface EngineRequest {
  prompt: readonly number[];
  maxTokens: number;
  /** Null draws anew each time, and computes as fast as can be. */
  seed: number | null;
  /** Number of this sequence among those of the same prompt and seed. */
  choice: number;
  choosing: Choosing;
  /** How many of the most likely tokens to report; null for no log-probabilities at all. */
  topLogProbabilities: number | null;
  /**
   * Makes the constraint when the sequence is admitted, so that those that wait take no memory.
   * It, and the constraint, may throw a `UserError`: that sequence fails, and no other.
   */
  constraint: (() => Constraint) | null;
  /** Sees each token; true ends the sequence here. */
  onToken(token: DrawnToken): boolean;
  /** @param error why it `failed` */
  onEnd(stop: EngineStop, use: SequenceUse, error?: UserError): void;
  /**
   * Wait until this sequence has read its prompt: it is the same, and need be computed only once.
   */
  after?: Sequence;
}

/** What a sequence used. */
export interface SequenceUse {
  promptTokens: number;
  /** Of these, found in the cache. */
  cachedTokens: number;
  completionTokens: number;
  /** Its share of the seconds of the steps that it took part in, by rows. */
  seconds: number;
}

/** A sequence in the engine's hands. */
export interface Sequence {
  readonly request: EngineRequest;
  state: 'waiting' | 'reading' | 'writing' | 'ended';
}

export interface EngineOptions {
  /** Sequences in a step. */
  capacity: number;
  /** Rows of the key-value cache. */
  cacheRows: number;
  /** Tokens that end a completion. */
  stops: readonly number[];
  /** Monotonic milliseconds, for tests. */
  now?: () => number;
}

export interface Engine {
  add(request: EngineRequest): Sequence;
  /** Ends a sequence now, and frees its rows. */
  cancel(sequence: Sequence): void;
  /** Advances every sequence. @returns false when there was nothing to do */
  step(): Promise<boolean>;
  stats(): EngineStats;
}

export interface EngineStats {
  waiting: number;
  running: number;
  cacheRows: number;
  busyRows: number;
  steps: number;
  /** Rows of all steps. */
  rows: number;
  seconds: number;
}

/** Rows of a step when prompts are being read. */
const STEP_ROWS = 256;

interface Active extends Sequence {
  run: Run;
  constraint: Constraint | null;
  /** Prompt and completion. */
  tokens: number[];
  cachedTokens: number;
  drawn: number;
  seconds: number;
}

/** Puts a cache on the backend's stack; the caller releases it with its own mark. */
export function createEngine(backend: Backend, model: Model, options: EngineOptions): Engine {
  const { capacity } = options;
  const stops = new Set(options.stops);
  const now = options.now ?? (() => performance.now());
  const cache = model.createCache(options.cacheRows);
  const steps = createSteps(backend, model, cache);
  const vocabulary = model.head.shape[0];
  const prefixes = new PrefixCache(options.cacheRows);
  const waiting: Sequence[] = [];
  let active: Active[] = [];
  let stepping = false;
  const totals = { steps: 0, rows: 0, seconds: 0 };

  const copyRows = (from: number, to: number, count: number): void => {
    const part = (tensor: Tensor, row: number): Tensor =>
      backend.view(tensor, row * tensor.rowStride, [count, tensor.shape[1]], tensor.rowStride);
    for (const tensor of [...cache.keys, ...cache.values])
      backend.copy({ out: part(tensor, to), a: part(tensor, from) });
  };

  function admit(): void {
    for (let i = 0; i < waiting.length && active.length < capacity; ) {
      const sequence = waiting[i];
      const { prompt, maxTokens, seed, after } = sequence.request;
      if (after !== undefined && (after.state === 'waiting' || after.state === 'reading')) {
        i++;
        continue;
      }
      const acquired = prefixes.acquire(prompt, prompt.length + maxTokens, seed !== null);
      // First come, first served: a smaller request does not overtake one that waits for room.
      if (acquired === null) return;
      const { run, reused, copyFrom } = acquired;
      if (copyFrom !== null) copyRows(copyFrom, run.start, reused);
      waiting.splice(i, 1);
      const started: Active = Object.assign(sequence, {
        state: 'reading' as const,
        run,
        constraint: null,
        tokens: [...prompt],
        cachedTokens: reused,
        drawn: 0,
        seconds: 0,
      });
      active.push(started);
      guarded(started, () => {
        started.constraint = started.request.constraint?.() ?? null;
      });
    }
  }

  /** Runs what a client's constraint asks for; what it throws ends its own sequence. */
  function guarded<T>(sequence: Active, run: () => T): T | null {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      end(sequence, 'failed', error);
      return null;
    }
  }

  function end(sequence: Active, stop: EngineStop, error?: UserError): void {
    sequence.state = 'ended';
    prefixes.release(sequence.run);
    const { cachedTokens, drawn, seconds, request } = sequence;
    const use = {
      promptTokens: request.prompt.length,
      cachedTokens,
      completionTokens: drawn,
      seconds,
    };
    request.onEnd(stop, use, error);
  }

  const uniformOf = (sequence: Active): number => {
    const { seed, choice, choosing } = sequence.request;
    if (choosing.temperature === 0) return 0;
    if (seed === null) return Math.random();
    return new Random(seed, 0, choice, sequence.drawn).uniform();
  };

  /** Draws the next token of each of `drawing`, from hidden states in the same order. */
  async function draw(hidden: Tensor, drawing: readonly Active[]): Promise<DrawnToken[]> {
    const logits = steps.logits(hidden);
    const ids = new Int32Array(drawing.length).fill(-1);
    const plain = drawing.map(
      ({ request, constraint }) => isPlain(request.choosing) && constraint === null,
    );
    const uniforms = Float32Array.from(drawing, uniformOf);
    // Neighbours of one temperature are drawn by one call.
    for (let from = 0; from < drawing.length; ) {
      const { temperature } = drawing[from].request.choosing;
      let to = from + 1;
      if (plain[from]) {
        while (
          to < drawing.length &&
          plain[to] &&
          drawing[to].request.choosing.temperature === temperature
        )
          to++;
        const part = backend.view(logits, from * vocabulary, [to - from, vocabulary]);
        const drawn = await steps.draw(part, uniforms.subarray(from, to), temperature);
        ids.set(drawn.ids as Int32Array, from);
      }
      from = to;
    }
    const wantsLogits = drawing.map(
      ({ request }, i) => !plain[i] || request.topLogProbabilities !== null,
    );
    const host = wantsLogits.includes(true) ? await backend.read(logits) : null;
    return drawing.map((sequence, i) => {
      const { request, constraint } = sequence;
      if (host === null || !wantsLogits[i]) return { id: ids[i], logProbability: null, top: [] };
      const allowed = constraint === null ? null : guarded(sequence, () => constraint.allowed());
      const row = host.subarray(i * vocabulary, (i + 1) * vocabulary);
      const id = plain[i] ? ids[i] : choose(row, request.choosing, allowed, uniforms[i]);
      if (request.topLogProbabilities === null) return { id, logProbability: null, top: [] };
      const top = topTokens(row, Math.max(1, request.topLogProbabilities));
      const logProbability = row[id] - row[top[0].id] + top[0].logProbability;
      return { id, logProbability, top: top.slice(0, request.topLogProbabilities) };
    });
  }

  async function step(): Promise<boolean> {
    if (stepping) throw new Error('engine: a step is running');
    admit();
    active = active.filter(({ state }) => state !== 'ended');
    if (active.length === 0) return waiting.length > 0;
    stepping = true;
    const start = now();
    const mark = backend.mark();
    try {
      // One token each for those that write; prompts share what is left evenly, so that none holds
      // up another.
      const pending = (sequence: Active): number =>
        sequence.tokens.length - sequence.run.tokens.length;
      const order = [...active].sort((a, b) => pending(a) - pending(b));
      let room = Math.max(STEP_ROWS, capacity);
      const parts = order.map((sequence, i) => {
        const count = Math.min(pending(sequence), Math.ceil(room / (order.length - i)));
        room -= count;
        return { sequence, count };
      });
      const rows = parts.reduce((sum, { count }) => sum + count, 0);
      const exact = parts.some(({ sequence }) => sequence.request.seed !== null);
      backend.independentRows?.(exact);
      const table = new RowTable(rows);
      const lastRows: number[] = [];
      const drawing: Active[] = [];
      let filled = 0;
      for (const { sequence, count } of parts) {
        const { run, tokens } = sequence;
        if (!exact) run.exact = false;
        for (let i = 0; i < count; i++) {
          const position = run.tokens.length;
          table.add(
            tokens[position],
            position,
            run.start + position,
            0,
            0,
            run.start,
            position + 1,
          );
          run.tokens.push(tokens[position]);
        }
        filled += count;
        if (run.tokens.length < tokens.length) continue;
        lastRows.push(filled - 1);
        drawing.push(sequence);
      }
      const hidden = steps.decode(table);
      const drawn = drawing.length === 0 ? [] : await draw(steps.select(hidden, lastRows), drawing);
      const seconds = (now() - start) / 1000;
      totals.steps++;
      totals.rows += rows;
      totals.seconds += seconds;
      for (const { sequence, count } of parts) sequence.seconds += (seconds * count) / rows;
      drawing.forEach((sequence, i) => {
        if (sequence.state !== 'ended') give(sequence, drawn[i]);
      });
    } finally {
      backend.independentRows?.(false);
      backend.release(mark);
      stepping = false;
    }
    active = active.filter(({ state }) => state !== 'ended');
    return true;
  }

  function give(sequence: Active, token: DrawnToken): void {
    const { request, tokens } = sequence;
    sequence.state = 'writing';
    sequence.drawn++;
    tokens.push(token.id);
    if (!stops.has(token.id)) guarded(sequence, () => sequence.constraint?.advance(token.id));
    // TypeScript does not see that the state may have changed.
    if ((sequence.state as string) === 'ended') return;
    const stopped = request.onToken(token);
    if (sequence.state !== 'writing') return; // cancelled by the one who saw it
    if (stopped || stops.has(token.id)) end(sequence, 'eos');
    else if (sequence.drawn >= request.maxTokens) end(sequence, 'length');
  }

  return {
    add(request) {
      const { prompt, maxTokens } = request;
      const longest = Math.min(options.cacheRows, model.config.max_position_embeddings);
      if (prompt.length === 0 || maxTokens < 1 || prompt.length + maxTokens > longest) {
        const asked = `a prompt of ${prompt.length} and a completion of ${maxTokens} tokens`;
        throw new UserError(
          'usage',
          `${asked} do not fit; both need at least 1 and together at most ${longest}`,
          'max_tokens',
        );
      }
      const sequence: Sequence = { request, state: 'waiting' };
      waiting.push(sequence);
      return sequence;
    },
    cancel(sequence) {
      if (sequence.state === 'ended') return;
      const at = waiting.indexOf(sequence);
      if (at >= 0) {
        waiting.splice(at, 1);
        sequence.state = 'ended';
        const promptTokens = sequence.request.prompt.length;
        sequence.request.onEnd('cancelled', {
          promptTokens,
          cachedTokens: 0,
          completionTokens: 0,
          seconds: 0,
        });
        return;
      }
      end(sequence as Active, 'cancelled');
      if (!stepping) active = active.filter(({ state }) => state !== 'ended');
    },
    step,
    stats: () => ({
      waiting: waiting.length,
      running: active.length,
      cacheRows: options.cacheRows,
      busyRows: prefixes.busyRows,
      ...totals,
    }),
  };
}
