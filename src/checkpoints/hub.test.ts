/**
 * @file Downloads from a server on this machine that answers as the hub does.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Random } from '../base/random.js';
import { parametersOf, parseModelConfig } from '../models/index.js';
import { createCharacterTokenizer, tokenizerFiles } from '../tokenizers/character.js';
import { fetchModel } from './hub.js';
import { cachedModel, pinnedName } from './hub-cache.js';
import { saveHuggingFace } from './hugging-face.js';
import { loadModel } from './load-model.js';
import { resolveModel } from './run-folder.js';

const COMMIT = 'a'.repeat(40);
const NEXT = 'b'.repeat(40);

/** A hub of one repository, `org/tiny`. */
interface FakeHub {
  files: Map<string, Buffer>;
  commit: string;
  requests: { url: string; range?: string; authorization?: string }[];
  /** Answers before the hub does; true when it has answered. */
  before: (request: IncomingMessage, response: ServerResponse) => boolean;
}

let root: string;
let hub: FakeHub;
let server: Server;

const git = (data: Buffer): string =>
  createHash('sha1').update(`blob ${data.length}\0`).update(data).digest('hex');
const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
const isLarge = (name: string): boolean => /\.(safetensors|gguf)$/.test(name);

function answer(request: IncomingMessage, response: ServerResponse): undefined {
  const url = request.url ?? '';
  const { range, authorization } = request.headers;
  hub.requests.push({ url, range, authorization });
  if (hub.before(request, response)) return undefined;
  const json = (value: unknown): undefined => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(value));
    return undefined;
  };
  if (/^\/api\/models\/org\/tiny\/revision\//.test(url))
    return json({
      _id: '1',
      id: 'org/tiny',
      sha: hub.commit,
      tags: ['license:apache-2.0'],
      cardData: { license: 'apache-2.0' },
    });
  if (/^\/api\/models\/org\/tiny\/tree\//.test(url))
    return json(
      [...hub.files].map(([path, data]) => ({
        type: 'file',
        path,
        size: data.length,
        oid: git(data),
        ...(isLarge(path)
          ? { lfs: { oid: sha256(data), size: data.length, pointerSize: 130 } }
          : {}),
      })),
    );
  const name = decodeURIComponent(url.split('?')[0].split('/').at(-1) ?? '');
  const data = url.startsWith('/org/tiny/resolve/') ? hub.files.get(name) : undefined;
  if (data === undefined) {
    response.writeHead(404, { 'x-error-code': 'RepoNotFound' }).end();
    return undefined;
  }
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
  const start = Number(from ?? 0);
  const end = to ? Math.min(Number(to) + 1, data.length) : data.length;
  response.writeHead(range === undefined ? 200 : 206, {
    etag: `"${isLarge(name) ? sha256(data) : git(data)}"`,
    'content-range': `bytes ${start}-${end - 1}/${data.length}`,
    'content-length': end - start,
  });
  response.end(data.subarray(start, end));
  return undefined;
}

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'reckoner-hub-'));
  const config = parseModelConfig({
    model_type: 'llama',
    vocab_size: 13,
    hidden_size: 8,
    intermediate_size: 12,
    num_hidden_layers: 1,
    num_attention_heads: 2,
  });
  const random = new Random(1, 'hub');
  const tensors = parametersOf(config).map(({ name, shape }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return { name, shape, data: Float32Array.from({ length: size }, () => random.normal()) };
  });
  const files = tokenizerFiles(createCharacterTokenizer('abc é'));
  await saveHuggingFace(join(root, 'source'), { config, tensors, ...files });
  hub = {
    files: new Map(
      readdirSync(join(root, 'source')).map((name) => [
        name,
        readFileSync(join(root, 'source', name)),
      ]),
    ),
    commit: COMMIT,
    requests: [],
    before: () => false,
  };
  hub.files.set('README.md', Buffer.from('# A tiny model'));
  hub.files.set('pytorch_model.bin', Buffer.from('code'));
  server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  vi.stubEnv('HF_HUB_CACHE', join(root, 'cache'));
  vi.stubEnv('HF_TOKEN', '');
  vi.stubEnv('HF_HUB_OFFLINE', '');
});
afterEach(async () => {
  vi.unstubAllEnvs();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(root, { recursive: true, force: true });
});

const snapshot = () => join(root, 'cache', 'models--org--tiny', 'snapshots', COMMIT);

it('downloads a model, pins its revision, and says what it is before', async () => {
  const lines: string[] = [];
  const seen: [number, number][] = [];
  const pinned = await fetchModel('hf:org/tiny', {
    tell: (line) => lines.push(line),
    onProgress: (done, total) => seen.push([done, total]),
  });
  expect(pinned).toBe(`hf:org/tiny@${COMMIT}`);
  expect(lines).toEqual([
    expect.stringMatching(
      /^downloading org\/tiny \(.+, licence: apache-2\.0, revision aaaaaaaaaaaa\)/,
    ),
  ]);
  expect(seen.at(-1)?.[0]).toBe(seen.at(-1)?.[1]);
  // What is not read is not downloaded.
  expect(readdirSync(snapshot()).sort()).toEqual(
    [...hub.files.keys()].filter((name) => !/README|pytorch/.test(name)).sort(),
  );
  expect(pinnedName('hf:org/tiny')).toBe(pinned);
  expect(cachedModel('hf:org/tiny')).toBe(snapshot());
  expect(resolveModel(pinned).folder).toBe(snapshot());
  const { tensors } = loadModel(resolveModel('hf:org/tiny').folder);
  expect(tensors.names).toContain('model.norm.weight');
  tensors.close();
});

it('keeps the layout of the hub’s other clients', async () => {
  await fetchModel('hf:org/tiny');
  const weights = hub.files.get('model.safetensors') as Buffer;
  const blobs = join(root, 'cache', 'models--org--tiny', 'blobs');
  expect(realpathSync(join(snapshot(), 'model.safetensors'))).toBe(
    realpathSync(join(blobs, sha256(weights))),
  );
  expect(existsSync(join(blobs, git(hub.files.get('config.json') as Buffer)))).toBe(true);
  expect(readFileSync(join(blobs, '..', 'refs', 'main'), 'utf8')).toBe(COMMIT);
});

it('asks for no file twice, and for nothing when a commit is named or the system is offline', async () => {
  await fetchModel('hf:org/tiny');
  hub.requests.length = 0;
  await fetchModel('hf:org/tiny');
  expect(hub.requests.some(({ url }) => url.includes('/resolve/'))).toBe(false);
  hub.requests.length = 0;
  await fetchModel(`hf:org/tiny@${COMMIT}`);
  vi.stubEnv('HF_HUB_OFFLINE', '1');
  expect(await fetchModel('hf:org/tiny')).toBe(`hf:org/tiny@${COMMIT}`);
  expect(hub.requests).toEqual([]);
  await expect(fetchModel('hf:org/other')).rejects.toThrow('HF_HUB_OFFLINE is set');
});

it('follows a branch to its next commit, and keeps what has not changed', async () => {
  await fetchModel('hf:org/tiny');
  hub.commit = NEXT;
  hub.files.set('generation_config.json', Buffer.from('{"temperature": 0.5}'));
  hub.requests.length = 0;
  expect(await fetchModel('hf:org/tiny')).toBe(`hf:org/tiny@${NEXT}`);
  const asked = hub.requests.filter(({ url }) => url.includes('/resolve/'));
  expect(new Set(asked.map(({ url }) => url.split('/').at(-1)))).toEqual(
    new Set(['generation_config.json']),
  );
  expect(cachedModel(`hf:org/tiny@${COMMIT}`)).toBe(snapshot());
});

it('resumes a download that stopped, and does not use a file that came damaged', async () => {
  const weights = hub.files.get('model.safetensors') as Buffer;
  let cuts = 0;
  hub.before = (request, response) => {
    const { range = '' } = request.headers;
    if (!request.url?.endsWith('model.safetensors') || range === 'bytes=0-0' || cuts > 0)
      return false;
    cuts++;
    response.writeHead(206, { 'content-length': weights.length });
    response.write(weights.subarray(0, 700), () => response.destroy());
    return true;
  };
  await fetchModel('hf:org/tiny');
  const ranges = hub.requests
    .filter(({ url, range }) => url.endsWith('model.safetensors') && range !== 'bytes=0-0')
    .map(({ range }) => range);
  expect(cuts).toBe(1);
  expect(ranges.at(-1)).toMatch(/^bytes=(?!0-)\d+-/);
  expect(readFileSync(join(snapshot(), 'model.safetensors'))).toEqual(weights);

  rmSync(join(root, 'cache'), { recursive: true });
  hub.before = (request, response) => {
    const { range = '' } = request.headers;
    if (!request.url?.endsWith('model.safetensors') || range === 'bytes=0-0') return false;
    response.writeHead(206, { 'content-length': weights.length });
    response.end(Buffer.alloc(weights.length, 1));
    return true;
  };
  await expect(fetchModel('hf:org/tiny')).rejects.toThrow('came damaged');
  expect(existsSync(join(snapshot(), 'config.json'))).toBe(false);
  expect(() => cachedModel('hf:org/tiny')).toThrow('has not been downloaded');
});

it('uses the copy in the cache when the hub cannot be reached', async () => {
  await fetchModel('hf:org/tiny');
  hub.before = (_, response) => {
    response.writeHead(503).end();
    return true;
  };
  const lines: string[] = [];
  expect(await fetchModel('hf:org/tiny', { tell: (line) => lines.push(line) })).toBe(
    `hf:org/tiny@${COMMIT}`,
  );
  expect(lines.join()).toContain('using the copy of aaaaaaaaaaaa in the cache');
  await expect(fetchModel('hf:org/other')).rejects.toThrow('cannot reach the hub for org/other');
});

it('sends the token of the environment, and says what a refusal means', async () => {
  vi.stubEnv('HF_TOKEN', 'hf_secret');
  await fetchModel('hf:org/tiny');
  expect(hub.requests.every(({ authorization }) => authorization === 'Bearer hf_secret')).toBe(
    true,
  );
  hub.before = (_, response) => {
    response.writeHead(403).end();
    return true;
  };
  const failure = await fetchModel('hf:org/gated').catch((error: Error) => error.message);
  expect(failure).toContain('set HF_TOKEN');
  expect(failure).not.toContain('hf_secret');
  hub.before = () => false;
  await expect(fetchModel('hf:org/none')).rejects.toThrow('the hub has no org/none');
});

it('takes one GGUF file, by name where there are several', async () => {
  hub.files = new Map([
    ['a-Q4.gguf', Buffer.from('GGUF a')],
    ['a-Q8.gguf', Buffer.from('GGUF b')],
  ]);
  await expect(fetchModel('hf:org/tiny')).rejects.toThrow(
    'has 2 GGUF files; name one, as hf:org/tiny/a-Q4.gguf',
  );
  expect(await fetchModel('hf:org/tiny/a-Q8.gguf')).toBe(`hf:org/tiny@${COMMIT}/a-Q8.gguf`);
  expect(readFileSync(cachedModel('hf:org/tiny/a-Q8.gguf'), 'utf8')).toBe('GGUF b');
  await expect(fetchModel('hf:org/tiny/none.gguf')).rejects.toThrow('it has a-Q4.gguf, a-Q8.gguf');
});

it('writes nothing outside of the cache, whatever the hub lists', async () => {
  hub.files.set('../../evil', Buffer.from('x'));
  hub.files.set('model-00001-of-00002.safetensors/../../x.safetensors', Buffer.from('x'));
  await fetchModel('hf:org/tiny');
  expect(readdirSync(root).sort()).toEqual(['cache', 'source']);
  expect(readdirSync(join(root, 'cache'))).toEqual(['models--org--tiny']);
  writeFileSync(join(root, 'cache', 'models--org--tiny', 'refs', 'main'), '../../..');
  expect(() => cachedModel('hf:org/tiny')).toThrow('has not been downloaded');
});

it.each(['hf:', 'hf:org', 'hf:org/../x', 'hf:org/name/dir/x.gguf', 'hf:org/name@a/b', 'hf:/x/y'])(
  'refuses %s as a name',
  async (name) => {
    await expect(fetchModel(name)).rejects.toThrow('names no model of the hub');
    expect(() => cachedModel(name)).toThrow('names no model of the hub');
  },
);
