/**
 * @file The server's routes under `/api/…`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { CLAIMS, type ClaimDocument } from '../ledger/index.js';
import { workOf } from '../plan/cluster/cluster-work.js';
import { loadRecipe, shippedRecipes, trainableRecipes } from '../recipe/index.js';
import { askEndpoint, createChatRooms } from './chat.js';
import { HttpError, openStream, readBody, sendJson } from './http.js';
import { type Entry, modelFolder, openLibrary } from './library.js';
import { createProcesses } from './processes.js';
import type { ChatEvent, RecipeChoice } from './protocol.js';
import { openStreams } from './streams.js';

/** How long a start waits for the run's folder. */
const NAME_MS = 20_000;

const startSchema = z.strictObject({
  recipe: z.string().max(100),
  seed: z.int().min(0).max(0xffffffff).optional(),
  workers: z.int().min(1).max(256).optional(),
  maxUsd: z.number().positive().optional(),
  maxMinutes: z.number().positive().optional(),
});

const chatSchema = z.strictObject({
  model: z.strictObject({ run: z.string().max(200), step: z.int().min(0).nullable() }).optional(),
  endpoint: z
    .strictObject({
      url: z.string().max(2000),
      model: z.string().max(200),
      key: z.string().max(1000).optional(),
    })
    .optional(),
  prompt: z.string().min(1, 'ask something').max(100_000),
  temperature: z.number().min(0).max(100),
  maxTokens: z.int().min(1).max(100_000),
  seed: z.int().min(0).max(0xffffffff),
});

export interface Api {
  handle(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void>;
  close(): Promise<void>;
}

export function createApi(options: {
  runs: string;
  version: string;
  command: readonly string[];
}): Api {
  const library = openLibrary(options.runs);
  const processes = createProcesses(options.runs, options.command, library.noteFailure);
  const rooms = createChatRooms();
  const claims = evaluateClaims();
  let recipes: RecipeChoice[] | null = null;
  const streams = openStreams(library);

  const run = (name: string): Entry => {
    const entry = library.find(name);
    if (entry === undefined)
      throw new HttpError(404, `There is no run "${name}"; it may have been deleted.`);
    return entry;
  };

  async function chat(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = chatSchema.parse(await readBody(request));
    const { model } = asked;
    const folder = model === undefined ? undefined : modelFolder(run(model.run), model.step);
    if (model !== undefined && folder === undefined)
      throw new HttpError(404, `${model.run} has no such checkpoint any more`);
    if (model === undefined && asked.endpoint === undefined)
      throw new HttpError(400, 'name a model or an endpoint');
    const left = new AbortController();
    response.on('close', () => left.abort());
    const stream = openStream(response);
    const send = (event: ChatEvent): void => void (response.writableEnded || stream(event));
    try {
      if (folder !== undefined) await rooms.local(folder, asked, send, left.signal);
      else await askEndpoint(asked, send, left.signal);
    } catch (error) {
      send({ type: 'error', message: (error as Error).message });
    }
    response.end();
  }

  async function post(
    request: IncomingMessage,
    response: ServerResponse,
    parts: readonly string[],
  ): Promise<void> {
    const [kind, name, verb] = parts;
    if (kind === 'chat' && parts.length === 1) return chat(request, response);
    if (kind !== 'runs') throw new HttpError(404, 'no such thing');
    if (name === undefined) {
      const started = processes.start(startSchema.parse(await readBody(request)));
      return sendJson(request, response, 201, { run: await within(started.named, NAME_MS) });
    }
    const entry = run(name);
    await readBody(request);
    if (verb === 'stop') processes.stop(entry.run);
    else if (verb === 'resume') await within(processes.resume(entry.run).named, NAME_MS);
    else throw new HttpError(404, 'stop or resume');
    sendJson(request, response, 202, { run: name });
  }

  async function get(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    parts: readonly string[],
  ): Promise<void> {
    const answer = (value: unknown): void => sendJson(request, response, 200, value);
    const [kind, name, what] = parts;
    switch (`${kind}${name === undefined ? '' : '/…'}${what === undefined ? '' : `/${what}`}`) {
      case 'machine': {
        const { version, runs } = options;
        return answer({ version, runsFolder: resolve(runs), recipes: trainableRecipes() });
      }
      case 'runs':
        return answer(await library.list());
      case 'live':
        return streams.listLive(response);
      case 'runs/…': {
        const entry = run(name);
        await entry.log.look();
        return answer(library.detail(entry));
      }
      case 'runs/…/events':
        return streams.follow(request, response, url, run(name));
      case 'runs/…/samples': {
        const { samples } = run(name);
        const stage = url.searchParams.get('stage');
        return answer(
          await (stage === null
            ? samples.steps()
            : samples.read(stage, Number(url.searchParams.get('step')))),
        );
      }
      case 'runs/…/bill':
        return answer(await library.bill(run(name)));
      case 'models':
        return answer(await library.models());
      case 'recipes':
        recipes ??= plannableRecipes();
        return answer(recipes);
      case 'claims':
        return answer(CLAIMS.map(({ id, title }) => ({ id, title })));
      case 'claims/…': {
        const document = await claims.get(name);
        if (document === undefined) throw new HttpError(404, `no claim ${name}`);
        return answer(document);
      }
      default:
        throw new HttpError(404, 'no such thing');
    }
  }

  return {
    async handle(request, response, url) {
      const parts = url.pathname.slice('/api/'.length).split('/').map(decode);
      if (request.method === 'GET') return get(request, response, url, parts);
      if (request.method === 'POST') return post(request, response, parts);
      throw new HttpError(405, 'GET or POST');
    },
    async close() {
      streams.close();
      await Promise.all([rooms.close(), claims.close(), library.close()]);
    },
  };
}

/** The shipped recipes that are of one model, which is what a cluster is planned for. */
function plannableRecipes(): RecipeChoice[] {
  return shippedRecipes().flatMap((name) => {
    const recipe = loadRecipe(name);
    try {
      return [
        {
          name,
          description: recipe.description,
          trainable: recipe.task !== undefined,
          work: workOf(recipe),
        },
      ];
    } catch (error) {
      if (error instanceof UserError) return [];
      throw error;
    }
  });
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new HttpError(400, 'the path is not UTF-8');
  }
}

function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new HttpError(504, 'the run has not begun yet; it will appear in the list when it does'),
        ),
      ms,
    );
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Every claim that ships, as soon as a thread has computed it. */
function evaluateClaims() {
  const waiting = new Map<string, (document: ClaimDocument | undefined) => void>();
  const documents = new Map(
    CLAIMS.map(({ id }) => [
      id,
      new Promise<ClaimDocument | undefined>((done) => waiting.set(id, done)),
    ]),
  );
  const worker = new Worker(new URL('./claims-worker.js', import.meta.url));
  worker.on('message', ({ id, document }: { id: string; document: ClaimDocument }) =>
    waiting.get(id)?.(document),
  );
  worker.on('error', () => {});
  worker.on('exit', () => {
    for (const done of waiting.values()) done(undefined);
  });
  return { get: async (id: string) => documents.get(id), close: () => worker.terminate() };
}
