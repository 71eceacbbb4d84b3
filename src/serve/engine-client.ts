/**
 * @file The HTTP thread's end of the inference thread: submits requests, hands each its events, and
 * keeps the queue bounded.
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
  /** Null while it lives. */
  readonly failure: string | null;
  /** @returns a function that cancels the request; its `end` events still come. */
  submit(request: GenerationRequest, listener: (event: ClientEvent) => void): () => void;
  /** Resolves when nothing is outstanding. */
  idle(): Promise<void>;
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

/**
 * Starts the thread and waits until it has the model. @throws UserError when it cannot be opened
 */
export async function startEngine(job: EngineJob): Promise<EngineClient> {
  // From the sources (as tests run) the thread is still that of the build folder.
  const url = new URL(
    import.meta.url.replace(/\/src\/(serve\/)engine-client\.ts.*$/, '/dist/$1engine-client.js'),
  );
  const worker = new Worker(new URL('./worker.js', url), {
    workerData: job,
    resourceLimits: { maxYoungGenerationSizeMb: 16 },
  });
  const listeners = new Map<number, { left: number; listener: (event: ClientEvent) => void }>();
  const idlers: (() => void)[] = [];
  let nextId = 1;
  let outstanding = 0;
  let stats = NO_STATS;
  let failure: string | null = null;
  const post = (message: ToEngine): void => worker.postMessage(message);

  const settle = (id: number, count: number): void => {
    const entry = listeners.get(id);
    if (entry === undefined) return;
    entry.left -= count;
    outstanding -= count;
    if (entry.left === 0) listeners.delete(id);
    if (outstanding === 0) for (const resolve of idlers.splice(0)) resolve();
  };
  const die = (message: string): void => {
    if (failure !== null) return;
    failure = message;
    for (const [id, { left, listener }] of [...listeners]) {
      settle(id, left);
      listener({ id, kind: 'lost', message });
    }
  };

  const info = await new Promise<ModelInfo>((resolve, reject) => {
    worker.on('message', (message: FromEngine) => {
      if (message.kind === 'ready') resolve(message.info);
      else if (message.kind === 'failed') {
        const { code, field } = message.error;
        reject(
          code === 'internal'
            ? new Error(message.error.message)
            : new UserError(code as ErrorCode, message.error.message, field),
        );
        die(message.error.message);
      } else {
        stats = message.stats;
        for (const event of message.events) {
          const entry = listeners.get(event.id);
          if (event.kind === 'end') settle(event.id, 1);
          else if (event.kind === 'refused') settle(event.id, entry?.left ?? 0);
          entry?.listener(event);
        }
      }
    });
    worker.on('error', (error) => {
      reject(error);
      die(error.message);
    });
    worker.on('exit', () => die('the inference thread has ended'));
  });

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
    submit(request, listener) {
      const id = nextId++;
      if (failure !== null) {
        queueMicrotask(() => listener({ id, kind: 'lost', message: failure as string }));
        return () => {};
      }
      listeners.set(id, { left: request.choices, listener });
      outstanding += request.choices;
      post({ kind: 'submit', id, request });
      return () => {
        if (listeners.has(id)) post({ kind: 'cancel', id });
      };
    },
    idle: () =>
      outstanding === 0 ? Promise.resolve() : new Promise((resolve) => idlers.push(resolve)),
    async close() {
      failure ??= 'the server is closing';
      const ended = new Promise((resolve) => worker.once('exit', resolve));
      post({ kind: 'close' });
      const timer = setTimeout(() => void worker.terminate(), 2000);
      await ended;
      clearTimeout(timer);
    },
  };
}
