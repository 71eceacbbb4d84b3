/**
 * @file Against a small server that misbehaves as it is told, with waits that are noted down and
 * not waited.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { evaluationProblems } from '../tasks/dataset.js';
import { createTask, type Problem } from '../tasks/index.js';
import { askQuestions, onlyModel } from './ask.js';
import {
  baseUrl,
  createEndpoint,
  type EndpointOptions,
  messageOf,
  retryAfter,
} from './endpoint.js';
import type { Transcript } from './transcripts.js';

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;
let handlers: Handler[] = [];
let otherwise: Handler = (_request, response) => response.writeHead(500).end();
let bodies: Record<string, unknown>[] = [];
let keys: (string | undefined)[] = [];
const server = createServer((request, response) => {
  let body = '';
  request.on('data', (piece) => (body += piece));
  request.on('end', () => {
    if (body !== '') bodies.push(JSON.parse(body));
    keys.push(request.headers.authorization);
    (handlers.shift() ?? otherwise)(request, response, body);
  });
});
let url = '';
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
let waits: number[] = [];
beforeEach(() => {
  handlers = [];
  bodies = [];
  keys = [];
  waits = [];
});

const status =
  (code: number, text: string, headers: Record<string, string> = {}): Handler =>
  (_request, response) =>
    response.writeHead(code, headers).end(text);
const json = (value: unknown): Handler => status(200, JSON.stringify(value));
const endpoint = (options: Partial<EndpointOptions> = {}) =>
  createEndpoint({
    url,
    retries: 5,
    timeoutSeconds: 60,
    sleep: async (seconds) => void waits.push(seconds),
    ...options,
  });

describe('an endpoint', () => {
  it('is asked again after errors that may pass, with longer and longer waits', async () => {
    handlers = [
      status(500, 'ill'),
      status(503, ''),
      (_request, response) => void response.socket?.destroy(),
      (_request, response) => {
        // Half an answer, then nothing.
        response.writeHead(200, { 'content-length': '100' });
        response.write('{"a"');
        setImmediate(() => response.socket?.destroy());
      },
      status(200, '<html>a proxy speaks</html>'),
      json({ fine: true }),
    ];
    const reasons: string[] = [];
    const answer = await endpoint({ onRetry: (why) => void reasons.push(why) }).ask('POST', '/x', {
      q: 1,
    });
    expect(answer).toMatchObject({ json: { fine: true }, tries: 6 });
    expect(reasons).toEqual([
      '500: ill',
      '503',
      expect.stringMatching(/socket|ECONNRESET/),
      expect.stringMatching(/aborted|broke|ECONNRESET/),
      'the answer is not JSON',
    ]);
    for (const [i, seconds] of waits.entries()) {
      expect(seconds).toBeGreaterThanOrEqual(2 ** i / 2);
      expect(seconds).toBeLessThanOrEqual(2 ** i);
    }
    expect(bodies).toHaveLength(6);
  });

  it('waits as long as Retry-After says, and lets all requests wait', async () => {
    handlers = [
      status(429, '{"error":{"message":"slow down"}}', { 'retry-after': '40' }),
      json(1),
      json(2),
    ];
    const one = endpoint();
    expect(await one.ask('GET', '/x')).toMatchObject({ json: 1, tries: 2 });
    // A second request finds the door still closed: the clock has not moved, since nobody slept.
    expect(await one.ask('GET', '/x')).toMatchObject({ json: 2, tries: 1 });
    expect(waits).toHaveLength(3);
    expect(waits[0]).toBeGreaterThanOrEqual(40);
    for (const seconds of waits.slice(1)) expect(seconds).toBeGreaterThan(30);
  });

  it('gives up after its retries, or where it would wait too long', async () => {
    otherwise = status(502, '{"message":"bad gateway"}');
    await expect(endpoint({ retries: 2 }).ask('GET', '/x')).rejects.toThrow(
      '/v1/x, tried 3 times: 502: bad gateway',
    );
    handlers = [status(429, 'come tomorrow', { 'retry-after': '86400' })];
    await expect(endpoint().ask('GET', '/x')).rejects.toThrow(
      'asks to wait 86400 s (429: come tomorrow)',
    );
  });

  it('does not ask again what will not change, and shows no key', async () => {
    handlers = [status(401, '{"error":{"message":"no such key","type":"x"}}')];
    const failed = endpoint({ key: 'sk-secret' }).ask('POST', '/x', {});
    await expect(failed).rejects.toThrow(/answers 401: no such key$/);
    await expect(failed).rejects.not.toThrow('secret');
    expect(keys).toEqual(['Bearer sk-secret']);
    expect(waits).toEqual([]);
  });

  it('gives up on an answer that does not come', async () => {
    otherwise = () => {};
    await expect(endpoint({ retries: 0, timeoutSeconds: 0.05 }).ask('GET', '/x')).rejects.toThrow(
      'no whole answer within 0.05 s',
    );
  });

  it('ends at once when it is told to', async () => {
    const stop = new AbortController();
    otherwise = () => stop.abort();
    await expect(endpoint({ signal: stop.signal }).ask('GET', '/x')).rejects.toMatchObject({
      code: 'interrupted',
    });
  });

  it('names its only model', async () => {
    handlers = [
      json({ data: [{ id: 'a' }] }),
      json({ data: [{ id: 'a' }, { id: 'b' }] }),
      json([]),
    ];
    const one = endpoint();
    expect(await onlyModel(one)).toBe('a');
    await expect(onlyModel(one)).rejects.toThrow("name the endpoint's model with --model: a, b");
    await expect(onlyModel(one)).rejects.toThrow("name the endpoint's model with --model");
  });
});

it('retryAfter reads seconds and dates', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  expect(retryAfter('3', now)).toBe(3);
  expect(retryAfter('Thu, 01 Jan 2026 00:01:00 GMT', now)).toBe(60);
  expect(retryAfter('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0);
  expect(retryAfter('soon', now)).toBeNull();
  expect(retryAfter(undefined, now)).toBeNull();
});

it('messageOf finds what a server says', () => {
  expect(messageOf('{"error":"loading"}')).toBe('loading');
  expect(messageOf('{"detail":"not found"}')).toBe('not found');
  expect(messageOf('<html><h1>Bad\n gateway</h1></html>')).toBe('Bad gateway');
  expect(messageOf('x'.repeat(1000))).toHaveLength(300);
});

it('baseUrl takes what people paste', () => {
  expect(baseUrl('http://localhost:8080')).toBe('http://localhost:8080/v1');
  expect(baseUrl('https://host/api/v1/')).toBe('https://host/api/v1');
  expect(baseUrl('https://host/v1/chat/completions')).toBe('https://host/v1');
  expect(() => baseUrl('https://')).toThrow('is no address');
  expect(() => baseUrl('https://me:word@host/v1')).toThrow('--key');
});

describe('askQuestions', () => {
  const task = createTask({ name: 'sums' });
  const problems: Problem[] = evaluationProblems(task, 1, 12);
  const said = (content: string, more: object = {}) =>
    json({
      choices: [{ message: { content }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 3, completion_tokens: 2 },
      ...more,
    });
  const ask = async (parallel = 4): Promise<Transcript[]> => {
    const transcripts: Transcript[] = [];
    await askQuestions(
      problems.map((_, problem) => ({ problem, sample: 0 })),
      {
        endpoint: endpoint(),
        asked: { api: 'chat', model: 'm', maxTokens: 9 },
        task,
        problems,
        seed: 1,
        temperature: 1,
        parallel,
        onTranscript: (transcript) => void transcripts.push(transcript),
      },
    );
    return transcripts.sort((a, b) => a.problem - b.problem);
  };
  /** The right answer to whatever was asked. */
  const right: Handler = (request, response, body) => {
    const { messages } = JSON.parse(body) as { messages: { content: string }[] };
    const problem = problems.find(({ prompt }) => prompt === messages[0].content) as Problem;
    const gold = task.gold(problem) as string;
    said(gold)(request, response, body);
  };

  it('grades every answer, and asks no more at once than it may', async () => {
    let open = 0;
    let most = 0;
    otherwise = (request, response, body) => {
      most = Math.max(most, ++open);
      setTimeout(() => {
        open--;
        right(request, response, body);
      }, 2);
    };
    const transcripts = await ask(3);
    expect(transcripts.map(({ problem }) => problem)).toEqual(problems.map((_, i) => i));
    expect(transcripts.every(({ correct, wellFormed }) => correct && wellFormed)).toBe(true);
    expect(most).toBeLessThanOrEqual(3);
    expect(new Set(bodies.map(({ seed }) => seed)).size).toBe(problems.length);
  });

  it('counts what was cut off as wrong, whatever it says', async () => {
    otherwise = (request, response, body) => {
      const { messages } = JSON.parse(body) as { messages: { content: string }[] };
      const gold = task.gold(
        problems.find(({ prompt }) => prompt === messages[0].content) as Problem,
      );
      json({ choices: [{ message: { content: gold }, finish_reason: 'length' }] })(
        request,
        response,
        body,
      );
    };
    const [first] = await ask();
    expect(first).toMatchObject({
      correct: false,
      reward: 0,
      answer: null,
      stop: 'length',
      completionTokens: null,
    });
  });

  it('learns once which fields a server wants', async () => {
    otherwise = (request, response, body) => {
      const sent = JSON.parse(body) as object;
      if ('max_tokens' in sent)
        status(400, '{"error":{"message":"use max_completion_tokens"}}')(request, response, body);
      else if ('seed' in sent)
        status(400, '{"error":{"message":"unknown field: seed"}}')(request, response, body);
      else right(request, response, body);
    };
    const transcripts = await ask();
    expect(transcripts.every(({ correct }) => correct)).toBe(true);
    expect(bodies).toHaveLength(problems.length + 2);
  });

  it('keeps a problem that the server refuses as wrong, and goes on', async () => {
    const bad = problems[5].prompt;
    otherwise = (request, response, body) =>
      body.includes(JSON.stringify(bad))
        ? status(400, '{"error":{"message":"content policy"}}')(request, response, body)
        : right(request, response, body);
    const transcripts = await ask();
    expect(transcripts[5]).toMatchObject({
      stop: 'refused',
      correct: false,
      reason: expect.stringContaining('content policy'),
    });
    expect(transcripts.filter(({ correct }) => correct)).toHaveLength(problems.length - 1);
  });

  it('stops where the server refuses everything, after one request', async () => {
    otherwise = status(400, '{"error":{"message":"no such model"}}');
    await expect(ask()).rejects.toThrow('no such model');
    expect(bodies).toHaveLength(1);
  });
});
