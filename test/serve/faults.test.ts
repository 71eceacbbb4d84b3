/**
 * @file What one client, or one page, must not do to a server: end its engine, fill its memory,
 * reach it under another name.
 */
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createService, listen } from '../../src/serve/index.js';
import { NAME, type Serving, serve } from './serving.js';

const chat = (more: object = {}) =>
  JSON.stringify({
    model: NAME,
    messages: [{ role: 'user', content: '1' }],
    max_tokens: 4,
    ...more,
  });
const format = (schema: unknown) => ({
  response_format: { type: 'json_schema', json_schema: { name: 'x', schema } },
});

let serving: Serving;
beforeAll(async () => {
  serving = await serve({ capacity: 8 });
}, 60_000);
afterAll(() => serving.stop(), 60_000);

const post = (body: string, url = serving.url) =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });

/** The status of a request under a name, which `fetch` would not let us choose. */
function ask(
  path: string,
  host: string,
  options: { method?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number; headers: Record<string, unknown>; text: string }> {
  const { port } = new URL(serving.url);
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {} } = options;
    httpRequest(
      { host: '127.0.0.1', port, path, method, headers: { ...headers, host } },
      (response) => {
        let text = '';
        response.on('data', (part) => {
          text += part;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
      },
    )
      .on('error', reject)
      .end();
  });
}

describe('an engine that died', () => {
  it('comes back, and its requests end with an error', async () => {
    const { engine } = serving.service;
    const long = chat({ max_tokens: 240, logit_bias: { 2: -100 } });
    const whole = post(long);
    const stream = await post(chat({ max_tokens: 240, logit_bias: { 2: -100 }, stream: true }));
    await expect.poll(() => engine.outstanding).toBe(2);
    const before = engine.restarts;
    await engine.kill();
    const health = await fetch(`${serving.url}/healthz`);
    expect(health.status).toBe(503);
    expect(await health.json()).toMatchObject({ status: 'failed', message: /has died/ });
    const lost = await whole;
    expect([lost.status, lost.headers.get('retry-after')]).toEqual([503, '5']);
    expect(await lost.json()).toMatchObject({ error: { code: 'engine_failed' } });
    expect(await stream.text()).toContain('"code":"engine_failed"');
    await expect
      .poll(async () => (await fetch(`${serving.url}/healthz`)).status, { timeout: 20_000 })
      .toBe(200);
    expect(engine.restarts).toBe(before + 1);
    expect((await post(chat())).status).toBe(200);
  }, 60_000);
});

describe('schemas', () => {
  it('are limited in bytes and in what they compile to, and end no engine', async () => {
    const name = (i: number, length: number): string => `${i}${'x'.repeat(length)}`;
    const wide = (i: number) => ({
      type: 'object',
      properties: Object.fromEntries(
        Array.from({ length: 300 }, (_, k) => [`${i}-${k}-${'y'.repeat(200)}`, { type: 'string' }]),
      ),
    });
    const large = await post(chat(format({ enum: [name(0, 200_000)] })));
    expect(large.status).toBe(400);
    expect(await large.json()).toMatchObject({ error: { param: 'response_format' } });
    const many = Array.from({ length: 60 }, (_, k) => ({
      type: 'string',
      minLength: k,
      maxLength: 4096,
    }));
    const deep = await post(chat(format({ anyOf: many })));
    expect([deep.status, await deep.text()]).toEqual([400, expect.stringContaining('too large')]);
    const answers = await Promise.all(
      Array.from({ length: 48 }, (_, i) => post(chat({ ...format(wide(i)), max_tokens: 2 }))),
    );
    expect(answers.map(({ status }) => status)).toEqual(new Array(48).fill(200));
    expect(serving.service.engine.restarts).toBe(1);
    expect((await fetch(`${serving.url}/healthz`)).status).toBe(200);
  }, 60_000);

  it('that are wrong are refused when they are compiled, also in a stream', async () => {
    for (const stream of [false, true]) {
      const refused = await post(chat({ ...format({ type: 'array', uniqueItems: true }), stream }));
      expect(refused.status).toBe(400);
      expect(await refused.text()).toContain('uniqueItems is not supported');
    }
  });

  it('of Zod 4 are kept to', async () => {
    const schema = JSON.parse(
      readFileSync(new URL('../fixtures/requests/schema-integer.json', import.meta.url), 'utf8'),
    );
    const answer = await post(chat({ ...format(schema), max_tokens: 60, seed: 1 }));
    const { choices } = (await answer.json()) as { choices: { message: { content: string } }[] };
    expect(choices[0].message.content).toMatch(/^\{"age": ?-?\d/);
  });
});

it('takes history with tool calls and no content', async () => {
  const history = JSON.parse(
    readFileSync(
      new URL('../fixtures/requests/request-content-null.json', import.meta.url),
      'utf8',
    ),
  );
  expect((await post(JSON.stringify({ ...history, model: NAME, max_tokens: 2 }))).status).toBe(200);
  const empty = { messages: [{ role: 'user', content: null }] };
  expect(await (await post(chat(empty))).text()).toContain('messages.0.content: is missing');
});

describe('the name in Host', () => {
  const paths = ['/healthz', '/metrics', '/v1/models', '/v1/nothing'];
  it('must be one of the server’s own, on every route', async () => {
    const { port } = new URL(serving.url);
    for (const path of paths)
      for (const host of [`127.0.0.1:${port}`, 'localhost', `LOCALHOST:${port}`, '[::1]:1'])
        expect((await ask(path, host)).status, `${host}${path}`).not.toBe(403);
    for (const path of paths)
      for (const host of [
        'evil.example',
        `evil.example:${port}`,
        'localhost.evil.example',
        '127.0.0.1.evil.example',
        'evil@127.0.0.1',
        '127.0.0.1@evil.example',
        '10.0.0.1',
        'localhost:99999999',
      ]) {
        const { status } = await ask(path, host);
        expect([400, 403], `${host}${path}`).toContain(status);
      }
    const refused = await ask('/v1/chat/completions', 'evil.example', { method: 'POST' });
    expect(refused.status).toBe(403);
    expect(JSON.parse(refused.text)).toMatchObject({ error: { code: 'wrong_host' } });
    expect((await ask('/v1/models', 'evil.example', { method: 'OPTIONS' })).status).toBe(403);
  });

  it('may be one that the user gave, or an address that it is bound to', async () => {
    const folder = join(serving.folder, 'model');
    const service = await createService({ folder, name: NAME, usageFile: null });
    const server = await listen(service, {
      host: '0.0.0.0',
      port: 0,
      hasKeys: true,
      allowHosts: ['Models.Example'],
    });
    const { port } = new URL(server.url);
    const status = (host: string) =>
      new Promise((resolve) =>
        httpRequest({ host: '127.0.0.1', port, path: '/healthz', headers: { host } }, (response) =>
          resolve(response.resume().statusCode),
        ).end(),
      );
    expect(await status('models.example:443')).toBe(200);
    for (const all of Object.values(networkInterfaces()))
      for (const { address, family } of all ?? [])
        if (family === 'IPv4') expect(await status(address)).toBe(200);
    expect(await status('other.example')).toBe(403);
    await server.close(0);
  }, 60_000);
});

describe('pages of other origins', () => {
  const preflight = {
    method: 'OPTIONS',
    headers: {
      origin: 'https://example.org',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type,x-stainless-lang',
    },
  };
  it('may not ask unless the user said so; OPTIONS is answered all the same', async () => {
    const response = await fetch(`${serving.url}/v1/chat/completions`, preflight);
    expect([response.status, response.headers.get('allow')]).toEqual([204, 'GET, POST, OPTIONS']);
    expect([...response.headers.keys()].filter((key) => key.startsWith('access-control'))).toEqual(
      [],
    );
  });

  it('may ask from the origins that are named', async () => {
    const service = await createService({
      folder: join(serving.folder, 'model'),
      name: NAME,
      usageFile: null,
      cors: ['https://example.org'],
      keys: [],
    });
    const send = (path: string, init: RequestInit) =>
      service.fetch(new Request(`http://x${path}`, init));
    const asked = await send('/v1/chat/completions', preflight);
    expect(asked.status).toBe(204);
    expect(asked.headers.get('access-control-allow-origin')).toBe('https://example.org');
    expect(asked.headers.get('access-control-allow-headers')).toBe(
      'authorization,content-type,x-stainless-lang',
    );
    for (const stream of [true, false]) {
      const answer = await send('/v1/chat/completions', {
        method: 'POST',
        headers: { origin: 'https://example.org', 'content-type': 'application/json' },
        body: chat({ stream }),
      });
      expect(answer.headers.get('access-control-allow-origin')).toBe('https://example.org');
      await answer.text();
    }
    const wrong = await send('/v1/nothing', { headers: { origin: 'https://example.org' } });
    expect(wrong.headers.get('access-control-allow-origin')).toBe('https://example.org');
    const other = { ...preflight.headers, origin: 'https://evil.example' };
    const refused = await send('/v1/models', { method: 'OPTIONS', headers: other });
    expect(refused.headers.get('access-control-allow-origin')).toBeNull();
    await service.close(0);
  }, 60_000);
});
