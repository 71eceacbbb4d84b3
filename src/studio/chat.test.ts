import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { askEndpoint } from './chat.js';
import type { ChatEvent, ChatRequest } from './protocol.js';

let answer: (
  response: ServerResponse,
  body: Record<string, unknown>,
  key: string | undefined,
) => void = () => {};
let server: Server;
let url = '';
beforeAll(async () => {
  server = createServer((request, response) => {
    let text = '';
    request.on('data', (part) => {
      text += part;
    });
    request.on('end', () => answer(response, JSON.parse(text), request.headers.authorization));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/`;
});
afterAll(() => server.close());

const ask = async (changes: Partial<ChatRequest> = {}): Promise<ChatEvent[]> => {
  const events: ChatEvent[] = [];
  const request = {
    endpoint: { url, model: 'm', key: 'k' },
    prompt: 'hi',
    temperature: 0.5,
    maxTokens: 9,
    seed: 3,
    ...changes,
  };
  await askEndpoint(request, (event) => events.push(event), new AbortController().signal);
  return events;
};

it('asks as OpenAI has it and tells thinking, tokens, probabilities and usage apart', async () => {
  let asked: Record<string, unknown> = {};
  let authorization: string | undefined;
  answer = (response, body, key) => {
    [asked, authorization] = [body, key];
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const line = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
    const logprobs = {
      content: [
        { token: 'a', logprob: -1 },
        { token: 'b', logprob: -2 },
      ],
    };
    const all =
      line({ choices: [{ delta: { role: 'assistant', reasoning_content: 'mm' } }] }) +
      line({ choices: [{ delta: { content: 'ab' }, logprobs }] }) +
      line({
        choices: [
          {
            delta: { content: 'ü' },
            logprobs: { content: [{ token: '?', logprob: -3 }] },
            finish_reason: 'length',
          },
        ],
      }) +
      line({ choices: [], usage: { prompt_tokens: 5, completion_tokens: 4, cost_usd: 0.25 } });
    const bytes = Buffer.from(`${all}data: [DONE]\n\n`);
    // Cut where it hurts: in the middle of a line and of a character.
    const cut = bytes.indexOf(Buffer.from('ü')) + 1;
    response.write(bytes.subarray(0, cut));
    setImmediate(() => response.end(bytes.subarray(cut)));
  };
  const events = await ask();
  expect(asked).toMatchObject({
    model: 'm',
    messages: [{ role: 'user', content: 'hi' }],
    stream: true,
    max_tokens: 9,
    seed: 3,
    logprobs: true,
  });
  expect(authorization).toBe('Bearer k');
  expect(events.slice(0, -1)).toEqual([
    { type: 'loaded' },
    { type: 'token', text: 'mm', logProbability: null, part: 'thinking' },
    { type: 'token', text: 'a', logProbability: -1, part: 'text' },
    { type: 'token', text: 'b', logProbability: -2, part: 'text' },
    { type: 'token', text: 'ü', logProbability: -3, part: 'text' },
  ]);
  expect(events.at(-1)).toMatchObject({
    type: 'done',
    stop: 'length',
    promptTokens: 5,
    tokens: 4,
    usd: 0.25,
    verdict: null,
  });
});

it('says in one line what went wrong', async () => {
  answer = (response) => response.writeHead(401).end('{"error":\n"no key"}');
  await expect(ask()).rejects.toThrow(/answered 401: \{"error": "no key"\}$/);
  await expect(ask({ endpoint: { url: 'nonsense', model: 'm' } })).rejects.toThrow('is not a URL');
  await expect(ask({ endpoint: { url: 'file:///etc/passwd', model: 'm' } })).rejects.toThrow(
    'http or https',
  );
  await expect(ask({ endpoint: { url: 'http://127.0.0.1:9/v1', model: 'm' } })).rejects.toThrow(
    'is the server up?',
  );
});
