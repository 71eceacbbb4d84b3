/**
 * @file The inference thread: opens the model, then advances the engine whenever there is work.
 * What a step had to say goes to the HTTP thread in one message; between steps it listens, so that
 * a cancellation takes effect with the next step.
 *
 * To prepare a request (its template, its tokens) may take a second or two when a client or a
 * model's maker is out for it. So a step comes after each that took long: streams go on.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { architectureOf, countParameters, describeParameters } from '../architecture/index.js';
import { UserError } from '../base/errors.js';
import {
  cacheRowsFor,
  createGenerator,
  type GenerationEvent,
  type GenerationRequest,
} from '../inference/generator.js';
import { openModel } from '../inference/open.js';
import { promptedThinking } from '../tokenizers/prompting.js';
import type { EngineJob, FromEngine, ToEngine } from './messages.js';

if (!parentPort) throw new Error('serve/worker.js runs in a worker thread only');
const port = parentPort;
const send = (message: FromEngine): void => port.postMessage(message);

/** Time for preparing requests between two steps; one is always prepared. */
const PREPARE_MS = 20;

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
  let told = performance.now();
  const tell = (): void => {
    if (events.length === 0 && performance.now() - told < 1000) return;
    send({ kind: 'events', events, stats: generator.stats() });
    events = [];
    told = performance.now();
  };
  const arrived = new Map<number, GenerationRequest>();
  const prepare = (): void => {
    const start = performance.now();
    for (const [id, request] of arrived) {
      arrived.delete(id);
      generator.submit(id, request);
      if (performance.now() - start > PREPARE_MS) break;
    }
  };
  const cancel = (id: number): void => {
    const request = arrived.get(id);
    if (request === undefined) {
      generator.cancel(id);
      return;
    }
    arrived.delete(id);
    const use = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, seconds: 0 };
    for (let choice = 0; choice < request.choices; choice++)
      events.push({ id, kind: 'end', choice, finish: 'cancelled', use });
  };
  let running = false;
  let closing = false;
  const run = async (): Promise<void> => {
    if (running) return;
    running = true;
    try {
      while (!closing) {
        prepare();
        const stepped = await generator.step();
        tell();
        // Messages that have come are heard here; what they bring is looked at before the end.
        await nextTurn();
        if (!stepped && arrived.size === 0) break;
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
    if (message.kind === 'submit') arrived.set(message.id, message.request);
    else cancel(message.id);
    void run();
  });
  send({
    kind: 'ready',
    info: {
      vocabularySize: config.vocab_size,
      contextLength,
      opensThinking: {
        model: promptedThinking(opened.tokenizer, '', {}),
        on: promptedThinking(opened.tokenizer, '', { thinking: true }),
        off: promptedThinking(opened.tokenizer, '', { thinking: false }),
      },
      generation: opened.generation,
      parameters: describeParameters(countParameters(architectureOf(config))),
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
