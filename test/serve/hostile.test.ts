/**
 * @file Requests that are wrong in every way, clients that are slow or leave, keys, limits, and the
 * end of the server.
 */
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../src/base/random.js';
import { addKey, createService, listen, readKeys, removeKey } from '../../src/serve/index.js';
import { NAME, type Serving, serve, writeModel } from './serving.js';

const chat = (content = '1', more: object = {}) =>
  JSON.stringify({ model: NAME, messages: [{ role: 'user', content }], max_tokens: 4, ...more });

let serving: Serving;
beforeAll(async () => {
  serving = await serve({ maxBodyBytes: 20_000, queue: 4, capacity: 2 });
}, 60_000);
afterAll(() => serving.stop(), 60_000);

const post = (
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
  path = '/v1/chat/completions',
) =>
  fetch(serving.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: body,
  });

async function demandAlive(): Promise<void> {
  const response = await post(chat('2', { seed: 1 }));
  expect(response.status, await response.clone().text()).toBe(200);
}

describe('a wrong request', () => {
  const deep = '['.repeat(5000) + ']'.repeat(5000);
  it.each<[string, () => Promise<Response>, number, string]>([
    ['broken JSON', () => post('{"model": "small", '), 400, 'invalid_json'],
    ['no body', () => post(''), 400, 'invalid_json'],
    ['a list', () => post('[]'), 400, 'invalid_value'],
    ['bad UTF-8', () => post(Uint8Array.from([123, 34, 0xff, 0xfe, 34, 125])), 400, 'invalid_utf8'],
    [
      'half of a character',
      () => post(chat('\\ud800').replace('\\\\ud800', '\\ud800')),
      400,
      'invalid_value',
    ],
    ['a large body', () => post(chat('x'.repeat(30_000))), 413, 'request_too_large'],
    ['deep nesting', () => post(`{"model":"small","messages":${deep}}`), 400, 'invalid_json'],
    [
      'another type',
      () => post(chat(), { 'content-type': 'text/plain' }),
      415,
      'unsupported_media_type',
    ],
    ['another path', () => post(chat(), {}, '/v1/embeddings'), 404, 'not_found'],
    ['another method', () => fetch(`${serving.url}/v1/chat/completions`), 404, 'not_found'],
    [
      'a prototype',
      () => post('{"__proto__":{"model":"small"},"constructor":1}'),
      400,
      'invalid_value',
    ],
  ])(
    '%s is refused in the shape of an error, and the server lives',
    async (_name, send, status, code) => {
      const response = await send();
      expect(response.status).toBe(status);
      // A body that is too large is not read to its end.
      if (status === 413) expect(response.headers.get('connection')).toBe('close');
      const body = (await response.json()) as { error: object };
      expect(body.error).toMatchObject({
        message: expect.any(String),
        type: 'invalid_request_error',
        code,
      });
      expect(body.error).toHaveProperty('param');
      await demandAlive();
    },
  );

  it('made of random changes to a good one never breaks the server', async () => {
    const random = new Random('fuzz', 1);
    const values: unknown[] = [
      null,
      true,
      -1,
      0,
      1e308,
      2 ** 53,
      '',
      'x',
      '\u0000',
      [],
      [[]],
      {},
      { type: 'object' },
      '😀',
    ];
    const fields = [
      'model',
      'messages',
      'temperature',
      'top_p',
      'top_k',
      'min_p',
      'n',
      'stop',
      'seed',
      'stream',
      'max_tokens',
    ];
    fields.push(
      'logit_bias',
      'logprobs',
      'top_logprobs',
      'response_format',
      'stream_options',
      'tools',
      'prompt',
      'user',
      'zzz',
    );
    const statuses = new Set<number>();
    for (let i = 0; i < 150; i++) {
      const request = JSON.parse(chat('3', { prompt: 'ab' }));
      for (let k = random.integer(1, 3); k > 0; k--)
        request[random.pick(fields)] = random.pick(values);
      let text = JSON.stringify(request);
      if (random.chance(0.2)) {
        const at = random.integer(0, text.length - 1);
        text =
          text.slice(0, at) +
          String.fromCharCode(random.integer(1, 0x2ff)) +
          text.slice(at + random.integer(0, 2));
      }
      const response = await post(
        text,
        {},
        random.chance(0.5) ? '/v1/chat/completions' : '/v1/completions',
      );
      const answer = await response.text();
      statuses.add(response.status);
      expect([200, 400, 404], `${text}\n${answer}`).toContain(response.status);
      if (response.status !== 200)
        expect(JSON.parse(answer).error.message, text).toEqual(expect.any(String));
    }
    expect([...statuses].sort()).toEqual([200, 400, 404]);
    await demandAlive();
  });
});

it('says that it is busy when the queue is full, and when to come again', async () => {
  const long = chat('4', { max_tokens: 240, logit_bias: { 2: -100 }, n: 6 });
  const running = post(long);
  await expect.poll(() => serving.service.engine.outstanding).toBeGreaterThan(5);
  const refused = await post(chat());
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
  expect(((await refused.json()) as { error: { code: string } }).error.code).toBe('queue_full');
  expect((await running).status).toBe(200);
  await demandAlive();
});

it('cuts off a reader who takes nothing, and frees the place', async () => {
  const slow = await createService({
    folder: join(serving.folder, 'model'),
    name: NAME,
    stallSeconds: 0.2,
  });
  const body = chat('5', { stream: true, max_tokens: 200, logit_bias: { 2: -100 } });
  const headers = { 'content-type': 'application/json' };
  const response = await slow.fetch(
    new Request('http://x/v1/chat/completions', { method: 'POST', body, headers }),
  );
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  await slow.engine.idle();
  await new Promise((resolve) => setTimeout(resolve, 400));
  await expect(reader.read()).rejects.toThrow('takes nothing');
  expect(slow.engine.stats.busyRows).toBe(0);
  await slow.close();
}, 60_000);

it('serves on while others send half a request', async () => {
  const { port } = new URL(serving.url);
  const sockets = Array.from({ length: 20 }, () => connect(Number(port), '127.0.0.1'));
  for (const socket of sockets) {
    socket.on('error', () => {});
    socket.write(
      'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"mod',
    );
  }
  await demandAlive();
  for (const socket of sockets) socket.destroy();
  await demandAlive();
});

it('counts what it does', async () => {
  const text = await (await fetch(`${serving.url}/metrics`)).text();
  const value = (name: string): number =>
    Number(text.match(new RegExp(`^${name.replace(/[{}"/]/g, '\\$&')} (.+)$`, 'm'))?.[1]);
  expect(
    value('reckoner_requests_total{endpoint="/v1/chat/completions",status="200"}'),
  ).toBeGreaterThan(3);
  expect(value('reckoner_tokens_total{kind="completion"}')).toBeGreaterThan(10);
  expect(value('reckoner_usd_total')).toBeGreaterThan(0);
  expect(value('reckoner_completions_running')).toBe(0);
  expect(await (await fetch(`${serving.url}/healthz`)).json()).toMatchObject({
    status: 'ok',
    model: NAME,
  });
});

describe('keys', () => {
  it('are kept as hashes, asked for, and limited one by one', async () => {
    const file = join(serving.folder, 'keys.json');
    const alice = addKey(file, 'alice', new Date(0));
    const bob = addKey(file, 'bob', new Date(0), 2);
    expect(() => addKey(file, 'bob', new Date(0))).toThrow('has a key named bob');
    expect(JSON.stringify(readKeys(file))).not.toContain(alice);
    const folder = join(serving.folder, 'model');
    const service = await createService({
      folder,
      name: NAME,
      keys: readKeys(file),
      usageFile: null,
    });
    const send = (key?: string, path = '/v1/models') =>
      service.fetch(
        new Request(`http://x${path}`, {
          headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
        }),
      );
    expect((await send()).status).toBe(401);
    expect((await send('rk-wrong')).status).toBe(401);
    expect((await send(undefined, '/metrics')).status).toBe(401);
    expect((await send(undefined, '/healthz')).status).toBe(200);
    expect((await send(alice)).status).toBe(200);
    const ask = (key: string) =>
      service.fetch(
        new Request('http://x/v1/chat/completions', {
          method: 'POST',
          headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
          body: chat(),
        }),
      );
    const statuses = [await ask(bob), await ask(bob), await ask(bob)].map(({ status }) => status);
    expect(statuses).toEqual([200, 200, 429]);
    const refused = await ask(bob);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(20);
    expect(((await refused.json()) as { error: { code: string } }).error.code).toBe(
      'rate_limit_exceeded',
    );
    for (let i = 0; i < 4; i++) expect((await ask(alice)).status).toBe(200);
    await service.close();
    removeKey(file, 'bob');
    expect(readKeys(file).map(({ name }) => name)).toEqual(['alice']);
  }, 60_000);

  it('are needed where others can reach the server', async () => {
    await expect(
      listen(serving.service, { host: '0.0.0.0', port: 0, hasKeys: false }),
    ).rejects.toThrow(/serve keys add/);
  });
});

it('lets answers end when it closes, and refuses new ones', async () => {
  const folder = join(serving.folder, 'other');
  await writeModel(folder);
  const service = await createService({ folder, name: NAME });
  const server = await listen(service, { port: 0, hasKeys: false });
  const headers = { 'content-type': 'application/json' };
  const body = chat('6', { max_tokens: 200, logit_bias: { 2: -100 }, stream: true });
  const response = await fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers,
    body,
  });
  const text = response.text();
  const closed = server.close(20);
  expect((await service.fetch(new Request('http://x/healthz'))).status).toBe(503);
  expect(
    (
      await service.fetch(
        new Request('http://x/v1/chat/completions', { method: 'POST', headers, body: chat() }),
      )
    ).status,
  ).toBe(503);
  expect(await text).toMatch(/"finish_reason":"length"[\s\S]*data: \[DONE\]\n\n$/);
  await closed;
}, 60_000);
