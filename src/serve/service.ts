/**
 * @file The service: an OpenAI-compatible API as a function from `Request` to `Response`, on a
 * model in a thread of its own.
 *
 * Interface for who embeds it (the studio, tests):
 *
 *   const service = await createService({ folder: 'runs/…/model', name: 'r1-mini' });
 *   const response = await service.fetch(new Request('http://x/v1/chat/completions', { method: 'POST', … }));
 *   await service.close();
 *
 * `listen` (server.ts) puts the same service on a port. Nothing here knows of sockets: who leaves
 * cancels the response's stream or aborts the request's signal, and either frees the place in the
 * batch.
 *
 * `GET /v1/models`, `POST /v1/chat/completions`, `POST /v1/completions`, `GET /healthz`, `GET
 * /metrics`; `OPTIONS` of each.
 */

import { randomUUID } from 'node:crypto';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { cors } from 'hono/cors';
import type { PriceBook } from '../ledger/index.js';
import type { Products } from '../tensor/backends/wasm/index.js';
import { openAccounts } from './accounts.js';
import { type EngineClient, startEngine } from './engine-client.js';
import { ApiError, BadRequest } from './errors.js';
import { type ApiKey, findKey } from './keys.js';
import { createRateLimiter } from './limits.js';
import { createMetrics } from './metrics.js';
import { type ChatDefaults, type ParsedRequest, parseChat, parseCompletion } from './requests.js';
import { Choice, type Kind, type UsageReport } from './responses.js';
import { endSpan, startSpan } from './tracing.js';

export interface ServiceOptions {
  /** A model folder or a snapshot. */
  folder: string;
  /** What clients call the model. */
  name: string;
  /** What is said to the model where a client says nothing. */
  prompting?: ChatDefaults;
  /** What multiplies matrices. */
  products?: Products;
  /** Completions that are written at once. Default 64. */
  capacity?: number;
  /** Completions that may wait for a place. Default 256. */
  queue?: number;
  /** Most bytes of the key-value cache. Default 512 MB. */
  cacheBytes?: number;
  /** Without keys, everybody who reaches the service may use it. */
  keys?: readonly ApiKey[];
  /** Of each key that has no limit of its own, or of all callers together without keys. */
  requestsPerMinute?: number;
  /** Where each request's usage is written down. */
  usageFile?: string | null;
  prices?: PriceBook;
  /** Default 1 MiB. */
  maxBodyBytes?: number;
  /** A stream whose reader takes nothing for so long is cut off. Default 60. */
  stallSeconds?: number;
  /** Origins whose pages may ask (`*`: all). Default: none. */
  cors?: readonly string[];
}

export interface Service {
  fetch(request: Request): Response | Promise<Response>;
  readonly engine: EngineClient;
  /**
   * Refuses new requests, waits for those that run (at most so many seconds), and gives everything
   * back.
   */
  close(graceSeconds?: number): Promise<void>;
}

type Env = { Variables: { key: ApiKey | null } };

/** Bodies of all requests that are being read, wait or are answered, bytes. */
const MOST_HELD_BYTES = 64 * 1024 * 1024;
/** An engine that has work and has not been heard of for so long is stalled. */
const STALLED_SECONDS = 30;

/** Nesting that no honest request has, and that recursive code would not survive. */
const MAX_DEPTH = 100;

/** Loads the model. @throws UserError when it cannot be opened */
export async function createService(options: ServiceOptions): Promise<Service> {
  const { name, keys = [], capacity = 64, queue = 256, stallSeconds = 60 } = options;
  const { folder, products, cacheBytes = 512 * 1024 * 1024 } = options;
  const accounts = openAccounts(options.usageFile ?? null, options.prices);
  const engine = await startEngine({ folder, products, capacity, cacheBytes });
  const metrics = createMetrics(engine);
  const limiter = createRateLimiter();
  const created = Math.floor(Date.now() / 1000);
  let closing = false;

  const app = new Hono<Env>();
  app.onError((error, c) => answerError(c, error));
  app.notFound((c) =>
    answerError(
      c,
      new ApiError(
        404,
        `there is no ${c.req.method} ${c.req.path}`,
        'invalid_request_error',
        null,
        'not_found',
      ),
    ),
  );

  const { cors: origins = [] } = options;
  if (origins.length > 0) {
    const origin = origins.includes('*') ? '*' : [...origins];
    app.use(
      cors({ origin, allowMethods: ['GET', 'POST'], exposeHeaders: ['retry-after'], maxAge: 600 }),
    );
  }
  app.options('*', (c) => c.body(null, 204, { allow: 'GET, POST, OPTIONS' }));

  app.get('/healthz', (c) => {
    const silent = engine.silentSeconds;
    if (closing) return c.json({ status: 'closing' }, 503);
    if (engine.failure !== null) return c.json({ status: 'failed', message: engine.failure }, 503);
    if (silent > STALLED_SECONDS) {
      const message = `the engine has work and has said nothing for ${Math.round(silent)} s`;
      return c.json({ status: 'stalled', message }, 503);
    }
    return c.json({ status: 'ok', model: name });
  });
  app.use(async (c, next) => {
    const key = findKey(keys, c.req.header('authorization'));
    if (keys.length > 0 && key === null) {
      throw new ApiError(
        401,
        'a valid API key is needed: Authorization: Bearer <key>',
        'invalid_request_error',
        null,
        'invalid_api_key',
      );
    }
    c.set('key', key);
    await next();
  });
  app.get('/metrics', async (c) =>
    c.body(await metrics.registry.metrics(), 200, { 'content-type': metrics.registry.contentType }),
  );

  const model = {
    id: name,
    object: 'model',
    created,
    owned_by: 'reckoner',
    context_length: engine.info.contextLength,
  };
  app.get('/v1/models', (c) => c.json({ object: 'list', data: [model] }));
  app.get('/v1/models/:id{.+}', (c) => {
    demandModel(c.req.param('id'));
    return c.json(model);
  });

  const maxSize = options.maxBodyBytes ?? 1024 * 1024;
  const limit = bodyLimit({
    maxSize,
    onError: () => {
      throw new ApiError(
        413,
        `the body is larger than ${maxSize} bytes`,
        'invalid_request_error',
        null,
        'request_too_large',
      );
    },
  });
  app.post('/v1/chat/completions', limit, (c) =>
    held(c, (release) => complete(c, 'chat', release)),
  );
  app.post('/v1/completions', limit, (c) =>
    held(c, (release) => complete(c, 'completion', release)),
  );

  let heldBytes = 0;
  /** Counts a body from before it is read until its request is over. @throws ApiError (429) */
  async function held(
    c: Context<Env>,
    answer: (release: () => void) => Promise<Response>,
  ): Promise<Response> {
    // Without a length it may have as many as are allowed.
    const bytes = Math.min(maxSize, Number(c.req.header('content-length') ?? maxSize) || 0);
    if (heldBytes + bytes > MOST_HELD_BYTES) throw queueFull();
    heldBytes += bytes;
    let over = false;
    const release = (): void => {
      if (!over) heldBytes -= bytes;
      over = true;
    };
    try {
      return await answer(release);
    } catch (error) {
      release();
      throw error;
    }
  }

  function queueFull(): ApiError {
    const message = 'the queue is full; try again';
    return new ApiError(429, message, 'rate_limit_error', null, 'queue_full', 1);
  }

  function demandModel(asked: string): void {
    if (asked === name) return;
    const message = `the model ${JSON.stringify(asked)} is not served here; there is ${JSON.stringify(name)}`;
    throw new ApiError(404, message, 'invalid_request_error', 'model', 'model_not_found');
  }

  /** Whether one more request is welcome. @throws ApiError (429, 503) */
  function admit(c: Context<Env>, choices: number): void {
    if (closing || engine.failure !== null) {
      throw new ApiError(
        503,
        engine.failure ?? 'the server is closing',
        'server_error',
        null,
        'unavailable',
        5,
      );
    }
    const key = c.get('key');
    const perMinute = key?.requestsPerMinute ?? options.requestsPerMinute;
    const wait = perMinute === undefined ? 0 : limiter.take(key?.name ?? '', perMinute);
    if (wait > 0) {
      const message = `more than ${perMinute} requests a minute; wait ${Math.ceil(wait)} s`;
      throw new ApiError(
        429,
        message,
        'rate_limit_error',
        null,
        'rate_limit_exceeded',
        Math.ceil(wait),
      );
    }
    if (engine.outstanding + choices > capacity + queue) {
      throw queueFull();
    }
  }

  /** @param release called when the request is over */
  async function complete(c: Context<Env>, kind: Kind, release: () => void): Promise<Response> {
    const start = performance.now();
    const endpoint = c.req.path;
    const operation = kind === 'chat' ? 'chat' : 'text_completion';
    const parsed = await readBody(c).then((body) =>
      kind === 'chat'
        ? parseChat(body, engine.info.generation, options.prompting)
        : parseCompletion(body, engine.info.generation),
    );
    demandModel(parsed.model);
    const { choices: count } = parsed.generation;
    admit(c, count);
    const span = startSpan(operation, name, c.req.raw.headers);
    const key = c.get('key')?.name ?? null;
    const id = `${kind === 'chat' ? 'chatcmpl' : 'cmpl'}-${randomUUID().replaceAll('-', '')}`;
    const { input } = parsed.generation;
    const { thinking } = ('messages' in input && input.switches) || {};
    const { model, on, off } = engine.info.opensThinking;
    const opens = kind === 'chat' && (thinking === undefined ? model : thinking ? on : off);
    const choices = Array.from(
      { length: count },
      (_, i) =>
        new Choice(i, kind, parsed.logprobs, {
          raw: parsed.raw,
          opened: opens && parsed.generation.json === null,
        }),
    );
    const used = { prompt: 0, cached: 0, completion: 0, seconds: 0 };
    let left = count;
    let usage: UsageReport | null = null;
    let failure: ApiError | null = null;
    let first = true;
    let wake: () => void = () => {};
    const news = (): Promise<void> =>
      new Promise((resolve) => {
        wake = resolve;
      });

    const finish = (status: string): void => {
      release();
      const { prompt, cached, completion, seconds } = used;
      const usd = accounts.charge({
        id,
        model: name,
        key,
        promptTokens: prompt,
        completionTokens: completion,
        seconds,
      });
      usage = {
        prompt_tokens: prompt,
        completion_tokens: completion,
        total_tokens: prompt + completion,
        prompt_tokens_details: { cached_tokens: cached },
        completion_tokens_details: {
          reasoning_tokens: choices.reduce((sum, choice) => sum + choice.reasoningTokens, 0),
        },
        cost_usd: usd,
      };
      metrics.tokens.inc({ kind: 'prompt' }, prompt);
      metrics.tokens.inc({ kind: 'cached' }, cached);
      metrics.tokens.inc({ kind: 'completion' }, completion);
      metrics.usd.inc(usd);
      metrics.requests.inc({ endpoint, status });
      metrics.requestSeconds.observe({ endpoint }, (performance.now() - start) / 1000);
      endSpan(span, status === '200' ? null : status, {
        'gen_ai.response.id': id,
        'gen_ai.response.finish_reasons': choices.map((choice) => choice.finish ?? 'cancelled'),
        'gen_ai.usage.input_tokens': prompt,
        'gen_ai.usage.output_tokens': completion,
        'reckoner.usage.cost_usd': usd,
      });
    };
    let cancelled = false;
    const cancel = engine.submit(parsed.generation, (event) => {
      if (event.kind === 'delta') {
        if (first)
          metrics.firstTokenSeconds.observe({ endpoint }, (performance.now() - start) / 1000);
        first = false;
        choices[event.choice].add(event.text, event.tokens, event.reports);
      } else if (event.kind === 'end') {
        if (event.finish !== 'cancelled') choices[event.choice].end(event.finish);
        used.prompt = event.use.promptTokens;
        if (event.choice === 0) used.cached = event.use.cachedTokens;
        used.completion += event.use.completionTokens;
        used.seconds += event.use.seconds;
        if (--left === 0) {
          if (event.finish === 'cancelled' && !cancelled) {
            failure = new ApiError(
              503,
              'the server is closing',
              'server_error',
              null,
              'unavailable',
              5,
            );
          }
          finish(event.finish === 'cancelled' ? '499' : '200');
        }
      } else {
        failure =
          event.kind === 'refused'
            ? new BadRequest(event.message, event.field)
            : event.kind === 'lost'
              ? new ApiError(503, event.message, 'server_error', null, 'engine_failed', 5)
              : new ApiError(500, event.message, 'server_error', null, 'internal');
        left = 0;
        finish(String(failure.status));
      }
      wake();
    });
    const leave = (): void => {
      cancelled = true;
      cancel();
      wake();
    };
    c.req.raw.signal.addEventListener('abort', leave, { once: true });

    // The first event decides the status: what the model cannot read is refused before a stream
    // begins.
    while (left > 0 && first && failure === null && !cancelled) await news();
    if (failure !== null) throw failure;
    const head = {
      id,
      object: kind === 'chat' ? 'chat.completion' : 'text_completion',
      created: Math.floor(Date.now() / 1000),
      model: name,
    };
    if (!parsed.stream) {
      while (left > 0) await news();
      if (failure !== null) throw failure;
      return c.json({ ...head, choices: choices.map((choice) => choice.whole()), usage });
    }
    const chunk = {
      ...head,
      object: kind === 'chat' ? 'chat.completion.chunk' : 'text_completion',
      system_fingerprint: null,
    };
    const body = streamOf(parsed, {
      chunk,
      choices,
      news,
      leave,
      over: () => left === 0,
      failure: () => failure,
      usage: () => usage,
      stallSeconds,
      role: kind === 'chat',
    });
    return new Response(body, {
      headers: {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        'x-accel-buffering': 'no',
      },
    });
  }

  function answerError(c: Context, thrown: unknown): Response {
    const bug = new ApiError(
      500,
      `an error of the server: ${(thrown as Error)?.message}`,
      'server_error',
      null,
      'internal',
    );
    const error = thrown instanceof ApiError ? thrown : bug;
    if (c.req.path.startsWith('/v1/'))
      metrics.requests.inc({ endpoint: 'refused', status: String(error.status) });
    const { retryAfterSeconds: wait, status } = error;
    const headers = {
      ...(wait === undefined ? {} : { 'retry-after': String(wait) }),
      // The rest of the body is not read, so the connection is of no more use.
      ...(status === 413 ? { connection: 'close' } : {}),
    };
    return c.json(error.toJSON() as object, error.status, headers);
  }

  return {
    fetch: (request) => app.fetch(request),
    engine,
    async close(graceSeconds = 10) {
      closing = true;
      let timer: NodeJS.Timeout | undefined;
      const grace = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, graceSeconds * 1000);
      });
      await Promise.race([engine.idle(), grace]);
      clearTimeout(timer);
      await engine.close();
      accounts.close();
      metrics.registry.clear();
    },
  };
}

interface StreamSource {
  chunk: object;
  choices: readonly Choice[];
  /** Whether chunks begin with the role. */
  role: boolean;
  news(): Promise<void>;
  leave(): void;
  over(): boolean;
  failure(): ApiError | null;
  usage(): UsageReport | null;
  stallSeconds: number;
}

/** Server-sent events, made as the reader takes them. */
function streamOf(
  { includeUsage }: ParsedRequest,
  source: StreamSource,
): ReadableStream<Uint8Array> {
  const { chunk, choices, news, leave, over } = source;
  const encoder = new TextEncoder();
  const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
  const usageField = (usage: UsageReport | null): object => (includeUsage ? { usage } : {});
  let begun = !source.role;
  let stalled: NodeJS.Timeout | undefined;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(stalled);
        // Something must be enqueued, or nobody asks again.
        for (let text = ''; ; ) {
          if (!begun) {
            for (const { index } of choices) {
              const delta = { role: 'assistant', content: '' };
              text += event({
                ...chunk,
                choices: [{ index, delta, logprobs: null, finish_reason: null }],
                ...usageField(null),
              });
            }
            begun = true;
          }
          for (const choice of choices) {
            if (!choice.pending) continue;
            for (const piece of choice.pieces())
              text += event({ ...chunk, choices: [piece], ...usageField(null) });
          }
          if (over()) {
            const failure = source.failure();
            if (failure !== null) text += event(failure.toJSON());
            else if (includeUsage) text += event({ ...chunk, choices: [], usage: source.usage() });
            controller.enqueue(encoder.encode(`${text}data: [DONE]\n\n`));
            controller.close();
            return;
          }
          if (text !== '') {
            controller.enqueue(encoder.encode(text));
            break;
          }
          await news();
        }
        // The reader has to come for more.
        stalled = setTimeout(() => {
          leave();
          controller.error(new Error('the reader of this stream takes nothing'));
        }, source.stallSeconds * 1000).unref();
      },
      cancel() {
        clearTimeout(stalled);
        leave();
      },
    },
    { highWaterMark: 0 },
  );
}

/** The body as JSON: UTF-8 and nothing else, not nested beyond reason. @throws ApiError */
async function readBody(c: Context): Promise<unknown> {
  const type = c.req.header('content-type') ?? '';
  // Also keeps web pages out: a page of another origin cannot send this type without asking first.
  if (!/^application\/json\b/i.test(type)) {
    throw new ApiError(
      415,
      'the body must be application/json',
      'invalid_request_error',
      null,
      'unsupported_media_type',
    );
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(await c.req.arrayBuffer());
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new BadRequest('the body is not UTF-8', undefined, 'invalid_utf8');
  }
  if (depthOf(text) > MAX_DEPTH)
    throw new BadRequest(
      `the body is nested more than ${MAX_DEPTH} deep`,
      undefined,
      'invalid_json',
    );
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BadRequest(
      `the body is not JSON: ${(error as Error).message}`,
      undefined,
      'invalid_json',
    );
  }
}

/** Most brackets open at once, those in strings not counted. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (quoted) {
      if (code === 92) i++;
      else if (code === 34) quoted = false;
    } else if (code === 34) quoted = true;
    else if (code === 91 || code === 123) deepest = Math.max(deepest, ++depth);
    else if (code === 93 || code === 125) depth--;
  }
  return deepest;
}
