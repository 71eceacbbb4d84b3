import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Studio, startStudio } from './server.js';

const folder = mkdtempSync(join(tmpdir(), 'reckoner-studio-'));
const runs = join(folder, 'runs');
const web = join(folder, 'web');
const started = join(folder, 'started');
const NAME = '2026-01-01-tiny-0001';
let studio: Studio;

beforeAll(async () => {
  mkdirSync(join(runs, NAME, 'checkpoints'), { recursive: true });
  mkdirSync(join(web, 'assets'), { recursive: true });
  writeFileSync(join(web, 'index.html'), '<head><meta content="__STUDIO_TOKEN__"></head>');
  mkdirSync(join(web, '.vite'));
  const shared = { file: 'assets/shared.js' };
  const page = {
    file: 'assets/run.js',
    css: ['assets/run.css'],
    imports: ['index.html', '_shared.js'],
  };
  const entry = { file: 'assets/a.js', isEntry: true };
  writeFileSync(
    join(web, '.vite', 'manifest.json'),
    JSON.stringify({ 'index.html': entry, '_shared.js': shared, 'pages/run.tsx': page }),
  );
  writeFileSync(join(web, 'assets', 'a.js'), 'export {};');
  mkdirSync(join(folder, 'here'));
  writeFileSync(join(folder, 'here', 'index.html'), 'the page that trains in a tab');
  writeFileSync(join(folder, 'here', 'kernels.wasm'), 'kernels');
  writeFileSync(join(folder, 'secret.json'), '{"secret":1}');
  writeFileSync(
    join(runs, NAME, 'recipe.json'),
    JSON.stringify({ name: 'tiny', stages: [{ id: 'sft', kind: 'sft', steps: 3 }] }),
  );
  const time = '2026-01-01T00:00:00.000Z';
  const machine = { cpu: 'x', cores: 1, memoryBytes: 1, platform: 'x', node: 'x' };
  const events = [
    {
      type: 'started',
      attempt: 0,
      step: 0,
      time,
      recipe: 'tiny',
      version: '0',
      workers: 1,
      fingerprint: 'f',
      machine,
    },
    {
      type: 'metrics',
      attempt: 0,
      step: 1,
      time,
      stage: 'sft',
      kind: 'sft',
      stageStep: 1,
      values: { loss: 2 },
    },
    { type: 'ended', attempt: 0, step: 1, time, reason: 'failed', message: 'the disk is full' },
  ];
  writeFileSync(
    join(runs, NAME, 'events.jsonl'),
    events.map((event) => `${JSON.stringify(event)}\n`).join(''),
  );
  const sample = {
    attempt: 0,
    step: 1,
    stage: 'grpo',
    prompt: '1+1=',
    completion: '<b>2</b>',
    reward: 1,
    correct: true,
    reason: 'equals 2',
    tokens: 3,
  };
  writeFileSync(join(runs, NAME, 'samples.jsonl'), `${JSON.stringify(sample)}\n{"attempt":0,"st`);
  // Stands in for the command: leaves a mark and says a name, as train does.
  const script = join(folder, 'command.mjs');
  writeFileSync(
    script,
    `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(started)}, process.argv.slice(2).join(' ')); process.stderr.write('tiny \\u2192 runs/2026-01-01-tiny-0002\\n');`,
  );
  studio = await startStudio({ version: '0', runs, web, command: [process.execPath, script] });
});
afterAll(async () => {
  await studio.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** A request as it is, where `fetch` would set headers or tidy the path. */
function ask(
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: unknown } = {},
): Promise<Answer> {
  const { hostname, port } = new URL(studio.url);
  return new Promise((resolve, reject) => {
    const sent = request(
      { hostname, port, path, method: options.method ?? 'GET', headers: options.headers },
      (response) => {
        let body = '';
        response.on('data', (part) => {
          body += part;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(options.body === undefined ? undefined : JSON.stringify(options.body));
  });
}

const json = { 'content-type': 'application/json' };
const start = (headers: Record<string, string>) =>
  ask('/api/runs', {
    method: 'POST',
    headers: { ...json, ...headers },
    body: { recipe: 'r1-mini' },
  });

describe('guards', () => {
  it.each([
    ['no token', () => ({})],
    ['a wrong token', () => ({ 'x-studio-token': 'x'.repeat(studio.token.length) })],
    ['another site', () => ({ 'x-studio-token': studio.token, 'sec-fetch-site': 'cross-site' })],
    [
      'another site of this machine',
      () => ({ 'x-studio-token': studio.token, 'sec-fetch-site': 'same-site' }),
    ],
    ['another origin', () => ({ 'x-studio-token': studio.token, origin: 'https://example.com' })],
    ['an opaque origin', () => ({ 'x-studio-token': studio.token, origin: 'null' })],
  ])('starts no run for %s', async (_, headers) => {
    const { status } = await start(headers());
    expect(status).toBe(403);
    expect(existsSync(started)).toBe(false);
  });

  it('starts one for its own page', async () => {
    const origin = studio.url.replace(/\/$/, '');
    const { status, body } = await start({
      'x-studio-token': studio.token,
      origin,
      'sec-fetch-site': 'same-origin',
    });
    expect([status, JSON.parse(body)]).toEqual([201, { run: '2026-01-01-tiny-0002' }]);
    expect(existsSync(started)).toBe(true);
  });

  it('refuses a name that is not its own (DNS rebinding), for reads, too', async () => {
    for (const host of ['evil.example', 'evil.example:80', '127.0.0.1.evil.example', 'x']) {
      expect((await ask('/api/runs', { headers: { host } })).status, host).toBe(403);
    }
    expect((await ask('/api/runs', { headers: { host: 'localhost:1' } })).status).toBe(200);
  });

  it('lets no other site read', async () => {
    const { status, headers } = await ask('/api/runs', {
      headers: { 'sec-fetch-site': 'cross-site' },
    });
    expect(status).toBe(403);
    expect(headers['access-control-allow-origin']).toBeUndefined();
  });

  it.each([
    '/api/runs/..%2F..%2Fsecret.json',
    '/api/runs/%2e%2e/bill',
    '/api/runs/..%5C..%5Csecret',
    '/api/runs/.',
    `/api/runs/${NAME}%00`,
    '/../secret.json',
    '/assets/../../secret.json',
    '/assets/%2e%2e/%2e%2e/secret.json',
    '/%E0%A4%A',
    '/train-here/../secret.json',
    '/train-here/..%2Fsecret.json',
  ])('reads nothing outside its folders: %s', async (path) => {
    const { status, body } = await ask(path);
    expect(body).not.toContain('secret":1');
    expect([200, 400, 404]).toContain(status);
    if (path.startsWith('/api/')) expect(status).toBe(404);
  });

  it('says in one line what is wrong with a request, and lives', async () => {
    const headers = { ...json, 'x-studio-token': studio.token };
    const wrong = [
      [{ recipe: 'r1-mini', extra: 1 }, 400],
      [{ recipe: 'deepseek-v3' }, 400],
      [{ recipe: '../../etc/passwd' }, 400],
      [{ recipe: 'r1-mini', seed: -1 }, 400],
      [[], 400],
    ] as const;
    for (const [body, status] of wrong)
      expect((await ask('/api/runs', { method: 'POST', headers, body })).status).toBe(status);
    expect(
      (
        await ask('/api/runs', {
          method: 'POST',
          headers: { ...headers, 'content-type': 'text/plain' },
          body: {},
        })
      ).status,
    ).toBe(415);
    const huge = await ask('/api/chat', {
      method: 'POST',
      headers,
      body: { prompt: 'x'.repeat(1e6) },
    });
    expect(huge.status).toBe(413);
    expect((await ask('/api/runs', { method: 'DELETE', headers })).status).toBe(405);
    expect((await ask('/api/runs')).status).toBe(200);
  });

  it('serves the page that trains in a tab, isolated, under a path of its own', async () => {
    expect(await ask('/train-here')).toMatchObject({
      status: 301,
      headers: { location: '/train-here/' },
    });
    const page = await ask('/train-here/');
    expect(page).toMatchObject({ status: 200, body: 'the page that trains in a tab' });
    expect(page.headers).toMatchObject({
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
    });
    expect((await ask('/train-here/kernels.wasm')).headers['content-type']).toBe(
      'application/wasm',
    );
    expect((await ask('/train-here/missing.js')).status).toBe(404);
  });

  it('carries a strict content security policy', async () => {
    const { headers, body } = await ask('/');
    const policy = String(headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval';");
    expect(policy).not.toMatch(/unsafe-inline|'unsafe-eval'/);
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(body).toContain(studio.token);
  });

  it('names at once what the page of an address will ask for, and nothing that the address made up', async () => {
    const { body } = await ask(`/runs/${NAME}/rollouts`);
    for (const file of ['run.js', 'shared.js'])
      expect(body).toContain(`<link rel="modulepreload" crossorigin href="/assets/${file}">`);
    expect(body).toContain('<link rel="stylesheet" crossorigin href="/assets/run.css">');
    expect(body).toContain(`<link rel="preload" as="fetch" crossorigin href="/api/runs/${NAME}">`);
    expect(body).not.toContain('assets/a.js');
    expect((await ask('/bill')).body).toContain('href="/api/claims/deepseek"');
    expect((await ask('/bill/runs')).body).not.toContain('as="fetch"');
    for (const path of [
      '/runs/%22%3E%3Cscript%3E',
      '/runs/"><script>',
      "/runs/'onload='x",
      '/"><script>/x',
    ])
      expect((await ask(path)).body, path).not.toMatch(/<script|'onload/);
  });
});

describe('runs', () => {
  it('lists them, with why one failed', async () => {
    const [run] = JSON.parse((await ask('/api/runs')).body);
    expect(run).toMatchObject({
      name: NAME,
      status: 'failed',
      message: 'the disk is full',
      step: 1,
      steps: 3,
      hasModel: false,
    });
  });

  it('gives the bill of a run that has none yet, as far as it has come', async () => {
    const { bill, final } = JSON.parse((await ask(`/api/runs/${NAME}/bill`)).body);
    expect(final).toBe(false);
    expect(bill.totals).toMatchObject({ headline: { amount: '0' } });
  });

  it('computes the bill of an earlier version anew, and gives that of this version as it is', async () => {
    const file = join(runs, NAME, 'bill.json');
    const given = async () => JSON.parse((await ask(`/api/runs/${NAME}/bill`)).body);
    try {
      writeFileSync(file, '{"schemaVersion": 2, "totals": {"full": {"usd": "7"}}}');
      expect((await given()).bill).toMatchObject({
        schemaVersion: 3,
        totals: { headline: { amount: '0' } },
      });
      writeFileSync(file, '{"schemaVersion": 3, "title": "as it is"}');
      expect(await given()).toEqual({ bill: { schemaVersion: 3, title: 'as it is' }, final: true });
    } finally {
      rmSync(file);
    }
  });

  it('gives rollouts by step, and waits for half a line', async () => {
    const index = JSON.parse((await ask(`/api/runs/${NAME}/samples`)).body);
    expect(index).toEqual([{ stage: 'grpo', step: 1, attempt: 0, count: 1, reward: 1 }]);
    const [sample] = JSON.parse((await ask(`/api/runs/${NAME}/samples?stage=grpo&step=1`)).body);
    expect(sample.completion).toBe('<b>2</b>');
    expect(JSON.parse((await ask(`/api/runs/${NAME}/samples?stage=grpo&step=2`)).body)).toEqual([]);
  });

  it('gives every recipe that a cluster can be planned for, as data', async () => {
    const { status, body } = await ask('/api/recipes');
    expect(status).toBe(200);
    const recipes = JSON.parse(body) as {
      name: string;
      trainable: boolean;
      work: { stages: unknown[] };
    }[];
    expect(recipes.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['deepseek-r1', 'deepseek-v3', 'r1-mini']),
    );
    for (const { work } of recipes) expect(work.stages.length).toBeGreaterThan(0);
  });

  it('survives that one is deleted', async () => {
    cpSync(join(runs, NAME), join(runs, 'copy'), { recursive: true });
    expect((await ask('/api/runs/copy')).status).toBe(200);
    rmSync(join(runs, 'copy'), { recursive: true });
    expect((await ask('/api/runs/copy')).status).toBe(404);
    expect((await ask('/api/runs')).status).toBe(200);
  });

  it('stops and resumes nothing that does not run or is not there', async () => {
    const headers = { ...json, 'x-studio-token': studio.token };
    expect(
      (await ask(`/api/runs/${NAME}/stop`, { method: 'POST', headers, body: {} })).status,
    ).toBe(409);
    expect((await ask('/api/runs/none/resume', { method: 'POST', headers, body: {} })).status).toBe(
      404,
    );
  });
});
