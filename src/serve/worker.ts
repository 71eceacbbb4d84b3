/**
 * @file The inference thread: opens the model, then advances the engine whenever there is work.
 * What a step had to say goes to the HTTP thread in one message; between steps it listens, so that
 * a cancellation takes effect with the next step.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { architectureOf, countParameters } from '../architecture/index.js';
import { UserError } from '../base/errors.js';
import { cacheRowsFor, createGenerator, type GenerationEvent } from '../inference/generator.js';
import { openModel } from '../inference/open.js';
import type { EngineJob, FromEngine, ToEngine } from './messages.js';

if (!parentPort) throw new Error('serve/worker.js runs in a worker thread only');
const port = parentPort;
const send = (message: FromEngine): void => port.postMessage(message);

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

try {
  const job = workerData as EngineJob;
  const opened = await openModel(job.folder, { products: job.products });
  const { backend, model, config } = opened;
  const mark = backend.mark();
  const { bytesPerToken } = model.createCache(1);
  backend.release(mark);
  const contextLength = config.max_position_embeddings;
  const cacheRows = cacheRowsFor(contextLength, job.capacity, bytesPerToken, job.cacheBytes);
  let events: GenerationEvent[] = [];
  const generator = createGenerator(opened, {
    capacity: job.capacity,
    cacheRows,
    emit: (event) => events.push(event),
  });
  const tell = (): void => {
    if (events.length === 0) return;
    send({ kind: 'events', events, stats: generator.stats() });
    events = [];
  };
  let running = false;
  let closing = false;
  const run = async (): Promise<void> => {
    if (running) return;
    running = true;
    try {
      while (!closing && (await generator.step())) {
        tell();
        await nextTurn();
      }
      tell();
    } catch (error) {
      fail(error);
    }
    running = false;
  };
  port.on('message', (message: ToEngine) => {
    if (message.kind === 'close') {
      closing = true;
      port.close();
      return;
    }
    try {
      if (message.kind === 'submit') generator.submit(message.id, message.request);
      else generator.cancel(message.id);
      if (!running) tell();
    } catch (error) {
      fail(error);
    }
    void run();
  });
  send({
    kind: 'ready',
    info: {
      vocabularySize: config.vocab_size,
      contextLength,
      generation: opened.generation,
      parameters: countParameters(architectureOf(config)).stored,
      backend: backend.fingerprint,
      cacheRows,
    },
  });
} catch (error) {
  fail(error);
}

function fail(error: unknown): void {
  const known = error instanceof UserError;
  send({
    kind: 'failed',
    error: {
      code: known ? error.code : 'internal',
      message: (error as Error).message,
      field: known ? error.field : undefined,
    },
  });
  port.close();
}
