/** @file The server as the official client and the AI SDK see it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, streamText } from 'ai';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readEvents } from '../../src/usage/log.js';
import { NAME, type Serving, serve } from './serving.js';

let serving: Serving;
let client: OpenAI;
beforeAll(async () => {
  serving = await serve();
  client = new OpenAI({ baseURL: `${serving.url}/v1`, apiKey: 'none', maxRetries: 0 });
}, 60_000);
afterAll(() => serving.stop(), 60_000);

const ask = (content: string) => ({
  model: NAME,
  messages: [{ role: 'user' as const, content }],
  max_tokens: 24,
  seed: 5,
});

describe('the openai client', () => {
  it('lists the model', async () => {
    const models = await client.models.list();
    expect(models.data.map(({ id }) => id)).toEqual([NAME]);
    expect((await client.models.retrieve(NAME)).owned_by).toBe('reckoner');
    await expect(client.models.retrieve('gpt-9')).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });

  it('chats, with usage and dollars', async () => {
    const answer = await client.chat.completions.create(ask('1+1='));
    expect(answer.object).toBe('chat.completion');
    const [choice] = answer.choices;
    expect(choice.message.role).toBe('assistant');
    expect(choice.message.content?.length).toBeGreaterThan(0);
    expect(['stop', 'length']).toContain(choice.finish_reason);
    const usage = answer.usage as OpenAI.CompletionUsage & { cost_usd: number };
    expect(usage.prompt_tokens).toBe(5);
    expect(usage.total_tokens).toBe(5 + usage.completion_tokens);
    expect(usage.cost_usd).toBeGreaterThan(0);
    expect(usage.cost_usd).toBeLessThan(0.001);
  });

  it('streams the same text as it gives at once, for the same seed', async () => {
    const whole = await client.chat.completions.create(ask('2+2='));
    const stream = await client.chat.completions.create({
      ...ask('2+2='),
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let reasoning = '';
    const finishes: (string | null)[] = [];
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      usage = chunk.usage ?? usage;
      for (const choice of chunk.choices) {
        text += choice.delta.content ?? '';
        reasoning += (choice.delta as { reasoning_content?: string }).reasoning_content ?? '';
        if (choice.finish_reason) finishes.push(choice.finish_reason);
      }
    }
    const { message, finish_reason } = whole.choices[0];
    expect(text).toBe(message.content);
    expect(reasoning).toBe((message as { reasoning_content?: string }).reasoning_content ?? '');
    expect(finishes).toEqual([finish_reason]);
    expect(usage?.completion_tokens).toBe(whole.usage?.completion_tokens);
    expect(usage?.prompt_tokens_details?.cached_tokens).toBe((usage?.prompt_tokens ?? 0) - 1);
  });

  it('gives n choices, the first of which is that of n = 1', async () => {
    const one = await client.chat.completions.create(ask('3+3='));
    const three = await client.chat.completions.create({ ...ask('3+3='), n: 3 });
    expect(three.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(three.choices[0].message.content).toBe(one.choices[0].message.content);
    expect(new Set(three.choices.map(({ message }) => message.content)).size).toBe(3);
    expect(three.usage?.prompt_tokens).toBe(one.usage?.prompt_tokens);
  });

  it('reports log-probabilities that agree with the most likely tokens', async () => {
    const answer = await client.chat.completions.create({
      ...ask('4'),
      temperature: 0,
      logprobs: true,
      top_logprobs: 3,
    });
    const { content } = answer.choices[0].logprobs as NonNullable<
      (typeof answer.choices)[0]['logprobs']
    >;
    expect(content?.length).toBeGreaterThan(0);
    for (const { token, logprob, bytes, top_logprobs } of content ?? []) {
      expect(top_logprobs).toHaveLength(3);
      expect([token, logprob]).toEqual([top_logprobs[0].token, top_logprobs[0].logprob]);
      expect(top_logprobs[0].logprob).toBeGreaterThanOrEqual(top_logprobs[1].logprob);
      expect(Buffer.from(bytes ?? []).toString()).toBe(token);
    }
    const plain = await client.chat.completions.create({ ...ask('4'), temperature: 0 });
    expect(plain.choices[0].message.content).toBe(answer.choices[0].message.content);
  });

  it('completes text, and stops where it is told, without the stop', async () => {
    const request = { model: NAME, prompt: 'ab', max_tokens: 40, seed: 3, logit_bias: { 2: -100 } };
    const whole = await client.completions.create({ ...request, logprobs: 2 });
    const { text, logprobs, finish_reason } = whole.choices[0];
    expect(finish_reason).toBe('length');
    expect(logprobs?.tokens).toHaveLength(40);
    expect(logprobs?.tokens?.join('')).toBe(text);
    const stop = text.slice(10, 13);
    const cut = await client.completions.create({ ...request, stop: [stop, 'never there'] });
    expect(cut.choices[0]).toMatchObject({
      text: text.slice(0, text.indexOf(stop)),
      finish_reason: 'stop',
    });
    expect(cut.usage?.completion_tokens).toBeLessThan(40);
  });

  it('writes JSON by a schema', async () => {
    const schema = {
      type: 'object',
      properties: {
        name: { type: 'string', maxLength: 8 },
        size: { enum: [1, 2, 3] },
        ok: { type: 'boolean' },
      },
      required: ['name', 'size', 'ok'],
      additionalProperties: false,
    };
    const request = { ...ask('json'), max_tokens: 200 };
    for (const seed of [1, 2, 3]) {
      const answer = await client.chat.completions.create({
        ...request,
        seed,
        response_format: {
          type: 'json_schema',
          json_schema: { name: 'thing', schema, strict: true },
        },
      });
      const value = JSON.parse(answer.choices[0].message.content ?? '');
      expect(Object.keys(value)).toEqual(['name', 'size', 'ok']);
      expect([typeof value.name, typeof value.ok]).toEqual(['string', 'boolean']);
      expect([1, 2, 3]).toContain(value.size);
    }
  });

  it('tells what is wrong with a request', async () => {
    const broken: [object, RegExp, string | null][] = [
      [{ temperature: 9 }, /temperature/, 'temperature'],
      [{ messages: [] }, /messages/, 'messages'],
      [
        { messages: [{ role: 'function', content: 'x' }] },
        /messages\.0\.role: must be system, developer, user/,
        'messages.0.role',
      ],
      [
        { messages: [{ role: 'user', content: 'schön' }] },
        /"ö" \(U\+00F6\).*not in the vocabulary/,
        null,
      ],
      [
        { messages: [{ role: 'user', content: 'x'.repeat(300) }] },
        /the model takes 256/,
        'messages',
      ],
      [
        { tools: [{ type: 'function', function: { name: 'f' } }] },
        /tools is not supported/,
        'tools',
      ],
      [{ presence_penalty: 1 }, /presence_penalty is not supported/, 'presence_penalty'],
      [{ top_logprobs: 2 }, /top_logprobs needs logprobs/, 'top_logprobs'],
      [
        {
          response_format: {
            type: 'json_schema',
            json_schema: { name: 'x', schema: { type: 'string', format: 'emoji' } },
          },
        },
        /the format "emoji" is not supported/,
        'response_format',
      ],
      [{ logit_bias: { 5000: 1 } }, /token 5000/, 'logit_bias'],
    ];
    for (const [change, message, param] of broken) {
      const asked = client.chat.completions.create({
        ...ask('1'),
        ...change,
      } as OpenAI.ChatCompletionCreateParamsNonStreaming);
      await expect(asked, JSON.stringify(change)).rejects.toMatchObject({
        status: 400,
        type: 'invalid_request_error',
        param,
        message: expect.stringMatching(message),
      });
    }
    const other = client.chat.completions.create({ ...ask('1'), model: 'other' });
    await expect(other).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
    // Unknown fields are nobody's business.
    const fine = { ...ask('1'), some_field: { of: ['another', 'vendor'] } };
    expect((await client.chat.completions.create(fine)).choices).toHaveLength(1);
  });

  it('frees the place of a client that leaves', async () => {
    const stream = await client.chat.completions.create({
      ...ask('9'),
      max_tokens: 240,
      logit_bias: { 2: -100 },
      stream: true,
    });
    for await (const chunk of stream) if (chunk.choices.length > 0) break;
    await serving.service.engine.idle();
    const controller = new AbortController();
    const whole = client.chat.completions.create(
      { ...ask('8'), max_tokens: 240, n: 4, logit_bias: { 2: -100 } },
      { signal: controller.signal },
    );
    setTimeout(() => controller.abort(), 20);
    await expect(whole).rejects.toThrow(/abort/i);
    await serving.service.engine.idle();
    const { running, waiting, busyRows } = serving.service.engine.stats;
    expect([running, waiting, busyRows]).toEqual([0, 0, 0]);
  });

  it('writes down what each request used', async () => {
    const answer = await client.chat.completions.create(ask('7'));
    const { events, malformed } = await readEvents(join(serving.folder, 'usage.jsonl'));
    expect(malformed).toEqual([]);
    const last = events.at(-1);
    expect(last).toMatchObject({
      type: 'usage',
      usage: {
        purpose: 'inference',
        tokensIn: answer.usage?.prompt_tokens,
        tokensOut: answer.usage?.completion_tokens,
      },
      request: { id: answer.id, model: NAME },
    });
    const { usd } = JSON.parse(
      readFileSync(join(serving.folder, 'usage.jsonl'), 'utf8').trim().split('\n').at(-1) as string,
    ).request;
    expect(Number(usd)).toBe((answer.usage as unknown as { cost_usd: number }).cost_usd);
  });
});

describe('the AI SDK', () => {
  const model = () =>
    createOpenAICompatible({ name: 'reckoner', baseURL: `${serving.url}/v1` })(NAME);

  it('generates and streams', async () => {
    const { text, usage, finishReason } = await generateText({
      model: model(),
      prompt: '5+5=',
      seed: 4,
      maxOutputTokens: 16,
    });
    expect(text.length).toBeGreaterThan(0);
    expect(usage.inputTokens).toBe(5);
    expect(['stop', 'length']).toContain(finishReason);
    const streamed = streamText({ model: model(), prompt: '5+5=', seed: 4, maxOutputTokens: 16 });
    let together = '';
    for await (const part of streamed.textStream) together += part;
    expect(together).toBe(text);
  });

  it('shows an error of the server', async () => {
    await expect(generateText({ model: model(), prompt: 'ö', maxRetries: 0 })).rejects.toThrow(
      /not in the vocabulary/,
    );
  });
});
