/**
 * @file The HTTP thread's end of the inference thread: submits requests, hands each its events,
 * keeps the queue bounded, and starts another thread when one has died.
 *
 * A thread dies when it runs out of memory, or by a bug. Its requests end with an error, and the
 * model is opened again: at once, and after a pause that grows when it dies again and again.
 */
import { Worker } from 'node:worker_threads';
import { type ErrorCode, UserError } from '../base/errors.js';
import type { EngineStats } from '../inference/engine.js';
import type { GenerationEvent, GenerationRequest } from '../inference/generator.js';
import type { EngineJob, FromEngine, ModelInfo, ToEngine } from './messages.js';

/** An event of a request, or that the inference thread has died. */
export type ClientEvent = GenerationEvent | { id: number; kind: 'lost'; message: string };

export interface EngineClient {
  readonly info: ModelInfo;
  /** Completions that are waiting or being written. */
  readonly outstanding: number;
  readonly stats: EngineStats;
  /** Why it cannot answer now; null while it can. */
  readonly failure: string | null;
  /** Seconds since it was last heard of, while it has work; else 0. */
  readonly silentSeconds: number;
  /** How often a thread that had died was replaced. */
  readonly restarts: number;
  /** @returns a function that cancels the request; its `end` events still come. */
  submit(request: GenerationRequest, listener: (event: ClientEvent) => void): () => void;
  /** Resolves when nothing is outstanding. */
  idle(): Promise<void>;
  /** Ends the thread as a failure would; another is started. */
  kill(): Promise<void>;
  close(): Promise<void>;
}

const NO_STATS: EngineStats = {
  waiting: 0,
  running: 0,
  cacheRows: 0,
  busyRows: 0,
  steps: 0,
  rows: 0,
  seconds: 0,
};

/** Memory of the thread's heap; weights and caches are outside it. */
const HEAP_MB = 2048;
/** Before a first death's successor, a second's, …; a thread that lived a minute counts anew. */
const PAUSES_MS = [100, 1000, 5000, 30_000];
const WORKED_MS = 60_000;

/**
 * Starts the thread and waits until it has the model. @throws UserError when it cannot be opened
 */
export async function startEngine(job: EngineJob): Promise<EngineClient> {
  // From the sources (as tests run) the thread is still that of the build folder.
  const url = new URL(
    import.meta.url.replace(/\/src\/(serve\/)engine-client\.ts.*$/, '/dist/$1engine-client.js'),
  );
  const listeners = new Map<number, { left: number; listener: (event: ClientEvent) => void }>();
  const idlers: (() => void)[] = [];
  let nextId = 1;
  let outstanding = 0;
  let stats = NO_STATS;
  let failure: string | null = null;
  let heard = 0;
  let restarts = 0;
  let closing = false;
  let worker: Worker;
  const post = (message: ToEngine): void => worker.postMessage(message);

  const settle = (id: number, count: number): void => {
    const entry = listeners.get(id);
    if (entry === undefined) return;
    entry.left -= count;
    outstanding -= count;
    if (entry.left === 0) listeners.delete(id);
    if (outstanding === 0) for (const resolve of idlers.splice(0)) resolve();
  };
  /** Ends all requests with an error. */
  const lose = (message: string): void => {
    failure = message;
    stats = NO_STATS;
    for (const [id, { left, listener }] of [...listeners]) {
      settle(id, left);
      listener({ id, kind: 'lost', message });
    }
  };
  const hear = ({ events, stats: latest }: Extract<FromEngine, { kind: 'events' }>): void => {
    stats = latest;
    heard = performance.now();
    for (const event of events) {
      const entry = listeners.get(event.id);
      if (event.kind === 'end') settle(event.id, 1);
      else if (event.kind !== 'delta') settle(event.id, entry?.left ?? 0);
      entry?.listener(event);
    }
  };

  /** @returns once the model is open; `onDeath` is called once after that */
  const start = (onDeath: (message: string) => void): Promise<ModelInfo> => {
    const own = new Worker(new URL('./worker.js', url), {
      workerData: job,
      resourceLimits: { maxYoungGenerationSizeMb: 16, maxOldGenerationSizeMb: HEAP_MB },
    });
    worker = own;
    return new Promise<ModelInfo>((resolve, reject) => {
      let ready = false;
      let dead = false;
      const die = (error: Error): void => {
        if (dead) return;
        dead = true;
        void own.terminate();
        if (ready) onDeath(error.message);
        else reject(error);
      };
      own.on('message', (message: FromEngine) => {
        if (dead) return;
        if (message.kind === 'ready') {
          ready = true;
          resolve(message.info);
        } else if (message.kind === 'failed') {
          const { code, field, message: text } = message.error;
          die(
            code === 'internal' ? new Error(text) : new UserError(code as ErrorCode, text, field),
          );
        } else hear(message);
      });
      own.on('error', die);
      own.on('exit', () => die(new Error('the inference thread has ended')));
    });
  };

  let started = performance.now();
  let deaths = 0;
  const onDeath = (message: string): void => {
    if (closing) {
      lose('the server is closing');
      return;
    }
    deaths = performance.now() - started > WORKED_MS ? 1 : deaths + 1;
    lose(`the inference thread has died (${message}); another is being started`);
    const pause = PAUSES_MS[Math.min(deaths, PAUSES_MS.length) - 1];
    setTimeout(() => void restart(), pause).unref();
  };
  const restart = async (): Promise<void> => {
    if (closing) return;
    started = performance.now();
    try {
      await start(onDeath);
      restarts++;
      if (!closing) failure = null;
    } catch (error) {
      onDeath((error as Error).message);
    }
  };
  const info = await start(onDeath);

  return {
    info,
    get outstanding() {
      return outstanding;
    },
    get stats() {
      return stats;
    },
    get failure() {
      return failure;
    },
    get silentSeconds() {
      return outstanding === 0 ? 0 : (performance.now() - heard) / 1000;
    },
    get restarts() {
      return restarts;
    },
    submit(request, listener) {
      const id = nextId++;
      if (failure !== null) {
        queueMicrotask(() => listener({ id, kind: 'lost', message: failure as string }));
        return () => {};
      }
      if (outstanding === 0) heard = performance.now();
      listeners.set(id, { left: request.choices, listener });
      outstanding += request.choices;
      post({ kind: 'submit', id, request });
      return () => {
        if (listeners.has(id)) post({ kind: 'cancel', id });
      };
    },
    idle: () =>
      outstanding === 0 ? Promise.resolve() : new Promise((resolve) => idlers.push(resolve)),
    async kill() {
      await worker.terminate();
    },
    async close() {
      closing = true;
      failure ??= 'the server is closing';
      const ended = new Promise((resolve) => worker.once('exit', resolve));
      if (worker.threadId < 0) return;
      post({ kind: 'close' });
      const timer = setTimeout(() => void worker.terminate(), 2000);
      await ended;
      clearTimeout(timer);
    },
  };
}
