/**
 * @file Streams answers to prompts, token by token: from a model of a run, in a thread of its own,
 * or from an OpenAI-compatible endpoint, to which the server sends the request, since the
 * Content-Security-Policy lets the page connect to the server alone.
 */
import { Worker } from 'node:worker_threads';
import { UserError } from '../base/errors.js';
import type { ChatEvent, ChatRequest } from './protocol.js';

/** Models kept open: two are compared. */
const MOST_OPEN = 2;

interface Open {
  folder: string;
  worker: Worker;
  cancelled: Int32Array;
  jobs: Map<number, (event: ChatEvent) => void>;
}

export interface ChatRooms {
  /** @param signal ends the answer */
  local(
    folder: string,
    request: ChatRequest,
    send: (event: ChatEvent) => void,
    signal: AbortSignal,
  ): Promise<void>;
  close(): Promise<void>;
}

export function createChatRooms(): ChatRooms {
  const open: Open[] = [];
  let jobs = 0;

  function start(folder: string): Open {
    const cancelled = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(new URL('./chat-worker.js', import.meta.url), {
      workerData: { folder, cancelled },
    });
    const room: Open = { folder, worker, cancelled, jobs: new Map() };
    worker.on('message', ({ id, event }: { id: number; event: ChatEvent }) =>
      room.jobs.get(id)?.(event),
    );
    const end = (message: string): void => {
      const at = open.indexOf(room);
      if (at >= 0) open.splice(at, 1);
      for (const job of room.jobs.values()) job({ type: 'error', message });
    };
    worker.on('error', (error) => end((error as Error).message));
    worker.on('exit', () => end('the model was closed'));
    open.push(room);
    return room;
  }

  return {
    local(folder, request, send, signal) {
      let room = open.find((one) => one.folder === folder);
      if (room === undefined) {
        const idle = open.length >= MOST_OPEN ? open.find((one) => one.jobs.size === 0) : undefined;
        if (idle !== undefined) {
          open.splice(open.indexOf(idle), 1);
          void idle.worker.terminate();
        }
        room = start(folder);
      } else {
        // Most recently used last.
        open.push(...open.splice(open.indexOf(room), 1));
      }
      const { worker, cancelled, jobs: own } = room;
      const id = jobs++;
      return new Promise((resolve) => {
        own.set(id, (event) => {
          send(event);
          if (event.type !== 'done' && event.type !== 'error') return;
          own.delete(id);
          resolve();
        });
        signal.addEventListener('abort', () => {
          if (own.has(id)) Atomics.store(cancelled, 0, 1);
        });
        worker.postMessage({ id, request });
      });
    },
    async close() {
      await Promise.all(open.splice(0).map(({ worker }) => worker.terminate()));
    },
  };
}

interface Chunk {
  choices?: {
    delta?: { content?: string | null; reasoning_content?: string | null };
    logprobs?: { content?: { token: string; logprob: number }[] | null } | null;
    finish_reason?: string | null;
  }[];
  usage?: {
    prompt_tokens?: number;
    completion_tokens?: number;
    cost_usd?: number;
    cost?: number;
  } | null;
}

/** Streams from `POST <url>/chat/completions`. @throws UserError for what the endpoint refuses */
export async function askEndpoint(
  request: ChatRequest,
  send: (event: ChatEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const { endpoint, prompt, temperature, maxTokens, seed } = request;
  if (endpoint === undefined) throw new UserError('usage', 'no endpoint was named', 'endpoint');
  const started = performance.now();
  const body = {
    model: endpoint.model,
    messages: [{ role: 'user', content: prompt }],
    temperature,
    max_tokens: maxTokens,
    seed,
    stream: true,
    stream_options: { include_usage: true },
    logprobs: true,
  };
  const url = endpointUrl(endpoint.url);
  const authorization: Record<string, string> = endpoint.key
    ? { authorization: `Bearer ${endpoint.key}` }
    : {};
  let response: Response;
  try {
    response = await fetch(`${url}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...authorization },
      body: JSON.stringify(body),
      signal,
      redirect: 'error',
    });
  } catch (error) {
    if (signal.aborted) return;
    throw new UserError(
      'state',
      `no answer from ${url}: ${causeOf(error)}; is the server up?`,
      'endpoint',
    );
  }
  if (!response.ok || response.body === null) {
    const said = (await response.text()).slice(0, 300).replace(/\s+/g, ' ');
    throw new UserError(
      'state',
      `${url} answered ${response.status}${said === '' ? '' : `: ${said}`}`,
      'endpoint',
    );
  }
  send({ type: 'loaded' });
  let stop = 'stop';
  let tokens = 0;
  let usage: Chunk['usage'] = null;
  for await (const chunk of chunksOf(response.body)) {
    usage = chunk.usage ?? usage;
    const [choice] = chunk.choices ?? [];
    if (choice === undefined) continue;
    stop = choice.finish_reason ?? stop;
    const { content, reasoning_content: reasoning } = choice.delta ?? {};
    const known = choice.logprobs?.content ?? [];
    const said = known.map(({ token }) => token).join('');
    for (const [text, part] of [[reasoning, 'thinking'] as const, [content, 'text'] as const]) {
      if (!text) continue;
      if (said === text)
        for (const { token, logprob } of known)
          send({ type: 'token', text: token, logProbability: logprob, part });
      else
        send({
          type: 'token',
          text,
          logProbability: known.length === 1 ? known[0].logprob : null,
          part,
        });
      tokens += Math.max(1, known.length);
    }
  }
  send({
    type: 'done',
    stop,
    promptTokens: usage?.prompt_tokens ?? null,
    tokens: usage?.completion_tokens ?? tokens,
    seconds: (performance.now() - started) / 1000,
    usd: usage?.cost_usd ?? usage?.cost ?? null,
    verdict: null,
  });
}

const causeOf = (error: unknown): string => {
  const { cause, message } = error as Error & { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? message;
};

function endpointUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UserError(
      'usage',
      `${JSON.stringify(text)} is not a URL; give one such as http://127.0.0.1:8000/v1`,
      'endpoint',
    );
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new UserError('usage', 'an endpoint is an http or https URL', 'endpoint');
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

/** The `data:` lines of an event stream, as JSON; what is none is passed over. */
async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Chunk> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const bytes of body as unknown as AsyncIterable<Uint8Array>) {
    rest += decoder.decode(bytes, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.startsWith('data:')) continue;
      try {
        yield JSON.parse(line.slice('data:'.length)) as Chunk;
      } catch {
        // [DONE]
      }
    }
  }
}
